"""JSON array or NDJSON → chunks of text columns, window by window, so that memory doesn't grow with the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import IO, Annotated, Any, ClassVar, cast

import numpy as np
import pyarrow as pa
from pydantic import Field

from config.errors import FileRejected
from config.model import Model, Stage
from config.read_options import NullWords
from config.schema import EXTRA, Column, Schema
from ingestion.formats.encoding import UTF8, TextOptions, sniffed_text
from ingestion.formats.format import Format
from ingestion.formats.json_array import array_records
from ingestion.formats.json_children import Arrays, numbered
from ingestion.formats.json_document import records_at
from ingestion.formats.json_lines import line_records
from ingestion.formats.json_objects import Found, Objects, keys_of, paths_of
from ingestion.formats.json_record import MAX_RECORD_BYTES, Fields, Record
from ingestion.formats.json_sniff import records_path
from ingestion.formats.json_window import Window
from ingestion.formats.plain_records import PlainRecord, PlainRecords
from validation.batch import Chunk, Reason, Rejection
from validation.drift import may_lack, refuse_differences, refuses_new, shown


class JsonOptions(TextOptions, NullWords):
    """`null_values`, which all formats have, also say whether a bare NaN or Infinity means null."""


class DocumentOptions(JsonOptions):
    """`records` is the path to the array of records in a file that is one object, as in `data.items`."""

    records: Annotated[str, Field(min_length=1)] | None = None


AS_WRITTEN = JsonOptions()


class JsonFormat(Format):
    """An array of objects, or one object a line: whichever a file begins with. Or the array at `records`."""

    name = "json"
    extensions: ClassVar[tuple[str, ...]] = (".json",)
    longest_record = MAX_RECORD_BYTES
    has_arrays = True
    Options: ClassVar[type[Model]] = DocumentOptions

    def sniff(self, beginning: bytes, options: JsonOptions) -> dict[str, Any] | None:
        """A file of JSON begins with a bracket; the encoding, where it is another one; where the records are."""
        text, encoding = sniffed_text(beginning, options.encoding)
        if not text.lstrip().startswith(("[", "{")):
            return None
        found: dict[str, Any] = dict(encoding)
        if isinstance(options, DocumentOptions) and options.records is None and (path := records_path(text)):
            found["records"] = path
        return found

    def columns(self, raw: IO[bytes], rows: int, options: JsonOptions) -> list[str]:
        """The keys of the first records, where they are objects, in the order in which they are met."""
        records = islice(read_records(raw, PlainRecords(()), _where(options), options.encoding), rows)
        return list(dict.fromkeys(key for record in records if isinstance(record, Fields) for key in record))

    def chunks(self, raw: IO[bytes], schema: Schema, chunk_rows: int, options: JsonOptions) -> Iterator[Chunk]:
        """The source text of numbers and nested values, the text of strings."""
        return read_json(raw, schema, chunk_rows, options)


class NdjsonFormat(JsonFormat):
    """The same under another name: either is read in both."""

    name = "ndjson"
    extensions = (".ndjson", ".jsonl")
    Options = JsonOptions


def _where(options: JsonOptions) -> str | None:
    return options.records if isinstance(options, DocumentOptions) else None


def read_json(
    raw: IO[bytes], schema: Schema, chunk_rows: int, options: JsonOptions = AS_WRITTEN
) -> Iterator[Chunk]:
    """The records of a JSON array, or of a file with one JSON object a line, as chunks of text columns.

    A column of dtype json holds the source text of its values, any other the text of strings and the source text
    of all else. A key that a record lacks is null in it; so is a bare NaN or Infinity if `options` say that the
    word means null, else it is refused. Raises FileRejected for what is wrong with the file as a whole; what is
    wrong with its keys turns out at its end.
    """
    if schema.within is not None:
        yield from _read_elements(raw, schema, chunk_rows, options)
        return
    reader = _Reader(schema, options)
    records = read_records(raw, reader.objects.plain, _where(options), options.encoding)
    number = 0
    while part := list(islice(records, chunk_rows)):
        yield reader.chunk(part, number + 1)
        number += len(part)
    reader.check()


def _read_elements(raw: IO[bytes], schema: Schema, chunk_rows: int, options: JsonOptions) -> Iterator[Chunk]:
    """The elements of the arrays in the file's records, in the same way; they are counted over the whole file."""
    reader = _Reader(schema.in_record, options)
    arrays = Arrays(schema, options.words)
    records = read_records(raw, arrays.records.plain, _where(options), options.encoding)
    elements = arrays.elements(records, reader.objects.plain)
    first = 1
    while part := list(islice(elements, chunk_rows)):
        yield arrays.completed(reader.chunk(numbered(part, first), first), part, first)
        first += len(part)
    reader.check()
    if arrays.are_missing:
        yield replace(arrays.completed(reader.chunk([], first), [], first), lacks=(), no_array=True)


def read_records(
    raw: IO[bytes], plain: PlainRecords, where: str | None = None, encoding: str = UTF8
) -> Iterator[Record]:
    """The records of a JSON array, of a file with one JSON object a line, or of the array at `where`, in order.

    A value is the text of a string, and the source text of anything else; of the columns `plain.exact` that of
    strings, too. null is None; so is a bare NaN or Infinity that `plain.words` name. A record that can't be read
    comes as a Rejection with its number where the format tells where the next one begins; else FileRejected is
    raised.
    """
    window = Window(raw, encoding)
    if where is not None:
        yield from records_at(window, where, plain)
        return
    first = window.next_byte()
    if first == b"":
        raise FileRejected("is empty; an hour without records is written as []")
    if first == b"[":
        window.position += 1
        yield from array_records(window, plain)
    else:
        yield from line_records(window, plain)


class _Reader:
    """Records → chunks; and what the keys of all of them say of the file, as a header does."""

    def __init__(self, schema: Schema, options: JsonOptions) -> None:
        self._schema = schema
        self._refuses_new = refuses_new(schema)
        self._takes_new = schema.drift.takes_new
        self.objects = Objects(
            keys_of(schema), options.words, leaves_out=not self._refuses_new, keeps_new=self._takes_new
        )
        self._strange: list[str] | None = None  # keys that all records have and no column; None before the first
        self._count = 0
        self._new: dict[str, None] = {}  # keys that are no columns, in the order in which they were met
        self._nested: set[str] = set()  # columns of which a value was an object or an array, which they can't hold
        self._plain: set[str] = set()  # columns of which some value was none, or may be one
        self._twice: Counter[str] = Counter()  # columns that records give twice, each with both names

    def chunk(self, part: list[Record], first: int) -> Chunk:
        """The records of `part`, of which the first has this number."""
        if not {Fields, Rejection} & set(map(type, part)):
            return self._chunk(
                cast("list[PlainRecord | Fields]", part), np.arange(first, first + len(part)), {}, []
            )
        records: list[PlainRecord | Fields] = []
        numbers: list[int] = []
        malformed: list[Rejection] = []
        bad: dict[int, tuple[Fields, tuple[Reason, ...]]] = {}
        for number, record in enumerate(part, first):
            if isinstance(record, Rejection):
                malformed.append(record)
            elif isinstance(record, Fields) and (reasons := self._against(record)):
                bad[number] = record, reasons
            else:
                records.append(record)
                numbers.append(number)
        return self._chunk(records, np.array(numbers, np.int64), bad, malformed)

    def _chunk(
        self,
        records: list[PlainRecord | Fields],
        numbers: np.ndarray,
        bad: dict[int, tuple[Fields, tuple[Reason, ...]]],
        malformed: list[Rejection],
    ) -> Chunk:
        self._count += len(records) + len(bad)
        if set(map(type, records)) - {Fields}:
            self._strange = []
        columns, found = self._columns(records)
        malformed += self._malformed(bad)
        if found.broken:
            malformed += (
                Rejection(int(numbers[row]), _reasons(broken), self._raw(columns, found, row))
                for row, broken in found.broken.items()
            )
            good = np.ones(len(numbers), dtype=bool)
            good[list(found.broken)] = False
            numbers, columns = (
                numbers[good],
                {name: texts.filter(pa.array(good)) for name, texts in columns.items()},
            )
        malformed.sort(key=lambda record: record.number)
        return Chunk(numbers, columns, tuple(malformed), tuple(self._new), self._lacks())

    def _lacks(self) -> tuple[str, ...]:
        """The columns that no record has had so far; none before the first that can be read."""
        if self._strange is None or not self.objects.lacking:
            return ()
        columns = self._schema.columns
        return tuple(c.name for c in columns if not any(map(self.objects.reaches, paths_of(c))))

    def check(self) -> None:
        """Raise FileRejected where every record has a strange key, or lacks a column that must have a value."""
        if self._strange is None:
            return
        if at_objects := sorted(self._nested - self._plain):
            raise FileRejected("; ".join(_leads_to_objects(self._schema.by_name[name]) for name in at_objects))
        columns = self._schema.columns
        lacking = [column for column in columns if not any(map(self.objects.reaches, paths_of(column)))]
        missing = [column for column in lacking if not may_lack(self._schema, column)]
        twice = [twice for twice, rows in self._twice.items() if rows == self._count]
        if self._strange or twice or not all(column.can_be_missing for column in missing):
            strange = [shown(name, place) for place, name in enumerate(self._strange, len(columns) - len(lacking))]
            refuse_differences(self._schema, missing, strange, twice)

    def _against(self, record: Fields) -> tuple[Reason, ...]:
        """What is wrong with the record by itself."""
        strange = [name for name in record if name not in self.objects.keys] if self._refuses_new else []
        common = strange if self._strange is None else [name for name in self._strange if name in strange]
        self._strange = common
        if rule := record.defect or ("unexpected_column" if strange else ""):
            return _reasons([(rule, "")])
        columns = {name: key.column.name if key.column else "" for name, key in self.objects.keys.items()}
        return _reasons([("not_json", columns[name]) for name in record.no_values if name in columns])

    def _columns(self, records: list[PlainRecord | Fields]) -> tuple[dict[str, pa.Array], Found]:
        found = Found(len(records))
        self.objects.read(records, found)
        columns = found.columns(self._schema)
        self._twice += found.twice
        self._nested |= found.nested.keys()
        for name in columns.keys() - self._plain:
            if found.nested[name] < len(columns[name]) - columns[name].null_count:
                self._plain.add(name)
        self._new |= dict.fromkeys(self.objects.new_names(records))
        if self._takes_new:
            columns[EXTRA] = self.objects.new_values(records, found)
        return columns, found

    def _malformed(self, bad: dict[int, tuple[Fields, tuple[Reason, ...]]]) -> Iterator[Rejection]:
        """Records that are wrong by themselves."""
        for number, (record, reasons) in bad.items():
            self.objects.note([record])
            yield Rejection(number, reasons, self._raw_of(record))

    def _raw_of(self, record: Fields) -> dict[str, Any]:
        raw = self.objects.raw(record)
        if not self._takes_new or not (record.keys() - self.objects.keys.keys()):
            return raw
        known = Fields({name: value for name, value in record.items() if name in self.objects.keys})
        return self.objects.raw(known) | {EXTRA: self.objects.new_values([record])[0].as_py()}

    def _raw(self, columns: dict[str, pa.Array], found: Found, row: int) -> dict[str, Any]:
        return {**{n: texts[row].as_py() for n, texts in columns.items()}, **found.strange.get(row, {})}


def _leads_to_objects(column: Column) -> str:
    where = " or ".join(column.sources)
    return (
        f"column {column.name}: from ({where}) leads to an object or an array in every record; go on to a key "
        f"in it, as in {column.sources[0]}.KEY, or make the column json"
    )


def _reasons(broken: list[tuple[str, str]]) -> tuple[Reason, ...]:
    return tuple(Reason(Stage.SCHEMA, rule, column) for rule, column in dict.fromkeys(broken))
