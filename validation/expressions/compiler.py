"""An expression in PostgreSQL's words → SQL for DuckDB that means the same, or a message that says why not.

Only what is named here and in functions.py is let through: nothing that reads, calls or changes anything. The SQL
is put together from kinds, names and constants; no part of the expression's own text comes into it unquoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from validation.expressions import functions, operators
from validation.expressions.kinds import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    INTEGER,
    SPAN,
    TEXT,
    TIMESTAMP,
    UNKNOWN,
    ExpressionError,
    Family,
    Kind,
    Value,
    as_numeric,
    numeric,
)
from validation.expressions.literals import quoted, read_literal, read_number


class Source(NamedTuple):
    """A column that an expression may name: its value, and why it can't be looked at, if so."""

    value: Value
    why_not: str = ""


class Condition(NamedTuple):
    """A condition: its SQL for DuckDB, and the columns that it looks at."""

    sql: str
    columns: frozenset[str]


Columns = Mapping[str, Source]

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_CALCULATIONS: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
_TYPES = {
    "BOOLEAN": BOOL,
    "SMALLINT": Kind(Family.SMALLINT),
    "INT": INTEGER,
    "BIGINT": BIGINT,
    "DOUBLE": DOUBLE,
    "TEXT": TEXT,
    "DATE": DATE,
    "TIME": Kind(Family.TIME),
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMPTZ": TIMESTAMP,
    "UUID": Kind(Family.UUID),
    "INTERVAL": SPAN,
}
_LISTED = "docs/checks.md lists what is"
_WAYS_OUT = {
    "CurrentTimestamp": "what a row is judged by must not change with the day: the rule not_in_future looks at it",
    "CurrentDate": "what a row is judged by must not change with the day: the rule not_in_future looks at it",
    "Subquery": "a check looks at one row; other tables are for foreign keys",
    "Select": "a check looks at one row; other tables are for foreign keys",
    "Exists": "a check looks at one row; other tables are for foreign keys",
    "Pow": "write the product: a * a",
    "RegexpILike": "write ~ with both letters: [Aa]",
    "SimilarTo": "write LIKE or ~",
    "ByteString": "write a plain text in quotes",
    "Escape": "a backslash is what escapes",
    "Any": "write IN (…)",
    "Interval": "write it as interval '2 hours'",
}


def compile_condition(text: str, columns: Columns) -> Condition:
    """The condition `text` over `columns`, by name. Raises ExpressionError with a message that names the place."""
    compiler = Compiler(columns)
    with placed(text):
        value = operators.settled(operators.truth(compiler.compile(parse(text))))
    return Condition(value.sql, frozenset(compiler.named))


@contextmanager
def placed(text: str) -> Iterator[None]:
    """Within, an ExpressionError gets the place in `text` that it is about."""
    try:
        yield
    except RecursionError:
        raise ExpressionError("is nested too deeply; make several checks of it") from None
    except ExpressionError as error:
        raise ExpressionError(_with_place(error, text)) from None


def column_named(node: exp.Expr, names: Collection[str]) -> str:
    """Which of `names` the column is. Raises ExpressionError where it is none of them."""
    given = node.this.this if isinstance(node.this, exp.Identifier) else ""
    if node.args.get("table"):
        raise ExpressionError("a column is named without its table; one with a point in it is put in quotes")
    if node.this.args.get("quoted") or given in names:
        fitting = [given]
    else:  # as PostgreSQL reads a name without quotes
        fitting = [name for name in names if name.lower() == given.lower()]
    if len(fitting) != 1 or fitting[0] not in names:
        raise ExpressionError(f"is no column of this schema; it has {', '.join(names)}")
    return fitting[0]


_SELECT = "SELECT "


def parse(text: str) -> exp.Expr:
    """The tree of an expression. Raises ExpressionError where it is none."""
    try:
        found = sqlglot.parse(_SELECT + text, read="postgres")
    except SqlglotError as error:
        place = (getattr(error, "errors", None) or [{}])[0]
        where = f"near its character {max(place['col'] - len(_SELECT), 1)}" if place.get("col") else "somewhere"
        raise ExpressionError(f"is no SQL expression: {where} something is missing or too much") from None
    select = cast("exp.Select", found[0])
    said = [key for key, part in select.args.items() if part] if isinstance(select, exp.Select) else []
    if said == ["expressions"] and len(found) == 1 and len(select.expressions) == 1:
        return cast("exp.Expr", select.expressions[0])
    raise ExpressionError("is not one expression; a check is one condition, without a semicolon")


def insist_on_select(text: str) -> None:
    """Raises ExpressionError where `text` is not one statement that only reads."""
    try:
        found = sqlglot.parse(text, read="postgres")
    except SqlglotError:
        found = []
    if len(found) != 1 or not isinstance(found[0], exp.Query):
        raise ExpressionError("is not one SELECT of PostgreSQL, without a semicolon")


def _with_place(error: ExpressionError, text: str) -> str:
    """The message with where in `text` it is about, and that part of it as it is written."""
    wanted = re.findall(r"\S", error.part.lower())
    if not wanted or error.part == text:
        return error.message
    found = re.search(r"\s*".join(map(re.escape, wanted)), text, re.IGNORECASE)
    if found is None:
        return f"in {error.part}: {error.message}"
    return f"at character {found.start() + 1}, {found[0]}: {error.message}"


class Compiler:
    """Compiles the tree of one expression; `named` are the columns that it met."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.named: set[str] = set()

    def compile(self, node: exp.Expr) -> Value:
        """`node` as a value. Raises ExpressionError that has the part of the expression."""
        try:
            return self._any(node)
        except ExpressionError as error:
            raise ExpressionError(error.message, error.part or node.sql("postgres", comments=False)) from None

    def _any(self, node: exp.Expr) -> Value:
        name = type(node).__name__
        made = _NODES.get(type(node))
        if made is None and name not in functions.FUNCTIONS:
            raise ExpressionError(f"is not offered in a check; {_WAYS_OUT.get(name, _LISTED)}")
        said = {key for key, value in node.args.items() if value}
        if unread := said - _ARGUMENTS - _OWN_ARGUMENTS.get(name, frozenset()):
            raise ExpressionError(f"is not offered in a check with {', '.join(sorted(unread))}; {_LISTED}")
        return made(self, node) if made else functions.FUNCTIONS[name](node, self.compile)

    def _comparison(self, node: exp.Expr) -> Value:
        if {type(node.this), type(node.expression)} & _COMPARISONS.keys():
            raise ExpressionError("compares what is compared already; put one of the comparisons in parentheses")
        return operators.compare(_COMPARISONS[type(node)], self.compile(node.this), self.compile(node.expression))

    def _calculation(self, node: exp.Expr) -> Value:
        sign = _CALCULATIONS[type(node)]
        return operators.calculate(sign, self.compile(node.this), self.compile(node.expression))

    def _column(self, node: exp.Expr) -> Value:
        name = column_named(node, self._columns)
        value, why_not = self._columns[name]
        self.named.add(name)
        asks_for_null = isinstance(node.parent, exp.Is)
        if why_not and not asks_for_null:
            raise ExpressionError(f"{why_not}; only IS NULL can be asked of it")
        return value

    def _literal(self, node: exp.Expr) -> Value:
        text = str(node.this)
        return Value(quoted(text), UNKNOWN, literal=text) if node.args.get("is_string") else read_number(text)

    def _interval(self, node: exp.Expr) -> Value:
        number = node.this
        if not isinstance(number, exp.Literal):
            raise ExpressionError("write it as interval '2 hours'")
        unit = "" if node.args.get("unit") is None else f" {node.args['unit'].sql()}"
        return read_literal(f"{number.this}{unit}", SPAN)

    def _cast(self, node: exp.Expr) -> Value:
        return operators.cast(self.compile(node.this), self._type(node))

    def _type(self, node: exp.Expr) -> Kind:
        to = node.args["to"]
        sizes = [int(part.this.name) for part in to.expressions if part.this.name.isdigit()]
        name = to.this.name if isinstance(to.this, exp.DType) else ""
        if name == "DECIMAL":
            if sizes:
                return numeric(sizes[0], sizes[1] if len(sizes) > 1 else 0)
            inner = self.compile(node.this)
            if inner.kind.family in {Family.UNKNOWN, Family.DOUBLE, Family.TEXT}:
                raise ExpressionError("say how many digits: numeric(10,2)")
            return as_numeric(inner.kind)
        if sizes or name not in _TYPES:
            raise ExpressionError(f"a cast to {to.sql('postgres')} is not offered")
        return _TYPES[name]

    def _and(self, node: exp.Expr) -> Value:
        return operators.chain("AND", [self.compile(part) for part in node.flatten()])

    def _or(self, node: exp.Expr) -> Value:
        return operators.chain("OR", [self.compile(part) for part in node.flatten()])

    def _not(self, node: exp.Expr) -> Value:
        value = operators.truth(self.compile(node.this))
        return Value(f"(NOT {value.sql})", BOOL, value.can_fail)

    def _is(self, node: exp.Expr) -> Value:
        value, wanted = self.compile(node.this), node.expression
        no = "NOT " if node.args.get("negate") else ""
        if isinstance(wanted, exp.Null):
            return Value(f"({operators.settled(value).sql} IS {no}NULL)", BOOL, value.can_fail)
        if not isinstance(wanted, exp.Boolean):
            raise ExpressionError("IS is followed by NULL, TRUE, FALSE or DISTINCT FROM")
        return Value(f"({operators.truth(value).sql} IS {no}{wanted.sql()})", BOOL, value.can_fail)

    def _between(self, node: exp.Expr) -> Value:
        if node.args.get("symmetric"):
            raise ExpressionError("SYMMETRIC is not offered; write the smaller bound first")
        value = self.compile(node.this)
        low = operators.compare(">=", value, self.compile(node.args["low"]))
        high = operators.compare("<=", value, self.compile(node.args["high"]))
        return operators.chain("AND", [low, high])

    def _in(self, node: exp.Expr) -> Value:
        if not node.expressions:
            raise ExpressionError("IN takes a list of values; other tables are for foreign keys")
        value, *items = operators.alike([self.compile(part) for part in (node.this, *node.expressions)])
        listed = ", ".join(item.sql for item in items)
        return Value(f"({value.sql} IN ({listed}))", BOOL, any(part.can_fail for part in (value, *items)))

    def _case(self, node: exp.Expr) -> Value:
        subject = node.args.get("this")
        if subject is not None and self.compile(subject).kind.family is Family.UNKNOWN:
            raise ExpressionError("CASE of a constant is not offered; write CASE WHEN")
        default = node.args.get("default")
        whens, results = [], []
        for branch in node.args["ifs"]:
            if subject is None:
                whens.append(operators.truth(self.compile(branch.this)))
            else:
                whens.append(operators.compare("=", self.compile(subject), self.compile(branch.this)))
            results.append(self.compile(branch.args["true"]))
        results.append(Value("NULL", UNKNOWN) if default is None else self.compile(default))
        *then, last = operators.alike(results)
        pairs = " ".join(f"WHEN {w.sql} THEN {t.sql}" for w, t in zip(whens, then, strict=True))
        fails = any(part.can_fail for part in (*whens, *then, last))
        return Value(f"CASE {pairs} ELSE {last.sql} END", last.kind, fails)

    def _collate(self, node: exp.Expr) -> Value:
        value, name = self.compile(node.this), node.expression.name
        if name != "C":
            raise ExpressionError('only COLLATE "C" is the same everywhere')
        if value.kind.family not in {Family.TEXT, Family.UNKNOWN}:
            raise ExpressionError(f"COLLATE goes with text, and this is {value.kind}")
        kind = Kind(Family.TEXT, by_bytes=True)
        return Value(operators.of_kind(value, kind).sql, kind, value.can_fail)

    def _joined(self, node: exp.Expr) -> Value:
        left, right = self.compile(node.this), self.compile(node.expression)
        if not {left.kind.family, right.kind.family} <= {Family.TEXT, Family.UNKNOWN}:
            raise ExpressionError("|| joins texts; cast what is none: number::text")
        left, right = operators.alike([left, right])
        return Value(f"({left.sql} || {right.sql})", left.kind, left.can_fail or right.can_fail)

    def _like(self, node: exp.Expr) -> Value:
        any_case = isinstance(node, exp.ILike)
        value = functions.like(self.compile(node.this), node.expression, any_case=any_case)
        return Value(f"(NOT {value.sql})", BOOL, value.can_fail) if node.args.get("negate") else value


# What sqlglot says of a part beside its own parts; an argument that nobody reads would change the meaning unseen.
_ARGUMENTS = frozenset({"this", "expression", "expressions"})
_OWN_ARGUMENTS = {
    name: frozenset(arguments.split())
    for name, arguments in {
        "Is": "negate",
        "Like": "negate",
        "ILike": "negate",
        "Between": "low high symmetric",
        "Literal": "is_string",
        "Column": "table",
        "Cast": "to",
        "Case": "ifs default",
        "Interval": "unit fraction_in_string",
        "Div": "typed",
        "DPipe": "safe",
        "In": "query",
        "Trim": "position",
        "Substring": "start length",
        "Round": "decimals",
        "Trunc": "decimals",
        "Greatest": "ignore_nulls",
        "Least": "ignore_nulls",
        "SplitPart": "delimiter part_index",
        "TimestampTrunc": "unit",
        "Replace": "replacement",
        "StrPosition": "substr",
    }.items()
}

_Handler = Callable[[Compiler, exp.Expr], Value]
_NODES: dict[type[exp.Expr], _Handler] = {
    **dict.fromkeys(_COMPARISONS, Compiler._comparison),
    **dict.fromkeys(_CALCULATIONS, Compiler._calculation),
    exp.Column: Compiler._column,
    exp.Literal: Compiler._literal,
    exp.Paren: lambda compiler, node: compiler._any(node.this),
    exp.Null: lambda _, __: Value("NULL", UNKNOWN),
    exp.Boolean: lambda _, node: Value("TRUE" if node.this else "FALSE", BOOL),
    exp.Neg: lambda compiler, node: operators.negative(compiler.compile(node.this)),
    exp.Interval: Compiler._interval,
    exp.Cast: Compiler._cast,
    exp.And: Compiler._and,
    exp.Or: Compiler._or,
    exp.Not: Compiler._not,
    exp.Is: Compiler._is,
    exp.Between: Compiler._between,
    exp.In: Compiler._in,
    exp.Case: Compiler._case,
    exp.Collate: Compiler._collate,
    exp.DPipe: Compiler._joined,
    exp.Like: Compiler._like,
    exp.ILike: Compiler._like,
    exp.RegexpLike: lambda compiler, node: functions.matches(compiler.compile(node.this), node.expression),
}
