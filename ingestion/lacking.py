"""A warehouse that lacks tables or rights which loading needs: told once, by name, until it is whole again."""

from __future__ import annotations

import threading

from config.errors import PipelineError
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.rights import what_is_lacking
from datawarehouse.schema.plan import plan
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

LOOKS_BEFORE_ALERT = 3  # refusals in a row of which the catalog does not show the reason
LOOK_SECONDS = 10.0  # for a look into the catalog


class Lacking:
    """Called by any thread."""

    def __init__(self, config: PipelineConfig, warehouse: Warehouse) -> None:
        self._config = config
        self._warehouse = warehouse
        self._lock = threading.Lock()  # guards what follows; held while one looks, so that one tells
        self._told = False
        self._unexplained = 0

    def tell(self, what: str, problem: Exception) -> None:
        """`what` (a file, a step) met `problem`: one alert that names what is missing, and the way out."""
        logger.warning(f"[runner] {what}: {problem}; waiting until that is mended")
        with self._lock:
            if self._told:
                return
            missing = self._look()
            if not missing:  # it is back already, or the catalog can't tell
                self._unexplained += 1
                if self._unexplained < LOOKS_BEFORE_ALERT:
                    return
                missing = str(problem)
            self._told = True
        send_alert(
            AlertKind.LOADING_HELD_UP,
            f"{what} can't be loaded: {missing}. It is tried again and again, other files go on; nothing is lost.",
        )

    @property
    def is_told(self) -> bool:
        """Was somebody told of it, and is it not mended yet?"""
        return self._told

    def look_again(self) -> None:
        """Is what somebody was told of mended? Then the next trouble is news."""
        with self._lock:
            if not (self._told or self._unexplained) or self._look() != "":
                return
            if self._told:
                logger.info("[runner] tables and rights are whole again; loading goes on")
            self._told, self._unexplained = False, 0

    def _look(self) -> str | None:
        """What is missing; None when nobody can say."""
        try:
            with self._warehouse.transaction(deadline_seconds=LOOK_SECONDS) as tx:
                missing = what_is_lacking(tx, self._config)
                if not missing and (columns := plan(tx, self._config).columns):
                    missing = f"columns are gone (dropped or renamed): {', '.join(columns)}. Bring them back"
                return missing
        except PipelineError:
            return None
