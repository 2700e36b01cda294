"""Background job: replaces the SLA view, and the views beside it, every few minutes."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from config.errors import PipelineError
from utils.logger import get_logger

logger = get_logger(__name__)

# Replacing a view waits for its readers, and new readers wait behind it: rather give up and come again
LOCK_TIMEOUT = "1s"
OTHER_COLUMNS = "42P16"  # CREATE OR REPLACE can add columns, and nothing else
NO_SUCH_TABLE_OR_COLUMN = {"42P01", "42703", "42883"}  # or the column has a type that the view can't use

_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('fastfeast views'))"  # else two services collide
_KEPT = """
SELECT c.relowner::regrole::text,
       ARRAY(SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
             FROM aclexplode(c.relacl) AS a WHERE a.privilege_type = 'SELECT' AND a.grantee <> c.relowner)
FROM pg_class AS c WHERE c.oid = to_regclass('{view}')"""


def update_views(engine: sa.Engine, views: Mapping[str, str]) -> list[str]:
    """Run each statement of `views` (name → CREATE OR REPLACE VIEW) in a transaction of its own.

    A view that has other columns now is dropped and made anew, with all the others, since they may read it;
    owner and readers stay. A failure is logged, not raised. Returns the views that these tables can't have.
    """
    left_out = []
    failed = False
    for name, statement in views.items():
        try:
            _run(engine, [statement])
        except (
            SQLAlchemyError,
            PipelineError,
        ) as error:  # the engine may connect through the warehouse's own code
            code = _code(error)
            if code in NO_SUCH_TABLE_OR_COLUMN:
                logger.info(f"[sla] {name} is left out: the tables don't have what it reads")
                left_out.append(name)
            elif code != OTHER_COLUMNS or not _rebuild(
                engine, {n: s for n, s in views.items() if n not in left_out}
            ):
                logger.warning(f"[sla] SLA view update failed: {name} ({_reason(error)})")
                failed = True
    if not failed:
        logger.info("[sla] SLA view updated", extra={"views": len(views) - len(left_out)})
    return left_out


def sla_scheduler_loop(
    stop_event: threading.Event, engine: sa.Engine, views: Mapping[str, str], every_seconds: float = 600
) -> None:
    """Update the views at once and then every `every_seconds`, until `stop_event` is set."""
    views = dict(views)
    while not stop_event.is_set():
        for name in update_views(engine, views):
            del views[name]
        stop_event.wait(every_seconds)


def _run(engine: sa.Engine, statements: list[str]) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; {_ONE_AT_A_TIME}")
        # without parameters a % in the SQL is only a %
        for statement in statements:
            connection.execution_options(no_parameters=True).exec_driver_sql(statement)


def _rebuild(engine: sa.Engine, views: Mapping[str, str]) -> bool:
    """Drop and make all of `views` in one transaction; each keeps its owner and those who may read it."""
    try:
        with engine.connect() as connection:
            kept = {view: connection.exec_driver_sql(_KEPT.format(view=view)).one_or_none() for view in views}
        statements = [f"DROP VIEW {view}" for view in reversed(list(views)) if kept[view]]
        for view, statement in views.items():
            statements.append(statement)
            if found := kept[view]:
                statements += [f"GRANT SELECT ON {view} TO {reader}" for reader in found[1]]
                statements.append(f"ALTER VIEW {view} OWNER TO {found[0]}")
        _run(engine, statements)
    except (SQLAlchemyError, PipelineError) as error:
        logger.warning(f"[sla] views not made anew ({_reason(error)}): does a view of your own read them?")
        return False
    logger.info("[sla] views made anew: their columns are others now")
    return True


def _code(error: Exception) -> str | None:
    return getattr(error.orig, "pgcode", None) if isinstance(error, DBAPIError) else None


def _reason(error: Exception) -> str:
    """The error's class and SQLSTATE; the server's own text may quote data."""
    code = _code(error)
    return f"{type(error).__name__}, SQLSTATE {code}" if code else type(error).__name__
