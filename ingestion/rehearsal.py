"""What a start would do to the database, and why it would be refused; nothing is changed, and nothing made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from functools import partial

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.login import NoDatabaseYet
from datawarehouse.schema.plan import Plan, plan
from datawarehouse.schema_init import require_rights_for
from ingestion.start_checks import check_clock, check_connections, check_folders, require_pii_key


def rehearse(config: PipelineConfig) -> tuple[Plan, list[str]]:
    """What a start would do, and what it would be refused for beside the plan's own differences.

    A database that has not been made yet has nothing to compare. Raises what Warehouse.open() does where the
    database can't be asked.
    """
    problems = list(_raised(partial(check_folders, config, make=False)))
    warehouse = Warehouse(config.database, config.home)
    try:
        warehouse.open(create=False)
    except NoDatabaseYet:
        return plan(None, config), problems
    try:
        with warehouse.transaction() as tx:
            tx.execute("SET TRANSACTION READ ONLY")
            todo = plan(tx, config)
            return todo, problems + list(_refusals(tx, config, todo))
    finally:
        warehouse.close()


def _refusals(tx: Cursor, config: PipelineConfig, todo: Plan) -> Iterator[str]:
    """What the start's own checks say of a database that it has opened."""
    checks: list[Callable[[], object]] = [partial(check_connections, tx, config)]
    if not todo.differences:
        checks.append(partial(require_rights_for, tx, config, todo))
    if "pipeline_file_log" not in todo.tables:
        checks.append(partial(check_clock, tx, dt.datetime.now(dt.UTC)))
        if "pipeline_meta" not in todo.tables:
            checks.append(partial(require_pii_key, tx, config))
    for check in checks:
        yield from _raised(check)


def _raised(check: Callable[[], object]) -> Iterator[str]:
    try:
        check()
    except ConfigError as problem:
        yield str(problem)
