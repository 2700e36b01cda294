"""The checks that a schema has beside the rules of its columns: conditions on the rows of a file, and on the file.

What they need (sqlglot, DuckDB) is imported once a type has checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from config.checks import Check, Within
from config.file_spec import FileSpec
from config.schema import Column, Schema
from config.settings import PipelineConfig
from config.severity import Severity
from validation.batch import Batch
from validation.findings import Finding
from validation.usual import Figure

if TYPE_CHECKING:
    from validation.expressions.aggregates import FileCondition
    from validation.expressions.compiler import Condition

# What a row can be refused for beside its checks
_TAKEN = frozenset({"duplicate", "parent_missing", "masked"})
_OWNER = "file id"  # a column beside those of the file, which begin with c_


class RowCheck(NamedTuple):
    """A check of rows that was read: what has to hold, and for which rows."""

    name: str
    condition: Condition
    when: Condition | None
    severity: Severity

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


class FileCheck(NamedTuple):
    """A check of files that was read: what has to hold, and how that is said to the sender."""

    name: str
    condition: FileCondition
    severity: Severity
    says: str


class UsualCheck(NamedTuple):
    """A check of files by the files before: the figure that has to be within so much of theirs."""

    name: str
    figure: Figure
    within: Within
    severity: Severity
    says: str


class Checks(NamedTuple):
    """The checks of a schema."""

    of_rows: tuple[RowCheck, ...] = ()
    of_file: tuple[FileCheck, ...] = ()
    of_figures: tuple[UsualCheck, ...] = ()


def row_checks(batch: Batch) -> None:
    """Note which rows of `batch` break a check; one for which it can't be worked out breaks it."""
    checks = compiled(batch.spec.schema).of_rows
    if not checks or not len(batch.chunk.numbers):
        return
    from validation.expressions import engine

    rows = _inputs(batch, [check.columns for check in checks])
    for check, found in zip(checks, engine.judge([check.sql for check in checks], rows), strict=True):
        if (broken := found != engine.HOLDS).any():
            where = f"schemas.{batch.spec.schema.name}.checks.{check.name}"
            batch.note(Finding(check.name, "", check.severity, broken, where))


def applies(condition: str, batch: Batch) -> np.ndarray:
    """For which rows (boolean) the SQL condition of a rule is true, or can't be worked out."""
    from validation.expressions import engine

    found = compiled_condition(condition, batch.spec.schema)
    rows = _inputs(batch, [found.columns])
    (judged,) = engine.judge([f"CASE WHEN {found.sql} THEN FALSE ELSE TRUE END"], rows)
    counts: np.ndarray = judged != engine.HOLDS
    return counts


def compiled_condition(text: str, schema: Schema) -> Condition:
    """A condition on the columns of a row. Raises ExpressionError with a message that names the place."""
    return _condition(text, tuple(_shape(column) for column in schema.columns))


@lru_cache(maxsize=200)
def _condition(text: str, shapes: Sequence[_Shape]) -> Condition:
    from validation.expressions.columns import sources
    from validation.expressions.compiler import compile_condition

    return compile_condition(text, sources(shapes))


def condition_problem(text: str, schema: Schema) -> str:
    """What is wrong with a condition, with the place in it; '' where it is well."""
    from validation.expressions.kinds import ExpressionError

    try:
        compiled_condition(text, schema)
    except ExpressionError as error:
        return error.message
    return ""


class Figures:
    """What the checks of files need to know of files, as it adds up over their chunks."""

    def __init__(self, spec: FileSpec) -> None:
        checks = compiled(spec.schema)
        self.checks = checks.of_file
        self.of_profiles = checks.of_figures  # those that go by the profile of a file
        self._figures: dict[tuple[int, str], list[Any] | None] = {}  # None: they can't be worked out

    def note(self, batch: Batch, file_ids: np.ndarray) -> None:
        """Add the good rows of a batch that don't tell to delete; `file_ids` has one for each of its rows."""
        brought = batch.good if batch.deletes is None else batch.good & ~batch.deletes
        if not self.checks or not brought.any():
            return
        from validation.expressions import engine

        rows = _inputs(batch, [check.condition.columns for check in self.checks])
        rows = rows.append_column(_OWNER, pa.array(file_ids, pa.int64())).filter(pa.array(brought))
        for check in self.checks:
            found = engine.figures([one.sql for one in check.condition.aggregates], _OWNER, rows)
            for file_id in set(file_ids.tolist()) if found is None else found:
                self._add(file_id, check, None if found is None else found[file_id])

    def of(self, file_id: int, check: FileCheck) -> list[Any] | None:
        """Of a file a figure an aggregate; None where they can't be worked out. A count of nothing is 0."""
        nothing = [0 if one.sql.startswith("count(") else None for one in check.condition.aggregates]
        return self._figures.get((file_id, check.name), nothing)

    def _add(self, file_id: int, check: FileCheck, found: Sequence[Any] | None) -> None:
        known = self.of(file_id, check)
        if known is None or found is None:
            self._figures[file_id, check.name] = None
            return
        parts = zip(check.condition.aggregates, known, found, strict=True)
        self._figures[file_id, check.name] = [one.joined(before, more) for one, before, more in parts]


def compiled(schema: Schema) -> Checks:
    """The checks of `schema`, which problems() has found to be well."""
    if not schema.checks:
        return Checks()
    return _compiled(tuple(schema.checks.items()), tuple(_shape(column) for column in schema.columns))


class _Shape(NamedTuple):
    """What of a column an expression depends on."""

    name: str
    dtype: str
    sql: str
    is_personal: bool


def _shape(column: Column) -> _Shape:
    sql = str(column.sql) if column.pii is None else "text"  # judged before it is hashed
    return _Shape(column.name, column.dtype.value, sql, bool(column.pii or column.personal))


@lru_cache(maxsize=200)
def _compiled(checks: Sequence[tuple[str, Check]], shapes: Sequence[_Shape]) -> Checks:
    from validation.expressions.aggregates import compile_file_condition
    from validation.expressions.columns import sources
    from validation.expressions.compiler import compile_condition
    from validation.expressions.figures import compile_figure

    columns = sources(shapes)
    of_rows, of_file, of_figures = [], [], []
    for name, check in checks:
        if check.row is not None:
            when = None if check.when is None else compile_condition(check.when, columns)
            of_rows.append(RowCheck(name, compile_condition(check.row, columns), when, check.severity))
        elif check.file is not None and check.within is not None:
            figure = compile_figure(check.file, {shape.name: shape for shape in shapes})
            says = check.says or f"{check.file} within {check.within}"
            of_figures.append(UsualCheck(name, figure, check.within, check.severity, says))
        elif check.file is not None:
            condition = compile_file_condition(check.file, columns, check.when)
            of_file.append(FileCheck(name, condition, check.severity, check.says or check.file))
    return Checks(tuple(of_rows), tuple(of_file), tuple(of_figures))


def _inputs(batch: Batch, columns: Iterable[frozenset[str]]) -> pa.Table:
    """The columns that are looked at, as DuckDB gets them."""
    from validation.expressions.columns import input_of

    names = sorted(frozenset[str]().union(*columns))
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
    from validation.expressions.aggregates import compile_file_condition
    from validation.expressions.columns import sources
    from validation.expressions.compiler import Columns, compile_condition, insist_on_select
    from validation.expressions.figures import compile_figure
    from validation.expressions.kinds import ExpressionError

    if name in _TAKEN:
        yield ": rows are refused for something else by that name; take another one"
    if check.within is not None and not spec.is_profiled:
        yield ".within: goes by what is kept of files, and their type has profile: false; leave one of them out"
    shapes = {column.name: _shape(column) for column in spec.schema.columns}
    columns = sources(shapes.values())
    readers: dict[str, Callable[[str, Columns], object]] = {
        "row": compile_condition,
        "file": compile_file_condition if check.within is None else lambda text, _: compile_figure(text, shapes),
        "when": compile_condition,
        "warehouse": lambda text, _: insist_on_select(text),
    }
    for key, read in readers.items():
        text = getattr(check, key)
        try:
            if text is not None:
                read(text, columns)
        except ExpressionError as error:
            yield f".{key}: {error.message} (given: {text!r})"
