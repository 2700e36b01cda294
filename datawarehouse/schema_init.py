"""Creates the tables that the config asks for, adds new columns, and refuses any other difference."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.config_loader import get_config
from config.errors import ConfigError
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse, default_warehouse
from datawarehouse.queries import query, script
from datawarehouse.rights import ADVICE, current_role, require_rights
from datawarehouse.schema import history_tables, migrate, partitions, user_triggers
from datawarehouse.schema.calendar import SATURDAY_AND_SUNDAY, grow_dates, set_weekend
from datawarehouse.schema.ddl import add_columns, create
from datawarehouse.schema.differences import Found, columns_there, differences, missing_keys, outdated_checks
from datawarehouse.schema.tables import build_metadata
from datawarehouse.versions import bind_all, bindings_of
from utils.logger import get_logger

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a start would do: migrations (names) of the pipeline's own tables to run, tables to make, columns
    (`table.column`) to add; or why it would refuse.

    `others` are columns that only the tables have, and that are left alone.
    """

    migrations: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()  # table, statement
    differences: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def plan(tx: Cursor | None, config: PipelineConfig) -> Plan:
    """Compare the database with `config`; nothing is changed. Without `tx` there is no database yet."""
    metadata = build_metadata(config)
    return _plan(tx, config, metadata, columns_there(tx) if tx is not None else {})


def _plan(
    tx: Cursor | None,
    config: PipelineConfig,
    metadata: sa.MetaData,
    existing: dict[str, dict[str, Found]],
) -> Plan:
    if tx is not None and (newer := migrate.too_new(tx)):
        return Plan(differences=(newer,))
    if tx is not None and (otherwise := tuple(partitions.differences(tx, config))):
        return Plan(differences=otherwise)  # what differs beside these follows from them
    tables = metadata.sorted_tables
    return Plan(
        migrations=tuple(one.name for one in migrate.pending(tx)) if tx is not None else (),
        tables=tuple(table.name for table in tables if table.name not in existing),
        columns=tuple(
            f"{table.name}.{column.name}"
            for table in tables
            for column in table.columns
            if table.name in existing and column.name not in existing[table.name]
        ),
        checks=tuple(outdated_checks(tx, metadata, existing)) if tx is not None else (),
        differences=(
            *differences(tx, metadata, existing),
            *missing_keys(tx, config, existing),
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
        migrate.require_known(tx)
        migrations = migrate.pending(tx)
        _require_right_to_migrate(tx, migrations)
        migrate.run(tx, migrations)
        existing = columns_there(tx)
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
                create(tx, table)
            else:
                add_columns(tx, table, existing[table.name])
        for spec in partitions.partitioned(config):
            if spec.table not in existing:
                partitions.prepare(tx, spec)
        _begin_histories(tx, config, existing)
        for name, statement in todo.checks:
            tx.execute(statement)
            logger.info(f"[schema] brought a check of {name} up to date", extra={"table": name})
        _install_procedure(tx)
        require_rights(tx, config)
        tx.execute("SELECT EXISTS (SELECT FROM dim_time)")
        if tx.fetchone() == (False,):
            tx.execute(query("schema_init", "fill_times"))
        tx.execute(query("schema_init", "warehouse_id"))
        migrate.record(tx)
        year = dt.datetime.now(dt.UTC).year
        weekend = config.calendar.weekend
        days = SATURDAY_AND_SUNDAY if weekend is None else tuple(day.iso for day in weekend)
        grow_dates(tx, year - 1, year + 1, days)
        if weekend is not None:
            set_weekend(tx, days)
    partitions.keep_up(warehouse, config)


def _begin_histories(tx: Cursor, config: PipelineConfig, existing: dict[str, dict[str, Found]]) -> None:
    """Histories of tables that are there begin with their rows; then rows that are there are bound to versions."""
    specs = config.by_logical_name.values()
    for spec in specs:
        if spec.keeps_history and spec.table in existing and spec.history_table not in existing:
            history_tables.begin(tx, spec)
    for binding in (binding for spec in specs for binding in bindings_of(spec, config)):
        table = existing.get(binding.child.table)
        if table is not None and binding.column not in table:
            bind_all(tx, binding)


def require_rights_for(tx: Cursor, config: PipelineConfig, todo: Plan) -> None:
    """Raises ConfigError when the role may not do what a start would do, or what loading needs."""
    _require_right_to_migrate(tx, todo.migrations)
    _require_ddl_rights(tx, todo)
    if not (todo.migrations or todo.tables or todo.columns):  # what is new is the role's own
        require_rights(tx, config)


def _require_right_to_migrate(tx: Cursor, migrations: Sequence[object]) -> None:
    """Raises ConfigError when the pipeline's own tables are to be changed and are another role's."""
    tx.execute(query("rights", "owned"))
    if migrations and migrate.OWN_TABLE not in {name for (name,) in tx}:
        raise ConfigError(
            "the pipeline's own tables are of an earlier version and are to be changed, and the database role "
            f"{current_role(tx)} may not do that; {ADVICE}"
        )


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
