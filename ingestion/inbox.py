"""What is to be loaded: takes hints from watchers and scans, hands out files that are whole, each once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from config.file_names import spec_for
from config.file_spec import FileSpec
from config.jobs import FileJob, Stamp, Tries
from config.model import Feed
from config.settings import PipelineConfig
from ingestion.admission import Admission, Finished, Report
from ingestion.leaving import Leaving
from ingestion.load_order import LoadOrder
from ingestion.places.place import Found
from ingestion.places.registry import input_folder, place_of
from ingestion.settling import Settling, stamp_now

LONG_OPEN_SECONDS = 300.0  # a writer that takes longer than this for a file is worth a word
ALONE_LOOK_SECONDS = 60.0  # between two looks for files without their marker
LOOK_AHEAD = 1000  # files that wait for others: behind so many, none is looked for while someone works
TOGETHER_BYTES = 1 << 20  # of files that are loaded together
MOST_TRIED = 10_000  # files whose tries are kept; the oldest go first


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
        self.leaving = Leaving()
        self._admission = Admission(config, tracker, report, self.leaving, clock)
        self._clock = clock
        self._look_for_alone_at = 0.0
        self._changed = threading.Condition()  # guards all that follows
        self._ready: deque[FileJob] = deque()
        self._held: dict[Path, Stamp] = {}  # queued or in hand
        self._order = LoadOrder(config.files, input_folder(config, config.watcher.batch.dir))  # of the held
        self._news: dict[Path, _News] = {}  # of files that are held
        self._settling = Settling(self._settle_seconds)
        self._tries: dict[Path, Tries] = {}  # of files that were tried, and are not done

    # ---------------------------------------------------------------- for watchers and scans

    def offer(self, path: Path, feed: Feed, *, closed: bool = False) -> None:
        """Say that there may be a new file. `closed`: its writer has closed it, or it was renamed into place.

        Files that are finished and unchanged, held already, or ignored by name pass silently; links and other
        things that aren't regular files are refused, and names that nothing expects reported, once each.
        """
        with suppress(OSError):
            self.offer_found([place_of(path).stat(path)], feed, closed=closed)

    def offer_found(
        self,
        entries: Iterable[Found],
        feed: Feed,
        spec_of: Callable[[str], FileSpec | None] | None = None,
        *,
        closed: bool = False,
    ) -> None:
        """Offer what one scan found, parents before children: stream files folder by folder, a batch as a whole.

        `spec_of` gives the spec by the file's name, where that is not the one that `feed` expects.
        """
        for path, spec, stamp in self._admission.new_files(entries, feed, spec_of):
            with self._changed:
                self._take(path, spec, stamp, closed=closed)

    def report_once(self, kind: str, path: Path, message: str) -> None:
        """Report a path that is not loaded; again only for another `kind`."""
        self._admission.report_once(kind, path, message)

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
            stamp = stamp_now(job.path) if news else None
            if news and stamp and not self._tracker.is_current(str(job.path), *stamp):
                self._take(job.path, news.spec, stamp, closed=news.closed and news.stamp == stamp)
            self._changed.notify_all()
        self.leaving.add(job.path, job.spec)

    def retry_later(self, job: FileJob) -> None:
        """The file changed while it was read: look at it again, and wait for it to settle."""
        with self._changed:
            self._release(job.path)
            self._keep_tries(job)
            stamp = stamp_now(job.path)
            if stamp is not None:
                self._settle(job.path, job.spec, stamp)
            self._changed.notify_all()

    def set_aside(self, table: str) -> None:
        """Files of `table` can't be loaded now: those that are queued settle anew, and hold up no other."""
        with self._changed:
            mine = [job for job in self._ready if job.spec.table == table]
            self._ready = deque(job for job in self._ready if job.spec.table != table)
            for job in mine:
                stamp = self._held[job.path]
                self._release(job.path)
                self._settling.add(job.path, job.spec, stamp, self._clock(), written=False)

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
            return [*self._ready, *self._settling.jobs()]

    def incomplete(self) -> list[tuple[Path, str]]:
        """The files that wait for their marker or manifest, and for which."""
        return self._admission.completeness.waiting()

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
            return len(self._held) + len(self._settling) - len(self._settling.written())

    def in_the_making(self) -> list[tuple[Path, float]]:
        """The files that a writer has open, as far as the system tells, and since when (seconds of the clock)."""
        with self._changed:
            return self._settling.written()

    def oldest_seconds(self) -> float:
        """For how long the oldest file has waited that is queued or settling; 0 when there is none."""
        with self._changed:
            since = [job.discovered_at.timestamp() for job in self._ready]
            since += self._settling.since()
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

    def _take(self, path: Path, spec: FileSpec, stamp: Stamp, *, closed: bool) -> None:
        if self._tracker.is_current(str(path), *stamp):
            return  # finished since the scan looked at it
        if path in self._held:
            if self._held[path] != stamp:
                self._news[path] = _News(spec, stamp, closed)
            return
        place = place_of(path)
        written = place.has_writer(path)
        rested = written is False and self._settling.has_rested(stamp, self._clock())
        if not written and (closed or not place.settles or rested):
            self._enqueue(path, spec, stamp)
        elif not self._settling.has(path, stamp):
            self._settling.add(path, spec, stamp, self._clock(), written=bool(written))
            self._changed.notify_all()

    def _enqueue(self, path: Path, spec: FileSpec, stamp: Stamp) -> None:
        self._settling.drop(path)
        self._held[path] = stamp
        job = FileJob.of(path, spec, stamp, self._tries.get(path, Tries()))
        self._order.add(job)
        self._ready.append(job)
        self._changed.notify_all()

    def _settle(self, path: Path, spec: FileSpec, stamp: Stamp) -> None:
        written = bool(place_of(path).has_writer(path))
        self._settling.add(path, spec, stamp, self._clock(), written=written)
        self._changed.notify_all()

    def _keep_tries(self, job: FileJob) -> None:
        self._tries.pop(job.path, None)
        if job.tries != Tries():
            self._tries[job.path] = job.tries
            if len(self._tries) > MOST_TRIED:
                self._tries.pop(next(iter(self._tries)))

    def _tell_of_long_writers(self) -> None:
        """Once a file."""
        now = self._clock()
        for path, since in self.in_the_making():
            if now - since >= LONG_OPEN_SECONDS:
                text = "somebody has it open for writing for minutes; it is loaded when its writer closes it"
                self.report_once("open", path, text)
        if now >= self._look_for_alone_at:
            self._look_for_alone_at = now + ALONE_LOOK_SECONDS
            for path, text in self._admission.completeness.alone():
                self.report_once("incomplete", path, text)

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
        remote = place_of(job.path).is_remote
        stamp = self._held[job.path] if remote else stamp_now(job.path)  # no request while all wait
        if stamp == self._held[job.path]:
            return job
        news = self._news.get(job.path)
        self._release(job.path)
        if stamp is None:
            return None
        if news is None or not news.closed or news.stamp != stamp:
            self._settle(job.path, job.spec, stamp)
            return None
        self._held[job.path] = stamp
        self._order.add(job)
        return job.as_of(stamp)

    def _collect_settled(self) -> None:
        for path, file in self._settling.whole(self._clock()):
            self._enqueue(path, file.spec, file.stamp)
