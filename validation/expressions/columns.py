"""The columns of a schema as an expression sees them, and as DuckDB gets them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import pyarrow as pa

from config.model import Dtype
from config.schema import EXTRA
from config.sql_types import SqlType
from validation.expressions.compiler import Source
from validation.expressions.kinds import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    INTEGER,
    MOST_DIGITS,
    OPAQUE,
    TEXT,
    TIMESTAMP,
    Family,
    Kind,
    Value,
    numeric,
)

_DIGITS_OF_DOUBLE = 15  # so many come back from a double as they went in


class Shape(Protocol):
    """What is known of a column: its name, dtype and SQL type, and whether it tells of a person."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def sql(self) -> str: ...
    @property
    def is_personal(self) -> bool: ...


_KINDS = {
    "bigint": BIGINT,
    "integer": INTEGER,
    "smallint": Kind(Family.SMALLINT),
    "double precision": DOUBLE,
    "boolean": BOOL,
    "date": DATE,
    "time without time zone": Kind(Family.TIME),
    "timestamp without time zone": TIMESTAMP,
    "timestamp with time zone": TIMESTAMP,
    "uuid": Kind(Family.UUID),
    "text": TEXT,
    "varchar": TEXT,
}


def sources(shapes: Iterable[Shape]) -> dict[str, Source]:
    """The columns by name, for the compiler."""
    return {shape.name: _source(shape) for shape in shapes if shape.name != EXTRA}


def _source(shape: Shape) -> Source:
    sql, name = SqlType.parse(shape.sql), f'"c_{shape.name.replace(chr(34), chr(34) * 2)}"'
    if sql.base in _KINDS:
        kind = _KINDS[sql.base]
        if kind.family in {Family.SMALLINT, Family.INTEGER}:
            return Source(Value(f"TRY_CAST({name} AS {kind.sql})", kind))
        return Source(Value(name, kind))
    if sql.base == "numeric" and 0 < (sql.precision or 0) <= MOST_DIGITS:
        kind = numeric(sql.precision or 0, sql.scale)
        return Source(Value(f"TRY_CAST({name} AS {kind.sql})", kind))
    return Source(Value(name, OPAQUE), _WHY_NOT.get(sql.base, f"is of type {sql}"))


_WHY_NOT = {
    "numeric": f"give it numeric(p,s) of up to {MOST_DIGITS} digits",
    "char": "char(n) is compared without the blanks at its end; give it varchar(n)",
}


def input_of(shape: Shape, values: pa.Array, output: pa.Array) -> pa.Array:
    """What DuckDB gets of a column: its reading, or its text where a double does not hold all digits."""
    sql = SqlType.parse(shape.sql)
    by_text = shape.dtype == Dtype.FLOAT and sql.base == "numeric" and (sql.precision or 0) > _DIGITS_OF_DOUBLE
    return output if by_text else values
