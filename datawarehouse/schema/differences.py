"""In what the tables that are there differ from what the configuration asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.key import PLACEHOLDER_COLUMN
from config.settings import PipelineConfig
from datawarehouse.queries import query
from datawarehouse.schema.ddl import DIALECT, type_name
from datawarehouse.schema.tables import HASHED


class Found(NamedTuple):
    """A column of a table; `fills_itself`: a row that says nothing of it can be inserted."""

    sql_type: str
    not_null: bool
    fills_itself: bool


def columns_there(tx: Cursor) -> dict[str, dict[str, Found]]:
    """Every table's columns."""
    tx.execute(query("schema_init", "columns"))
    found: dict[str, dict[str, Found]] = {}
    for table, column, *rest in tx.fetchall():
        found.setdefault(table, {})[column] = Found(*rest)
    return found


def differences(tx: Cursor, metadata: sa.MetaData, existing: dict[str, dict[str, Found]]) -> Iterator[str]:
    """What can't be mended by adding a column."""
    tx.execute(query("schema_init", "foreign_keys"))
    foreign_keys: dict[tuple[str, str], set[str]] = {}
    for child, column, parent in tx.fetchall():
        foreign_keys.setdefault((child, column), set()).add(parent)
    for table in metadata.sorted_tables:
        there = existing.get(table.name)
        if there is None:
            continue
        for column in table.columns:
            where = f"{table.name}.{column.name}"
            if column.name not in there:
                if column.primary_key or column.unique:
                    yield f"{where}: a key can't be added to a table that exists"
                elif not column.nullable and column.server_default is None and _has_rows(tx, table):
                    yield (
                        f"{where}: a NOT NULL column can't be added to a table with rows; make it nullable: true"
                    )
                continue
            wanted, (found, not_null, _) = type_name(column), there[column.name]
            if wanted != found and not (column.info.get(HASHED) and found == "text"):  # which has room for a hash
                yield f"{where}: the table has {found}, the configuration {wanted}"
            # Where there may be placeholders columns may be null: a start sees to it, and nothing takes it back
            may_be_null = PLACEHOLDER_COLUMN in there or PLACEHOLDER_COLUMN in table.columns
            if not_null != (not column.nullable) and not (may_be_null and not column.primary_key):
                yield f"{where}: the table has {'NOT NULL' if not_null else 'NULL'}, the configuration not"
            parents = {key.column.table.name for key in column.foreign_keys}
            referred = foreign_keys.get((table.name, column.name), set())
            if parents != referred:
                yield (
                    f"{where}: the table refers to {', '.join(sorted(referred)) or 'nothing'}, "
                    f"the configuration to {', '.join(sorted(parents)) or 'nothing'}"
                )
        for name in sorted(there.keys() - {column.name for column in table.columns}):
            if not there[name].fills_itself:
                yield (
                    f"{table.name}.{name}: the table has it as NOT NULL, the configuration not; give it a default "
                    "there, drop NOT NULL, or name it here"
                )


def missing_keys(tx: Cursor, config: PipelineConfig, existing: Collection[str]) -> Iterator[str]:
    """Keys of the configuration that a table does not have. One without any key is in the middle of a restore."""
    tx.execute(query("schema_init", "unique_keys"))
    there: dict[str, set[frozenset[str]]] = {}
    for table, columns in tx.fetchall():
        there.setdefault(table, set()).add(frozenset(columns))
    for spec in config.by_logical_name.values():
        wanted = [(spec.key_table, spec.schema.key_columns)]
        wanted += [(spec.table, spec.schema.columns_of(key)) for key in spec.unique]
        for table, columns in wanted if spec.table in existing else ():
            names = [column.target for column in columns]
            if table in there and frozenset(names) not in there[table]:
                listed = ", ".join(DIALECT.identifier_preparer.quote(name) for name in names)
                yield (
                    f"{table}: the configuration has {', '.join(names)} as a key, by which rows are told apart or "
                    f"referred to, and the table has not; as its owner: ALTER TABLE {table} ADD UNIQUE ({listed})"
                )


def _has_rows(tx: Cursor, table: sa.Table) -> bool:
    tx.execute(f"SELECT EXISTS (SELECT FROM {DIALECT.identifier_preparer.format_table(table)})")
    return tx.fetchone() == (True,)


def outdated_checks(
    tx: Cursor, metadata: sa.MetaData, existing: dict[str, dict[str, Found]]
) -> Iterator[tuple[str, str]]:
    """(table, statement) that bring the CHECKs of tables which exist to what the metadata says."""
    tx.execute(query("schema_init", "checks"))
    there = set(tx.fetchall())
    for table in metadata.sorted_tables:
        for check in table.constraints if table.name in existing else ():
            is_named = isinstance(check, sa.CheckConstraint | sa.UniqueConstraint) and check.name is not None
            if is_named and (table.name, check.name) not in there:
                yield table.name, str(sa.schema.AddConstraint(check).compile(dialect=DIALECT))
    yield from _missing_indexes(tx, metadata, existing)
    yield from _columns_of_placeholders(metadata, existing)


def _columns_of_placeholders(
    metadata: sa.MetaData, existing: dict[str, dict[str, Found]]
) -> Iterator[tuple[str, str]]:
    """(table, statement) that let the columns be null that a placeholder has nothing for."""
    for table in metadata.sorted_tables:
        there = existing.get(table.name, {})
        for column in table.columns if PLACEHOLDER_COLUMN in table.columns else ():
            if column.nullable and column.name in there and there[column.name].not_null:
                names = DIALECT.identifier_preparer
                name = names.format_column(column)
                yield table.name, f"ALTER TABLE {names.format_table(table)} ALTER COLUMN {name} DROP NOT NULL"


def _missing_indexes(
    tx: Cursor, metadata: sa.MetaData, existing: dict[str, dict[str, Found]]
) -> Iterator[tuple[str, str]]:
    """(table, statement) for indexes of the file log that an earlier version did not make."""
    tx.execute(query("schema_init", "indexes"), {"table": "pipeline_file_log"})
    there = {name for (name,) in tx.fetchall()}
    table = metadata.tables["pipeline_file_log"]
    columns = existing.get(table.name, {})
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        if (
            index.name not in there and {column.name for column in index.columns} <= columns.keys()
        ):  # else with these
            yield table.name, str(sa.schema.CreateIndex(index).compile(dialect=DIALECT))
