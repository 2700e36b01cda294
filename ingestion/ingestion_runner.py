"""The main loop: workers take files from the inbox, load them, and do what follows a commit."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from config.errors import (
    Collision,
    FileChanged,
    FileUnreadable,
    NumberTaken,
    PipelineError,
    Stopped,
    WarehouseUnavailable,
    WarehouseUnfit,
)
from config.file_names import is_packed
from config.model import FileJob, FileOutcome, Status
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.backup import LOCK_SECONDS, QuarantineBackup
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.sequences import catch_up
from ingestion.continuity import Continuity
from ingestion.contract_watch import ContractWatch
from ingestion.file_load import FileLoad
from ingestion.file_report import NAME_WIDTH, Summary, in_our_words, report, tell_of_crash
from ingestion.file_tracker import FileTracker
from ingestion.file_work import FOLLOW_UP_SECONDS, Engine, FileWork
from ingestion.group_load import GroupLoad
from ingestion.inbox import Inbox
from ingestion.lacking import Lacking
from ingestion.outage import Outage
from ingestion.places.opening import opened
from ingestion.places.store import is_object
from utils import metrics
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger
from validation.pii_handler import PiiHandler

logger = get_logger(__name__)

GRACE_SECONDS = 7.0  # a load that takes longer than this after a stop is rolled back
PROGRESS_SECONDS = 5.0  # between two progress lines of a long file
RETRY_SECONDS = 0.5  # after what a live database could not do now
SMALL_BYTES = 64 << 10  # a file that is larger is loaded by itself
TRIES_BEFORE_ALERT = 3  # a file that a live database could not take so often is worth a word


class _Told(threading.local):
    """When the thread that asks last told of its progress; at first, when it asked."""

    def __init__(self) -> None:
        self.at = time.monotonic()


class IngestionRunner:
    """Processes files, `execution.workers` at a time. `stop` ends each worker's loop after its file in hand."""

    def __init__(
        self,
        config: PipelineConfig,
        warehouse: Warehouse,
        tracker: FileTracker,
        inbox: Inbox,
        stop: threading.Event,
        patience: float = math.inf,
    ) -> None:
        """After `patience` seconds in which a database that is away, or can't take a file, let nothing through,
        the loop ends by WarehouseUnavailable."""
        self._config = config
        self._warehouse = warehouse
        self._tracker = tracker
        self._inbox = inbox
        self._stop = stop
        self._stopped_at: float | None = None
        self._workers = config.execution.workers
        self._told = _Told()
        self._patience = patience
        self._trouble_since: float | None = None  # monotonic: since then the database let nothing through
        self._outage = Outage(warehouse, stop, patience)
        self._late: Counter[Path] = Counter()  # how often a live database could not take each file
        self._fruitless: Counter[Path] = Counter()  # tries in a row that left no row of the file in the file log
        self._telling = threading.Lock()  # guards _in_trouble
        self._in_trouble: set[Path] = set()  # those of which somebody was told, or would have been
        self._alone: set[Path] = set()  # files that could not be loaded with others, and come next
        self.lacking = Lacking(config, warehouse)
        self.summary = Summary()
        self.backup = QuarantineBackup(config.path(config.quarantine.dir), warehouse, stop)
        self.retry = OrphanRetry(warehouse, config, stop)
        self.contracts = ContractWatch(config, warehouse, tracker, inbox)
        self.continuity = Continuity(config, warehouse, tracker, inbox, self.backup, self.lacking)
        pii = PiiHandler(config.pii.hash_key)
        self._load = FileLoad(warehouse, config, pii, progress=self._tell_progress, give_up=self._give_up)
        self.work = FileWork(warehouse, self._load, GroupLoad(warehouse, config, pii), self.retry, config)
        self.engine: Engine = self.work  # a cluster may take its place before the first file

    def run_loop(self) -> None:
        """Process files as they come, until `stop` is set."""
        self._in_workers(lambda: True)

    def drain(self) -> None:
        """Process files until none is left but those that somebody is writing, or `stop` is set."""
        self._in_workers(lambda: self._inbox.can_be_finished() > 0)

    def _in_workers(self, more: Callable[[], bool]) -> None:
        """Process files in each worker while there are `more`; what one of them raises stops all."""

        def work() -> None:
            try:
                while not self._stop.is_set() and more():
                    metrics.turn()
                    if not self.continuity.fit.wait(0.2):
                        continue
                    job = self._inbox.get(timeout=0.2)
                    if job is not None:
                        self._process(job)
            except BaseException:
                self._stop.set()
                raise

        if self._workers == 1:
            work()
            return
        with ThreadPoolExecutor(self._workers, thread_name_prefix="worker") as pool:
            for worker in [pool.submit(work) for _ in range(self._workers)]:
                worker.result()

    def _process(self, job: FileJob) -> None:
        """Load a file, together with small ones like it that are queued, and do what follows."""
        jobs = [job]
        if self._fits_a_group(job):
            jobs = self._inbox.get_alike(job, self.engine.most_files, self._fits_a_group)
        if len(jobs) == 1:
            self._alone.discard(job.path)
            self.process_file(job)
            return
        rest = self._process_together(jobs)
        self._alone.update(left.path for left in rest)  # so each of them comes next, by itself
        for left in reversed(rest):
            self._inbox.put_back(left)

    def _fits_a_group(self, job: FileJob) -> bool:
        """May the file be loaded together with others? Not one that is large, or that was trouble before."""
        unknown_size = is_packed(job.path.name) or is_object(job.path)
        trouble = self._late.get(job.path) or job.path in self._alone
        former = self._tracker.former(str(job.path))
        return not (job.size > SMALL_BYTES or unknown_size or trouble or (former and former.size < job.size))

    def _process_together(self, jobs: list[FileJob]) -> list[FileJob]:
        """Load what can be loaded in one transaction, and do what follows; returns those to be loaded one by one.

        Whatever goes wrong with a file is found out then.
        """
        outcomes: list[FileOutcome] = []
        held: list[FileJob] = []
        try:
            outcomes, held = self.engine.load_together(jobs)
        except WarehouseUnfit as problem:
            self._put_off_type(jobs, problem)
            return []
        except WarehouseUnavailable as problem:
            if not self._outage.reachable():
                for job in reversed(jobs):
                    self._inbox.put_back(job)
                self._outage.wait(problem)
                return []
            logger.info(f"[runner] {len(jobs)} files together: {problem}; one by one")
        except Exception as error:  # noqa: BLE001  (as in process_file, which records what is wrong)
            logger.warning(f"[runner] {len(jobs)} files together: {in_our_words(error)}; one by one")
        if outcomes:
            self._conclude(outcomes)
        for job in held:  # by another process, which may take its time
            self._inbox.retry_later(job)
        finished = {outcome.job.path for outcome in outcomes} | {job.path for job in held}
        return [job for job in jobs if job.path not in finished]

    def process_file(self, job: FileJob) -> FileOutcome | None:
        """Load one file and do what follows; None when it is to be looked at again.

        Nothing is raised but WarehouseUnavailable, when patience has an end and the database is away for longer.
        """
        self._told.at = time.monotonic()
        try:
            former = self._tracker.former(str(job.path))
            outcome = self.engine.load(job.evolve(tries=self._late[job.path], former=former))
        except FileUnreadable as problem:
            return self._put_off_unreadable(job, str(problem))
        except FileChanged as change:
            logger.info(f"[runner] {change}; waiting for it to settle", extra=job.log_context())
            self._inbox.retry_later(job)
        except Collision as problem:
            logger.info(f"[runner] {job.path.name}: {problem}; once more", extra=job.log_context())
            self.make_way(problem)
            self._stop.wait(RETRY_SECONDS * random.random())  # noqa: S311  (jitter)
            self._inbox.put_back(job)
        except WarehouseUnfit as problem:
            self._put_off_type([job], problem)
        except WarehouseUnavailable as problem:
            self._wait_for_warehouse(problem, job)
        except Stopped as stopped:
            logger.warning(f"[runner] {stopped}", extra=job.log_context())
            self._inbox.retry_later(job)
        except Exception as error:  # noqa: BLE001  (the one place where a bug of ours must not end the service)
            failure = self._record_crash(job, error)
            if failure is not None:
                self._conclude([failure])
            return failure
        else:
            self._conclude([outcome])
            return outcome
        return None

    def _put_off_unreadable(self, job: FileJob, problem: str) -> FileOutcome | None:
        """Look at it again; if that doesn't help, the file has failed, for now: each scan has another try."""
        self._fruitless[job.path] += 1
        tries = self._fruitless[job.path]
        if tries < TRIES_BEFORE_ALERT:
            logger.info(f"[runner] {job.path.name} {problem}; trying again", extra=job.log_context())
            self._inbox.retry_later(job)
            return None
        if tries > TRIES_BEFORE_ALERT:  # it has failed before, and nothing is new
            logger.info(f"[runner] {job.path.name} {problem}", extra=job.log_context())
            self._inbox.done(job)
            return None
        failure = FileOutcome(job, Status.FAILED, error=problem)
        self._conclude([failure])
        return failure

    def _put_off_type(self, jobs: list[FileJob], problem: WarehouseUnfit) -> None:
        """Their table, or a right on it, is gone: others go on, these come again once they settled."""
        self._endure(problem)
        for job in jobs:
            self._inbox.retry_later(job)
        self._inbox.set_aside(jobs[0].spec.table)
        self.lacking.tell(jobs[0].path.name, problem)

    def _conclude(self, outcomes: list[FileOutcome]) -> None:
        """Do what follows for files of one spec that came to an end together."""
        self._trouble_since = None
        self.continuity.note(outcomes)
        for outcome in outcomes:
            job = outcome.job
            self._late.pop(job.path, None)
            with self._telling:
                self._in_trouble.discard(job.path)
            if job.md5:
                self._fruitless.pop(job.path, None)
            if outcome.status is not Status.FAILED:
                self._tracker.mark_as_done(job)
            elif job.md5:  # without it there is no row of the file: the next scan says why, or offers it again
                self._tracker.mark_as_failed(job, outcome.error or "")
        try:
            for outcome in outcomes:
                name = self._config.shown(outcome.job.path)
                report(outcome, name, self.summary, self._config.quarantine.alert_above)
            self._follow_up_until_done(outcomes)
        finally:
            for outcome in outcomes:  # now the files that wait for this one find the orphans healed, too
                self._inbox.done(outcome.job)

    def _follow_up_until_done(self, outcomes: list[FileOutcome]) -> None:
        patience, again = FOLLOW_UP_SECONDS, False
        while True:
            with self._warehouse.quick(patience):
                done = self._follow_up(outcomes, again=again)
            if done or self._stop.is_set():
                return
            patience, again = patience * 2, True  # the database was away, and is back

    def _follow_up(self, outcomes: list[FileOutcome], *, again: bool = False) -> bool:
        """Copy refused rows, heal orphans that waited, judge the contract; False when the database went away.

        What a stop leaves undone, the next start does. `again`: the rows may be in the backup already, while the
        note of it was lost; writing the day anew leaves them there once.
        """
        job = outcomes[0].job
        loaded = [outcome for outcome in outcomes if outcome.status is Status.SUCCESS]
        try:
            if file_ids := [o.file_id for o in loaded if o.file_id is not None and o.quarantined]:
                if again:
                    self._reconcile_backup()
                else:
                    self.backup.append(file_ids, job.spec.feed)
            self.summary.add_healed(self.engine.heal(outcomes))
            for outcome in outcomes:
                self.contracts.after(outcome)
        except WarehouseUnfit as problem:  # the timer comes back to it
            self.lacking.tell(f"What follows {job.path.name}", problem)
        except WarehouseUnavailable as problem:
            self._wait_for_warehouse(problem)
            return False
        except Exception as error:  # noqa: BLE001  (nor may one here: the files themselves are loaded)
            tell_of_crash(job, f"after {self._config.shown(job.path)}", error)
        return True

    def _reconcile_backup(self) -> None:
        try:
            self.backup.reconcile(seconds=LOCK_SECONDS)
        except OSError as error:  # the timer comes back to it
            logger.warning(f"[quarantine] CSV backup not written: {error.strerror}")

    def _record_crash(self, job: FileJob, error: Exception) -> FileOutcome | None:
        """A fault of ours, or of the database's schema: the file counts as failed, the rest goes on."""
        told = self._fruitless[job.path] >= TRIES_BEFORE_ALERT
        name = self._config.shown(job.path)
        what = in_our_words(error) if told else tell_of_crash(job, name, error)
        if not job.md5:
            job = job.evolve(md5=_hash_or_nothing(job.path))
        try:
            with self._warehouse.quick(self.work.patience(job)):
                return replace(self._load.record_failure(job, what, time.monotonic()), told=True)
        except WarehouseUnfit as problem:
            self._put_off_type([job], problem)
            return None
        except WarehouseUnavailable as problem:
            self._wait_for_warehouse(problem, job)
            return None
        except Exception as second:
            if told:
                logger.info(f"[runner] {job.path.name}: {what}; its failure can't be recorded still")
                self._inbox.done(job)
                return None
            logger.critical(f"[runner] {name}: its failure can't be recorded", exc_info=second)
            self._fruitless[job.path] = TRIES_BEFORE_ALERT
            return FileOutcome(job.evolve(md5=""), Status.FAILED, error=what, told=True)  # each scan tries again

    def _wait_for_warehouse(self, problem: WarehouseUnavailable, job: FileJob | None = None) -> None:
        """Wait until PostgreSQL answers, however long it takes.

        `job` is the file in hand: it stays the next one, but when PostgreSQL does answer, it goes behind the
        others, which may fare better.
        """
        if self._outage.reachable():
            self.make_way(problem)
            name = f" {self._config.shown(job.path)}:" if job else ""
            logger.warning(f"[runner]{name} {problem}; trying again", extra=job.log_context() if job else {})
            if job:
                self._late[job.path] += 1
                self._tell_of_trouble(job, problem)
                self._inbox.retry_later(job)
            self._endure(problem)
            self._stop.wait(RETRY_SECONDS)
            return
        if job:
            self._inbox.put_back(job)
        self._outage.wait(problem)

    def _endure(self, problem: WarehouseUnavailable) -> None:
        """Raises WarehouseUnavailable when the database has let nothing through for too long."""
        now = time.monotonic()
        since = self._trouble_since = self._trouble_since or now
        if now - since > self._patience:
            raise WarehouseUnavailable(f"{problem}; given up after {now - since:.0f} s. Nothing is lost")

    def make_way(self, problem: PipelineError) -> None:
        """Do what a repetition needs to fare better; nothing is raised."""
        if isinstance(problem, NumberTaken):
            try:
                with self._warehouse.transaction() as tx:
                    catch_up(tx)
            except PipelineError as other:
                logger.warning(f"[runner] sequences are behind still: {other}")

    def _tell_of_trouble(self, job: FileJob, problem: WarehouseUnavailable) -> None:
        """One alert until all files are through, or gone, that a live database could not take."""
        if self._late[job.path] < TRIES_BEFORE_ALERT:
            return
        with self._telling:
            self._in_trouble = {path for path in self._in_trouble if self._inbox.holds(path)}
            news = not self._in_trouble
            self._in_trouble.add(job.path)
        if news:
            text, name = f"{problem}. It is tried again and again; nothing is lost.", self._config.shown(job.path)
            send_alert(AlertKind.LOADING_HELD_UP, text, place=name, reason=str(problem))

    def _give_up(self) -> bool:
        if not self._stop.is_set():
            return False
        now = time.monotonic()
        self._stopped_at = self._stopped_at or now
        return now - self._stopped_at > GRACE_SECONDS

    def _tell_progress(self, job: FileJob, rows: int) -> None:
        metrics.turn()
        now = time.monotonic()
        if now - self._told.at >= PROGRESS_SECONDS:
            self._told.at = now
            name = self._config.shown(job.path)
            logger.info(
                f"[runner] {job.path.name}: {rows} rows so far",
                extra={**job.log_context(), "screen": f"… {name:<{NAME_WIDTH}} {rows:>9,} rows so far"},
            )


def _hash_or_nothing(path: Path) -> str:
    try:
        with opened(path) as file:
            return file.md5()
    except (OSError, PipelineError):
        return ""
