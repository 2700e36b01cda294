"""Keys in SQL: their columns as lists, matches and definitions, whatever their number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg2 import sql

from config.model import Dtype
from config.schema import Column

# The types in which keys are compared: as they are, for a cast to the parent's own type would cut a text, or fail
# for a number beyond it. The index of the parent's key serves them all.
_COMPARED_AS = {"smallint": "bigint", "integer": "bigint", "varchar": "text", "char": "bpchar"}
_COMMA, _AND = sql.SQL(", "), sql.SQL(" AND ")


def compared_as(column: Column) -> str:
    """The type in which values are compared with those of a key's `column`."""
    return _COMPARED_AS.get(column.sql.base, column.sql.base)


def listed(columns: Iterable[Column], table: str | None = None) -> sql.Composed:
    """`a, b`, or `t.a, t.b` of a `table`."""
    return _COMMA.join([_named(column.target, table) for column in columns])


def matching(columns: Iterable[Column], one: str, other: str) -> sql.Composed:
    """`t.a = s.a AND t.b = s.b`: do two rows have one key?"""
    return pairs((_named(c.target, one), _named(c.target, other)) for c in columns)


def found_by_index(columns: Iterable[Column], one: str, other: str) -> sql.Composed:
    """The same as an equality that no join but the look-up by the index can use: ANY of an array of one."""
    return pairs(
        (_named(c.target, one), sql.SQL("ANY (ARRAY[{}])").format(_named(c.target, other))) for c in columns
    )


def pairs(equal: Iterable[tuple[sql.Composable, sql.Composable]]) -> sql.Composed:
    """`a = b AND c = d`."""
    return _AND.join([sql.SQL("{} = {}").format(*pair) for pair in equal])


def numbered(columns: Sequence[Column], table: str | None = None) -> sql.Composed:
    """`k0, k1`, or `k.k0, k.k1`: the key in a table that is no table of the user's."""
    return _COMMA.join([_named(f"k{n}", table) for n in range(len(columns))])


def is_numbered(columns: Sequence[Column], numbers_of: str, table: str) -> sql.Composed:
    """`k.k0 = s.a AND k.k1 = s.b`."""
    return pairs((_named(f"k{n}", numbers_of), _named(c.target, table)) for n, c in enumerate(columns))


def as_numbered(columns: Sequence[Column], table: str) -> sql.Composed:
    """`s.a AS k0, s.b AS k1`."""
    parts = [
        sql.SQL("{} AS {}").format(_named(c.target, table), _named(f"k{n}", None)) for n, c in enumerate(columns)
    ]
    return _COMMA.join(parts)


def definitions(columns: Sequence[Column]) -> sql.Composed:
    """`k0 bigint, k1 text`."""
    parts = [sql.SQL("{} {}").format(_named(f"k{n}", None), sql.SQL(str(c.sql))) for n, c in enumerate(columns)]
    return _COMMA.join(parts)


def value_of(columns: Sequence[Column], table: str) -> sql.Composable:
    """The key of a row as one value, as key_values.joined() has it; of several columns it is text."""
    if len(columns) == 1:
        return _read(columns[0], table)
    return sql.SQL("json_build_array({})::text").format(_COMMA.join([_as_text(c, table) for c in columns]))


def text_of(columns: Sequence[Column], table: str) -> sql.Composable:
    """The same as text, as key_values.key_text() has it."""
    return _as_text(columns[0], table) if len(columns) == 1 else value_of(columns, table)


def row_numbers(numbers: Iterable[int]) -> sql.Composed:
    """An array of bigint: of integers, as literals without a cast are, PostgreSQL would compare each with each."""
    return sql.SQL("{}::bigint[]").format(sql.Literal(f"{{{','.join(map(str, numbers))}}}"))


def _read(column: Column, table: str) -> sql.Composable:
    """A value as it is read: without the blanks that char(n) pads with, and times in UTC."""
    form = "{}::text" if column.dtype is Dtype.STR else "{}"
    if column.sql.base == "timestamp with time zone":
        form = "({} AT TIME ZONE 'UTC')"
    return sql.SQL(form).format(_named(column.target, table))


def _as_text(column: Column, table: str) -> sql.Composable:
    forms = {Dtype.INT: "{}", Dtype.DATETIME: "to_char({}, 'YYYY-MM-DD HH24:MI:SS.US')"}
    return sql.SQL(forms.get(column.dtype, "{}::text")).format(_read(column, table))


def _named(name: str, table: str | None) -> sql.Identifier:
    return sql.Identifier(name) if table is None else sql.Identifier(table, name)
