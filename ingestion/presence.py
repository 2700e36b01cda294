"""Who is running on these folders: each pipeline holds a locked file beside the tracker while it lives."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from config.settings import PipelineConfig
from utils.logger import get_logger

logger = get_logger(__name__)

_PATTERN = "running-*.lock"


@dataclass(frozen=True, slots=True)
class Running:
    """A pipeline that runs now: its process, and since when."""

    pid: int
    since: dt.datetime


@contextmanager
def announced(config: PipelineConfig) -> Iterator[None]:
    """While inside, `running` sees this process. A folder that can't be written costs that, and no more.

    The kernel frees the lock when the process ends, however it ends: what is left of one that was killed is a file
    without a lock, which counts for nothing and goes at the next start.
    """
    folder = _folder(config)
    name = f"running-{uuid4().hex[:12]}.lock"
    descriptor = None
    try:
        _clear(folder)
        # Written and locked under a hidden name first: nobody sees the file without its lock.
        draft = folder / f".{name}"
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        said = {"pid": os.getpid(), "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}
        os.write(descriptor, json.dumps(said).encode())
        draft.rename(folder / name)
    except OSError as error:
        logger.warning(f"[pipeline] `status` will not see this process: {error.strerror}")
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / name).unlink()
        if descriptor is not None:
            os.close(descriptor)


def running(config: PipelineConfig) -> list[Running]:
    """The pipelines that run now on the folders of `config`, the oldest first."""
    found = []
    for path in _folder(config).glob(_PATTERN):
        with suppress(OSError, ValueError, KeyError), path.open("rb") as file:
            if _is_locked(file.fileno()):
                said = json.loads(file.read())
                found.append(Running(int(said["pid"]), dt.datetime.fromisoformat(said["since"])))
    return sorted(found, key=lambda one: one.since)


def _clear(folder: Path) -> None:
    """Remove what killed processes left."""
    for path in folder.glob(_PATTERN):
        with suppress(OSError), path.open("rb") as file:
            if not _is_locked(file.fileno()):
                path.unlink()


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _folder(config: PipelineConfig) -> Path:
    return config.path(config.tracker.db_path).parent
