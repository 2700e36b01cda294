"""Is the warehouse still the one whose files count as done? A failover or a restore may bring an older one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.errors import ConfigError, PipelineError, WarehouseUnavailable, WarehouseUnfit
from config.jobs import FileJob, FileOutcome, Status
from datawarehouse.quarantine.backup import QuarantineBackup
from datawarehouse.queries import query
from datawarehouse.schema_init import init_schema
from datawarehouse.sequences import catch_up
from datawarehouse.streaming import stream
from ingestion.lacking import Lacking
from ingestion.scans import offer_again
from ingestion.service import Service
from ingestion.start_checks import check_pii_key
from ingestion.tracker_view import DONE, FAILED
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

LOOK_SECONDS = 10.0  # for the question, which takes about a millisecond
EMPTY_SECONDS = 60.0  # a database without tables is taken for one that is being restored for so long
UNFIT_SECONDS = 30.0  # one that a start would refuse, too, before somebody is told
MOST_MARKS = 100_000  # contents to ask for at once
NAMED = 5  # files in an alert

Mark = tuple[str, str, int]  # type, MD5, size


@dataclass(frozen=True, slots=True)
class _Seen:
    """What tells one warehouse from another: the file log's table, and the id that its tables were made with."""

    file_log: int | None
    warehouse_id: str | None


class Continuity:
    """Asks the warehouse whether it knows the files that were loaded since it was asked last, and the one before.

    Whatever takes a warehouse back in time takes the newest files first. So one that has lost nothing of these has
    lost nothing; else all that counts as done is held against the file log, and what it lacks is offered again.
    `note` is called by any thread, the rest by one. `now` gives seconds.
    """

    def __init__(
        self,
        service: Service,
        backup: QuarantineBackup,
        lacking: Lacking,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = service.config
        self._warehouse = service.warehouse
        self._tracker = service.tracker
        self._inbox = service.inbox
        self._backup = backup
        self._lacking = lacking
        self._now = now
        self._lock = threading.Lock()  # guards _marks
        self._marks: dict[Mark, None] = {}  # in the order of loading
        self._seen: _Seen | None = None
        self._suspect = False  # it may have gone back in time, and that was not made good yet
        self._empty_since: float | None = None
        self._unfit_since: float | None = None
        self._told = False  # that it is unfit
        self.fit = threading.Event()  # not set: nothing is to be loaded into this warehouse
        self.fit.set()

    def note(self, outcomes: Sequence[FileOutcome]) -> None:
        """These files are in the file log."""
        with self._lock:
            for outcome in outcomes:
                if outcome.status is not Status.FAILED:
                    self._marks[_mark(outcome.job)] = None
            while len(self._marks) > MOST_MARKS:  # the newest are those that would be lost
                self._marks.pop(next(iter(self._marks)))

    def begin(self) -> None:
        """At a start: forget what the file log lacks, and every failed file, which is judged anew."""
        known = {md5 for md5, status in self._tracker.contents() if status == DONE}
        with self._warehouse.transaction() as tx:
            rows = stream(tx, query("continuity", "contents")) if known else iter(())
            self._tracker.keep_only({md5 for md5, status in rows if status == Status.SUCCESS and md5 in known})
            tx.execute(query("continuity", "newest"))
            newest = tx.fetchone()
        if newest is not None:
            with self._lock:
                self._marks = {newest: None, **self._marks}
        self._seen = self._ask([])[0]

    def turn(self) -> None:
        """Ask; make good what went back in time. Raises PipelineError or OSError; the next turn goes on."""
        with self._lock:
            marks = list(self._marks)
        try:
            seen, restored, found = self._ask(marks)
        except WarehouseUnfit as problem:
            self._lacking.tell("Whatever comes", problem)
            if self._is_empty():
                self._make_anew()
            return
        self._empty_since = None
        self._lacking.look_again()
        if seen == self._seen and found == len(marks):
            with self._lock:
                for mark in marks[:-1]:
                    self._marks.pop(mark, None)
            if not self._suspect:
                return
        self._suspect = True
        if not restored:
            self._make_good(seen)

    # ------------------------------------------------------------ inside

    def _ask(self, marks: Sequence[Mark]) -> tuple[_Seen, bool, int]:
        """Which warehouse it is, whether it is being restored, and how many of `marks` it knows."""
        names, hashes, sizes = zip(*marks, strict=True) if marks else ((), (), ())
        wanted = {"names": list(names), "hashes": list(hashes), "sizes": list(sizes)}
        with self._warehouse.transaction(deadline_seconds=LOOK_SECONDS) as tx:
            tx.execute(query("continuity", "ask"), wanted)
            file_log, warehouse_id, restored, found = tx.fetchone() or (None, None, False, 0)
        return _Seen(file_log, warehouse_id), restored, found

    def _make_good(self, seen: _Seen) -> None:
        """What a start does, beside the loading: the tables, the key, the sequences, and what is done or not."""
        try:
            init_schema(self._warehouse, self._config)
            with self._warehouse.transaction() as tx:
                check_pii_key(tx, self._config)
                catch_up(tx)
        except ConfigError as problem:
            self._hold(str(problem))
            return
        self._release()
        with self._lock:  # what is loaded from now on is asked for in the next turn
            self._marks.clear()
        self._seen, self._suspect = seen, False
        self._tell(self._forget_what_it_lacks())
        self._backup.mend()

    def _forget_what_it_lacks(self) -> list[str]:
        """The paths of the files that count as done or failed here, and that the file log does not have so."""
        lacking = self._tracker.contents()
        with self._warehouse.transaction() as tx:
            for md5, status in stream(tx, query("continuity", "contents")):
                lacking.discard((md5, FAILED if status == Status.FAILED else DONE))
        return self._tracker.forget(lacking)

    def _tell(self, lacking: list[str]) -> None:
        if not lacking:
            logger.info("[pipeline] the warehouse is another one now, and has all that was loaded")
            return
        gone = offer_again(self._config, self._inbox, lacking)
        text = (
            f"{len(lacking)} files that were loaded are not in the database any more, as after a failover to a "
            f"standby that was behind, or a restore. They are loaded again: {_names(lacking)}."
        )
        if gone:
            text += f" {len(gone)} of them are no longer in their folders; put them back: {_names(gone)}."
        send_alert(AlertKind.DATABASE_BEHIND, text)

    def _hold(self, problem: str) -> None:
        """Load nothing into a database that a start would refuse, and say so once, when that stays so."""
        self.fit.clear()
        self._unfit_since = self._unfit_since or self._now()
        if not self._told and self._now() - self._unfit_since >= UNFIT_SECONDS:
            self._told = True
            text = f"The database is another one now, and loading waits until it fits: {problem}"
            send_alert(AlertKind.DATABASE_UNFIT, text)

    def _release(self) -> None:
        self.fit.set()
        self._unfit_since = None
        if self._told:
            self._told = False
            send_alert(AlertKind.DATABASE_FIT, "Loading goes on.")

    def _is_empty(self) -> bool:
        """Has none of the pipeline's tables been there for a while, and is nobody restoring them?"""
        tables = [*(spec.table for spec in self._config.files), "pipeline_file_log", "quarantine", "pipeline_meta"]
        with self._warehouse.transaction(deadline_seconds=LOOK_SECONDS) as tx:
            tx.execute(query("continuity", "is_empty"), {"tables": tables})
            (empty,) = tx.fetchone() or (False,)
        self._empty_since = (self._empty_since or self._now()) if empty else None
        return self._empty_since is not None and self._now() - self._empty_since >= EMPTY_SECONDS

    def _make_anew(self) -> None:
        """The database was swapped for an empty one: make the tables; the next turn does the rest."""
        self._empty_since = None
        try:
            init_schema(self._warehouse, self._config)
        except ConfigError as problem:
            self._hold(str(problem))
            return
        send_alert(
            AlertKind.DATABASE_EMPTY, "Its tables were made anew; every file in the folders is loaded again."
        )


def _mark(job: FileJob) -> Mark:
    return job.spec.name, job.md5, job.size


def _names(paths: Sequence[str]) -> str:
    """The first of them, with the folder that tells one from another, and how many more."""
    shown = [str(Path(*Path(path).parts[-2:])) for path in sorted(paths)[:NAMED]]
    more = len(paths) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def continuity_loop(stop: threading.Event, continuity: Continuity, every_seconds: float) -> None:
    """A turn every `every_seconds`, until `stop` is set."""
    while not stop.wait(every_seconds):
        try:
            continuity.turn()
        except WarehouseUnavailable as problem:  # whoever loads tells of it
            logger.info(f"[pipeline] the warehouse can't be asked now: {problem}")
        except (PipelineError, OSError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else problem
            logger.warning(f"[pipeline] the warehouse is not what it was, and that is not made good yet: {reason}")
        except Exception as error:
            logger.critical(f"[pipeline] continuity: {type(error).__name__}", exc_info=error)
