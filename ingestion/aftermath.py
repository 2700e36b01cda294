"""What follows a commit or a failure: tracker, report, CSV backup, healing, contracts; then the file is done."""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from config.errors import PipelineError, in_our_words
from config.jobs import FileJob, FileOutcome, Status, Tries
from datawarehouse import drift_log
from datawarehouse.quarantine.backup import LOCK_SECONDS, QuarantineBackup
from ingestion.contract_watch import ContractWatch
from ingestion.decisions import Next, Tell, decide_what_follows
from ingestion.drift_report import report_drift
from ingestion.engines.engine import FOLLOW_UP_SECONDS, Engine
from ingestion.file_load import record_failure
from ingestion.file_report import Summary, report, tell_of_crash
from ingestion.places.registry import opened
from ingestion.sender_report import report_to_sender
from ingestion.service import Service
from ingestion.trouble import Trouble
from ingestion.warehouse_report import tell_of_warehouse
from utils.logger import get_logger
from validation.pii_handler import PiiHandler

logger = get_logger(__name__)

Step = Callable[[bool], None]  # told whether it is tried once more


class Aftermath:
    """Called by any thread. What a stop or a kill leaves undone, the next start does."""

    def __init__(
        self,
        service: Service,
        engine: Engine,
        trouble: Trouble,
        utc_now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """`utc_now` is the clock that contracts are held against."""
        self._config = config = service.config
        self._warehouse = service.warehouse
        self._tracker = service.tracker
        self._inbox = service.inbox
        self._engine = engine
        self._trouble = trouble
        self._stop = service.stop
        self.summary = Summary()
        self.backup = QuarantineBackup(config.path(config.quarantine.dir), service.warehouse, service.stop)
        self.contracts = ContractWatch(service, utc_now)

    def record_failure(self, job: FileJob, what: str) -> FileOutcome:
        """Write down that the file failed, by the content that it has now. Raises what a load does."""
        if not job.md5:
            job = job.evolve(md5=_hash_or_nothing(job.path))
        key_id = PiiHandler(self._config.pii.hash_key).key_id
        with self._warehouse.quick(job.deadline_seconds):
            return record_failure(self._warehouse, job, what, time.monotonic(), key_id)

    def conclude(self, outcomes: Sequence[FileOutcome]) -> None:
        """Do what follows for files of one spec that came to an end together."""
        for outcome in outcomes:
            if outcome.status is not Status.FAILED:
                self._tracker.mark_as_done(outcome.job)
            elif outcome.job.md5:  # else there is no row of the file: the next scan offers it again
                self._tracker.mark_as_failed(outcome.job, outcome.error or "")
        try:
            self._conclude(outcomes)
            for child in (child for outcome in outcomes for child in outcome.children):
                self._conclude([child])
        finally:
            for outcome in outcomes:  # now the files that wait for this one find the orphans healed, too
                job = outcome.job
                tries = Tries() if job.md5 else Tries(unrecorded=job.tries.unrecorded)
                self._inbox.done(job.evolve(tries=tries))

    def _conclude(self, outcomes: Sequence[FileOutcome]) -> None:
        for outcome in outcomes:
            name = self._config.shown(outcome.job.path, outcome.job.spec.name)
            report(outcome, name, self.summary, self._config.quarantine.alert_above)
        self._follow_up(outcomes)

    def _follow_up(self, outcomes: Sequence[FileOutcome]) -> None:
        """Each step until it is done, with more time for each try: the database may be away, and come back."""
        job = outcomes[0].job
        what = f"What follows {self._config.shown(job.path, job.spec.name)}"
        steps, seconds, again = deque(self._steps(outcomes)), FOLLOW_UP_SECONDS, False
        while steps:
            try:
                with self._warehouse.quick(seconds):
                    steps[0](again)
            except Exception as error:  # noqa: BLE001  (the files themselves are loaded, whatever comes here)
                decision = decide_what_follows(error, self._trouble.at(error))
                if decision.tell is Tell.CRASH:
                    tell_of_crash(job, f"after {self._config.shown(job.path, job.spec.name)}", error)
                else:
                    logger.log(decision.level, f"[runner] {what}: {in_our_words(error)}; {decision.next}")
                self._trouble.respond(decision, error, what)
                if self._stop.is_set():
                    return
                if decision.next is Next.AGAIN:
                    seconds, again = seconds * 2, True
                    continue
            steps.popleft()
            seconds, again = FOLLOW_UP_SECONDS, False

    def _steps(self, outcomes: Sequence[FileOutcome]) -> list[Step]:
        """Tell of other columns, copy refused rows, heal orphans that waited, judge the contract."""
        loaded = [outcome for outcome in outcomes if outcome.status is Status.SUCCESS]
        refused = [o.file_id for o in loaded if o.file_id is not None and o.quarantined]

        differing = [outcome for outcome in outcomes if outcome.drift and not outcome.told]

        def tell_of_drift(_again: bool) -> None:
            for outcome in differing:
                name = self._config.shown(outcome.job.path, outcome.job.spec.name)
                with self._warehouse.transaction() as tx:
                    new = drift_log.note(tx, outcome, name)
                report_drift(outcome, new, name)

        def back_up(again: bool) -> None:
            if again:  # the rows may be there, while the note of it was lost: the day is written anew
                self._reconcile_backup()
            else:
                self.backup.append(refused, outcomes[0].job.spec.feed)

        def heal(_again: bool) -> None:
            self.summary.add_healed(self._engine.heal(outcomes))

        def judge(_again: bool) -> None:
            for outcome in outcomes:
                self.contracts.after(outcome)

        def check_warehouse(_again: bool) -> None:
            tell_of_warehouse(self._warehouse, outcomes[0].job.spec)

        def tell_senders(_again: bool) -> None:
            for outcome in outcomes:
                name = self._config.shown(outcome.job.path, outcome.job.spec.name)
                report_to_sender(self._warehouse, outcome, name)

        told = [tell_of_drift] if differing else []
        if outcomes[0].job.spec.report_to:
            told.append(tell_senders)
        last = [check_warehouse] if loaded else []
        return [*told, back_up, heal, judge, *last] if refused else [*told, heal, judge, *last]

    def _reconcile_backup(self) -> None:
        try:
            self.backup.reconcile(seconds=LOCK_SECONDS)
        except OSError as error:  # the timer comes back to it
            logger.warning(f"[quarantine] CSV backup not written: {error.strerror}")


def _hash_or_nothing(path: Path) -> str:
    try:
        with opened(path) as file:
            return file.md5()
    except (OSError, PipelineError):
        return ""
