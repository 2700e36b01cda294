"""Derived columns as SQL over a staged row `s`; `derive` in the YAML names them."""

from __future__ import annotations

from typing import NamedTuple

from psycopg2 import sql

from config.model import Derivation, FileSpec, PipelineConfig


class Derived(NamedTuple):
    """`expression` yields the column; `join` is what it needs beside the stage, or empty."""

    expression: sql.Composable
    join: sql.Composable


_NO_JOIN = sql.SQL("")


def derived_column(name: str, derivation: Derivation, spec: FileSpec, config: PipelineConfig) -> Derived:
    """The SQL of derived column `name`. A value that depends on a null is null: not known yet."""

    def staged(column: str) -> sql.Composable:
        return sql.SQL("s.{}").format(sql.Identifier(spec.schema.by_name[column].target))

    if derivation.date_key:  # YYYYMMDD
        form = "(date_part('year', {0}) * 10000 + date_part('month', {0}) * 100 + date_part('day', {0}))::integer"
        return Derived(sql.SQL(form).format(staged(derivation.date_key)), _NO_JOIN)
    if derivation.time_key:  # HHMM
        form = "(date_part('hour', {0}) * 100 + date_part('minute', {0}))::integer"
        return Derived(sql.SQL(form).format(staged(derivation.time_key)), _NO_JOIN)
    if derivation.minutes_between:
        start, end = map(staged, derivation.minutes_between)
        form = "round((date_part('epoch', {end} - {start}) / 60)::numeric, 2)"
        return Derived(sql.SQL(form).format(start=start, end=end), _NO_JOIN)
    if derivation.later_than:
        actual, due = map(staged, derivation.later_than)
        return Derived(sql.SQL("{} > {}").format(actual, due), _NO_JOIN)
    if derivation.equals:
        column, value = derivation.equals
        return Derived(sql.SQL("{} = {}").format(staged(column), sql.Literal(value)), _NO_JOIN)
    if derivation.lookup:
        return _lookup(name, derivation, staged(derivation.lookup.by), config)
    raise ValueError(f"derivation {name} has no form")


def _lookup(name: str, derivation: Derivation, by: sql.Composable, config: PipelineConfig) -> Derived:
    lookup = derivation.lookup
    assert lookup is not None  # noqa: S101  (the caller's branch)
    source = config.by_logical_name[lookup.source]
    alias = sql.Identifier(f"lookup_{name}"[:63])
    join = sql.SQL(" LEFT JOIN {table} AS {alias} ON {alias}.{key} = {by}").format(
        table=sql.Identifier(source.table),
        alias=alias,
        key=sql.Identifier(source.schema.key.target),
        by=by,
    )
    take = sql.Identifier(source.schema.by_name[lookup.take].target)
    return Derived(sql.SQL("{}.{}").format(alias, take), join)
