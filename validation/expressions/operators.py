"""Operators with PostgreSQL's meaning: what they make of two values, as SQL for DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

from validation.expressions.kinds import (
    BOOL,
    DATE,
    DOUBLE,
    INTEGER,
    NUMBERS,
    SPAN,
    TEXT,
    TIMESTAMP,
    WHOLE,
    ExpressionError,
    Family,
    Kind,
    Value,
    as_kind,
    common_number,
    numeric,
)
from validation.expressions.literals import read_literal

_FAILS = "CAST(1 // 0 AS DOUBLE)"
_BY_BYTES = 'compare texts byte by byte: write {0} COLLATE "C"; the order otherwise depends on the database'
_NO_DIVISION = (
    "dividing decimals is not offered: its rounding is PostgreSQL's own. Multiply instead, as in a <= 0.5 * b, "
    "or cast both to double precision"
)


def settled(value: Value) -> Value:
    """`value`, raising an error where it is a double beyond its range, as PostgreSQL does."""
    if value.kind != DOUBLE or not value.can_fail:
        return value
    return replace(value, sql=f"CASE WHEN NOT isfinite({value.sql}) THEN {_FAILS} ELSE {value.sql} END")


def of_kind(value: Value, kind: Kind) -> Value:
    """`value` as `kind`; a text in quotes is read as one of that kind."""
    if value.kind.family is Family.UNKNOWN:
        if value.literal is None:
            return Value(f"CAST(NULL AS {kind.sql})", kind)
        return read_literal(value.literal, kind)
    return value if value.kind == kind else as_kind(value, kind)


def alike(values: Sequence[Value]) -> list[Value]:
    """The values as one kind, as PostgreSQL compares them or chooses among them."""
    kind = reduce(_common, (value.kind for value in values))
    return [settled(of_kind(value, kind)) for value in values]


def _common(one: Kind, other: Kind) -> Kind:
    for kind in (one, other):
        if kind.family is Family.OPAQUE:
            raise ExpressionError("such a value is not compared; only IS NULL can be asked of it")
    if one.family is Family.UNKNOWN or other.family is Family.UNKNOWN:
        known = other if one.family is Family.UNKNOWN else one
        return TEXT if known.family is Family.UNKNOWN else known
    if one.family in NUMBERS and other.family in NUMBERS:
        return common_number(one, other)
    if {one.family, other.family} == {Family.DATE, Family.TIMESTAMP}:
        return TIMESTAMP
    if one.family is not other.family:
        raise ExpressionError(f"{one} and {other} are not compared; cast one of them, or mend the column's dtype")
    return replace(one, by_bytes=one.by_bytes or other.by_bytes)


def compare(sign: str, left: Value, right: Value) -> Value:
    """`left` `sign` `right`. Raises ExpressionError where they don't compare, or the order is the database's."""
    left, right = alike([left, right])
    if sign not in {"=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"}:
        in_order([left])
    return Value(f"({left.sql} {sign} {right.sql})", BOOL, left.can_fail or right.can_fail)


def in_order(values: Sequence[Value]) -> None:
    """Raises ExpressionError where the order of `values`, which are alike, is not the same everywhere."""
    if values[0].kind.family is Family.TEXT and not values[0].kind.by_bytes:
        raise ExpressionError(_BY_BYTES.format("name"))


def chain(word: str, values: Sequence[Value]) -> Value:
    """The conditions joined by AND or OR. What could fail is not looked at where one before it decides."""
    *before, last = parts = [truth(value) for value in values]
    sql = f"({f' {word} '.join(part.sql for part in parts)})"
    if any(part.can_fail for part in parts[1:]):
        decided = [f"WHEN NOT {p.sql} THEN FALSE" if word == "AND" else f"WHEN {p.sql} THEN TRUE" for p in before]
        sql = f"CASE {' '.join(decided)} ELSE {sql} END"
    return Value(sql, BOOL, last.can_fail or any(part.can_fail for part in before))


def truth(value: Value) -> Value:
    """`value` as a condition."""
    if value.kind.family is Family.UNKNOWN:
        return of_kind(value, BOOL)
    if value.kind != BOOL:
        raise ExpressionError(f"is {value.kind}, where a condition is wanted")
    return value


def calculate(sign: str, left: Value, right: Value) -> Value:
    """`left` `sign` `right` of numbers, dates, times and intervals."""
    families = {left.kind.family, right.kind.family}
    if Family.UNKNOWN in families:
        left, right = _beside(left, right), _beside(right, left)
    if left.kind.family in NUMBERS and right.kind.family in NUMBERS:
        return _of_numbers(sign, left, right)
    found = _OF_TIMES.get((left.kind.family, sign, right.kind.family))
    if found is None:
        raise ExpressionError(f"{left.kind} {sign} {right.kind} is not offered")
    if sign == "*" and (left if left.kind == SPAN else right).literal is None:
        raise ExpressionError("only an interval in quotes is multiplied, as in minutes * interval '1 minute'")
    kind, pattern = found
    left, right = (as_kind(v, INTEGER) if v.kind.family in WHOLE else v for v in (left, right))
    return Value(pattern.format(left.sql, right.sql), kind, can_fail=True)


def _beside(value: Value, other: Value) -> Value:
    """A text in quotes as what stands beside it."""
    if value.kind.family is not Family.UNKNOWN:
        return value
    if other.kind.family not in NUMBERS:
        raise ExpressionError("say what it is: date '2026-01-31', timestamp '…', interval '2 hours'", value.sql)
    return of_kind(value, other.kind)


_PLUS, _MINUS, _TIMES = "({0} + {1})", "({0} - {1})", "({0} * {1})"
_OF_TIMES: dict[tuple[Family, str, Family], tuple[Kind, str]] = {
    (Family.DATE, "-", Family.DATE): (INTEGER, "CAST({0} - {1} AS INTEGER)"),
    (Family.TIMESTAMP, "-", Family.TIMESTAMP): (SPAN, _MINUS),
    (Family.TIMESTAMP, "-", Family.DATE): (SPAN, "({0} - CAST({1} AS TIMESTAMP))"),
    (Family.DATE, "-", Family.TIMESTAMP): (SPAN, "(CAST({0} AS TIMESTAMP) - {1})"),
    (Family.SPAN, "+", Family.SPAN): (SPAN, _PLUS),
    (Family.SPAN, "-", Family.SPAN): (SPAN, _MINUS),
}
for _family in (Family.DATE, Family.TIMESTAMP):
    _OF_TIMES[_family, "+", Family.SPAN] = (TIMESTAMP, "(CAST({0} AS TIMESTAMP) + {1})")
    _OF_TIMES[_family, "-", Family.SPAN] = (TIMESTAMP, "(CAST({0} AS TIMESTAMP) - {1})")
    _OF_TIMES[Family.SPAN, "+", _family] = (TIMESTAMP, "(CAST({1} AS TIMESTAMP) + {0})")
for _family in (Family.SMALLINT, Family.INTEGER):
    _OF_TIMES[Family.DATE, "+", _family] = _OF_TIMES[_family, "+", Family.DATE] = (DATE, _PLUS)
    _OF_TIMES[Family.DATE, "-", _family] = (DATE, _MINUS)
    _OF_TIMES[Family.SPAN, "*", _family] = _OF_TIMES[_family, "*", Family.SPAN] = (SPAN, _TIMES)


def _of_numbers(sign: str, left: Value, right: Value) -> Value:
    kind = common_number(left.kind, right.kind)
    fails = left.can_fail or right.can_fail
    if kind == DOUBLE:
        return _of_doubles(sign, as_kind(left, DOUBLE), as_kind(right, DOUBLE))
    if kind.family in WHOLE:
        left, right = as_kind(left, kind), as_kind(right, kind)
        return Value(f"({left.sql} {'//' if sign == '/' else sign} {right.sql})", kind, can_fail=True)
    if sign == "/":
        raise ExpressionError(_NO_DIVISION)
    if sign == "*":
        one, other = (numeric(v.kind.digits, v.kind.scale) if v.kind.digits else _whole(v) for v in (left, right))
        kind = numeric(one.digits + other.digits, one.scale + other.scale)
        left, right = as_kind(left, one), as_kind(right, other)
        return Value(f"CAST({left.sql} * {right.sql} AS {kind.sql})", kind, fails)
    left, right = as_kind(left, kind), as_kind(right, kind)
    if sign == "%":
        return Value(f"CAST({left.sql} % {right.sql} AS {kind.sql})", kind, can_fail=True)
    wider = numeric(kind.digits + 1, kind.scale)
    return Value(f"({as_kind(left, wider).sql} {sign} {as_kind(right, wider).sql})", wider, fails)


def _whole(value: Value) -> Kind:
    return numeric({Family.SMALLINT: 5, Family.INTEGER: 10, Family.BIGINT: 19}[value.kind.family], 0)


def _of_doubles(sign: str, left: Value, right: Value) -> Value:
    if sign == "%":
        raise ExpressionError("the rest of a double is not offered; give the column numeric(p,s)")
    if sign == "/":
        divisor = settled(right).sql
        right = replace(right, sql=f"CASE WHEN {right.sql} = 0 THEN {_FAILS} ELSE {divisor} END")
    return Value(f"({left.sql} {sign} {right.sql})", DOUBLE, can_fail=True)


def negative(value: Value) -> Value:
    """Minus `value`."""
    if value.kind.family not in NUMBERS:
        raise ExpressionError(f"is {value.kind}, where a number is wanted")
    fails = value.can_fail or value.kind.family in WHOLE
    return Value(f"(- {value.sql})", value.kind, fails and value.number is None)


def cast(value: Value, kind: Kind) -> Value:
    """`value` cast as the expression says."""
    if value.kind.family is Family.UNKNOWN:
        return of_kind(value, kind)
    value, pair = settled(value), (value.kind.family, kind.family)
    if value.kind == kind:
        return value
    if pair not in _CASTS:
        raise ExpressionError(f"a cast from {value.kind} to {kind} is not offered; {_ways_out(value.kind, kind)}")
    if kind == DOUBLE:
        return as_kind(value, DOUBLE)
    return Value(f"CAST({value.sql} AS {kind.sql})", kind, value.can_fail or pair in _CAN_FAIL)


def _ways_out(kind: Kind, to: Kind) -> str:
    if kind.family is Family.TEXT:
        return f"let the column's dtype read it as {to}"
    if kind == DOUBLE:
        return "give the column sql_type numeric(p,s), or go on with double precision"
    return "its text or its rounding may differ elsewhere"


_CAN_FAIL = {(one, other) for one in NUMBERS for other in (*WHOLE, Family.NUMERIC)}
_CASTS = {
    *((one, other) for one in NUMBERS for other in NUMBERS if (one, other) != (Family.DOUBLE, Family.NUMERIC)),
    *((whole, Family.TEXT) for whole in WHOLE),
    (Family.BOOL, Family.INTEGER),
    (Family.INTEGER, Family.BOOL),
    (Family.BOOL, Family.TEXT),
    (Family.UUID, Family.TEXT),
    (Family.TEXT, Family.TEXT),
    (Family.DATE, Family.TIMESTAMP),
    (Family.TIMESTAMP, Family.DATE),
    (Family.TIMESTAMP, Family.TIME),
}
