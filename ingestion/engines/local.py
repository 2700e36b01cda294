"""The work itself, by the thread that calls: on one machine, and in each worker process of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from config.jobs import FileJob, FileOutcome
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from ingestion.engines.engine import Grace, Healing
from ingestion.file_load import FileLoad
from ingestion.file_report import Progress
from ingestion.group_load import GroupLoad, Together
from validation.pii_handler import PiiHandler

GROUP_LOCK_SECONDS = 0.5  # for a lock on a row of one of many files; the file itself waits longer


class LocalEngine:
    """Loads with the pool of this process. `stop` ends it soon; `progress(job, rows)` is told after each chunk."""

    def __init__(
        self,
        config: PipelineConfig,
        warehouse: Warehouse,
        stop: threading.Event,
        progress: Callable[[FileJob, int], None] | None = None,
    ) -> None:
        self._config = config
        self._warehouse = warehouse
        self._progress = progress
        self._grace = Grace(stop)
        self._pii = PiiHandler(config.pii.hash_key)
        self._group = GroupLoad(warehouse, config, self._pii)
        self._retry = OrphanRetry(warehouse, config, stop)
        self._healing = Healing(config)

    def load(self, job: FileJob) -> FileOutcome:
        """Load the file in one transaction, or record why it can't be."""
        load = FileLoad(
            *(self._warehouse, self._config, self._pii),
            progress=self._progress or Progress(self._config).tell,
            give_up=self._grace.is_over,
        )
        with self._warehouse.quick(job.deadline_seconds):
            return load.run(job)

    def load_together(self, jobs: Sequence[FileJob]) -> Together:
        """Load small files of one spec in one transaction; those of them for which that can be done."""
        seconds = min(job.deadline_seconds for job in jobs)
        with self._warehouse.quick(seconds / 2, GROUP_LOCK_SECONDS):
            return self._group.run(jobs)

    def heal(self, outcomes: Sequence[FileOutcome]) -> int:
        """Load orphans that waited for these files' rows, or whose parents came meanwhile; returns how many."""
        outcomes = [outcome for outcome in outcomes if self._healing.is_wanted(outcome)]
        count = 0
        if any(self._healing.brings_parents(outcome) for outcome in outcomes):
            count += self._retry.after(outcomes[0].job.spec.table)
        if file_ids := [o.file_id for o in outcomes if o.orphans and o.file_id is not None]:
            count += self._retry.of_files(outcomes[0].job.spec, file_ids)
        return count
