"""Creates the tables that the config asks for, adds new columns, and refuses any other difference."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from sqlalchemy.dialects import postgresql

from config.config_loader import get_config
from config.errors import ConfigError
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse, default_warehouse
from datawarehouse.queries import query, script
from datawarehouse.rights import ADVICE, current_role, require_rights
from datawarehouse.schema import partitions, user_triggers
from datawarehouse.schema.tables import FORMER_CHECKS, build_metadata
from utils.logger import get_logger

logger = get_logger(__name__)

SATURDAY_AND_SUNDAY = (6, 7)
_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # a % stays one


class Found(NamedTuple):
    """A column of a table; `fills_itself`: a row that says nothing of it can be inserted."""

    sql_type: str
    not_null: bool
    fills_itself: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a start would do: tables to make, columns (`table.column`) to add; or why it would refuse.

    `others` are columns that only the tables have, and that are left alone.
    """

    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()  # table, statement
    differences: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def plan(tx: Cursor | None, config: PipelineConfig) -> Plan:
    """Compare the database with `config`; nothing is changed. Without `tx` there is no database yet."""
    metadata = build_metadata(config)
    return _plan(tx, config, metadata, _columns(tx) if tx is not None else {})


def _plan(
    tx: Cursor | None,
    config: PipelineConfig,
    metadata: sa.MetaData,
    existing: dict[str, dict[str, Found]],
) -> Plan:
    if tx is not None and (otherwise := tuple(partitions.differences(tx, config))):
        return Plan(differences=otherwise)  # what differs beside these follows from them
    tables = metadata.sorted_tables
    return Plan(
        tables=tuple(table.name for table in tables if table.name not in existing),
        columns=tuple(
            f"{table.name}.{column.name}"
            for table in tables
            for column in table.columns
            if table.name in existing and column.name not in existing[table.name]
        ),
        checks=tuple(_outdated_checks(tx, metadata, existing)) if tx is not None else (),
        differences=(
            *_differences(tx, metadata, existing),
            *_missing_keys(tx, config, existing),
            *user_triggers.rules(tx, config),
        )
        if tx is not None
        else (),
        others=tuple(
            f"{table.name}.{name}"
            for table in tables
            for name in sorted(existing.get(table.name, {}).keys() - {column.name for column in table.columns})
        ),
    )


def init_schema(warehouse: Warehouse | None = None, config: PipelineConfig | None = None) -> None:
    """Bring the database to what `config` says. Idempotent; says nothing when there is nothing to do.

    No DDL runs when there is nothing to do, so that a role without the right to it can start too.
    Raises ConfigError that lists every difference which isn't a column to add, or what the role may not do.
    """
    warehouse = warehouse or default_warehouse()
    config = config or get_config()
    metadata = build_metadata(config)
    with warehouse.transaction() as tx:
        tx.execute(query("schema_init", "lock"))
        existing = _columns(tx)
        todo = _plan(tx, config, metadata, existing)
        if todo.differences:
            raise ConfigError(
                "the database and the configuration differ; change one of them:\n"
                + "\n".join(f"  - {difference}" for difference in todo.differences)
            )
        if todo.others:
            logger.info(f"[schema] left alone, since only the tables have them: {', '.join(todo.others)}")
        _require_ddl_rights(tx, todo)
        for table in metadata.sorted_tables:
            if table.name not in existing:
                _create(tx, table)
            else:
                _add_columns(tx, table, existing[table.name])
        for spec in partitions.partitioned(config):
            if spec.table not in existing:
                partitions.prepare(tx, spec)
        for name, statement in todo.checks:
            tx.execute(statement)
            logger.info(f"[schema] brought a check of {name} up to date", extra={"table": name})
        _install_procedure(tx)
        require_rights(tx, config)
        tx.execute("SELECT EXISTS (SELECT FROM dim_time)")
        if tx.fetchone() == (False,):
            tx.execute(query("schema_init", "fill_times"))
        tx.execute(query("schema_init", "warehouse_id"))
        year = dt.datetime.now(dt.UTC).year
        weekend = config.calendar.weekend
        days = SATURDAY_AND_SUNDAY if weekend is None else tuple(day.iso for day in weekend)
        grow_dates(tx, year - 1, year + 1, days)
        if weekend is not None:
            _set_weekend(tx, days)
    partitions.keep_up(warehouse, config)


def _require_ddl_rights(tx: Cursor, todo: Plan) -> None:
    """Raises ConfigError when tables are to be made, to grow or to get checks, and the role may not do that."""
    grown = sorted({*(name.partition(".")[0] for name in todo.columns), *(table for table, _ in todo.checks)})
    if not (todo.tables or grown):
        return
    tx.execute(query("rights", "may_create"))
    may_create = tx.fetchone() == (True,)
    tx.execute(query("rights", "owned"))
    owned = {row[0] for row in tx}
    refused = [*(() if may_create else todo.tables), *(name for name in grown if name not in owned)]
    if refused:
        raise ConfigError(
            f"tables are to be made or to get new columns, and the database role {current_role(tx)} may not do "
            f"that; {ADVICE}. Tables: {', '.join(refused)}"
        )


def _install_procedure(tx: Cursor) -> None:
    text = script("stored_procedure_true_orphans")
    tx.execute(query("rights", "procedure"))
    body, may_replace = tx.fetchone() or (None, True)
    if body is not None and body == text.split("$$")[1]:
        return
    if may_replace:
        tx.execute(text)
    else:
        logger.warning(
            "[schema] the stored procedure is of another version; start once as its owner to replace it"
        )


def _set_weekend(tx: Cursor, days: tuple[int, ...]) -> None:
    """Bring dim_date to the weekend of the configuration."""
    tx.execute(query("schema_init", "other_weekend"), {"weekend": list(days)})
    if tx.fetchone() != (True,):
        return
    tx.execute("SELECT has_table_privilege('dim_date', 'UPDATE')")
    if tx.fetchone() == (True,):
        tx.execute(query("schema_init", "set_weekend"), {"weekend": list(days)})
    else:
        logger.warning("[schema] calendar.weekend differs from dim_date; start once as its owner to change it")


def grow_dates(
    tx: Cursor, first_year: int, last_year: int, weekend: tuple[int, ...] = SATURDAY_AND_SUNDAY
) -> None:
    """Fill dim_date with all days from `first_year` to `last_year`, and those between them and what is there.

    `weekend` (ISO days, 1 is Monday) is that of a new calendar; one that is there goes on with its own.
    """
    tx.execute("SELECT min(year), max(year) FROM dim_date")
    low, high = tx.fetchone() or (None, None)
    if low is None:
        spans = [(first_year, last_year)]
    else:
        spans = [(min(first_year, low), low - 1), (high + 1, max(last_year, high))]
    for first, last in spans:
        if first <= last:
            tx.execute(
                query("schema_init", "grow_dates"), {"first": first, "last": last, "weekend": list(weekend)}
            )


def _columns(tx: Cursor) -> dict[str, dict[str, Found]]:
    """Every table's columns."""
    tx.execute(query("schema_init", "columns"))
    found: dict[str, dict[str, Found]] = {}
    for table, column, *rest in tx.fetchall():
        found.setdefault(table, {})[column] = Found(*rest)
    return found


def _differences(tx: Cursor, metadata: sa.MetaData, existing: dict[str, dict[str, Found]]) -> Iterator[str]:
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
            wanted, (found, not_null, _) = _type_name(column), there[column.name]
            if wanted != found:
                yield f"{where}: the table has {found}, the configuration {wanted}"
            if not_null != (not column.nullable):
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


def _missing_keys(tx: Cursor, config: PipelineConfig, existing: Collection[str]) -> Iterator[str]:
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
                listed = ", ".join(_DIALECT.identifier_preparer.quote(name) for name in names)
                yield (
                    f"{table}: the configuration has {', '.join(names)} as a key, by which rows are told apart or "
                    f"referred to, and the table has not; as its owner: ALTER TABLE {table} ADD UNIQUE ({listed})"
                )


def _has_rows(tx: Cursor, table: sa.Table) -> bool:
    tx.execute(f"SELECT EXISTS (SELECT FROM {_DIALECT.identifier_preparer.format_table(table)})")
    return tx.fetchone() == (True,)


def _outdated_checks(
    tx: Cursor, metadata: sa.MetaData, existing: dict[str, dict[str, Found]]
) -> Iterator[tuple[str, str]]:
    """(table, statement) that bring the CHECKs of tables which exist to what the metadata says."""
    tx.execute(query("schema_init", "checks"))
    there = set(tx.fetchall())
    for table, name in sorted(there):
        if table in metadata.tables and name in FORMER_CHECKS:
            yield table, f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    for table in metadata.sorted_tables:
        for check in table.constraints if table.name in existing else ():
            if isinstance(check, sa.CheckConstraint) and (table.name, check.name) not in there:
                yield table.name, str(sa.schema.AddConstraint(check).compile(dialect=_DIALECT))
    yield from _missing_indexes(tx, metadata, existing)


def _missing_indexes(
    tx: Cursor, metadata: sa.MetaData, existing: dict[str, dict[str, Found]]
) -> Iterator[tuple[str, str]]:
    """(table, statement) for indexes of the file log that an earlier version did not make."""
    tx.execute(query("schema_init", "indexes"), {"table": "pipeline_file_log"})
    there = {name for (name,) in tx.fetchall()}
    table = metadata.tables["pipeline_file_log"]
    for index in sorted(table.indexes, key=lambda index: str(index.name)) if table.name in existing else ():
        if index.name not in there:
            yield table.name, str(sa.schema.CreateIndex(index).compile(dialect=_DIALECT))


def _type_name(column: sa.Column[Any]) -> str:
    """The type as PostgreSQL's format_type() writes it."""
    name = column.type.compile(_DIALECT).lower().replace(", ", ",")
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
    return [str(element.compile(dialect=_DIALECT)).strip() for element in elements]


def _create(tx: Cursor, table: sa.Table) -> None:
    for statement in create_statements(table):
        tx.execute(statement)
    logger.info(f"[schema] created {table.name}", extra={"table": table.name})


def _add_columns(tx: Cursor, table: sa.Table, there: dict[str, Found]) -> None:
    preparer = _DIALECT.identifier_preparer
    constraints = []
    for column in table.columns:
        if column.name in there:
            continue
        ddl = sa.schema.CreateColumn(column).compile(dialect=_DIALECT)
        tx.execute(f"ALTER TABLE {preparer.format_table(table)} ADD COLUMN {ddl}")
        constraints += [key.constraint for key in column.foreign_keys if key.constraint is not None]
        for index in table.indexes:
            if column.name in index.columns:
                tx.execute(str(sa.schema.CreateIndex(index).compile(dialect=_DIALECT)))
        logger.info(f"[schema] added {table.name}.{column.name}", extra={"table": table.name})
    for constraint in dict.fromkeys(constraints):
        tx.execute(str(sa.schema.AddConstraint(constraint).compile(dialect=_DIALECT)))
