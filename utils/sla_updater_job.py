"""Background job: replaces the SLA view every few minutes."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from config.errors import PipelineError
from utils.logger import get_logger

logger = get_logger(__name__)

# Replacing a view waits for its readers, and new readers wait behind it: rather give up and come again
LOCK_TIMEOUT = "1s"


def update_sla_view(engine: sa.Engine, view_sql: str) -> None:
    """Run `view_sql` (CREATE OR REPLACE VIEW) in a transaction. A failure is logged, not raised."""
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            # without parameters a % in the SQL is only a %
            connection.execution_options(no_parameters=True).exec_driver_sql(view_sql)
    except (SQLAlchemyError, PipelineError) as error:  # the engine may connect through the warehouse's own code
        logger.warning(f"[sla] SLA view update failed ({_reason(error)})")
    else:
        logger.info("[sla] SLA view updated")


def sla_scheduler_loop(
    stop_event: threading.Event, engine: sa.Engine, view_sql: str, every_seconds: float = 600
) -> None:
    """Update the view at once and then every `every_seconds`, until `stop_event` is set."""
    while not stop_event.is_set():
        update_sla_view(engine, view_sql)
        stop_event.wait(every_seconds)


def _reason(error: Exception) -> str:
    """The error's class and SQLSTATE; the server's own text may quote data."""
    code = getattr(error.orig, "pgcode", None) if isinstance(error, DBAPIError) else None
    return f"{type(error).__name__}, SQLSTATE {code}" if code else type(error).__name__
