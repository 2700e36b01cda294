"""Records → columns of text: a column's value is at a key, or at the end of a path through nested objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, Raw

from config.model import Dtype
from config.origins import path_in_record
from config.schema import Column, Schema
from ingestion.formats.json_record import Fields, decode_record
from ingestion.formats.plain_records import PlainRecord, PlainRecords
from validation.extra import of_sources

AT_ONCE = 2_000  # objects within objects
NO_OBJECT, TWICE, TOO_DEEP = "no_object_at_path", "key_given_twice", "nested_too_deeply"
NOT_JSON = "not_json"
_NESTED = frozenset({Dtype.STR, Dtype.JSON})  # hold objects and arrays, as they are written


@dataclass
class Key:
    """What is wanted of a key: its value for `column`, and values within it."""

    column: Column | None = None
    within: dict[str, Key] = field(default_factory=dict)

    def columns(self) -> Iterator[Column]:
        """All that comes from here."""
        if self.column:
            yield self.column
        for key in self.within.values():
            yield from key.columns()


def keys_of(schema: Schema) -> dict[str, Key]:
    """The keys of a record that hold the schema's columns. A column's own name is no path."""
    root = Key()
    for column in schema.columns:
        for path in paths_of(column):
            at = root
            for step in path:
                at = at.within.setdefault(step, Key())
            at.column = column
    for source in schema.beside:
        at = root
        for step in path_in_record(source):
            at = at.within.setdefault(step, Key())
            if not at.within:  # nothing in it is a column's
                break
    return root.within


def paths_of(column: Column) -> list[tuple[str, ...]]:
    """Where in a record the column may be."""
    return [path_in_record(source) for source in column.sources] or [(column.name,)]


@dataclass
class Found:
    """What records hold: arrays of text by column, one for each of its places, and by row what is wrong.

    `beside`: source text by row of values within objects that are no columns, by their path.
    `broken`: (rule, column or '') by position; `strange`: values under names that are no columns; `twice`: rows by
    the column that they give twice, and its two names; `nested`: nested values in columns that can't hold such.
    """

    rows: int
    texts: dict[str, list[pa.Array]] = field(default_factory=dict)
    beside: dict[str, dict[int, str]] = field(default_factory=dict)
    broken: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    strange: dict[int, dict[str, str | None]] = field(default_factory=dict)
    twice: Counter[str] = field(default_factory=Counter)
    nested: Counter[str] = field(default_factory=Counter)

    def refuse(self, row: int, rule: str, column: str, name: str = "", value: str | None = None) -> None:
        """Note what is wrong with a row, and a value that has no column to be told in."""
        self.broken.setdefault(row, []).append((rule, column))
        if name:
            self.strange.setdefault(row, {})[name] = value

    def columns(self, schema: Schema) -> dict[str, pa.Array]:
        """The columns' texts. A row that gives a column in two places is refused."""
        for column in schema.columns:
            first, *others = self.texts[column.name]
            for source, other in zip(column.sources[1:], others, strict=True):
                both = pc.indices_nonzero(pc.and_(pc.is_valid(first), pc.is_valid(other))).to_pylist()
                self.twice[f"{column.name} (as {column.sources[0]} and {source})"] += len(both)
                for row in both:
                    self.refuse(row, TWICE, "", source, other[row].as_py())
                first = pc.coalesce(first, other)
            self.texts[column.name] = [first]
        return {column.name: self.texts[column.name][0] for column in schema.columns}


class Objects:
    """Objects that have `keys`: the records themselves, or what they hold at one key.

    `leaves_out`: keys beside these are no matter; `keeps_new`: their values are asked for by new_values().
    `lacking` are the keys that no object has had; `path` leads to these objects in a record.
    """

    def __init__(
        self,
        keys: dict[str, Key],
        words: Collection[str],
        *,
        leaves_out: bool,
        keeps_new: bool = False,
        path: tuple[str, ...] = (),
    ) -> None:
        self.keys = keys
        self._path, self._keeps_new = path, keeps_new
        self._beside: dict[str, None] = {}
        self.lacking = set(keys)
        exact = [n for n, k in keys.items() if k.column is None or k.within or k.column.dtype is Dtype.JSON]
        self.plain = PlainRecords(keys, exact, words, leaves_out=leaves_out, keeps_new=keeps_new)
        self._within = {
            n: Objects(
                key.within, words, leaves_out=True, keeps_new=keeps_new and not self._is_whole(n), path=(*path, n)
            )
            for n, key in keys.items()
            if key.within
        }

    def read(self, records: list[PlainRecord | Fields], found: Found, at: np.ndarray | None = None) -> None:
        """Put the texts of `records`, which are at the rows `at` (all, in their order), into `found`."""
        self.note(records)
        rows = np.arange(found.rows) if at is None else at
        for name, key in self.keys.items():
            if not (key.column or key.within):
                continue
            values = self._values(records, name)
            if key.column:
                texts = self._texts(values, name, key)
                if name in self.plain.nested and key.column.sources and key.column.dtype not in _NESTED:
                    found.nested[key.column.name] += len(pc.indices_nonzero(_is_nested(texts)))
                found.texts.setdefault(key.column.name, []).append(_spread(texts, rows, found.rows))
            if key.within:
                self._read_within(name, values, found, rows)
        if self._path:
            self._read_beside(records, found, rows)

    def _read_beside(self, records: list[PlainRecord | Fields], found: Found, rows: np.ndarray) -> None:
        """Note what these objects have under other keys, and where that is kept, its values."""
        for name in self._own_new_names(records):
            path = ".".join(step.replace(".", "\\.") for step in (*self._path, name))
            self._beside[path] = None
            if self._keeps_new:
                values = map(_source, self._values(records, name))
                kept = {row: value for row, value in zip(rows.tolist(), values, strict=True) if value is not None}
                found.beside.setdefault(path, {}).update(kept)

    def new_names(self, records: Sequence[PlainRecord | Fields]) -> list[str]:
        """The keys beside those that were asked for that records have had, these `records` among them.

        Of objects within records, paths to such keys, unless the object is a column as a whole.
        """
        return [*self._own_new_names(records), *self._paths_beside()]

    def _paths_beside(self) -> list[str]:
        """The paths to other keys that these objects, where they are within others, and those in them have had."""
        inner = [one for name, one in self._within.items() if not self._is_whole(name)]
        return [*self._beside, *(path for one in inner for path in one._paths_beside())]

    def _is_whole(self, name: str) -> bool:
        column = self.keys[name].column
        return column is not None and column.dtype is Dtype.JSON

    def _own_new_names(self, records: Sequence[PlainRecord | Fields]) -> list[str]:
        of_fields = (name for record in records if isinstance(record, Fields) for name in record)
        return [name for name in dict.fromkeys([*self.plain.new, *of_fields]) if name not in self.keys]

    def new_values(self, records: Sequence[PlainRecord | Fields], found: Found | None = None) -> pa.Array:
        """The values of keys beside those that were asked for, as validation/extra.py has them.

        `found` has those within objects, by their path.
        """
        names = self._own_new_names(records)
        within = {path: values for path, values in found.beside.items() if path not in names} if found else {}
        fields = [self.plain.fields.get(name, "") for name in names]
        rows = (
            [
                *(
                    map(record.get, names)
                    if isinstance(record, Fields)
                    else (_source(getattr(record, field, UNSET)) for field in fields)
                ),
                *(values.get(row) for values in within.values()),
            ]
            for row, record in enumerate(records)
        )
        return pa.array(of_sources([*names, *within], rows), pa.string())

    def reaches(self, path: Sequence[str]) -> bool:
        """Has any object had what is at the end of `path`?"""
        first, *rest = path
        return first not in self.lacking and (not rest or self._within[first].reaches(rest))

    def raw(self, record: Fields) -> dict[str, Any]:
        """What a record that is refused holds, by column; what is in no column is under its own name."""
        raw = self._by_column(record)
        columns = {column.name for key in self.keys.values() for column in key.columns()}
        for name, value in record.items():
            key = self.keys.get(name)
            if key is None or (key.within and not (value or "{").startswith("{")):
                raw[f"_unexpected_{name}" if name in columns else name] = value
        return raw

    def _by_column(self, record: Fields) -> dict[str, Any]:
        raw: dict[str, Any] = {}
        for name, value in record.items():
            key = self.keys.get(name, Key())
            if key.within and value and value.startswith("{"):
                inner = self._within[name]
                with suppress(ValueError, RecursionError):
                    raw |= inner._by_column(decode_record(value, 0, inner.plain)[0])
            if key.column and raw.get(key.column.name) is None:
                raw[key.column.name] = value
            elif key.column:
                raw[name] = value
        return raw

    def note(self, records: Iterable[PlainRecord | Fields]) -> None:
        """Note which keys these have."""
        for record in records:
            if not self.lacking:
                break
            if isinstance(record, Fields):
                self.lacking -= record.keys()
            else:
                self.lacking = {n for n in self.lacking if getattr(record, self.plain.fields[n]) is UNSET}

    def _values(self, records: list[PlainRecord | Fields], name: str) -> list[Any]:
        field_name = self.plain.fields.get(name, "")
        if name in self.keys and Fields not in set(map(type, records)):
            return list(map(attrgetter(field_name), records))
        return [r.get(name) if isinstance(r, Fields) else getattr(r, field_name, UNSET) for r in records]

    def _texts(self, values: list[Any], name: str, key: Key) -> pa.Array:
        is_json = key.column is not None and key.column.dtype is Dtype.JSON
        if key.within and not is_json:
            return pa.array([_meant(_source(value)) for value in values], pa.string())
        return text_array(values, exact=name in self.plain.exact)

    def _read_within(self, name: str, values: list[Any], found: Found, rows: np.ndarray) -> None:
        inner = self._within[name]
        with suppress(TypeError):  # of one that is missing, or that the general decoder read
            if records := inner.plain.array(b"[%b]" % b",".join(values)):
                inner.read(list(records), found, rows)
                return
        objects: list[bytes] = []
        places: list[int] = []
        for row, value in zip(rows.tolist(), values, strict=True):
            if value is None or value is UNSET:
                continue
            source = value.encode() if isinstance(value, str) else bytes(value)
            if source.startswith(b"{"):
                objects.append(source)
                places.append(row)
            elif source != b"null":
                found.refuse(row, NO_OBJECT, "", name, source.decode())
        inner.read(list(inner._records(objects, places, found, name)), found, np.array(places, np.int64))

    def _records(
        self, objects: list[bytes], rows: list[int], found: Found, at: str
    ) -> Iterator[PlainRecord | Fields]:
        """The records of objects in source text, some at a time: from those that are odd, all learn."""
        for start in range(0, len(objects), AT_ONCE):
            some = objects[start : start + AT_ONCE]
            records = self.plain.array(b"[%b]" % b",".join(some))
            if records is not None:
                yield from records
                continue
            for row, one in zip(rows[start:], some, strict=False):
                yield self._decoded(one.decode(), row, found, at)

    def _decoded(self, source: str, row: int, found: Found, at: str) -> Fields:
        fields, defect = Fields(), TOO_DEEP
        with suppress(RecursionError):
            fields, _ = decode_record(source, 0, self.plain)
            defect = fields.defect
        if defect:
            found.refuse(row, defect, "", at, source)
            return Fields()
        for name in fields.no_values:
            if (key := self.keys.get(name)) and key.column:
                found.refuse(row, NOT_JSON, key.column.name)
        return fields


def _is_nested(texts: pa.Array) -> pa.Array:
    return pc.fill_null(pc.match_substring_regex(texts, r"^[{\[]"), fill_value=False)


def _spread(texts: pa.Array, rows: np.ndarray, count: int) -> pa.Array:
    """`texts` at their rows of `count`, null at the others."""
    if len(texts) == count:
        return texts
    mask = np.zeros(count, dtype=bool)
    mask[rows] = True
    return pc.replace_with_mask(pa.nulls(count, pa.string()), pa.array(mask), texts)


def _source(value: Any) -> str | None:
    """The source text of a value that was kept as it is written; None for null, and where there is none."""
    if value is None or value is UNSET:
        return None
    text = bytes(value).decode() if isinstance(value, Raw) else value
    return None if text == "null" else text


def _meant(source: str | None) -> str | None:
    return msgspec.json.decode(source, type=str) if source and source.startswith('"') else source


def text_array(values: list[Any], *, exact: bool) -> pa.Array:
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
