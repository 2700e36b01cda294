"""Conditions on a whole file: sums and counts that DuckDB makes chunk by chunk, and what PostgreSQL makes of them.

The columns are named within aggregates only. What the aggregates of all chunks are put into is worked out by
PostgreSQL itself, once a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlglot import exp

from validation.expressions import operators
from validation.expressions.compiler import Columns, Compiler, Condition, compile_condition, parse, placed
from validation.expressions.kinds import BIGINT, BOOL, DOUBLE, NUMBERS, WHOLE, ExpressionError, Family, Kind, Value

_SIMPLE: dict[type[exp.Expr], str] = {
    exp.Sum: "sum",
    exp.Min: "min",
    exp.Max: "max",
    exp.LogicalAnd: "bool_and",
    exp.LogicalOr: "bool_or",
}
_ORDERED = {*NUMBERS, Family.DATE, Family.TIMESTAMP, Family.TIME}
OFFERED = (
    *("count(*)", "count(value)", "sum(number)", "avg(number)", "min(value)", "max(value)"),
    *("bool_and(condition)", "bool_or(condition)"),
)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A figure of a file: its SQL for DuckDB, how those of two chunks become one, and its type in PostgreSQL."""

    sql: str
    how: str  # sum, min, max, bool_and, bool_or
    postgresql: str

    def joined(self, one: Any, other: Any) -> Any:
        """The figure of two parts of a file; None is that of no value."""
        if one is None or other is None:
            return other if one is None else one
        match self.how:
            case "sum":
                return one + other
            case "min" | "bool_and":
                return min(one, other)
        return max(one, other)


@dataclass(frozen=True, slots=True)
class FileCondition:
    """A condition on a file: its figures a_0, a_1 …, and an SQL expression over them, for PostgreSQL."""

    aggregates: tuple[Aggregate, ...]
    sql: str
    columns: frozenset[str]


def compile_file_condition(text: str, columns: Columns, when: str | None = None) -> FileCondition:
    """The condition `text` on the rows of a file, of those for which `when` is true.

    Raises ExpressionError with a message that names the place.
    """
    limit = None if when is None else compile_condition(when, columns)
    with placed(text):
        tree = parse(text)
        compiler = _FileCompiler(columns, limit)
        operators.truth(compiler.compile(tree))
        if not compiler.aggregates:
            raise ExpressionError(
                "looks at no row: a condition on a file has a count(*), sum(…), avg(…) or the like"
            )
        named = compiler.named | (limit.columns if limit else set())
        tree = tree.transform(compiler.replaced, copy=False)
        return FileCondition(tuple(compiler.aggregates), tree.sql("postgres", comments=False), frozenset(named))


class _FileCompiler(Compiler):
    """Compiles what is around the aggregates. Figures are taken for doubles, whatever PostgreSQL makes of them."""

    def __init__(self, columns: Columns, limit: Condition | None) -> None:
        super().__init__({})
        self._rows = Compiler(columns)
        self._limit = limit
        self.aggregates: list[Aggregate] = []
        self._figures: dict[int, exp.Expr] = {}

    def _any(self, node: exp.Expr) -> Value:
        found, condition = node, None
        if isinstance(node, exp.Filter):
            found, condition = node.this, node.expression.this
        if not isinstance(found, (*_SIMPLE, exp.Avg, exp.Count)):
            if isinstance(node, exp.Column):
                raise ExpressionError("a column stands within sum(…), count(…) or the like, in a check of a file")
            value = super()._any(node)
            return replace(value, kind=DOUBLE) if value.kind.family is Family.NUMERIC else value
        if {key for key, value in found.args.items() if value} - {"this", "big_int"}:
            raise ExpressionError("takes one value, and nothing beside it")
        value, figure = self._figure(found, self._where(condition))
        self.named |= self._rows.named
        self._figures[id(node)] = figure
        return value

    def replaced(self, node: exp.Expr) -> exp.Expr:
        """Figures in the place of their aggregates."""
        return self._figures.get(id(node), node)

    def _where(self, condition: exp.Expr | None) -> str:
        parts = [self._limit.sql] if self._limit else []
        if condition is not None:
            parts.append(operators.settled(operators.truth(self._rows.compile(condition))).sql)
        return f" FILTER (WHERE {' AND '.join(parts)})" if parts else ""

    def _figure(self, node: exp.Expr, where: str) -> tuple[Value, exp.Expr]:
        if isinstance(node, exp.Count):
            counted = "*" if isinstance(node.this, exp.Star) else self._of_row(node.this).sql
            return Value("", DOUBLE), self._added(f"count({counted}){where}", "sum", "bigint")
        value = self._of_row(node.this)
        if isinstance(node, exp.Avg):
            _insist(value, NUMBERS)
            exact = "double precision" if value.kind == DOUBLE else "numeric"
            total = self._added(f"sum({value.sql}){where}", "sum", exact)
            count = self._added(f"count({value.sql}){where}", "sum", exact)
            return Value("", DOUBLE), exp.Paren(this=exp.Div(this=total, expression=_or_null(count), typed=True))
        how = _SIMPLE[type(node)]
        if how in {"bool_and", "bool_or"}:
            _insist(value, (Family.BOOL,))
            return Value("", BOOL), self._added(f"{how}({value.sql}){where}", how, "boolean")
        _insist(value, NUMBERS if how == "sum" else tuple(_ORDERED))
        kind = _sum_kind(value.kind) if how == "sum" else value.kind
        result = DOUBLE if kind.family in NUMBERS else kind
        return Value("", result), self._added(f"{how}({value.sql}){where}", how, kind.family.value)

    def _of_row(self, node: exp.Expr) -> Value:
        return operators.settled(self._rows.compile(node))

    def _added(self, sql: str, how: str, postgresql: str) -> exp.Expr:
        self.aggregates.append(Aggregate(sql, how, postgresql))
        return cast("exp.Expr", exp.column(f"a_{len(self.aggregates) - 1}"))


def _insist(value: Value, families: Sequence[Family]) -> None:
    if value.kind.family not in families:
        more = "; the order of texts depends on the database" if value.kind.family is Family.TEXT else ""
        raise ExpressionError(f"does not take {value.kind}{more}")


def _sum_kind(kind: Kind) -> Kind:
    if kind.family is Family.BIGINT:
        return replace(kind, family=Family.NUMERIC)
    return BIGINT if kind.family in WHOLE else kind


def _or_null(node: exp.Expr) -> exp.Expr:
    return exp.Nullif(this=node, expression=exp.Literal.number(0))
