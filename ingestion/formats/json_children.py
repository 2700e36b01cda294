"""Arrays within records → their elements, with what the record around them says: its key, and the position."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw

from config.model import Column, Dtype, Schema, Stage, Within
from config.origins import path_in_record
from ingestion.formats.json_objects import NOT_JSON, TOO_DEEP, Found, Objects, keys_of
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

    `position` counts from 1; None where there is something else than an array.
    """

    record: Record
    position: int | None
    parent: tuple[str | None, ...]


class Arrays:
    """Takes the arrays of records apart, whose columns `parents` are those that the elements take.

    `elements` decodes these; `words` mean null.
    """

    def __init__(
        self, within: Within, parents: Sequence[str], words: frozenset[str], elements: PlainRecords
    ) -> None:
        self._names = tuple(dict.fromkeys(parents))
        self._way = frozenset(path_in_record(within.path)[:-1])
        array = Column(name=_ARRAY, dtype=Dtype.JSON, sources=(within.path,))
        columns = (*(within.of.by_name[name] for name in self._names), array)
        self._schema = Schema(name=within.of.name, primary_key=within.of.primary_key, columns=columns)
        self.records = Objects(keys_of(self._schema), words, leaves_out=True)
        self._elements = elements

    def elements(self, records: Iterator[Record]) -> Iterator[Element]:
        """The elements of all records, in their order. A record that can't be read has none."""
        while part := list(islice(records, RECORDS_AT_ONCE)):
            yield from self._of([record for record in part if not isinstance(record, Rejection)])

    def _of(self, records: list[PlainRecord | Fields]) -> Iterator[Element]:
        found = Found(len(records))
        self.records.read(records, found)
        texts = {name: column.to_pylist() for name, column in found.columns(self._schema).items()}
        parents = list(zip(*(texts[name] for name in self._names), strict=True)) or [()] * len(records)
        sources = [[] if text is None else _split(text) for text in texts[_ARRAY]]
        read = self._read([one for of_record in sources for one in of_record])
        for row, (text, of_record) in enumerate(zip(texts[_ARRAY], sources, strict=True)):
            if text is None:
                for name in self._way & found.strange.get(row, {}).keys():
                    rule, instead = found.broken[row][0][0], found.strange[row][name]
                    yield Element(_malformed(rule, instead or ""), None, parents[row])
            elif not text.startswith("["):
                yield Element(_malformed(NOT_AN_ARRAY, text), None, parents[row])
            for position, _ in enumerate(of_record, 1):
                yield Element(next(read), position, parents[row])

    def _read(self, sources: list[bytes]) -> Iterator[Record]:
        """Each element as a record: all of them at once where all are objects as exports write them."""
        objects = [one for one in sources if one.startswith(b"{")]
        quick = self._elements.array(b"[%b]" % b",".join(objects)) if objects else []
        decoded = iter(quick) if quick is not None else (_decoded(one, self._elements) for one in objects)
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


def numbered(part: list[Element], first: int) -> list[Record]:
    """The records of `part`; what can't be read has its number, of which the first is `first`."""
    return [
        replace(one.record, number=number) if isinstance(one.record, Rejection) else one.record
        for number, one in enumerate(part, first)
    ]


def with_parents(chunk: Chunk, part: list[Element], first: int, schema: Schema, parents: Sequence[str]) -> Chunk:
    """The elements' chunk with the columns that the record around them says."""
    order = list(dict.fromkeys(parents))
    said = {}
    for column in schema.columns:
        if column.value is not None and column.value.parent is not None:
            place = order.index(column.value.parent)
            said[column.name] = pa.array([one.parent[place] for one in part], pa.string())
        elif column.value is not None and column.value.element:
            said[column.name] = pa.array([one.position for one in part], pa.int64()).cast(pa.string())
    rows = pa.array(chunk.numbers - first)
    columns = {**chunk.columns, **{name: texts.take(rows) for name, texts in said.items()}}
    malformed = tuple(
        replace(one, raw={**one.raw, **{name: texts[one.number - first].as_py() for name, texts in said.items()}})
        for one in chunk.malformed
    )
    return Chunk(np.asarray(chunk.numbers), {c.name: columns[c.name] for c in schema.columns}, malformed)
