"""The tables as they are, under the names that they are going to have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.queries import query
from datawarehouse.schema.ddl import quoted

COUNTED = 200_000  # rows that are counted; of more the statistics tell


class Found(NamedTuple):
    """A column of a table; `fills_itself`: a row that says nothing of it can be inserted."""

    sql_type: str
    not_null: bool
    fills_itself: bool


@dataclass(frozen=True, slots=True)
class Constraint:
    """A key, a check or an exclusion; `kind` as in pg_constraint.contype: p, u, f, c, x."""

    name: str
    kind: str
    columns: tuple[str, ...]
    parent: str | None = None
    parent_columns: tuple[str, ...] = ()
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Index:
    """An index that no constraint has made; a column is '' where it is an expression."""

    name: str
    method: str
    columns: tuple[str, ...]
    unique: bool
    partial: bool
    valid: bool


@dataclass
class TableThere:
    """A table. `real` and `real_names` are the names that it and its columns have in the database now.

    `new` are columns that it gets.
    """

    name: str
    real: str
    columns: dict[str, Found]
    real_names: dict[str, str] = field(default_factory=dict)
    constraints: list[Constraint] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    new: set[str] = field(default_factory=set)
    estimate: int = -1

    def real_name(self, column: str) -> str:
        """What the database calls the column now."""
        return self.real_names.get(column, column)

    def of_kind(self, kind: str) -> list[Constraint]:
        """Its constraints of that kind."""
        return [constraint for constraint in self.constraints if constraint.kind == kind]


class Naming(NamedTuple):
    """How SQL calls tables and columns: as they are now (`catalog` given), or as they are going to be."""

    catalog: Catalog | None

    def table(self, name: str) -> str:
        """The table, quoted."""
        return quoted(self.catalog.tables[name].real if self.catalog else name)

    def column(self, table: str, name: str) -> str:
        """The column, quoted."""
        return quoted(self.catalog.tables[table].real_name(name) if self.catalog else name)


class Catalog:
    """All tables by name. What is renamed has its new name here, before the database has it."""

    def __init__(self, tx: Cursor) -> None:
        self.tx = tx
        self.keys: dict[str, list[str]] = {}  # by table, the columns by which its rows are called
        self.tables = {name: TableThere(name, name, columns) for name, columns in columns_there(tx).items()}
        self._counted: dict[str, int] = {}
        tx.execute(query("catalog", "constraints"))
        for table, name, kind, columns, parent, parent_columns, valid in tx.fetchall():
            found = Constraint(name, kind, tuple(columns), parent, tuple(parent_columns), valid)
            if table in self.tables:
                self.tables[table].constraints.append(found)
        tx.execute(query("catalog", "indexes"))
        for table, name, method, columns, *rest in tx.fetchall():
            if table in self.tables:
                self.tables[table].indexes.append(Index(name, method, tuple(columns), *rest))
        tx.execute(query("catalog", "sizes"))
        for table, rows in tx.fetchall():
            if table in self.tables:  # another may have made it meanwhile
                self.tables[table].estimate = rows

    def rename_table(self, old: str, new: str) -> None:
        """From here on the table is called `new`."""
        table = self.tables.pop(old)
        table.name = new
        self.tables[new] = table
        self._in_references(lambda key: replace(key, parent=new) if key.parent == old else key)

    def rename_column(self, table: str, old: str, new: str) -> None:
        """From here on the column is called `new`."""
        there = self.tables[table]
        there.columns = {new if name == old else name: found for name, found in there.columns.items()}
        there.real_names[new] = there.real_names.pop(old, old)

        def renamed(columns: Iterable[str]) -> tuple[str, ...]:
            return tuple(new if name == old else name for name in columns)

        there.constraints = [replace(key, columns=renamed(key.columns)) for key in there.constraints]
        there.indexes = [replace(index, columns=renamed(index.columns)) for index in there.indexes]
        self._in_references(
            lambda key: replace(key, parent_columns=renamed(key.parent_columns)) if key.parent == table else key
        )

    def rename_index(self, table: str, old: str, new: str) -> None:
        """From here on the index is called `new`."""
        there = self.tables[table]
        there.indexes = [replace(index, name=new) if index.name == old else index for index in there.indexes]

    def rows(self, table: str) -> int:
        """How many rows there are: counted, or as the statistics say where there are many."""
        there = self.tables[table]
        if there.estimate > COUNTED:
            return there.estimate
        if table not in self._counted:
            self.tx.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(there.real)))
            (self._counted[table],) = self.tx.fetchone() or (0,)
        return self._counted[table]

    def has_rows(self, table: str) -> bool:
        """Are there any?"""
        self.tx.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(self.tables[table].real)))
        return self.tx.fetchone() == (True,)

    def _in_references(self, change: Callable[[Constraint], Constraint]) -> None:
        for table in self.tables.values():
            table.constraints = [change(key) for key in table.constraints]


def columns_there(tx: Cursor) -> dict[str, dict[str, Found]]:
    """Every table's columns."""
    tx.execute(query("schema_init", "columns"))
    found: dict[str, dict[str, Found]] = {}
    for table, column, *rest in tx.fetchall():
        found.setdefault(table, {})[column] = Found(*rest)
    return found
