"""A database that is away: watched by one worker, with an alert at each end, while the others wait for it."""

from __future__ import annotations

import math
import random
import threading
import time

from config.errors import PipelineError, ReadOnlyServer, WarehouseUnavailable
from datawarehouse.db_connection import Warehouse
from utils import metrics
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 5.0  # between two looks


class Outage:
    """Called by any thread; `stop` ends all waiting, and so does `patience` (seconds), by WarehouseUnavailable."""

    def __init__(self, warehouse: Warehouse, stop: threading.Event, patience: float = math.inf) -> None:
        self._warehouse = warehouse
        self._stop = stop
        self._patience = patience
        self._watching = threading.Lock()  # held by the one that watches

    def reachable(self) -> bool:
        """Does PostgreSQL answer, and take writes? A standby, or a primary that was demoted, doesn't."""
        metrics.turn()  # an outage is no reason to start the service again
        try:
            with self._warehouse.transaction(deadline_seconds=10) as tx:
                tx.execute("SELECT current_setting('transaction_read_only')")
                if tx.fetchone() == ("on",):
                    raise ReadOnlyServer("PostgreSQL takes no writes here")
        except WarehouseUnavailable:
            return False
        except PipelineError as problem:
            logger.info(f"[runner] PostgreSQL is there, and does not answer as it should: {problem}")
            return False
        return True

    def wait(self, problem: Exception) -> None:
        """Return when PostgreSQL answers, or `stop` is set. Raises WarehouseUnavailable at the end of patience."""
        while not self._watching.acquire(timeout=FIRST_WAIT_SECONDS):
            if self._stop.is_set():
                return
        try:
            if not self.reachable():  # else the one before has seen it come back
                self._watch(problem)
        finally:
            self._watching.release()

    def _watch(self, problem: Exception) -> None:
        started = time.monotonic()
        wait = FIRST_WAIT_SECONDS
        send_alert(AlertKind.DATABASE_AWAY, f"{problem}. Files wait in their folders; nothing is lost.")
        while not self._stop.wait(wait * random.uniform(0.5, 1.0)):  # noqa: S311  (jitter)
            if self.reachable():
                minutes = (time.monotonic() - started) / 60
                send_alert(AlertKind.DATABASE_BACK, f"It was away for {minutes:.1f} minutes. Loading goes on.")
                return
            if time.monotonic() - started > self._patience:
                raise WarehouseUnavailable(f"{problem}; given up after {self._patience:.0f} s. Nothing is lost")
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
