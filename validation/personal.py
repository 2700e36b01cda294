"""Persons who were erased: their personal columns are blanked wherever a row names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Column, FileSpec
from config.settings import PipelineConfig
from validation.conversions import convert

ERASED = "erased"  # in a column that can't be null


def blank_value(column: Column) -> str | None:
    """What stands in `column` of an erased person: null, or a mark where null is not allowed."""
    return None if column.nullable else ERASED[: column.sql.length]


def naming_columns(spec: FileSpec, table: str, config: PipelineConfig) -> Iterator[Column]:
    """The columns of `spec` that may name a row of `table`: its own key, or foreign keys."""
    if spec.table == table:
        yield spec.schema.key
    for key in spec.foreign_keys:
        if config.by_logical_name[key.parent].table == table:
            yield spec.schema.by_name[key.column]


class ErasedPersons:
    """Of the persons `keys` (by table, as text) who were erased, blanks what a file of `spec` says."""

    def __init__(self, spec: FileSpec, config: PipelineConfig, keys: Mapping[str, frozenset[str]]) -> None:
        self._spec = spec
        self._by_column: dict[str, frozenset[str]] = {}
        for table, erased in keys.items():
            for column in naming_columns(spec, table, config):
                known = self._by_column.get(column.name, frozenset())
                self._by_column[column.name] = known | erased

    def __bool__(self) -> bool:
        return bool(self._by_column and self._spec.personal)

    def blank_rows(self, rows: pa.Table) -> pa.Table:
        """`rows` as they are loaded (columns named as in the source), personal values of the erased blanked."""
        if not self or rows.num_rows == 0:
            return rows
        masks = [
            pc.is_in(pc.cast(rows.column(name), pa.string()), value_set=pa.array(sorted(keys)))
            for name, keys in self._by_column.items()
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
            key_text(self._spec, self._spec.schema.by_name[name], raw.get(name)) in keys
            for name, keys in self._by_column.items()
        )


def key_text(spec: FileSpec, column: Column, value: Any) -> str | None:
    """A key of a refused row as the text of the key that it means (370.0 → 370); None when it can't be read."""
    raw = pa.array([None if value is None else str(value)], pa.string())
    read = convert(column, raw, spec.read_as(column)).values[0].as_py()
    return None if read is None else str(read)


def derived_from_personal(spec: FileSpec) -> list[str]:
    """The derived columns of `spec` that come from personal ones."""
    personal = {column.name for column in spec.personal}
    sources = {
        name: {d.date_key, d.time_key, *(d.minutes_between or ()), *(d.later_than or ()), *(d.equals or ())[:1]}
        for name, d in spec.derive.items()
    }
    return [name for name, used in sources.items() if used & personal]
