"""Where files are loaded: here, or on other machines. One interface, one module a kind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from config.jobs import FileJob, FileOutcome
from config.settings import PipelineConfig
from ingestion.group_load import Together

GRACE_SECONDS = 5.0  # a load that takes longer than this after a stop is rolled back
FOLLOW_UP_SECONDS = 60.0  # for a statement of what follows a commit: its work does not depend on the file's size


class Engine(Protocol):
    """Does the work, for any thread. All calls raise what FileLoad.run does, by its class, wherever it ran."""

    def load(self, job: FileJob) -> FileOutcome:
        """Load the file in one transaction, or record why it can't be."""
        ...

    def load_together(self, jobs: Sequence[FileJob]) -> Together:
        """Load small files of one spec in one transaction; those of them for which that can be done."""
        ...

    def heal(self, outcomes: Sequence[FileOutcome]) -> int:
        """After the commit: load orphans that waited for these files' rows, or whose parents came meanwhile.

        Returns how many. The files are of one spec.
        """
        ...


class Grace:
    """How long what is in hand may go on after a stop. Thread-safe: the worst is one look too many."""

    def __init__(self, stop: threading.Event, now: Callable[[], float] = time.monotonic) -> None:
        self._stop = stop
        self._now = now
        self._stopped_at: float | None = None  # when somebody first saw it

    def is_over(self) -> bool:
        """Is it time to give up?"""
        if not self._stop.is_set():
            return False
        now = self._now()
        self._stopped_at = self._stopped_at or now
        return now - self._stopped_at > GRACE_SECONDS


class Healing:
    """For which files there may be orphans to heal."""

    def __init__(self, config: PipelineConfig) -> None:
        parents = {key.parent for spec in config.files for key in spec.foreign_keys}
        self._parent_tables = {config.by_logical_name[name].table for name in parents}

    def brings_parents(self, outcome: FileOutcome) -> bool:
        """Did it load rows that orphans may wait for?"""
        return outcome.inserted > 0 and outcome.job.spec.table in self._parent_tables

    def is_wanted(self, outcome: FileOutcome) -> bool:
        """May there be something to heal, that was not looked for yet?"""
        left_orphans = bool(outcome.orphans) and outcome.file_id is not None
        return outcome.healed is None and (left_orphans or self.brings_parents(outcome))
