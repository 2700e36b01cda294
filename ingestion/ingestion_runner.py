"""The main loop: workers take files from the inbox, load them, decide after an error, and follow up."""

from __future__ import annotations

import datetime as dt
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from config.errors import in_our_words
from config.file_names import is_packed
from config.jobs import FileJob, FileOutcome, Status, Tries
from ingestion.aftermath import Aftermath
from ingestion.continuity import Continuity
from ingestion.decisions import TRIES_BEFORE_ALERT, Decision, Next, Tell, decide, statement_seconds
from ingestion.engines.engine import Engine
from ingestion.engines.local import LocalEngine
from ingestion.file_report import Summary, tell_of_crash
from ingestion.group_load import MOST_FILES
from ingestion.places.registry import place_of
from ingestion.service import Service
from ingestion.trouble import Trouble
from utils import metrics
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

SMALL_BYTES = 64 << 10  # a file that is larger is loaded by itself


class IngestionRunner:
    """Processes files, `execution.workers` at a time. `stop` ends each worker's loop after its file in hand."""

    def __init__(
        self,
        service: Service,
        patience: float = math.inf,
        *,
        engine: Engine | None = None,
        most_together: int = MOST_FILES,
        now: Callable[[], float] = time.monotonic,
        utc_now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """After `patience` seconds in which a database that is away, or can't take a file, let nothing through,
        the loop ends by WarehouseUnavailable. Without an `engine`, the threads here do the work.
        """
        self._config = service.config
        self._tracker = service.tracker
        self._inbox = service.inbox
        self._stop = service.stop
        self._engine = engine or LocalEngine(service.config, service.warehouse, service.stop)
        self._most_together = most_together
        self._telling = threading.Lock()  # held by the one that looks whether somebody was told, and tells
        self.trouble = Trouble(service, patience, now)
        self.aftermath = Aftermath(service, self._engine, self.trouble, utc_now)
        self.continuity = Continuity(service, self.aftermath.backup, self.trouble.lacking, now)

    @property
    def summary(self) -> Summary:
        """What this run did so far."""
        return self.aftermath.summary

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

        workers = self._config.execution.workers
        if workers == 1:
            work()
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="worker") as pool:
            for worker in [pool.submit(work) for _ in range(workers)]:
                worker.result()

    def _process(self, job: FileJob) -> None:
        """Load a file, together with small ones like it that are queued, and do what follows."""
        jobs = [job]
        if self._fits_a_group(job):
            jobs = self._inbox.get_alike(job, self._most_together, self._fits_a_group)
        if len(jobs) == 1:
            self.process_file(job)
        else:
            self._process_together(jobs)

    def _fits_a_group(self, job: FileJob) -> bool:
        """May the file be loaded together with others? Not one that is large, or that was trouble before."""
        unknown_size = is_packed(job.path.name) or place_of(job.path).is_remote
        trouble = job.tries.held_up or job.tries.by_itself
        former = self._tracker.former(str(job.path))
        has_counts = job.spec.complete_when is not None and job.spec.complete_when.manifest is not None
        return not (
            job.size > SMALL_BYTES or unknown_size or has_counts or trouble or (former and former.size < job.size)
        )

    def _prepared(self, job: FileJob) -> FileJob:
        """The job with all that a worker needs to know, wherever it is."""
        seconds = statement_seconds(self._config.database.answer_seconds, job.size, job.tries)
        return job.evolve(former=self._tracker.former(str(job.path)), deadline_seconds=seconds)

    def process_file(self, job: FileJob) -> FileOutcome | None:
        """Load one file and do what follows; None when it is to be looked at again.

        Nothing is raised but WarehouseUnavailable, when patience has an end and the database is away for longer.
        """
        job = self._prepared(job)
        try:
            outcome = self._engine.load(job)
        except Exception as error:  # noqa: BLE001  (one bug of ours must not end the service)
            return self._meet(error, job)
        self._conclude([outcome])
        return outcome

    def _process_together(self, jobs: Sequence[FileJob]) -> None:
        """Load what can be loaded in one transaction, and do what follows; the others come next, one by one.

        Whatever goes wrong with a file is found out then.
        """
        jobs = [self._prepared(job) for job in jobs]
        try:
            outcomes, held = self._engine.load_together(jobs)
        except Exception as error:  # noqa: BLE001  (as in process_file)
            self._meet_together(error, jobs)
            return
        if outcomes:
            self._conclude(outcomes)
        for job in held:  # by another process, which may take its time
            self._inbox.retry_later(job)
        finished = {outcome.job.path for outcome in outcomes} | {job.path for job in held}
        for job in reversed([job for job in jobs if job.path not in finished]):
            self._inbox.put_back(job.evolve(tries=replace(job.tries, by_itself=True)))

    def _conclude(self, outcomes: Sequence[FileOutcome]) -> None:
        self.trouble.over()
        self.continuity.note(outcomes)
        self.aftermath.conclude(outcomes)

    # ------------------------------------------------------------ after an error

    def _meet(self, error: Exception, job: FileJob, failed_by: str = "") -> FileOutcome | None:
        """Decide and act; the outcome when the file has come to an end.

        `failed_by`: what the file failed by, where `error` is that this can't be recorded.
        """
        decision = decide(error, job.tries, self.trouble.at(error), recordable=not failed_by)
        job = job.evolve(tries=decision.tries)
        if decision.next is Next.FAILED:
            crash = decision.tell is Tell.CRASH
            what = tell_of_crash(job, self._config.shown(job.path), error) if crash else in_our_words(error)
            try:
                outcome = self.aftermath.record_failure(job, what)
            except Exception as second:  # noqa: BLE001  (as in process_file)
                return self._meet(second, job, what)
        else:
            self._log(decision, error, [job])
            if decision.next is not Next.FAILED_FOR_NOW:
                self._put_off(decision, error, [job])
                return None
            outcome = FileOutcome(job.evolve(md5=""), Status.FAILED, error=failed_by or in_our_words(error))
        outcome = replace(outcome, told=outcome.told or decision.tell is not Tell.FILE)
        self._conclude([outcome])
        return outcome

    def _meet_together(self, error: Exception, jobs: Sequence[FileJob]) -> None:
        """Decide and act for files of which none was loaded."""
        at = self.trouble.at(error)
        decisions = [decide(error, job.tries, at, of_group=True) for job in jobs]
        jobs = [job.evolve(tries=decision.tries) for job, decision in zip(jobs, decisions, strict=True)]
        self._log(decisions[0], error, jobs)
        self._put_off(decisions[0], error, jobs)

    def _put_off(self, decision: Decision, error: Exception, jobs: Sequence[FileJob]) -> None:
        """Give files back to the inbox, each once and with its tries, and do what the next one needs."""
        if decision.tell is Tell.HELD_UP:
            self._put_off_and_tell(error, jobs[0])
        elif decision.next is Next.SETTLED:
            for job in jobs:
                self._inbox.retry_later(job)
        elif decision.next is Next.LEFT:
            for job in jobs:
                self._inbox.done(job)
        if decision.table_waits:
            self._inbox.set_aside(jobs[0].spec.table)
        self.trouble.respond(decision, error, self._config.shown(jobs[0].path))
        if decision.next in {Next.AGAIN, Next.APART}:
            for job in reversed(jobs):
                self._inbox.put_back(job)

    def is_held_up(self) -> bool:
        """Is there what an alert told of as holding up the loading?"""
        return self.trouble.lacking.is_told or self._inbox.any_tried(_is_told)

    def _put_off_and_tell(self, error: Exception, job: FileJob) -> None:
        """Put the file off; one alert until all are through, or gone, that a live database could not take."""
        with self._telling:
            told = self._inbox.any_tried(_is_told)
            self._inbox.retry_later(job)  # from now on it is one of them
        if not told:
            text, name = f"{error}. It is tried again and again; nothing is lost.", self._config.shown(job.path)
            send_alert(AlertKind.LOADING_HELD_UP, text, place=name, reason=str(error))

    def _log(self, decision: Decision, error: Exception, jobs: Sequence[FileJob]) -> None:
        if decision.tell is Tell.LACKING:  # says it itself
            return
        name = self._config.shown(jobs[0].path) if len(jobs) == 1 else f"{len(jobs)} files together"
        trace = error if decision.level >= logging.CRITICAL else None
        context = jobs[0].log_context() if len(jobs) == 1 else {}
        text = f"[runner] {name}: {in_our_words(error)}; {decision.next}"
        logger.log(decision.level, text, exc_info=trace, extra=context)


def _is_told(tries: Tries) -> bool:
    return tries.held_up >= TRIES_BEFORE_ALERT
