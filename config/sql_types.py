"""The column types of PostgreSQL that a table may have, and which of them hold which dtype."""

from __future__ import annotations

import re
from typing import NamedTuple

from config.model import Dtype


class SqlType(NamedTuple):
    """A column type of PostgreSQL: its base name and its limits."""

    base: str
    length: int | None = None  # varchar(n), char(n)
    precision: int | None = None  # numeric(p, s); numeric alone takes any number of digits
    scale: int = 0

    @classmethod
    def parse(cls, text: str) -> SqlType:
        """Read e.g. `numeric(10,2)`; raises ValueError for a type that the pipeline does not know."""
        text = text.strip().lower()
        match = re.fullmatch(r"([a-z][a-z0-9 ]*?(?:\[\])?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?", text)
        base = _SQL_ALIASES.get(match[1], match[1]) if match else ""
        if match is None or base not in SQL_TYPES_OF_DTYPE_FLAT:
            raise ValueError(f"{text!r} is not one of {', '.join(sorted(SQL_TYPES_OF_DTYPE_FLAT))}")
        first, second = (int(number) if number else None for number in match.groups()[1:])
        if base in {"varchar", "char"} and (first is None or second is not None):
            raise ValueError(f"{text!r} needs one length, as in varchar(36)")
        if base == "numeric" and first is not None and not 0 <= (second or 0) <= first <= 1000:
            raise ValueError(f"{text!r} needs precision and scale, as in numeric(10,2), or no limits: numeric")
        if base not in {"varchar", "char", "numeric"} and first is not None:
            raise ValueError(f"{text!r} takes no length")
        if base == "numeric" and first is not None:
            return cls(base, precision=first, scale=second or 0)
        return cls(base, length=first)

    def __str__(self) -> str:
        if self.length is not None:
            return f"{self.base}({self.length})"
        return f"numeric({self.precision},{self.scale})" if self.precision is not None else self.base


_SQL_ALIASES = {
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float8": "double precision",
    "bool": "boolean",
    "character varying": "varchar",
    "character": "char",
    "decimal": "numeric",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "int[]": "integer[]",
    "int4[]": "integer[]",
    "int8[]": "bigint[]",
}
SQL_TYPES_OF_DTYPE = {
    Dtype.STR: ("text", "varchar", "char"),
    Dtype.INT: ("integer", "bigint", "smallint"),
    Dtype.FLOAT: ("double precision", "numeric"),
    Dtype.BOOL: ("boolean",),
    Dtype.DATETIME: ("timestamp without time zone", "timestamp with time zone"),
    Dtype.DATE: ("date",),
    Dtype.TIME: ("time without time zone",),
    Dtype.UUID: ("uuid",),
    Dtype.JSON: ("jsonb", "json", "text[]", "integer[]", "bigint[]"),
}
INT_LIMITS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
SQL_TYPES_OF_DTYPE_FLAT = frozenset(base for bases in SQL_TYPES_OF_DTYPE.values() for base in bases)
