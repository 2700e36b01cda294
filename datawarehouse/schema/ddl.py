"""Tables as PostgreSQL's statements."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from sqlalchemy.dialects import postgresql

from utils.logger import get_logger

logger = get_logger(__name__)

DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # a % stays one


def type_name(column: sa.Column[Any]) -> str:
    """The type as PostgreSQL's format_type() writes it."""
    name = column.type.compile(DIALECT).lower().replace(", ", ",")
    return (
        {"timestamp": "timestamp without time zone"}.get(name, name)
        .replace("varchar", "character varying")
        .replace("char(", "character(")
    )


def create_statements(table: sa.Table) -> list[str]:
    """CREATE TABLE, and CREATE INDEX of each of its indexes."""
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    elements: list[sa.schema.ExecutableDDLElement] = [
        sa.schema.CreateTable(table),
        *map(sa.schema.CreateIndex, indexes),
    ]
    return [str(element.compile(dialect=DIALECT)).strip() for element in elements]


def create(tx: Cursor, table: sa.Table) -> None:
    """Make a table with its indexes."""
    for statement in create_statements(table):
        tx.execute(statement)
    logger.info(f"[schema] created {table.name}", extra={"table": table.name})


def add_columns(tx: Cursor, table: sa.Table, there: Collection[str]) -> None:
    """Add the columns that the table has not, with their foreign keys and indexes."""
    preparer = DIALECT.identifier_preparer
    constraints = []
    for column in table.columns:
        if column.name in there:
            continue
        ddl = sa.schema.CreateColumn(column).compile(dialect=DIALECT)
        tx.execute(f"ALTER TABLE {preparer.format_table(table)} ADD COLUMN {ddl}")
        constraints += [key.constraint for key in column.foreign_keys if key.constraint is not None]
        for index in table.indexes:
            if column.name in index.columns:
                tx.execute(str(sa.schema.CreateIndex(index).compile(dialect=DIALECT)))
        logger.info(f"[schema] added {table.name}.{column.name}", extra={"table": table.name})
    for constraint in dict.fromkeys(constraints):
        tx.execute(str(sa.schema.AddConstraint(constraint).compile(dialect=DIALECT)))


def quoted(name: str) -> str:
    """A name as SQL has it, whatever its characters."""
    return '"{}"'.format(name.replace('"', '""'))
