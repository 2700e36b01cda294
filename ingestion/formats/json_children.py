"""Arrays within records → their elements, with what the record around them says: its key, and the position."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Raw

from config.model import Dtype, Stage
from config.origins import path_in_record
from config.schema import Column, Schema
from ingestion.formats.json_objects import NOT_JSON, TOO_DEEP, TWICE, Found, Objects, keys_of
from ingestion.formats.json_record import DECODER, Fields, Record, decode_record
from ingestion.formats.plain_records import PlainRecord, PlainRecords
from validation.batch import Chunk, Reason, Rejection
from validation.pii_handler import MALFORMED

RECORDS_AT_ONCE = 1_000  # whose arrays are taken apart together
NOT_AN_ARRAY, NOT_AN_OBJECT = "not_an_array", "not_an_object"
_ARRAY = "\0array"  # the column that holds it; no key of a file is called so by chance
_KEPT_CHARS = 100_000  # of an element that can't be read
_ELEMENTS = msgspec.json.Decoder(list[Raw])


class Element(NamedTuple):
    """An element of an array: the record that it is, or why it is none; its place; what the parent's columns hold.

    `position` counts from 1; None where there is no array whose elements could be counted.
    """

    record: Record
    position: int | None
    parent: dict[str, str | None]


class Arrays:
    """Takes the arrays of records apart, whose elements have `schema`; `words` mean null."""

    def __init__(self, schema: Schema, words: frozenset[str]) -> None:
        within = schema.within
        assert within is not None  # noqa: S101
        self._schema = schema
        self._taken = {c.name: c.value.parent for c in schema.columns if c.value and c.value.parent}
        self._path = path_in_record(within.path)
        array = Column(name=_ARRAY, dtype=Dtype.JSON, sources=(within.path,))
        columns = (*(within.of.by_name[name] for name in dict.fromkeys(self._taken.values())), array)
        self._of_record = Schema(name=within.of.name, primary_key=within.of.primary_key, columns=columns)
        self.records = Objects(keys_of(self._of_record), words, leaves_out=True)
        self._has_records = False

    @property
    def are_missing(self) -> bool:
        """Has no record had anything at the path, though there were some?"""
        return self._has_records and not self.records.reaches(self._path)

    def elements(self, records: Iterator[Record], elements: PlainRecords) -> Iterator[Element]:
        """The elements of all records that can be read, in their order, decoded by `elements`."""
        while part := list(islice(records, RECORDS_AT_ONCE)):
            readable = [record for record in part if not isinstance(record, Rejection)]
            self._has_records |= bool(readable)
            yield from self._of(readable, elements)

    def _of(self, records: list[PlainRecord | Fields], elements: PlainRecords) -> Iterator[Element]:
        found = Found(len(records))
        self.records.read(records, found)
        texts = {name: column.to_pylist() for name, column in found.columns(self._of_record).items()}
        arrays = texts.pop(_ARRAY)
        parents = [dict(zip(texts, values, strict=True)) for values in zip(*texts.values(), strict=True)]
        instead = [self._no_array(*one, found, row) for row, one in enumerate(zip(records, arrays, strict=True))]
        sources = [_split(text) if text and not no else [] for text, no in zip(arrays, instead, strict=True)]
        read = _read([one for of_record in sources for one in of_record], elements)
        for row, of_record in enumerate(sources):
            parent = parents[row] if parents else {}
            yield from (Element(no, None, parent) for no in instead[row])
            yield from (Element(next(read), position, parent) for position, _ in enumerate(of_record, 1))

    def _no_array(self, record: PlainRecord | Fields, text: str | None, found: Found, row: int) -> list[Rejection]:
        """What is told of a record that has something else than an array, or where it can't be said which."""
        if text is None:
            strange = found.strange.get(row, {})
            return [_malformed(found.broken[row][0][0], strange[n] or "") for n in self._path[:-1] if n in strange]
        if isinstance(record, Fields) and record.defect == TWICE:
            return [_malformed(TWICE, text)]
        return [] if text.startswith("[") else [_malformed(NOT_AN_ARRAY, text)]

    def completed(self, chunk: Chunk, part: Sequence[Element], first: int) -> Chunk:
        """The chunk of `part`, whose first has this number, with the columns that the records around say."""
        said = {name: pa.array([one.parent[of] for one in part], pa.string()) for name, of in self._taken.items()}
        for column in self._schema.columns:
            if column.value is not None and column.value.element:
                said[column.name] = pa.array([one.position for one in part], pa.int64()).cast(pa.string())
        rows = pa.array(chunk.numbers - first)
        columns = {**chunk.columns, **{name: texts.take(rows) for name, texts in said.items()}}
        in_order = {column.name: columns[column.name] for column in self._schema.columns}
        malformed = tuple(
            replace(one, raw=one.raw | {name: texts[one.number - first].as_py() for name, texts in said.items()})
            for one in chunk.malformed
        )
        return replace(chunk, columns=in_order | columns, malformed=malformed)


def _read(sources: list[bytes], plain: PlainRecords) -> Iterator[Record]:
    """Each element as a record: all of them at once where all are objects as exports write them."""
    objects = [one for one in sources if one.startswith(b"{")]
    quick = plain.array(b"[%b]" % b",".join(objects)) if objects else []
    decoded = iter(quick) if quick is not None else (_decoded(one, plain) for one in objects)
    for one in sources:
        begins = one.startswith(b"{")
        yield next(decoded) if begins else _malformed(NOT_AN_OBJECT, one.decode(errors="replace"))


def _split(text: str) -> list[bytes]:
    """The source text of an array's elements."""
    if not text.startswith("["):
        return []
    try:
        return [bytes(one) for one in _ELEMENTS.decode(text)]
    except (msgspec.DecodeError, RecursionError):  # a bare NaN in it, say: the general decoder takes that
        return list(_split_slowly(text))


def _split_slowly(text: str) -> Iterator[bytes]:
    at = _behind_space(text, 1)
    while text[at] != "]":
        try:
            _, end = DECODER.raw_decode(text, at)
        except RecursionError:
            yield text[at:].encode()
            return
        yield text[at:end].encode()
        at = _behind_space(text, end)
        at = _behind_space(text, at + 1) if text[at] == "," else at


def _behind_space(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _decoded(source: bytes, plain: PlainRecords) -> Record:
    text = source.decode()
    try:
        return decode_record(text, 0, plain)[0]
    except RecursionError:
        return _malformed(TOO_DEEP, text)
    except json.JSONDecodeError:
        return _malformed(NOT_JSON, text)


def _malformed(rule: str, text: str) -> Rejection:
    return Rejection(0, (Reason(Stage.SCHEMA, rule, ""),), {MALFORMED: text[:_KEPT_CHARS]})


def numbered(part: Sequence[Element], first: int) -> list[Record]:
    """The records of `part`; what can't be read has its number, of which the first is `first`."""
    return [
        replace(one.record, number=number) if isinstance(one.record, Rejection) else one.record
        for number, one in enumerate(part, first)
    ]
