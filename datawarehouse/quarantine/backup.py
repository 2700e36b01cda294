"""The CSV copy of the quarantine table, one file a feed and day; the table is the truth and mends the copy."""

from __future__ import annotations

import csv
import datetime as dt
import errno
import fcntl
import io
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from config.errors import Stopped
from config.model import Feed
from datawarehouse.db_connection import Warehouse
from datawarehouse.queries import query
from datawarehouse.streaming import stream
from utils.logger import get_logger
from validation.fault_handler import BACKUP_COLUMNS, backup_line

logger = get_logger(__name__)

LOCK_SECONDS, LOOK_SECONDS = 10.0, 0.01  # how long a loaded file waits for its copy, and between two looks
CELL_BYTES = 64 << 20  # of a backup file, when it is read


@dataclass(frozen=True, slots=True)
class ComparedDay:
    """A day's file against the table: rows it should have, how many it lacks, how many it has too many."""

    feed: Feed
    day: dt.date
    path: Path
    rows: int
    missing: int
    extra: int


class QuarantineBackup:
    """Keeps `directory`/{batch,stream}/quarantined_YYYY-MM-DD.csv equal to the table. Dates are UTC.

    A file whose rows were committed but not yet copied is marked so in pipeline_file_log; after a crash, or when
    the disk was full, `reconcile` writes those days anew.
    """

    def __init__(self, directory: Path, warehouse: Warehouse, stop: threading.Event | None = None) -> None:
        """When `stop` is set, a day that is being written anew is left as it was, by Stopped."""
        self._directory = directory
        self._stop = stop or threading.Event()
        self._warehouse = warehouse
        self._rewriting: set[Feed] = set()  # whose days a thread of this process writes anew

    def append(self, file_ids: list[int], feed: Feed) -> None:
        """Copy the quarantined rows of files, just committed together.

        OSError (disk full, no rights, another writes for long) is logged, and mended later by `reconcile`.
        """
        if feed in self._rewriting:  # its turn comes when that is done
            return
        try:
            with self._locked(feed, LOCK_SECONDS), self._warehouse.transaction() as tx:
                tx.execute(query("quarantine", "take_backup"), {"file_ids": file_ids})
                if taken := [file_id for (file_id,) in tx.fetchall()]:
                    tx.execute(query("quarantine", "backup_files"), {"file_ids": taken})
                    if rows := tx.fetchall():  # none when a file was undone meanwhile
                        self._write(feed, rows)
        except OSError as error:
            extra = {"file_ids": file_ids}
            logger.warning(f"[quarantine] CSV backup not written: {error.strerror}", extra=extra)

    def _write(self, feed: Feed, rows: list[tuple[Any, ...]]) -> None:
        path = self._path(feed, rows[0][-1].astimezone(dt.UTC).date())
        if not path.exists():
            self._replace(path, [BACKUP_COLUMNS])
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(_csv_text(backup_line(row) for row in rows))
            file.flush()
            os.fsync(file.fileno())

    def reconcile(self, *, missing_files: bool = False, seconds: float = math.inf) -> int:
        """Write anew every day that has rows not copied yet, and with `missing_files` those without a file.

        Returns how many days were written. Raises OSError while the folder can't be written, or when another
        writes for more than `seconds`.
        """
        with self._warehouse.transaction() as tx:
            tx.execute(query("quarantine", "backup_pending"))
            days = {(Feed(feed), day) for feed, day in tx.fetchall()}
            if missing_files:
                tx.execute(query("quarantine", "backup_days"))
                days |= {(Feed(f), day) for f, day in tx.fetchall() if not self._path(Feed(f), day).exists()}
        for feed, day in sorted(days):
            self._rewrite(feed, day, seconds)
            time.sleep(2 * LOOK_SECONDS)  # whoever waits for the lock has its turn
        if missing_files and days:  # files that were loaded meanwhile did not wait for it
            self.reconcile(seconds=seconds)
        return len(days)

    def remove_before(self, day: dt.date) -> int:
        """Remove the files of days before `day` of which the table has no rows left; returns how many."""
        removed = 0
        for feed in Feed:
            with self._locked(feed), self._warehouse.transaction() as tx:
                tx.execute(query("quarantine", "backup_days"))
                kept = {self._path(Feed(name), date).name for name, date in tx if name == feed.value}
                limit = self._path(feed, day).name
                for path in self._path(feed, day).parent.glob("quarantined_????-??-??.csv"):
                    if path.name < limit and path.name not in kept:
                        path.unlink(missing_ok=True)
                        removed += 1
        return removed

    def compare(self) -> Iterator[ComparedDay]:
        """Hold every day's file against the table, but for days that are about to be written anew."""
        for feed in Feed:
            with self._warehouse.transaction() as tx:
                tx.execute(query("quarantine", "backup_days"))
                days = {self._path(feed, day): day for name, day in tx if name == feed.value}
                tx.execute(query("quarantine", "backup_pending"))
                pending = {self._path(feed, day) for name, day in tx if name == feed.value}
            there = set((self._directory / feed.value).glob("quarantined_????-??-??.csv"))
            for path in sorted((there | set(days)) - pending):
                day = days.get(path) or dt.date.fromisoformat(path.stem.removeprefix("quarantined_"))
                yield self._compare_day(feed, day, path)

    def mend(self) -> None:
        """Write anew the days that differ from the table: it may have gone back in time. Raises OSError."""
        for found in self.compare():
            if found.missing or found.extra:
                self._rewrite(found.feed, found.day, math.inf)

    def _compare_day(self, feed: Feed, day: dt.date, path: Path) -> ComparedDay:
        with self._locked(feed), self._warehouse.transaction() as tx:
            rows = stream(tx, query("quarantine", "backup_day"), {"day": day, "feed": feed.value})
            wanted = Counter(hash(tuple(backup_line(row))) for row in self._until_stopped(rows))
            found = Counter(_line_hashes(path))
        return ComparedDay(feed, day, path, wanted.total(), (wanted - found).total(), (found - wanted).total())

    def _rewrite(self, feed: Feed, day: dt.date, seconds: float) -> None:
        path = self._path(feed, day)
        of_day = {"day": day, "feed": feed.value}
        with self._rewritten(feed), self._locked(feed, seconds), self._warehouse.transaction() as tx:
            tx.execute(query("quarantine", "take_backup_day"), of_day)
            rows = stream(tx, query("quarantine", "backup_day"), of_day)
            lines = map(backup_line, self._until_stopped(rows))
            first = next(lines, None)
            if first is not None:
                self._replace(path, chain([BACKUP_COLUMNS, first], lines))
            else:  # a file was undone, or pruned
                path.unlink(missing_ok=True)
        logger.info(f"[quarantine] wrote {path.name} anew from the table", extra={"path": str(path)})

    @contextmanager
    def _rewritten(self, feed: Feed) -> Iterator[None]:
        self._rewriting.add(feed)
        try:
            yield
        finally:
            self._rewriting.discard(feed)

    def _until_stopped(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for row in rows:
            if self._stop.is_set():
                raise Stopped("the CSV backup is written anew at the next start")
            yield row

    def _path(self, feed: Feed, day: dt.date) -> Path:
        return self._directory / feed.value / f"quarantined_{day:%Y-%m-%d}.csv"

    @contextmanager
    def _locked(self, feed: Feed, seconds: float = math.inf) -> Iterator[None]:
        """One writer of a feed's files at a time, among all processes that share the folder.

        Raises TimeoutError (an OSError) when another has been writing for `seconds`.
        """
        folder = self._directory / feed.value
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, seconds)
            yield
        finally:
            os.close(descriptor)

    def _replace(self, path: Path, lines: Iterable[list[str] | tuple[str, ...]]) -> None:
        """Write the whole file and put it in place at once."""
        draft = path.with_name(f".{path.name}.tmp")
        descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def _lock(descriptor: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, f"another has been writing for {seconds:.0f} s")
        time.sleep(LOOK_SECONDS)


def _line_hashes(path: Path) -> Iterator[int]:
    """A hash a row of a backup file; of hashes, a million takes little memory. Nothing where there is no file."""
    csv.field_size_limit(CELL_BYTES)
    with suppress(FileNotFoundError), path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        next(lines, None)
        yield from (hash(tuple(line)) for line in lines)


def _csv_text(lines: Iterator[list[str] | tuple[str, ...]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(lines)
    return buffer.getvalue()
