"""The steps of a plan, done."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, WarehouseUnavailable, WarehouseUnfit
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.db_errors import translated
from datawarehouse.queries import query
from datawarehouse.schema import migrate
from datawarehouse.schema.ddl import quoted
from datawarehouse.schema.misfits import quarantining
from datawarehouse.schema.plan import plan
from datawarehouse.schema.steps import Kind, Step
from datawarehouse.schema.unreadable import keep_read_values
from datawarehouse.versions import bind_all, bindings_of
from datawarehouse.watched_connection import WatchedConnection
from utils.logger import get_logger

logger = get_logger(__name__)

SetAside = Callable[[Cursor, Step], None]  # puts the rows that are against a step into quarantine


def execute(tx: Cursor, steps: Iterable[Step], config: PipelineConfig, set_aside: SetAside | None = None) -> None:
    """Do the steps, in this transaction. Raises ConfigError where rows came meanwhile that are against one."""
    steps = list(steps)
    retyped = {step.table for step in steps if step.kind is Kind.CHANGE_TYPE}
    views: list[str] | None = None
    for step in steps:
        if views is None and retyped and step.kind not in {Kind.RENAME_TABLE, Kind.RENAME_COLUMN}:
            views = _without_views(tx, retyped)
        _execute(tx, step, config, set_aside)
        logger.info(f"[schema] {step.sentence}", extra={"table": step.table})
    added = {(step.table, step.column) for step in steps if step.kind is Kind.ADD_COLUMN}
    for spec in config.by_logical_name.values():
        for binding in bindings_of(spec, config):
            if (binding.child.table, binding.column) in added:
                bind_all(tx, binding)
    for statement in views or ():
        tx.execute(statement)


def _without_views(tx: Cursor, tables: Iterable[str]) -> list[str]:
    """Drop the views that read these tables: no column changes under them. Returns what brings them back.

    Raises ConfigError where one is not this role's, or holds rows of its own.
    """
    tx.execute(query("changes", "readers"), {"tables": sorted(tables)})
    found = tx.fetchall()
    if others := [name for name, kind, is_own, *_ in found if kind != "v" or not is_own]:
        raise ConfigError(
            f"{', '.join(others)} read what is to change, and are materialized, or views of another role: drop "
            "them, run this again, and make them anew"
        )
    back: list[str] = []
    for name, _, _, definition, grants in found:
        tx.execute(f"DROP VIEW {name}")
        back[:0] = [f"CREATE VIEW {name} AS {definition}", *([grants] if grants else [])]
    return back


def _execute(tx: Cursor, step: Step, config: PipelineConfig, set_aside: SetAside | None) -> None:
    if step.misfits is not None:
        tx.execute(sql.SQL(query("changes", "lock")).format(table=sql.Identifier(step.table)))
        if step.kind is Kind.QUARANTINE and set_aside is not None:
            set_aside(tx, step)
        tx.execute(f"SELECT EXISTS (SELECT FROM {quoted(step.misfits.table)} AS t WHERE {step.misfits.condition})")
        if tx.fetchone() == (True,):
            raise ConfigError(f"{step.sentence}: rows are against it; `python main.py plan` shows them")
    if step.reads is not None:
        _read(tx, step, config)
    for statement in step.sql:
        tx.execute(statement)


def _read(tx: Cursor, step: Step, config: PipelineConfig) -> None:
    for spec in config.by_logical_name.values():
        if step.table in spec.possible_tables:
            column = next(column for column in spec.stored if column.target == step.column)
            keep_read_values(tx, step.table, step.reads or "", column, spec)
            return


# ---------------------------------------------------------------- apply

LOCK_SECONDS = 2  # a step waits no longer for those that load; they would wait behind it
TRIES = 30
_A_DAY = 24 * 3600.0


def apply(
    warehouse: Warehouse,
    config: PipelineConfig,
    wanted: Sequence[Step],
    then: Callable[[Cursor], None],
    tries: int = TRIES,
    set_aside: SetAside | None = None,
) -> None:
    """Do the `wanted` steps: in one transaction, which ends with `then`, but for those that are done beside loads.

    With `set_aside`, rows that are against a step go to quarantine before it.

    Locks are waited for in short spells, so that loads are held up for seconds at most; then it is tried again.
    Of steps that somebody else has done meanwhile, none is repeated. Raises ConfigError where rows are against a
    step; then nothing has changed.
    """
    for left in reversed(range(tries)):
        try:
            with warehouse.transaction(deadline_seconds=_A_DAY) as tx:
                tx.execute(query("changes", "patience").format(seconds=LOCK_SECONDS))
                tx.execute(query("schema_init", "lock"))
                migrate.run(tx, migrate.pending(tx))
                still = [step for step in _still(tx, config, wanted) if not step.beside]
                execute(tx, quarantining(still, config) if set_aside else still, config, set_aside)
                then(tx)
            break
        except WarehouseUnavailable as problem:
            if not left or isinstance(problem, WarehouseUnfit):
                raise
            logger.info(f"[schema] others are at the tables ({problem}); trying again")
            time.sleep(random.uniform(0.1, 0.5))  # noqa: S311  (so that two don't meet again)
    do_beside(warehouse, [step for step in wanted if step.beside])


def do_beside(warehouse: Warehouse, steps: Iterable[Step]) -> None:
    """Statements that run while others load, each by itself. What fails is done by the next `apply`."""
    for step in steps:
        connection = warehouse.get_conn()
        try:
            if isinstance(connection, WatchedConnection):
                connection.limit_seconds = _A_DAY
            connection.autocommit = True
            with translated(), connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = 0")
                for statement in step.sql:
                    cursor.execute(statement)
                cursor.execute("RESET statement_timeout")
        finally:
            warehouse.put_conn(connection)
        logger.info(f"[schema] {step.sentence}", extra={"table": step.table})


def _still(tx: Cursor, config: PipelineConfig, wanted: Sequence[Step]) -> list[Step]:
    """Those of the steps that the tables still need, as they are needed now."""
    known = {step.sql for step in wanted}
    return [step for step in plan(tx, config).steps if step.sql in known]
