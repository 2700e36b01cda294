"""The worker's side of a cluster: one pool of connections a process, and the same work as on one machine."""

from __future__ import annotations

import atexit
import hashlib
import signal
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from config.config_loader import get_config
from config.errors import ConfigError, PipelineError, WarehouseUnavailable, class_named, class_of
from config.model import FileJob, FileOutcome
from config.settings import PipelineConfig, PoolConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from ingestion.file_load import FileLoad
from ingestion.file_work import FOLLOW_UP_SECONDS, WORKER_POOL, FileWork
from ingestion.formats import registry
from ingestion.group_load import GroupLoad
from validation import rules
from validation.pii_handler import PiiHandler


class Answer(NamedTuple):
    """An outcome, how many rows were healed (None: that was not done), or an error's class and message.

    The class is one of config.errors, by its name.
    """

    outcome: FileOutcome | None = None
    healed: int | None = None
    error: str = ""
    message: str = ""


class _Desk:
    """What a worker process needs for its files, kept from one to the next."""

    def __init__(self) -> None:
        self.config = get_config(checks=[rules.problems, registry.problems])
        self.config_id = config_id(self.config)
        database = self.config.database.model_copy(update={"pool": PoolConfig(min=1, max=WORKER_POOL)})
        self.warehouse = Warehouse(database, self.config.home)
        self.warehouse.open()
        atexit.register(self.warehouse.close)
        retry = OrphanRetry(self.warehouse, self.config)
        pii = PiiHandler(self.config.pii.hash_key)
        load, group = FileLoad(self.warehouse, self.config, pii), GroupLoad(self.warehouse, self.config, pii)
        self.work = FileWork(self.warehouse, load, group, retry, self.config)

    def heal(self, outcome: FileOutcome) -> int:
        """How many orphans that `outcome` concerns were loaded."""
        with self.warehouse.quick(FOLLOW_UP_SECONDS):
            return self.work.heal([outcome])


_lock = threading.Lock()  # guards _desk
_desk: _Desk | None = None


def perform(wanted_config: str, job: FileJob | None, outcome: FileOutcome | None) -> Answer:
    """Load `job` and heal what it concerns; without one, heal what `outcome` concerns. In this process.

    Raises nothing: an exception's text, which may quote data, stays here.
    """
    try:
        desk = _open_desk()
        if desk.config_id != wanted_config:
            return Answer(error=ConfigError.__name__, message="a worker has another configuration or PII key")
        if job is not None:
            outcome = desk.work.load(job)
            with suppress(WarehouseUnavailable):  # the healing is asked for once more
                return Answer(outcome, desk.heal(outcome))
            return Answer(outcome)
        return Answer(healed=desk.heal(outcome) if outcome is not None else 0)
    except PipelineError as error:
        return Answer(error=class_of(error).__name__, message=str(error))
    except Exception as error:  # noqa: BLE001  (told to the coordinator, which records it)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        return Answer(error=PipelineError.__name__, message=place)


def dask_setup(_worker: object) -> None:
    """Called by dask in a worker that the pipeline started itself: Ctrl-C is for the coordinator alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _open_desk() -> _Desk:
    global _desk  # noqa: PLW0603
    with _lock:
        if _desk is None:
            _desk = _Desk()
        return _desk


def error_of(answer: Answer) -> PipelineError | None:
    """The answer's error as it would have been raised here."""
    return class_named(answer.error)(answer.message) if answer.error else None


def config_id(config: PipelineConfig) -> str:
    """The same on two machines that would load a file the same way."""
    parts = [
        *sorted(spec.fingerprint for spec in config.files),
        str(PiiHandler(config.pii.hash_key).key_id),
        str(config.validation),
        str(config.database.dbname),
    ]
    return hashlib.md5(" ".join(parts).encode(), usedforsecurity=False).hexdigest()
