"""What is to be loaded: takes hints from watchers and scans, hands out files that are whole, each once."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from config.file_names import spec_for, why_unexpected
from config.model import Feed, FileJob, FileSpec, Stamp, Tries
from config.settings import PipelineConfig
from ingestion.load_order import LoadOrder
from ingestion.places.left_alone import is_ignored
from ingestion.places.open_writers import has_writer, stamp_of
from ingestion.places.store import ObjectStat, is_object, place, root_of

LONG_OPEN_SECONDS = 300.0  # a writer that takes longer than this for a file is worth a word
LOOK_AHEAD = 1000  # files that wait for others: behind so many, none is looked for while someone works
TOGETHER_BYTES = 1 << 20  # of files that are loaded together
MOST_TRIED = 10_000  # files whose tries are kept; the oldest go first
Report = Callable[[str, Path, str], None]  # kind (unexpected, refused, unreadable, open), path, message


class Found(Protocol):
    """What a scan says of a file: as much of os.DirEntry as is used here."""

    @property
    def name(self) -> str:
        """The file's name."""
        ...

    @property
    def path(self) -> str:
        """Where it is."""
        ...

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result | ObjectStat:
        """Size and time of change."""
        ...


class Finished(Protocol):
    """Knows which files are finished: the tracker, or a view of it."""

    def is_current(self, path: str, size: int, mtime_ns: int, inode: int = 0, ctime_ns: int = 0) -> bool:
        """Was exactly this file, unchanged since, finished before?"""


@dataclass(frozen=True, slots=True)
class _Settling:
    """A file that nobody is known to have closed.

    It is whole when `stamp` stayed the same since `since` for long enough, and nobody has it open for writing.
    """

    spec: FileSpec
    stamp: Stamp
    since: float


@dataclass(frozen=True, slots=True)
class _News:
    """A file was seen with another stamp while it was queued or in hand."""

    spec: FileSpec
    stamp: Stamp
    closed: bool


class Inbox:
    """A thread-safe queue of FileJobs; a path is in it at most once. `clock` is the wall clock in seconds.

    Whoever gets a job gives it back: by `done`, `retry_later` or `put_back`. The tries of a job that is given back
    are those of the next job of its path.
    """

    def __init__(
        self,
        config: PipelineConfig,
        tracker: Finished,
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
        self._order = LoadOrder(config.files, root_of(config, config.watcher.batch.dir))  # of the held
        self._news: dict[Path, _News] = {}  # of files that are held
        self._settling: dict[Path, _Settling] = {}  # in the order of `since`
        self._written: dict[Path, float] = {}  # those of them that a writer has open, and since when
        self._tries: dict[Path, Tries] = {}  # of files that were tried, and are not done
        self._reported: dict[Path, tuple[str, Stamp | None]] = {}

    # ---------------------------------------------------------------- for watchers and scans

    def offer(self, path: Path, feed: Feed, *, closed: bool = False) -> None:
        """Say that there may be a new file. `closed`: its writer has closed it, or it was renamed into place.

        Files that are finished and unchanged, held already, or ignored by name pass silently; links and other
        things that aren't regular files are refused, and names that nothing expects reported, once each.
        """
        if is_ignored(path.name):
            return
        try:
            found = path.lstat()
        except OSError:
            return
        if not self._tracker.is_current(str(path), *stamp_of(path, found)):
            self._judge(path, found, spec_for(self._specs, feed, path.name), feed, closed=closed)

    def offer_found(
        self,
        entries: Iterable[Found],
        feed: Feed,
        spec_of: Callable[[str], FileSpec | None] | None = None,
    ) -> None:
        """Offer what one scan found, parents before children: stream files folder by folder, a batch as a whole.

        `spec_of` gives the spec by the file's name, where that is not the one that `feed` expects.
        """
        new = []
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            current = self._tracker.is_current(entry.path, *stamp_of(entry.path, found))
            if not current and not is_ignored(entry.name):
                spec = spec_of(entry.name) if spec_of else spec_for(self._specs, feed, entry.name)
                folder = entry.path.removesuffix(entry.name) if feed is Feed.STREAM else ""
                order = (folder, spec.level if spec else 0, entry.name, entry.path)
                new.append((order, entry.path, found, spec))
        for _, path, found, spec in sorted(new, key=lambda item: item[0]):
            self._judge(place(path), found, spec, feed, closed=False)

    def report_once(self, kind: str, path: Path, message: str, stamp: Stamp | None = None) -> None:
        """Report a path that is not loaded; again only for another `kind` or `stamp`."""
        if not _is_text(path):
            kind, message = "unexpected", "its name is not UTF-8; it is not loaded"
        with self._changed:
            if self._reported.get(path) == (kind, stamp):
                return
            self._reported[path] = (kind, stamp)
        self._report(kind, path, message)

    # ---------------------------------------------------------------- for the one that loads

    def get(self, timeout: float) -> FileJob | None:
        """The next file that is whole and waits for no other, as it is now, or None after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._tell_of_long_writers()
        with self._changed:
            while True:
                self._collect_settled()
                while (job := self._take_next()) is not None:
                    job = self._as_it_is_now(job)
                    if job is not None:
                        return job
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(min(left, self._settle_seconds / 4) if self._settling else left)

    def get_alike(self, first: FileJob, most: int, fits: Callable[[FileJob], bool]) -> list[FileJob]:
        """`first`, just got, and up to `most` - 1 more files of its spec that may be loaded with it now.

        They are the next ones in their order, up to one that does not `fit`, is too much, or waits for another.
        """
        jobs, size = [first], first.size
        with self._changed:
            others: list[FileJob] = []
            for _ in range(min(LOOK_AHEAD, len(self._ready))):
                job: FileJob | None = self._ready.popleft()
                assert job is not None  # noqa: S101
                if job.spec is not first.spec:
                    others.append(job)
                    continue
                if len(jobs) == most or self._order.must_wait(job):
                    others.append(job)
                    break
                job = self._as_it_is_now(job)
                if job is None:  # it has to settle
                    continue
                size += job.size
                if size > TOGETHER_BYTES or not fits(job):
                    others.append(job)
                    break
                jobs.append(job)
            self._ready.extendleft(reversed(others))
        return jobs

    def done(self, job: FileJob) -> None:
        """The file is finished, and the tracker knows it. If it changed meanwhile, it is queued again.

        One that the tracker does not know comes again with the next scan, and has its tries then.
        """
        with self._changed:
            news = self._news.get(job.path)
            self._release(job.path)
            self._keep_tries(job)
            stamp = _stamp(job.path) if news else None
            if news and stamp and not self._tracker.is_current(str(job.path), *stamp):
                self._take(job.path, news.spec, stamp, closed=news.closed and news.stamp == stamp)
            self._changed.notify_all()

    def retry_later(self, job: FileJob) -> None:
        """The file changed while it was read: look at it again, and wait for it to settle."""
        with self._changed:
            self._release(job.path)
            self._keep_tries(job)
            stamp = _stamp(job.path)
            if stamp is not None:
                self._settle(job.path, job.spec, stamp, written=bool(has_writer(job.path)))
            self._changed.notify_all()

    def set_aside(self, table: str) -> None:
        """Files of `table` can't be loaded now: those that are queued settle anew, and hold up no other."""
        with self._changed:
            mine = [job for job in self._ready if job.spec.table == table]
            self._ready = deque(job for job in self._ready if job.spec.table != table)
            for job in mine:
                stamp = self._held[job.path]
                self._release(job.path)
                self._settle(job.path, job.spec, stamp, written=False)

    def put_back(self, job: FileJob) -> None:
        """Nothing is wrong with the file, it couldn't be loaded now: it is the next one again."""
        with self._changed:
            self._held.setdefault(job.path, job.stamp)
            self._keep_tries(job)
            self._order.add(job)
            self._ready.appendleft(job)
            self._changed.notify_all()

    def waiting(self) -> list[FileJob]:
        """The files that are queued or settling, as they were found; nothing is taken."""
        with self._changed:
            settling = [FileJob.of(path, file.spec, file.stamp) for path, file in self._settling.items()]
            return [*self._ready, *settling]

    def any_tried(self, wanted: Callable[[Tries], bool]) -> bool:
        """Is there a file, queued, in hand or settling, whose tries are as `wanted`?"""
        with self._changed:
            return any(
                wanted(tries)
                for path, tries in self._tries.items()
                if path in self._held or path in self._settling
            )

    def size(self) -> int:
        """How many files are queued, in hand or settling."""
        with self._changed:
            return len(self._held) + len(self._settling)

    def can_be_finished(self) -> int:
        """How many files are queued, in hand or settling, without those that somebody is writing."""
        with self._changed:
            return len(self._held) + len(self._settling) - len(self._written)

    def in_the_making(self) -> list[tuple[Path, float]]:
        """The files that a writer has open, as far as the system tells, and since when (seconds of the clock)."""
        with self._changed:
            return list(self._written.items())

    def oldest_seconds(self) -> float:
        """For how long the oldest file has waited that is queued or settling; 0 when there is none."""
        with self._changed:
            since = [job.discovered_at.timestamp() for job in self._ready]
            since += [file.since for file in self._settling.values()]
        return max(self._clock() - min(since), 0.0) if since else 0.0

    def holds(self, path: Path) -> bool:
        """Is this file queued, in hand or settling?"""
        with self._changed:
            return path in self._held or path in self._settling

    def has(self, spec: FileSpec) -> bool:
        """Is a file of this kind queued or in hand?"""
        with self._changed:
            names = {path.name for path in self._held}
        return any(spec_for(self._specs, spec.feed, name) is spec for name in names)

    # ----------------------------------------------------------------

    def _judge(
        self,
        path: Path,
        found: os.stat_result | ObjectStat,
        spec: FileSpec | None,
        feed: Feed,
        *,
        closed: bool,
    ) -> None:
        stamp = stamp_of(path, found)
        if not stat.S_ISREG(found.st_mode):
            kind = "unexpected" if stat.S_ISDIR(found.st_mode) else "refused"
            self.report_once(kind, path, "is not a regular file; links and pipes are not followed")
        elif spec is None or not _is_text(path):
            self.report_once("unexpected", path, why_unexpected(self._specs, feed, path.name))
        elif not is_object(path) and not os.access(path, os.R_OK):
            self.report_once("unreadable", path, "the pipeline's user may not read it", stamp)
        else:
            with self._changed:
                self._take(path, spec, stamp, closed=closed)

    def _take(self, path: Path, spec: FileSpec, stamp: Stamp, *, closed: bool) -> None:
        if self._tracker.is_current(str(path), *stamp):
            return  # finished since the scan looked at it
        if path in self._held:
            if self._held[path] != stamp:
                self._news[path] = _News(spec, stamp, closed)
            return
        written = has_writer(path)
        if not written and (closed or is_object(path) or (written is False and self._has_rested(stamp))):
            self._enqueue(path, spec, stamp)  # an object is put as a whole
        elif path not in self._settling or self._settling[path].stamp != stamp:
            self._settle(path, spec, stamp, written=bool(written))

    def _has_rested(self, stamp: Stamp) -> bool:
        """Is the last change of any kind long enough ago? Asked of own disks only, whose clock is ours."""
        return self._clock() - max(stamp.mtime_ns, stamp.ctime_ns) / 1e9 >= self._settle_seconds

    def _enqueue(self, path: Path, spec: FileSpec, stamp: Stamp) -> None:
        self._drop(path)
        self._held[path] = stamp
        job = FileJob.of(path, spec, stamp, self._tries.get(path, Tries()))
        self._order.add(job)
        self._ready.append(job)
        self._changed.notify_all()

    def _settle(self, path: Path, spec: FileSpec, stamp: Stamp, *, written: bool) -> None:
        now = self._clock()
        since = self._written.get(path, now)
        self._drop(path)  # and to the end, which keeps the order of `since`
        self._settling[path] = _Settling(spec, stamp, now)
        if written:
            self._written[path] = min(since, now)
        self._changed.notify_all()

    def _keep_tries(self, job: FileJob) -> None:
        self._tries.pop(job.path, None)
        if job.tries != Tries():
            self._tries[job.path] = job.tries
            if len(self._tries) > MOST_TRIED:
                self._tries.pop(next(iter(self._tries)))

    def _drop(self, path: Path) -> None:
        self._settling.pop(path, None)
        self._written.pop(path, None)

    def _tell_of_long_writers(self) -> None:
        """Once a file."""
        now = self._clock()
        for path, since in self.in_the_making():
            if now - since >= LONG_OPEN_SECONDS:
                text = "somebody has it open for writing for minutes; it is loaded when its writer closes it"
                self.report_once("open", path, text)

    def _release(self, path: Path) -> None:
        self._held.pop(path, None)
        self._news.pop(path, None)
        self._order.remove(path)
        self._changed.notify_all()  # what waited for it may start

    def _take_next(self) -> FileJob | None:
        """Off the queue: the first file that need not wait for another."""
        someone_works = len(self._held) > len(self._ready)
        for index, job in enumerate(islice(self._ready, LOOK_AHEAD if someone_works else None)):
            if not self._order.must_wait(job):
                del self._ready[index]
                return job
        return None

    def _as_it_is_now(self, job: FileJob) -> FileJob | None:
        """The job, if its file is still as it was queued or was closed anew since; else it has to settle."""
        stamp = self._held[job.path] if is_object(job.path) else _stamp(job.path)  # no request while all wait
        if stamp == self._held[job.path]:
            return job
        news = self._news.get(job.path)
        self._release(job.path)
        if stamp is None:
            return None
        if news is None or not news.closed or news.stamp != stamp:
            self._settle(job.path, job.spec, stamp, written=bool(has_writer(job.path)))
            return None
        self._held[job.path] = stamp
        self._order.add(job)
        return job.as_of(stamp)

    def _collect_settled(self) -> None:
        now = self._clock()
        if any(file.since > now for file in list(self._settling.values())[:1]):  # the clock was set back
            self._settling = {path: _Settling(f.spec, f.stamp, now) for path, f in self._settling.items()}
        while self._settling:
            path, file = next(iter(self._settling.items()))
            if now - file.since < self._settle_seconds:
                return
            stamp, written = _stamp(path), has_writer(path)
            if stamp is None:
                self._drop(path)
            elif stamp == file.stamp and not written:
                self._enqueue(path, file.spec, stamp)
            else:
                self._settle(path, file.spec, stamp, written=bool(written))


def _stamp(path: Path) -> Stamp | None:
    """None when there is no regular file any more."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return stamp_of(path, found) if stat.S_ISREG(found.st_mode) else None


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
