"""The functions that an expression may call: each with what it takes, and its SQL for DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlglot import exp

from validation.expressions.kinds import (
    BOOL,
    DOUBLE,
    INTEGER,
    NUMBERS,
    TEXT,
    TIMESTAMP,
    ExpressionError,
    Family,
    Kind,
    Value,
    numeric,
)
from validation.expressions.literals import quoted
from validation.expressions.operators import alike, in_order, of_kind, settled
from validation.expressions.patterns import like_pattern, regular_expression

Compile = Callable[[exp.Expr], Value]
Function = Callable[[exp.Expr, Compile], Value]

FUNCTIONS: dict[str, Function] = {}  # by the name of sqlglot's class
OFFERED: list[str] = []  # as the documentation lists them

_UPPER, _LOWER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_OF_BOTH = {
    "YEAR": 7,
    "MONTH": 2,
    "DAY": 2,
    "QUARTER": 1,
    "WEEK": 2,
    "DOW": 1,
    "ISODOW": 1,
    "DOY": 3,
    "ISOYEAR": 7,
}
_OF_TIMES = {"HOUR": 2, "MINUTE": 2}
_TRUNCATED = ("SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR")


def function(kind: type[exp.Expr], *offered: str) -> Callable[[Function], Function]:
    """Register what sqlglot calls `kind`; `offered` is how it is written."""

    def register(made: Function) -> Function:
        FUNCTIONS[kind.__name__] = made
        OFFERED.extend(offered)
        return made

    return register


def _text(value: Value) -> Value:
    if value.kind.family not in {Family.TEXT, Family.UNKNOWN}:
        raise ExpressionError(f"is {value.kind}, where a text is wanted")
    return of_kind(value, TEXT) if value.kind.family is Family.UNKNOWN else value


def _number(value: Value, *, of: tuple[Family, ...] = NUMBERS) -> Value:
    if value.kind.family not in of:
        raise ExpressionError(f"takes {' or '.join(of)}, and this is {value.kind}")
    return settled(value)


def _constant(node: exp.Expr | None, what: str, *, least: int = 0, most: int = 10_000) -> int:
    found = node.this if isinstance(node, exp.Literal) and not node.is_string else ""
    if not found.isdigit() or not least <= int(found) <= most:
        raise ExpressionError(f"{what} has to be a number from {least} to {most}, written out")
    return int(found)


def constant_text(node: exp.Expr | None, what: str) -> str:
    """The text that `node` is. Raises ExpressionError where it is not one in quotes, of a letter or more."""
    if not isinstance(node, exp.Literal) or not node.is_string or not node.this:
        raise ExpressionError(f"{what} has to be a text in quotes, written out")
    return str(node.this)


@dataclass(frozen=True)
class _Simple:
    """A function of one value."""

    take: Callable[[Value], Value]
    sql: str
    kind: Kind

    def __call__(self, node: exp.Expr, compiled: Compile) -> Value:
        value = self.take(compiled(node.this))
        return Value(self.sql.format(value.sql), self.kind, value.can_fail)


function(exp.Length, "length(text)", "char_length(text)")(_Simple(_text, "CAST(length({0}) AS INTEGER)", INTEGER))


@function(exp.Abs, "abs(number)")
def _abs(node: exp.Expr, compiled: Compile) -> Value:
    value = _number(compiled(node.this))
    return Value(
        f"abs({value.sql})", value.kind, can_fail=value.can_fail or value.kind.family is not Family.NUMERIC
    )


@function(exp.Sign, "sign(number)")
def _sign(node: exp.Expr, compiled: Compile) -> Value:
    value = _number(compiled(node.this), of=(Family.NUMERIC, Family.DOUBLE))
    kind = DOUBLE if value.kind == DOUBLE else numeric(1, 0)
    return Value(f"CAST(sign({value.sql}) AS {kind.sql})", kind, value.can_fail)


def _whole_part(name: str) -> Function:
    def made(node: exp.Expr, compiled: Compile) -> Value:
        value = _number(compiled(node.this), of=(Family.NUMERIC, Family.DOUBLE))
        if value.kind == DOUBLE:
            sql = f"round_even({value.sql}, 0)" if name == "round" else f"{name}({value.sql})"
            return Value(sql, DOUBLE, value.can_fail)
        kind = numeric(value.kind.digits - value.kind.scale + 1, 0)
        return Value(f"CAST({name}({value.sql}) AS {kind.sql})", kind, value.can_fail)

    return made


function(exp.Ceil, "ceil(number)")(_whole_part("ceil"))
function(exp.Floor, "floor(number)")(_whole_part("floor"))


def _cut(name: str) -> Function:
    def made(node: exp.Expr, compiled: Compile) -> Value:
        if node.args.get("decimals") is None:
            return _whole_part(name)(node, compiled)
        decimals = _constant(node.args["decimals"], "how many decimals", most=20)
        value = _number(compiled(node.this), of=(Family.NUMERIC,))
        if decimals >= value.kind.scale:
            return value
        kind = numeric(value.kind.digits - value.kind.scale + decimals + 1, decimals)
        return Value(f"CAST({name}({value.sql}, {decimals}) AS {kind.sql})", kind, value.can_fail)

    return made


function(exp.Round, "round(number)", "round(numeric, decimals)")(_cut("round"))
function(exp.Trunc, "trunc(number)", "trunc(numeric, decimals)")(_cut("trunc"))


@function(exp.Coalesce, "coalesce(value, …)")
def _coalesce(node: exp.Expr, compiled: Compile) -> Value:
    return _chosen("coalesce", node, compiled)


@function(exp.Greatest, "greatest(value, …)")
def _greatest(node: exp.Expr, compiled: Compile) -> Value:
    return _chosen("greatest", node, compiled)


@function(exp.Least, "least(value, …)")
def _least(node: exp.Expr, compiled: Compile) -> Value:
    return _chosen("least", node, compiled)


def _chosen(name: str, node: exp.Expr, compiled: Compile) -> Value:
    values = alike([compiled(part) for part in (node.this, *node.expressions)])
    if name != "coalesce":
        in_order(values)
    sql = f"{name}({', '.join(value.sql for value in values)})"
    return Value(sql, values[0].kind, any(value.can_fail for value in values))


@function(exp.Nullif, "nullif(value, value)")
def _nullif(node: exp.Expr, compiled: Compile) -> Value:
    first = compiled(node.this)
    one, other = alike([first, compiled(node.expression)])
    result = one if first.kind.family is Family.UNKNOWN else settled(first)
    sql = f"CASE WHEN {one.sql} = {other.sql} THEN NULL ELSE {result.sql} END"
    return Value(sql, result.kind, one.can_fail or other.can_fail)


def _letters(source: str, target: str) -> Function:
    def made(node: exp.Expr, compiled: Compile) -> Value:
        value = _text(compiled(node.this))
        if not value.kind.by_bytes:
            raise ExpressionError(
                f'capitals are the database\'s matter: write {node.key}(name COLLATE "C"), which changes A to Z'
            )
        return Value(f"translate({value.sql}, '{source}', '{target}')", value.kind, value.can_fail)

    return made


function(exp.Lower, 'lower(text COLLATE "C")')(_letters(_UPPER, _LOWER))
function(exp.Upper, 'upper(text COLLATE "C")')(_letters(_LOWER, _UPPER))


def _end(name: str) -> Function:
    def made(node: exp.Expr, compiled: Compile) -> Value:
        value, count = _text(compiled(node.this)), _constant(node.args["expression"], "how many characters")
        return replace(value, sql=f"{name}({value.sql}, {count})", literal=None)

    return made


function(exp.Left, "left(text, n)")(_end("left"))
function(exp.Right, "right(text, n)")(_end("right"))


@function(exp.Substring, "substring(text from n for n)", "substr(text, n, n)")
def _substring(node: exp.Expr, compiled: Compile) -> Value:
    value, start = _text(compiled(node.this)), _constant(node.args.get("start"), "where it begins", least=1)
    length = node.args.get("length")
    more = "" if length is None else f", {_constant(length, 'how many characters')}"
    return replace(value, sql=f"substring({value.sql}, {start}{more})")


@function(exp.SplitPart, "split_part(text, 'sign', n)")
def _split_part(node: exp.Expr, compiled: Compile) -> Value:
    value, sign = _text(compiled(node.this)), constant_text(node.args.get("delimiter"), "what divides it")
    part = _constant(node.args.get("part_index"), "which part", least=1)
    return replace(value, sql=f"split_part({value.sql}, {quoted(sign)}, {part})")


@function(exp.Trim, "trim(text)", "btrim(text, 'signs')", "ltrim(text)", "rtrim(text)")
def _trim(node: exp.Expr, compiled: Compile) -> Value:
    signs = node.args.get("expression")
    cut = " " if signs is None else constant_text(signs, "what is cut")
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or ""), "trim")
    value = _text(compiled(node.this))
    return replace(value, sql=f"{name}({value.sql}, {quoted(cut)})")


@function(exp.Replace, "replace(text, 'old', text)")
def _replace(node: exp.Expr, compiled: Compile) -> Value:
    value, old = _text(compiled(node.this)), constant_text(node.args.get("expression"), "what is replaced")
    new = _text(compiled(node.args["replacement"]))
    return Value(f"replace({value.sql}, {quoted(old)}, {new.sql})", value.kind, value.can_fail or new.can_fail)


@function(exp.StrPosition, "strpos(text, text)", "position(text in text)")
def _strpos(node: exp.Expr, compiled: Compile) -> Value:
    value, found = _text(compiled(node.this)), _text(compiled(node.args["substr"]))
    sql = f"CAST(strpos({value.sql}, {found.sql}) AS INTEGER)"
    return Value(sql, INTEGER, value.can_fail or found.can_fail)


@function(exp.StartsWith, "starts_with(text, text)")
def _starts_with(node: exp.Expr, compiled: Compile) -> Value:
    value, start = _text(compiled(node.this)), _text(compiled(node.expression))
    return Value(f"starts_with({value.sql}, {start.sql})", BOOL, value.can_fail or start.can_fail)


@function(exp.Extract, "extract(field from time)", "date_part('field', time)")
def _extract(node: exp.Expr, compiled: Compile) -> Value:
    field, value = str(node.this.name).upper(), compiled(node.expression)
    family = value.kind.family
    micros = f"epoch_us({value.sql})" if field == "EPOCH" else f"extract(microseconds FROM {value.sql})"
    if (family in {Family.TIMESTAMP, Family.SPAN} and field == "EPOCH") or (family, field) == (
        Family.TIMESTAMP,
        "SECOND",
    ):
        if family is Family.SPAN and not _is_difference(node.expression, compiled):
            raise ExpressionError("seconds are taken from a difference of two timestamps, as in (a - b)")
        kind = numeric(25, 6)
        return Value(f"CAST(CAST({micros} AS DECIMAL(19,0)) * 0.000001 AS {kind.sql})", kind, value.can_fail)
    known = {**_OF_BOTH, **(_OF_TIMES if family is Family.TIMESTAMP else {})}
    if family not in {Family.TIMESTAMP, Family.DATE} or field not in known:
        of = "a timestamp: year, month, day, quarter, week, dow, isodow, doy, isoyear, hour, minute, second, epoch"
        raise ExpressionError(f"extract {field.lower()} from {value.kind} is not offered; there is, from {of}")
    kind = numeric(known[field], 0)
    return Value(f"CAST(extract({field} FROM {value.sql}) AS {kind.sql})", kind, value.can_fail)


def _is_difference(node: exp.Expr, compiled: Compile) -> bool:
    """Is it a timestamp minus another, which has no months?"""
    node = node.unnest()
    return isinstance(node, exp.Sub) and all(
        compiled(part).kind.family in {Family.TIMESTAMP, Family.DATE} for part in (node.this, node.expression)
    )


@function(exp.TimestampTrunc, "date_trunc('unit', timestamp)")
def _date_trunc(node: exp.Expr, compiled: Compile) -> Value:
    unit, value = str(node.args["unit"].name).upper(), compiled(node.this)
    if unit not in _TRUNCATED or value.kind.family is not Family.TIMESTAMP:
        units = ", ".join(one.lower() for one in _TRUNCATED)
        raise ExpressionError(f"date_trunc takes one of {units}, and a timestamp; cast a date: day::timestamp")
    return Value(f"CAST(date_trunc('{unit.lower()}', {value.sql}) AS TIMESTAMP)", TIMESTAMP, value.can_fail)


def like(value: Value, pattern: exp.Expr | None, *, any_case: bool) -> Value:
    """`value` LIKE or ILIKE `pattern`, which is a constant."""
    value = _text(value)
    text = pattern.this if isinstance(pattern, exp.Literal) and pattern.is_string else None
    if text is None:
        raise ExpressionError("a pattern has to be a text in quotes, written out")
    if any_case and not value.kind.by_bytes:
        raise ExpressionError("what capitals are depends on the database: write name COLLATE \"C\" ILIKE '…'")
    sql = value.sql
    if any_case:
        text = "".join(c.lower() if c in _UPPER else c for c in text)
        sql = f"translate({sql}, '{_UPPER}', '{_LOWER}')"
    return Value(f"({sql} LIKE {like_pattern(text)})", BOOL, value.can_fail)


def matches(value: Value, pattern: exp.Expr | None) -> Value:
    """`value` ~ `pattern`, which is a constant."""
    value = _text(value)
    found = regular_expression(constant_text(pattern, "a pattern"))
    return Value(f"regexp_matches({value.sql}, {found}, 's')", BOOL, value.can_fail)
