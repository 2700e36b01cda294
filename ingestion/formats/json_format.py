"""JSON array or NDJSON → chunks of text columns, window by window, so that memory doesn't grow with the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from operator import attrgetter
from typing import IO, Any, ClassVar, cast

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET, Raw

from config.errors import FileRejected
from config.model import Dtype, NullWords, Schema, Stage
from ingestion.formats.encoding import UTF8, TextOptions, sniffed_text
from ingestion.formats.format import Format
from ingestion.formats.json_array import array_records
from ingestion.formats.json_lines import line_records
from ingestion.formats.json_record import MAX_RECORD_BYTES, Fields, Record
from ingestion.formats.json_window import Window
from ingestion.formats.plain_records import PlainRecord, PlainRecords
from validation.batch import Chunk, Reason, Rejection
from validation.schema_validator import check_columns


class JsonOptions(TextOptions, NullWords):
    """`null_values`, which all formats have, also say whether a bare NaN or Infinity means null."""


AS_WRITTEN = JsonOptions()


class JsonFormat(Format):
    """An array of objects, or one object a line: whichever a file begins with."""

    name = "json"
    extensions: ClassVar[tuple[str, ...]] = (".json",)
    longest_record = MAX_RECORD_BYTES
    Options = JsonOptions

    def sniff(self, beginning: bytes, options: JsonOptions) -> dict[str, Any] | None:
        """A file of JSON begins with a bracket; the encoding, where it is another one."""
        text, found = sniffed_text(beginning, options.encoding)
        return found if text.lstrip().startswith(("[", "{")) else None

    def columns(self, raw: IO[bytes], rows: int, options: JsonOptions) -> list[str]:
        """The keys of the first records, where they are objects, in the order in which they are met."""
        records = islice(read_records(raw, PlainRecords(()), options.encoding), rows)
        return list(dict.fromkeys(key for record in records if isinstance(record, Fields) for key in record))

    def chunks(self, raw: IO[bytes], schema: Schema, chunk_rows: int, options: JsonOptions) -> Iterator[Chunk]:
        """The source text of numbers and nested values, the text of strings."""
        return read_json(raw, schema, chunk_rows, options)


class NdjsonFormat(JsonFormat):
    """The same under another name: either is read in both."""

    name = "ndjson"
    extensions = (".ndjson", ".jsonl")


def read_json(
    raw: IO[bytes], schema: Schema, chunk_rows: int, options: JsonOptions = AS_WRITTEN
) -> Iterator[Chunk]:
    """The records of a JSON array, or of a file with one JSON object a line, as chunks of text columns.

    A column of dtype json holds the source text of its values, any other the text of strings and the source text
    of all else. A key that a record lacks is null in it; so is a bare NaN or Infinity if `options` say that the
    word means null, else it is refused. Raises FileRejected for what is wrong with the file as a whole; what is
    wrong with its keys turns out at its end.
    """
    exact = (column.name for column in schema.columns if column.dtype is Dtype.JSON)
    plain = PlainRecords((column.name for column in schema.columns), exact, options.words)
    records = read_records(raw, plain, options.encoding)
    keys = _KeysOfFile(schema)
    number = 0
    while part := list(islice(records, chunk_rows)):
        yield _chunk(part, number + 1, keys, plain)
        number += len(part)
    keys.check()


def read_records(raw: IO[bytes], plain: PlainRecords, encoding: str = UTF8) -> Iterator[Record]:
    """The records of a JSON array, or of a file with one JSON object a line, in their order.

    A value is the text of a string, and the source text of anything else; of the columns `plain.exact` that of
    strings, too. null is None; so is a bare NaN or Infinity that `plain.words` name. A record that can't be read
    comes as a Rejection with its number where the format tells where the next one begins; else FileRejected is
    raised.
    """
    window = Window(raw, encoding)
    first = window.next_byte()
    if first == b"":
        raise FileRejected("is empty; an hour without records is written as []")
    if first == b"[":
        window.position += 1
        yield from array_records(window, plain)
    else:
        yield from line_records(window, plain)


class _KeysOfFile:
    """What the records' keys say of the file, as a header does: the columns that none of them has, and the keys of
    all of them that are no columns."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._known = frozenset(schema.by_name)
        self._lacking = set(schema.by_name)
        self._strange: list[str] | None = None  # None before the first record

    def note(self, record: Fields) -> bool:
        """Note the record's keys; are all of them columns?"""
        self._lacking -= record.keys()
        strange = [name for name in record if name not in self._known]
        if self._strange is None:
            self._strange = strange
        elif self._strange:
            self._strange = [name for name in self._strange if name in strange]
        return not strange

    def note_plain(self, records: list[PlainRecord], plain: PlainRecords) -> None:
        """Note the keys of records that have none but columns."""
        if records:
            self._strange = []
        for record in records:
            if not self._lacking:
                break
            self._lacking = {n for n in self._lacking if getattr(record, plain.fields[n]) is UNSET}

    def check(self) -> None:
        """Raise FileRejected where every record has a strange key, or lacks a column that must have a value."""
        columns = self._schema.by_name
        needed = any(not columns[n].nullable or columns[n].rules.get("required") for n in self._lacking)
        if self._strange is not None and (self._strange or needed):
            found = [name for name in columns if name not in self._lacking]
            check_columns(self._schema, [*found, *self._strange])


def _chunk(part: list[Record], first: int, keys: _KeysOfFile, plain: PlainRecords) -> Chunk:
    if all(issubclass(kind, PlainRecord) for kind in set(map(type, part))):
        records = cast("list[PlainRecord | Fields]", part)
        keys.note_plain(cast("list[PlainRecord]", part), plain)
        return Chunk(np.arange(first, first + len(part), dtype=np.int64), _columns(records, plain))
    records, numbers = [], []
    malformed: list[Rejection] = []
    for number, record in enumerate(part, first):
        if isinstance(record, Rejection):
            malformed.append(record)
            continue
        if isinstance(record, Fields):
            known = keys.note(record)
            if rule := record.defect or ("" if known else "unexpected_column"):
                malformed.append(Rejection(number, (Reason(Stage.SCHEMA, rule, ""),), dict(record)))
                continue
            if record.no_values:
                reasons = tuple(Reason(Stage.SCHEMA, "not_json", name) for name in record.no_values)
                malformed.append(Rejection(number, reasons, dict(record)))
                continue
        else:
            keys.note_plain([record], plain)
        records.append(record)
        numbers.append(number)
    return Chunk(np.array(numbers, np.int64), _columns(records, plain), tuple(malformed))


def _columns(records: list[PlainRecord | Fields], plain: PlainRecords) -> dict[str, pa.Array]:
    """Arrow strings by column."""
    all_plain = Fields not in set(map(type, records))

    def values(name: str, field: str) -> list[Any]:
        if all_plain:
            return list(map(attrgetter(field), records))
        return [r.get(name) if isinstance(r, Fields) else getattr(r, field) for r in records]

    return {
        name: _text_array(values(name, field), exact=name in plain.exact) for name, field in plain.fields.items()
    }


def _text_array(values: list[Any], *, exact: bool) -> pa.Array:
    """The values as Arrow strings; quickest where all are text, or all numbers."""
    for kind in (pa.string(), pa.int64(), pa.bool_()):
        with suppress(pa.ArrowTypeError, pa.ArrowInvalid, OverflowError):
            return pa.array(values, kind).cast(pa.string())
    return pa.array([_as_text(value, exact=exact) for value in values], pa.string())


def _as_text(value: Any, *, exact: bool) -> str | None:
    if value is None or value is UNSET or isinstance(value, str):
        return None if value is UNSET else value
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, Raw):
        return str(value)
    text = bytes(value).decode()
    if text.startswith('"') and not exact:
        return msgspec.json.decode(value, type=str)
    return None if text == "null" else text
