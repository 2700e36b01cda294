"""Brings the tables to what the configuration says where that is safe, and refuses any other difference."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.config_loader import get_config
from config.errors import ConfigError, PipelineError
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse, default_warehouse
from datawarehouse.queries import query, script
from datawarehouse.rights import ADVICE, current_role, require_rights
from datawarehouse.schema import migrate, partitions
from datawarehouse.schema.calendar import SATURDAY_AND_SUNDAY, grow_dates, set_weekend
from datawarehouse.schema.changes import do_beside, execute
from datawarehouse.schema.plan import Plan, plan
from datawarehouse.schema.steps import Cost, Kind, Step
from utils.logger import get_logger

logger = get_logger(__name__)


def init_schema(warehouse: Warehouse | None = None, config: PipelineConfig | None = None) -> None:
    """Bring the database to what `config` says. Idempotent; says nothing when there is nothing to do.

    No DDL runs when there is nothing to do, so that a role without the right to it can start too.
    Raises ConfigError that lists every difference which is not safe to mend, or what the role may not do.
    """
    warehouse = warehouse or default_warehouse()
    config = config or get_config()
    with warehouse.transaction() as tx:
        tx.execute(query("schema_init", "lock"))
        migrate.require_known(tx)
        migrations = migrate.pending(tx)
        _require_right_to_migrate(tx, migrations)
        migrate.run(tx, migrations)
        todo = plan(tx, config)
        refuse_differences(todo)
        if todo.others:
            logger.info(f"[schema] left alone, since only the tables have them: {', '.join(todo.others)}")
        require_ddl_rights(tx, todo.for_start)
        execute(tx, todo.for_start, config)
        bring_up(tx, config)
    _make_indexes(warehouse, [step for step in todo.steps if step.beside and step.cost is Cost.SAFE])
    partitions.keep_up(warehouse, config)


def refuse_differences(todo: Plan) -> None:
    """Raises ConfigError that lists for what a start is refused."""
    if todo.differences:
        raise ConfigError(
            "the database and the configuration differ; `python main.py plan` shows what brings the one to the "
            "other, and `python main.py apply` does it:\n"
            + "\n".join(f"  - {difference}" for difference in todo.differences)
        )


def bring_up(tx: Cursor, config: PipelineConfig) -> None:
    """What belongs to the tables, beside them: the procedure, the calendar, the warehouse's id.

    Raises ConfigError for what the role may not do that loading needs.
    """
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


def _make_indexes(warehouse: Warehouse, steps: Sequence[Step]) -> None:
    """Loading goes on without what can't be made now."""
    try:
        do_beside(warehouse, steps)
    except PipelineError as problem:
        logger.warning(f"[schema] an index is left for `python main.py apply`: {problem}")


def require_rights_for(tx: Cursor, config: PipelineConfig, todo: Plan) -> None:
    """Raises ConfigError when the role may not do what a start would do, or what loading needs."""
    _require_right_to_migrate(tx, todo.migrations)
    require_ddl_rights(tx, todo.for_start)
    if not (todo.migrations or todo.for_start):  # what is new is the role's own
        require_rights(tx, config)


def _require_right_to_migrate(tx: Cursor, migrations: Sequence[object]) -> None:
    """Raises ConfigError when the pipeline's own tables are to be changed and are another role's."""
    tx.execute(query("rights", "owned"))
    if migrations and migrate.OWN_TABLE not in {name for (name,) in tx}:
        raise ConfigError(
            "the pipeline's own tables are of an earlier version and are to be changed, and the database role "
            f"{current_role(tx)} may not do that; {ADVICE}"
        )


def require_ddl_rights(tx: Cursor, steps: Sequence[Step]) -> None:
    """Raises ConfigError when tables are to be made or changed, and the role may not do that."""
    if not steps:
        return
    tx.execute(query("rights", "may_create"))
    may_create = tx.fetchone() == (True,)
    tx.execute(query("rights", "owned"))
    owned = {row[0] for row in tx}
    made = {step.table for step in steps if step.kind is Kind.CREATE_TABLE}
    changed = {step.owner_of for step in steps} - made
    refused = [*(() if may_create else sorted(made)), *sorted(changed - owned)]
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
