"""The checks that a schema has beside the rules of its columns: conditions over the columns of a row.

What they need (sqlglot, DuckDB) is imported once a type has checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from config.checks import Check
from config.file_spec import FileSpec
from config.model import Stage
from config.schema import Column, Schema
from config.settings import PipelineConfig
from validation.batch import Batch

if TYPE_CHECKING:
    from validation.expressions.compiler import Condition

# What a row can be refused for beside its checks
_TAKEN = frozenset({"duplicate", "parent_missing", "masked"})


class RowCheck(NamedTuple):
    """A check that was read: where it counts, and what has to hold."""

    name: str
    condition: Condition
    when: Condition | None

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it looks at."""
        return self.condition.columns | (self.when.columns if self.when else frozenset())

    @property
    def sql(self) -> str:
        """True where it holds or does not count, for DuckDB."""
        if self.when is None:
            return self.condition.sql
        return f"CASE WHEN {self.when.sql} THEN {self.condition.sql} ELSE TRUE END"


def row_checks(batch: Batch) -> None:
    """Hold against the rows of `batch` what they break; a row for which a check can't be worked out breaks it."""
    checks = compiled(batch.spec.schema)
    if not checks or not len(batch.chunk.numbers):
        return
    from validation.expressions import engine

    rows = _inputs(batch, checks)
    for check, found in zip(checks, engine.judge([check.sql for check in checks], rows), strict=True):
        if (broken := found != engine.HOLDS).any():
            batch.reject(broken, Stage.RECORDS, check.name)


def compiled(schema: Schema) -> tuple[RowCheck, ...]:
    """The checks of `schema`, which problems() has found to be well."""
    if not schema.checks:
        return ()
    return _compiled(tuple(schema.checks.items()), tuple(_shape(column) for column in schema.columns))


class _Shape(NamedTuple):
    """What of a column an expression depends on."""

    name: str
    dtype: str
    sql: str


def _shape(column: Column) -> _Shape:
    sql = str(column.sql) if column.pii is None else "text"  # judged before it is hashed
    return _Shape(column.name, column.dtype.value, sql)


@lru_cache(maxsize=200)
def _compiled(checks: Sequence[tuple[str, Check]], shapes: Sequence[_Shape]) -> tuple[RowCheck, ...]:
    from validation.expressions.columns import sources
    from validation.expressions.compiler import compile_condition

    columns = sources(shapes)
    return tuple(
        RowCheck(
            name,
            compile_condition(check.row, columns),
            None if check.when is None else compile_condition(check.when, columns),
        )
        for name, check in checks
    )


def _inputs(batch: Batch, checks: Sequence[RowCheck]) -> pa.Table:
    from validation.expressions.columns import input_of

    names = sorted(frozenset[str]().union(*(check.columns for check in checks)))
    shapes: Mapping[str, _Shape] = {column.name: _shape(column) for column in batch.spec.schema.columns}
    found = [input_of(shapes[name], batch.values[name], batch.output[name]) for name in names]
    if not found:  # a condition without a column
        return pa.table({"none": pa.nulls(len(batch.chunk.numbers), pa.bool_())})
    return pa.Table.from_arrays(found, [f"c_{name}" for name in names])


def problems(config: PipelineConfig) -> Iterator[str]:
    """What is wrong with the checks in the configuration, each with its key's path and the place in it."""
    for spec in {spec.name: spec for spec in config.files}.values():
        yield from spec_problems(spec)


def spec_problems(spec: FileSpec) -> Iterator[str]:
    """What is wrong with the checks of one kind of file."""
    for name, check in spec.schema.checks.items():
        yield from (f"schemas.{spec.name}.checks.{name}{found}" for found in _problems(spec, name, check))


def _problems(spec: FileSpec, name: str, check: Check) -> Iterator[str]:
    from validation.expressions.columns import sources
    from validation.expressions.compiler import compile_condition
    from validation.expressions.kinds import ExpressionError

    if name in _TAKEN:
        yield ": rows are refused for something else by that name; take another one"
    columns = sources([_shape(column) for column in spec.schema.columns])
    for key, text in (("row", check.row), ("when", check.when)):
        try:
            if text is not None:
                compile_condition(text, columns)
        except ExpressionError as error:
            yield f".{key}: {error.message} (given: {text!r})"
