"""The worker's side of a cluster: one pool of connections a process, and the same engine as on one machine."""

from __future__ import annotations

import atexit
import hashlib
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from config.config_loader import get_config
from config.errors import ConfigError, WarehouseUnavailable
from config.jobs import FileJob, FileOutcome
from config.settings import PipelineConfig, PoolConfig
from datawarehouse.db_connection import Warehouse
from ingestion.engines.crossing import Packed, pack
from ingestion.engines.engine import FOLLOW_UP_SECONDS
from ingestion.engines.local import LocalEngine
from ingestion.formats import registry
from ingestion.group_load import Together
from validation import checks, defaults, rules
from validation.pii_handler import PiiHandler

WORKER_POOL = 2  # connections of one worker process: it has one thread

Call = Literal["load", "load_together", "heal"]  # the methods of an engine


class Answer(NamedTuple):
    """What an engine's method returned, or the error that it raised."""

    result: Any = None
    error: Packed = ()


class _Desk:
    """What a worker process needs for its files, kept from one to the next. Its methods are those of an engine.

    What was loaded is healed at once, which saves a way to and fro; the outcome says so.
    """

    def __init__(self) -> None:
        self.config = get_config(checks=[rules.problems, checks.problems, defaults.problems, registry.problems])
        self.config_id = config_id(self.config)
        database = self.config.database.model_copy(update={"pool": PoolConfig(min=1, max=WORKER_POOL)})
        self.warehouse = Warehouse(database, self.config.home)
        self.warehouse.open()
        atexit.register(self.warehouse.close)
        self.engine = LocalEngine(self.config, self.warehouse, threading.Event(), lambda _job, _rows: None)

    def load(self, job: FileJob) -> FileOutcome:
        return self._healed([self.engine.load(job)])[0]

    def load_together(self, jobs: Sequence[FileJob]) -> Together:
        together = self.engine.load_together(jobs)
        return together._replace(loaded=self._healed(together.loaded))

    def heal(self, outcomes: Sequence[FileOutcome]) -> int:
        """How many orphans that `outcomes` concern were loaded."""
        with self.warehouse.quick(FOLLOW_UP_SECONDS):
            return self.engine.heal(outcomes)

    def _healed(self, outcomes: list[FileOutcome]) -> list[FileOutcome]:
        if outcomes:
            with suppress(WarehouseUnavailable):  # the healing is asked for once more
                counts = [self.heal(outcomes), *(0 for _ in outcomes[1:])]
                return [replace(o, healed=count) for o, count in zip(outcomes, counts, strict=True)]
        return outcomes


_lock = threading.Lock()  # guards _desk
_desk: _Desk | None = None


def perform(wanted_config: str, call: Call, argument: Any) -> Answer:
    """Do `call` of an engine in this process. Raises nothing: an error is a part of the answer."""
    try:
        return Answer(getattr(_open_desk(wanted_config), call)(argument))
    except Exception as error:  # noqa: BLE001  (told to the coordinator, which decides)
        return Answer(error=pack(error))


def dask_setup(_worker: object) -> None:
    """Called by dask in a worker that the pipeline started itself: Ctrl-C is for the coordinator alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _open_desk(wanted_config: str) -> _Desk:
    global _desk  # noqa: PLW0603
    with _lock:
        if _desk is None:
            _desk = _Desk()
    if _desk.config_id != wanted_config:
        raise ConfigError("a worker has another configuration or PII key")
    return _desk


def config_id(config: PipelineConfig) -> str:
    """The same on two machines that would load a file the same way."""
    parts = [
        *sorted(spec.fingerprint for spec in config.files),
        str(PiiHandler(config.pii.hash_key).key_id),
        str(config.validation),
        str(config.database.dbname),
    ]
    return hashlib.md5(" ".join(parts).encode(), usedforsecurity=False).hexdigest()
