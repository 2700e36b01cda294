"""Background job: replaces the SLA view every few minutes."""

from __future__ import annotations

import threading

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from utils.logger import get_logger

logger = get_logger(__name__)

LOCK_TIMEOUT = "5s"  # a long reader of the view is not waited for: the next turn comes


def update_sla_view(engine: sa.Engine, view_sql: str) -> bool:
    """Run `view_sql` (CREATE OR REPLACE VIEW); failures are logged. Returns whether it went well."""
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            connection.exec_driver_sql(view_sql)
    except SQLAlchemyError as error:
        code = getattr(getattr(error, "orig", None), "pgcode", None)
        logger.warning(f"[sla] SLA view update failed ({type(error).__name__}, SQLSTATE {code})")
        return False
    logger.info("[sla] SLA view updated")
    return True


def sla_scheduler_loop(
    stop_event: threading.Event, engine: sa.Engine, view_sql: str, every_seconds: float = 600
) -> None:
    """Update the view at once and every `every_seconds`, until `stop_event` is set."""
    while True:
        update_sla_view(engine, view_sql)
        if stop_event.wait(every_seconds):
            return
