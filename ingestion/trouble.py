"""What the warehouse has to say when something went wrong, and what is done about it before the next try."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

from config.errors import Collision, NumberTaken, PipelineError, WarehouseUnavailable
from datawarehouse.sequences import catch_up
from ingestion.decisions import Circumstances, Decision, Next, Tell, Wait, may_be_away
from ingestion.lacking import Lacking
from ingestion.outage import Outage
from ingestion.service import Service
from utils.logger import get_logger

logger = get_logger(__name__)

RETRY_SECONDS = 0.5  # after what a live database could not do now


class Trouble:
    """Called by any thread. `now` gives seconds."""

    def __init__(
        self,
        service: Service,
        patience: float = math.inf,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """After `patience` seconds in which the database let nothing through, `respond` gives up."""
        self._warehouse = service.warehouse
        self._stop = service.stop
        self._patience = patience
        self._now = now
        self._since: float | None = None  # then the database that answers began to let nothing through
        self._outage = Outage(service.warehouse, service.stop, patience)
        self.lacking = Lacking(service.config, service.warehouse)

    def over(self) -> None:
        """Something got through."""
        self._since = None

    def at(self, error: Exception) -> Circumstances:
        """Ask the database what is to be known of it for a decision about `error`."""
        if not isinstance(error, WarehouseUnavailable) or isinstance(error, Collision):
            return Circumstances()
        if may_be_away(error) and not self._outage.reachable():
            return Circumstances(answers=False)  # the outage has a patience of its own
        since = self._since = self._since or self._now()
        return Circumstances(self._patience - (self._now() - since))

    def respond(self, decision: Decision, error: Exception, what: str) -> None:
        """Do what `decision` asks for beside the file, and wait; `what` met `error`.

        Raises WarehouseUnavailable when patience is over.
        """
        if decision.next is Next.GIVE_UP:
            waited = self._now() - (self._since or self._now())
            raise WarehouseUnavailable(f"{error}; given up after {waited:.0f} s. Nothing is lost")
        if decision.tell is Tell.LACKING:
            self.lacking.tell(what, error)
        if decision.moves_sequences:
            self.make_way(error)
        if decision.wait is Wait.DATABASE:
            self._outage.wait(error)
        elif decision.wait is not Wait.NOTHING:
            share = random.random() if decision.wait is Wait.MOMENT else 1.0  # noqa: S311  (jitter)
            self._stop.wait(RETRY_SECONDS * share)

    def make_way(self, error: Exception) -> None:
        """Draw the numbers that are taken, if that is what was in the way; nothing is raised."""
        if isinstance(error, NumberTaken):
            try:
                with self._warehouse.transaction() as tx:
                    catch_up(tx)
            except PipelineError as other:
                logger.warning(f"[runner] sequences are behind still: {other}")
