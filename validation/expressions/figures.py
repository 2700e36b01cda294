"""Figures of a file that are kept in its profile, as a check names them: avg(amount), count(*)."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from config.model import Dtype
from validation.expressions.columns import Shape
from validation.expressions.compiler import column_named, parse, placed
from validation.expressions.kinds import ExpressionError
from validation.usual import Figure

_NUMBERS = frozenset({Dtype.INT, Dtype.FLOAT})
_OF_NUMBERS: dict[type[exp.Expr], str] = {exp.Avg: "avg", exp.Sum: "sum", exp.Min: "min", exp.Max: "max"}
OFFERED = (
    *("count(*)", "count(column)", "count(distinct column)", "null_share(column)"),
    *("avg(column)", "sum(column)", "min(column)", "max(column)"),
)


def compile_figure(text: str, columns: Mapping[str, Shape]) -> Figure:
    """The figure that `text` names. Raises ExpressionError with a message that names the place."""
    with placed(text):
        node = parse(text)
        name, of = _read(node)
        if isinstance(of, exp.Star):
            return Figure(name, next(iter(columns)))
        if not isinstance(of, exp.Column):
            raise ExpressionError("is of a column by itself, as in avg(amount); what is worked out is not kept")
        column = columns[column_named(of, columns)]
        if name in _OF_NUMBERS.values():
            _insist_on_numbers(column, name)
        return Figure(name, column.name)


def _read(node: exp.Expr) -> tuple[str, exp.Expr | None]:
    """The figure's name, and what it is of."""
    said = {key for key, value in node.args.items() if value} - {"this", "expressions", "big_int"}
    if type(node) in _OF_NUMBERS and not said:
        return _OF_NUMBERS[type(node)], node.this
    if isinstance(node, exp.Count) and not said:
        if isinstance(node.this, exp.Distinct) and len(node.this.expressions) == 1:
            return "distinct", node.this.expressions[0]
        return ("rows" if isinstance(node.this, exp.Star) else "values"), node.this
    if isinstance(node, exp.Anonymous) and node.name.lower() == "null_share" and len(node.expressions) == 1:
        return "null_share", node.expressions[0]
    raise ExpressionError(f"is no figure that is kept of files; with within stands one of {', '.join(OFFERED)}")


def _insist_on_numbers(column: Shape, name: str) -> None:
    if column.is_personal:
        raise ExpressionError(f"{column.name} is personal: nothing but counts is kept of it")
    takes = _NUMBERS | {Dtype.BOOL} if name in {"avg", "sum"} else _NUMBERS
    if column.dtype not in takes:
        raise ExpressionError(f"{column.name} is of dtype {column.dtype}; {name}(…) is held to figures of numbers")
