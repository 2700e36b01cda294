"""What a worker does with a file: load it, then heal the orphans that this concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from config.model import FileJob, FileOutcome
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from ingestion.file_load import FileLoad
from ingestion.group_load import MOST_FILES, GroupLoad, Together

BYTES_PER_SECOND = 1_000_000  # a statement has a second more for so much of its file; it handles a chunk of it
GROUP_LOCK_SECONDS = 0.5  # for a lock on a row of one of many files; the file itself waits longer
FOLLOW_UP_SECONDS = 60.0  # for a statement of what follows a commit: its work does not depend on the file's size
WORKER_POOL = 2  # connections of one worker process of a cluster: it has one thread


class Engine(Protocol):
    """Where files are loaded: here, or on other machines. All calls raise what FileLoad.run does."""

    most_files: int  # that load_together() takes

    def load(self, job: FileJob) -> FileOutcome:
        """Load the file in one transaction, or record why it can't be."""
        ...

    def load_together(self, jobs: Sequence[FileJob]) -> Together:
        """Load small files of one spec in one transaction; those of them for which that can be done."""
        ...

    def heal(self, outcomes: Sequence[FileOutcome]) -> int:
        """After the commit: load orphans that waited for these files' rows, or whose parents came meanwhile."""
        ...


class FileWork:
    """The work itself, by the thread that calls."""

    most_files = MOST_FILES

    def __init__(
        self,
        warehouse: Warehouse,
        load: FileLoad,
        group: GroupLoad,
        retry: OrphanRetry,
        config: PipelineConfig,
    ) -> None:
        parents = {key.parent for spec in config.files for key in spec.foreign_keys}
        self._parent_tables = {config.by_logical_name[name].table for name in parents}
        self._warehouse = warehouse
        self._answer_seconds = config.database.answer_seconds
        self._load = load
        self._group = group
        self._retry = retry

    def load(self, job: FileJob) -> FileOutcome:
        """Load the file in one transaction, or record why it can't be."""
        with self._warehouse.quick(self.patience(job)):
            return self._load.run(job)

    def patience(self, job: FileJob) -> float:
        """Seconds that a statement on this file may take, so that a frozen backend does not hold up the others.

        By the file's size; and double after each try that did not get through, so that a server which is only
        slow is not given up again and again.
        """
        seconds = self._answer_seconds + job.size / BYTES_PER_SECOND
        return seconds * 2.0 ** min(job.tries, 10)

    def load_together(self, jobs: Sequence[FileJob]) -> Together:
        """Load small files of one spec in one transaction; those of them for which that can be done."""
        with self._warehouse.quick(self._answer_seconds / 2, GROUP_LOCK_SECONDS):
            return self._group.run(jobs)

    def concerns_orphans(self, outcome: FileOutcome) -> bool:
        """May there be something to heal?"""
        return bool(self._has_new_parents(outcome) or (outcome.orphans and outcome.file_id is not None))

    def heal(self, outcomes: Sequence[FileOutcome]) -> int:
        """Load orphans that waited for these files' rows, or whose parents came while they were loaded; how many.

        The files are of one spec.
        """
        count = 0
        if any(self._has_new_parents(outcome) for outcome in outcomes):
            count += self._retry.after(outcomes[0].job.spec.table)
        if file_ids := [o.file_id for o in outcomes if o.orphans and o.file_id is not None]:
            count += self._retry.of_files(outcomes[0].job.spec, file_ids)
        return count

    def _has_new_parents(self, outcome: FileOutcome) -> bool:
        return outcome.inserted > 0 and outcome.job.spec.table in self._parent_tables
