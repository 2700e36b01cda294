"""Persons who were erased: their personal columns are blanked wherever a row names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.file_spec import FileSpec
from config.key import Key
from config.schema import Column
from config.settings import PipelineConfig
from validation.conversions import convert
from validation.key_values import joined, joined_value
from validation.key_values import key_text as as_text

ERASED = "erased"  # in a column that can't be null


def blank_value(column: Column) -> str | None:
    """What stands in `column` of an erased person: null, or a mark where null is not allowed."""
    return None if column.nullable else ERASED[: column.sql.length]


def naming_keys(spec: FileSpec, table: str, config: PipelineConfig) -> Iterator[Key]:
    """What may name a row of `table` in a row of `spec`: its own key, or foreign keys to that."""
    if spec.table == table and not spec.schema.primary_key.is_row:
        yield spec.schema.primary_key
    for key in spec.foreign_keys:
        if config.by_logical_name[key.parent].table == table and key.to is None:
            yield key.key


class ErasedPersons:
    """Of the persons `keys` (by table, as text) who were erased, blanks what a file of `spec` says."""

    def __init__(self, spec: FileSpec, config: PipelineConfig, keys: Mapping[str, frozenset[str]]) -> None:
        self._spec = spec
        self._by_key: dict[Key, frozenset[str]] = {}
        for table, erased in keys.items():
            for key in naming_keys(spec, table, config):
                self._by_key[key] = self._by_key.get(key, frozenset()) | erased

    def __bool__(self) -> bool:
        return bool(self._by_key and self._spec.personal)

    def blank_rows(self, rows: pa.Table) -> pa.Table:
        """`rows` as they are loaded (columns named as in the source), personal values of the erased blanked."""
        if not self or rows.num_rows == 0:
            return rows
        masks = [
            pc.is_in(pc.cast(joined([rows.column(n) for n in key]), pa.string()), value_set=pa.array(sorted(keys)))
            for key, keys in self._by_key.items()
        ]
        hit = masks[0]
        for mask in masks[1:]:
            hit = pc.or_(hit, mask)
        if not pc.any(hit).as_py():
            return rows
        for column in self._spec.personal:
            position = rows.schema.get_field_index(column.name)
            values = rows.column(position)
            blank = pa.scalar(blank_value(column), values.type)
            rows = rows.set_column(position, column.name, pc.if_else(hit, blank, values))
        return rows

    def blank_raw(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The same for a refused row's text."""
        if not self or not self.named(raw):
            return raw
        raw = self._spec.schema.in_todays_names(raw)
        return raw | {c.name: blank_value(c) for c in self._spec.personal if c.name in raw}

    def named(self, raw: dict[str, Any]) -> bool:
        """Does the refused row name one of them?"""
        raw = self._spec.schema.in_todays_names(raw)
        return any(
            key_text(self._spec, key, [raw.get(name) for name in key]) in keys
            for key, keys in self._by_key.items()
        )


def key_text(spec: FileSpec, key: Key, values: Sequence[Any]) -> str | None:
    """A key of a refused row as the text of the key that it means (370.0 → 370); None when it can't be read."""
    found = joined_value(key_values(spec, key, values))
    return None if found is None else as_text(found)


def key_values(spec: FileSpec, key: Key, values: Sequence[Any]) -> list[Any]:
    """The values of a key that are meant by those of a refused row; None for what can't be read."""
    read = []
    for column, value in zip(spec.schema.columns_of(key), values, strict=True):
        raw = pa.array([None if value is None else str(value)], pa.string())
        read.append(convert(column, raw, spec.read_as(column)).values[0].as_py())
    return read


def derived_from_personal(spec: FileSpec) -> list[str]:
    """The derived columns of `spec` that come from personal ones."""
    personal = {column.name for column in spec.personal}
    sources = {
        name: {d.date_key, d.time_key, *(d.minutes_between or ()), *(d.later_than or ()), *(d.equals or ())[:1]}
        for name, d in spec.derive.items()
    }
    return [name for name, used in sources.items() if used & personal]
