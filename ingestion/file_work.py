"""What a worker does with a file: load it, then heal the orphans that this concerns."""

from __future__ import annotations

from typing import Protocol

from config.model import FileJob, FileOutcome, PipelineConfig
from datawarehouse.quarantine_retry import OrphanRetry
from ingestion.file_load import FileLoad

WORKER_POOL = 2  # connections of one worker process of a cluster: it has one thread


class Engine(Protocol):
    """Where files are loaded: here, or on other machines. Both calls raise what FileLoad.run does."""

    def load(self, job: FileJob) -> FileOutcome:
        """Load the file in one transaction, or record why it can't be."""
        ...

    def heal(self, outcome: FileOutcome) -> int:
        """After the commit: load orphans that waited for this file's rows, or whose parents came meanwhile."""
        ...


class FileWork:
    """The work itself, by the thread that calls."""

    def __init__(self, load: FileLoad, retry: OrphanRetry, config: PipelineConfig) -> None:
        parents = {key.parent for spec in config.files for key in spec.foreign_keys}
        self._parent_tables = {config.by_logical_name[name].table for name in parents}
        self._load = load
        self._retry = retry

    def load(self, job: FileJob) -> FileOutcome:
        """Load the file in one transaction, or record why it can't be."""
        return self._load.run(job)

    def concerns_orphans(self, outcome: FileOutcome) -> bool:
        """May there be something to heal?"""
        return bool(self._has_new_parents(outcome) or (outcome.orphans and outcome.file_id is not None))

    def heal(self, outcome: FileOutcome) -> int:
        """Load orphans that waited for this file's rows, or whose parents came while it was loaded; how many."""
        count = self._retry.after(outcome.job.spec.table) if self._has_new_parents(outcome) else 0
        if outcome.orphans and outcome.file_id is not None:
            count += self._retry.of_file(outcome.job.spec, outcome.file_id)
        return count

    def _has_new_parents(self, outcome: FileOutcome) -> bool:
        return outcome.inserted > 0 and outcome.job.spec.table in self._parent_tables
