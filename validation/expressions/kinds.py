"""What an expression can be: its kind in PostgreSQL, its SQL for DuckDB, and how one kind becomes another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

MOST_DIGITS = 38  # of a decimal of DuckDB
_EXACT_AS_DOUBLE = 15  # digits that a double always holds


class ExpressionError(Exception):
    """An expression that can't be judged: `message` says why and the way out, `part` is where."""

    def __init__(self, message: str, part: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.part = part


class Family(StrEnum):
    """Kinds without their sizes, by PostgreSQL's names."""

    UNKNOWN = "unknown"  # a text in quotes, or null: it becomes what stands beside it
    BOOL = "boolean"
    SMALLINT = "smallint"
    INTEGER = "integer"
    BIGINT = "bigint"
    NUMERIC = "numeric"
    DOUBLE = "double precision"
    TEXT = "text"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    SPAN = "interval"
    UUID = "uuid"
    OPAQUE = "value"  # known is only whether there is one


WHOLE = (Family.SMALLINT, Family.INTEGER, Family.BIGINT)
NUMBERS = (*WHOLE, Family.NUMERIC, Family.DOUBLE)
_DIGITS = {Family.SMALLINT: 5, Family.INTEGER: 10, Family.BIGINT: 19}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind. Of a numeric `digits` and `scale`; of a text whether it is compared byte by byte (COLLATE "C")."""

    family: Family
    digits: int = 0
    scale: int = 0
    by_bytes: bool = False

    def __str__(self) -> str:
        return f"numeric({self.digits},{self.scale})" if self.digits else self.family.value

    @property
    def sql(self) -> str:
        """DuckDB's name of it."""
        if self.family is Family.NUMERIC:
            return f"DECIMAL({self.digits},{self.scale})"
        return _NAMES.get(self.family, self.family.value.upper())


_NAMES = {Family.DOUBLE: "DOUBLE", Family.TEXT: "VARCHAR", Family.UUID: "VARCHAR", Family.UNKNOWN: "VARCHAR"}

BOOL = Kind(Family.BOOL)
INTEGER = Kind(Family.INTEGER)
BIGINT = Kind(Family.BIGINT)
DOUBLE = Kind(Family.DOUBLE)
TEXT = Kind(Family.TEXT)
TIMESTAMP = Kind(Family.TIMESTAMP)
DATE = Kind(Family.DATE)
SPAN = Kind(Family.SPAN)
UNKNOWN = Kind(Family.UNKNOWN)
OPAQUE = Kind(Family.OPAQUE)


def numeric(digits: int, scale: int) -> Kind:
    """A numeric of so many digits, `scale` of them decimals. Raises ExpressionError where that is too many."""
    if max(digits, scale) > MOST_DIGITS:
        raise ExpressionError(
            f"needs numbers of {max(digits, scale)} digits, and {MOST_DIGITS} can be worked with; "
            "cast to double precision where exactness does not matter"
        )
    return Kind(Family.NUMERIC, max(digits, scale, 1), scale)


@dataclass(frozen=True, slots=True)
class Value:
    """A part of an expression: its SQL for DuckDB and its kind.

    `can_fail`: there may be values for which PostgreSQL raises an error, and so does the SQL. `literal` is the
    text of a constant in quotes that has no kind of its own yet, `number` a constant as it is written.
    """

    sql: str
    kind: Kind
    can_fail: bool = False
    literal: str | None = None
    number: str | None = None

    @property
    def is_null(self) -> bool:
        return self.kind.family is Family.UNKNOWN and self.literal is None


def as_numeric(kind: Kind) -> Kind:
    """The numeric that holds every value of a kind of exact numbers."""
    return kind if kind.family is Family.NUMERIC else numeric(_DIGITS[kind.family], 0)


def common_number(one: Kind, other: Kind) -> Kind:
    """What PostgreSQL makes of two numbers before it adds or compares them."""
    families = {one.family, other.family}
    if Family.DOUBLE in families:
        return DOUBLE
    if Family.NUMERIC in families:
        one, other = as_numeric(one), as_numeric(other)
        scale = max(one.scale, other.scale)
        return numeric(max(one.digits - one.scale, other.digits - other.scale) + scale, scale)
    return max(one, other, key=lambda kind: WHOLE.index(kind.family))


def as_kind(value: Value, kind: Kind) -> Value:
    """`value` as `kind`, which holds all values of its own."""
    if value.kind.sql == kind.sql:
        return replace(value, kind=kind)
    sql = value.sql
    if kind == DOUBLE and value.kind.digits > _EXACT_AS_DOUBLE:
        sql = f"CAST({sql} AS VARCHAR)"  # by its digits, else it is rounded twice
    return Value(f"CAST({sql} AS {kind.sql})", kind, value.can_fail)
