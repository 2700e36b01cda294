"""What is to be loaded: takes hints from watchers and scans, hands out files that are whole, each once."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.file_specs import spec_for
from config.model import Feed, FileJob, FileSpec, PipelineConfig
from ingestion.file_tracker import FileTracker
from utils.logger import get_logger

logger = get_logger(__name__)

IGNORED_SUFFIXES = (".tmp", ".part", "~")
Report = Callable[[str, Path, str], None]  # kind (unexpected, refused, unreadable), path, message
Stamp = tuple[int, int]  # size in bytes, time of change in ns


@dataclass
class _Settling:
    """A file that nobody closed: it is whole when `stamp` stayed the same since `since` for long enough."""

    spec: FileSpec
    stamp: Stamp
    since: float


class Inbox:
    """A thread-safe queue of FileJobs. `clock` is the wall clock in seconds."""

    def __init__(
        self,
        config: PipelineConfig,
        tracker: FileTracker,
        report: Report,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._specs = config.files
        self._settle_seconds = config.watcher.settle_seconds
        self._tracker = tracker
        self._report = report
        self._clock = clock
        self._changed = threading.Condition()  # guards all that follows
        self._ready: deque[FileJob] = deque()
        self._held: dict[Path, Stamp] = {}  # queued or in hand
        self._again: dict[Path, FileSpec] = {}  # changed while held: look again when done
        self._settling: dict[Path, _Settling] = {}
        self._reported: dict[Path, tuple[str, Stamp]] = {}

    def offer(self, path: Path, feed: Feed, *, closed: bool = False, spec: FileSpec | None = None) -> None:
        """Say that there may be a new file. `closed`: its writer has closed it, or it was renamed into place.

        Files that are done and unchanged, held already, or ignored by name pass silently; links and other things
        that aren't regular files are refused, and names that nothing expects reported, once each.
        """
        name = path.name
        if name.startswith(".") or name.lower().endswith(IGNORED_SUFFIXES):
            return
        try:
            found = path.lstat()
        except OSError:
            return
        stamp = (found.st_size, found.st_mtime_ns)
        if self._tracker.is_current(str(path), *stamp):
            return
        spec = spec or spec_for(self._specs, feed, name)
        if spec is None:
            self._say("unexpected", path, stamp, "no expected file has this name; it is not loaded")
        elif not stat.S_ISREG(found.st_mode):
            self._say("refused", path, stamp, "is not a regular file; links and pipes are not followed")
        elif not os.access(path, os.R_OK):
            self._say("unreadable", path, stamp, "the pipeline's user may not read it")
        else:
            self._take(path, spec, stamp, closed=closed)

    def get(self, timeout: float) -> FileJob | None:
        """The next file that is whole, or None after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            with self._changed:
                self._collect_settled()
                if self._ready:
                    return self._ready.popleft()
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(min(left, self._settle_seconds / 4) if self._settling else left)

    def done(self, job: FileJob) -> None:
        """The file is finished (and the tracker knows it)."""
        with self._changed:
            self._held.pop(job.path, None)
            spec = self._again.pop(job.path, None)
            self._changed.notify_all()
        if spec is not None:
            self.offer(job.path, spec.feed, spec=spec)

    def retry_later(self, job: FileJob) -> None:
        """The file was not loaded: look at it again, and wait for it to settle."""
        with self._changed:
            self._held.pop(job.path, None)
            self._again.pop(job.path, None)
            try:
                found = job.path.lstat()
            except OSError:
                return
            stamp = (found.st_size, found.st_mtime_ns)
            self._settling[job.path] = _Settling(job.spec, stamp, self._clock())
            self._changed.notify_all()

    def size(self) -> int:
        """How many files are queued, in hand or settling."""
        with self._changed:
            return len(self._held) + len(self._settling)

    def _say(self, kind: str, path: Path, stamp: Stamp, message: str) -> None:
        with self._changed:
            said = (kind, stamp if kind == "unreadable" else (0, 0))
            if self._reported.get(path) == said:
                return
            self._reported[path] = said
        self._report(kind, path, message)

    def _take(self, path: Path, spec: FileSpec, stamp: Stamp, *, closed: bool) -> None:
        with self._changed:
            if path in self._held:
                if self._held[path] != stamp:
                    self._again[path] = spec
                return
            now = self._clock()
            age = now - stamp[1] / 1e9
            if closed or age >= self._settle_seconds:
                self._enqueue(path, spec, stamp)
            elif path not in self._settling or self._settling[path].stamp != stamp:
                self._settling[path] = _Settling(spec, stamp, now)
                self._changed.notify_all()

    def _enqueue(self, path: Path, spec: FileSpec, stamp: Stamp) -> None:
        self._settling.pop(path, None)
        self._held[path] = stamp
        self._ready.append(FileJob(path, spec, *stamp))
        self._changed.notify_all()

    def _collect_settled(self) -> None:
        now = self._clock()
        for path, settling in list(self._settling.items()):
            if now - settling.since < self._settle_seconds:
                continue
            try:
                found = path.lstat()
            except OSError:
                del self._settling[path]
                continue
            stamp = (found.st_size, found.st_mtime_ns)
            if stamp == settling.stamp:
                self._enqueue(path, settling.spec, stamp)
            else:
                self._settling[path] = _Settling(settling.spec, stamp, now)
