"""The local memory of finished files: MD5 and a SQLite cache on one thread. PostgreSQL is the truth."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import queue
import sqlite3
import sys
import threading
from collections.abc import Collection, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from config.jobs import Content, FileJob, Stamp
from ingestion.places.registry import path_of, place_of
from ingestion.tracker_view import BUSY_SECONDS, DONE, FAILED, is_same
from utils.logger import get_logger

logger = get_logger(__name__)

_DDL = """CREATE TABLE IF NOT EXISTS processed_files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, md5 TEXT NOT NULL,
    status TEXT NOT NULL, error TEXT, processed_at TEXT NOT NULL,
    inode INTEGER NOT NULL DEFAULT 0, ctime_ns INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"""
_NEW_COLUMNS = ("inode", "ctime_ns")  # since version 0.2
_ADD = "ALTER TABLE processed_files ADD COLUMN {} INTEGER NOT NULL DEFAULT 0"
_COLUMNS = "path, size, mtime_ns, inode, ctime_ns, md5, status, error, processed_at"
_SELECT = f"SELECT {_COLUMNS} FROM processed_files"
_UPSERT = f"INSERT OR REPLACE INTO processed_files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
RETRY_SECONDS = 5.0
_INT64 = range(-(2**63), 2**63)
# Faults of the moment or of the machine: the file itself may be sound, and is kept.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
}


class _Finished(NamedTuple):
    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int
    md5: str
    status: str
    error: str | None
    processed_at: str


class _Order(Enum):
    REWRITE = 1
    CLOSE = 2


def compute_hash(file_path: Path) -> str:
    """MD5 of the file's content, hex; it tells contents apart and protects nothing. Raises OSError."""
    with file_path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _row(columns: tuple[Any, ...]) -> tuple[Any, Stamp, str, str, str | None, str]:
    """A row of _SELECT, its stamp in one."""
    return columns[0], Stamp(*columns[1:5]), *columns[5:]


class FileTracker:
    """Which files are finished, by path, size, times of change and inode.

    Everything is kept in memory, and written behind by the one thread that touches SQLite. Its file may be
    deleted, cut, overwritten, locked or on a full disk: there is one warning, the memory serves, and what is owed
    is written later.
    """

    def __init__(self, db_path: Path) -> None:
        self._path = db_path
        self._known: dict[str, _Finished] = {}
        self._orders: queue.SimpleQueue[str | _Order] = queue.SimpleQueue()  # a path: write what is known of it
        self._read_done = threading.Event()
        # All that follows belongs to the thread.
        self._owed: set[str] = set()
        self._all_owed = False
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._warned = False
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)
        self._thread.start()
        self._read_done.wait()

    def is_current(self, path: str, size: int, mtime_ns: int, inode: int = 0, ctime_ns: int = 0) -> bool:
        """Was exactly this file, unchanged since, finished before? No I/O."""
        file = self._known.get(path)
        found = Stamp(size, mtime_ns, inode, ctime_ns)
        if file is None or not is_same(known := Stamp(*file[:4]), found):
            return False
        if known != found:  # known from an older version, and to be told apart better from now on
            self._known[path] = file._replace(inode=inode, ctime_ns=ctime_ns)
            self._orders.put(path)
        return True

    def former(self, path: str) -> Content | None:
        """What was loaded from this path, or found there as loaded before; None where that failed. No I/O."""
        file = self._known.get(path)
        return Content(file.md5, file.size) if file is not None and file.status == DONE else None

    def md5_of(self, path: str, stamp: Stamp) -> str | None:
        """The content's MD5, where exactly this file is finished; else None. No I/O."""
        file = self._known.get(path)
        return file.md5 if file is not None and is_same(Stamp(*file[:4]), stamp) else None

    def is_processed(self, file_path: Path, file_hash: str) -> bool:
        """Is content with this hash known as done, under this name or any other? No I/O, never blocks."""
        here = self._known.get(str(file_path))
        files = [here] if here is not None and here.md5 == file_hash else list(self._known.values())
        return any(file.md5 == file_hash and file.status == DONE for file in files)

    def done_files(self) -> list[tuple[str, str, dt.datetime]]:
        """Path, MD5 and time of every file that is known as done, and be it by another file's content. No I/O."""
        return [
            (path, file.md5, dt.datetime.fromisoformat(file.processed_at))
            for path, file in list(self._known.items())
            if file.status == DONE
        ]

    def mark_as_done(self, job: FileJob) -> None:
        """Remember the file as done. Returns at once."""
        self._mark(job, DONE, None)

    def mark_as_failed(self, job: FileJob, error: str) -> None:
        """Remember the file as failed: it is not tried again until it changes. Returns at once."""
        self._mark(job, FAILED, error.encode("utf-8", "backslashreplace").decode())

    def keep_only(self, hashes: set[str]) -> None:
        """Forget every file whose content isn't among `hashes`, failed ones too; those are judged anew."""
        kept = {path: file for path, file in self._known.items() if file.md5 in hashes and file.status == DONE}
        if len(kept) != len(self._known):
            self._known = kept
            self._orders.put(_Order.REWRITE)

    def contents(self) -> set[tuple[str, str]]:
        """MD5 and state (DONE or FAILED) of every file that is known. No I/O."""
        return {(file.md5, file.status) for file in list(self._known.values())}

    def forget(self, contents: Collection[tuple[str, str]]) -> list[str]:
        """Forget the files with these contents, as `contents()` gives them; returns their paths."""
        gone = [path for path, file in list(self._known.items()) if (file.md5, file.status) in contents]
        for path in gone:
            self._known.pop(path, None)
            self._orders.put(path)
        return gone

    def forget_vanished(self, before: dt.datetime) -> int:
        """Forget files that were finished before `before` (with time zone) and are gone from disk; how many."""
        limit = before.astimezone(dt.UTC).isoformat(timespec="seconds")
        old = [path for path, file in list(self._known.items()) if file.processed_at < limit]
        gone = [path for path in old if place_of(path).is_gone(path_of(path))]
        for path in gone:
            self._known.pop(path, None)
            self._orders.put(path)
        return len(gone)

    def close(self) -> None:
        """Write what was accepted and end the thread. Idempotent."""
        self._orders.put(_Order.CLOSE)
        self._thread.join()

    def _mark(self, job: FileJob, status: str, error: str | None) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        self._known[str(job.path)] = _Finished(*job.stamp, job.md5, status, error, now)
        self._orders.put(str(job.path))

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        try:
            self._read()
        finally:
            self._read_done.set()
        ending = False
        while not ending:
            for order in self._next_orders():
                if order is _Order.REWRITE:
                    self._all_owed = True
                elif order is _Order.CLOSE:
                    ending = True
                elif isinstance(order, str):
                    self._owed.add(order)
            if self._owed or self._all_owed:
                self._save()
        self._disconnect()

    def _next_orders(self) -> Iterator[str | _Order]:
        """All that is queued; waits for one, but not for long while something is owed."""
        with contextlib.suppress(queue.Empty):
            yield self._orders.get(timeout=RETRY_SECONDS if self._owed or self._all_owed else None)
            while True:
                yield self._orders.get_nowait()

    def _read(self) -> None:
        """Fill the memory. What can't be read is written anew from memory, as soon as that is possible."""
        try:
            self._connection = self._open()
            self._known = {
                os.fsdecode(path): _Finished(*stamp, md5, sys.intern(status), error, at)
                for path, stamp, md5, status, error, at in map(_row, self._connection.execute(_SELECT))
            }
        except (sqlite3.Error, OSError, TypeError) as error:
            self._known = {}
            self._all_owed = True
            self._recover(error)

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_DDL)
            there = {row[1] for row in connection.execute("PRAGMA table_info(processed_files)")}
            for name in _NEW_COLUMNS:
                if name not in there:
                    connection.execute(_ADD.format(name))
            connection.commit()
            self._inode = self._path.stat().st_ino
        except (sqlite3.Error, OSError):
            connection.close()
            raise
        return connection

    def _save(self) -> None:
        """Write what is owed. On an error it stays owed, for the next turn."""
        try:
            self._write()
        except (sqlite3.Error, OSError) as error:
            if self._recover(error):
                with contextlib.suppress(sqlite3.Error, OSError):
                    self._write()

    def _write(self) -> None:
        if self._connection is None or self._was_replaced():
            self._disconnect()
            self._all_owed = True
            self._connection = self._open()
        with self._connection:
            if self._all_owed:
                self._connection.execute("DELETE FROM processed_files")
            paths = list(self._known) if self._all_owed else self._owed
            self._connection.executemany(_UPSERT, self._rows(paths))
            gone = [(os.fsencode(path),) for path in paths if path not in self._known]
            self._connection.executemany("DELETE FROM processed_files WHERE path = ?", gone)
        self._owed.clear()
        self._all_owed = self._warned = False

    def _rows(self, paths: Collection[str]) -> Iterator[tuple[Any, ...]]:
        for path in paths:
            file = self._known.get(path)
            if file is not None and file.mtime_ns in _INT64 and file.ctime_ns in _INT64:
                yield (os.fsencode(path), *file)

    def _was_replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != self._inode
        except OSError:
            return True

    def _recover(self, error: Exception) -> bool:
        """Warn once and let go of the file; True when it was no database of ours, and was removed."""
        if not self._warned:
            self._warned = True
            why = error.strerror if isinstance(error, OSError) else getattr(error, "sqlite_errorname", "unknown")
            logger.warning(f"[tracker] {self._path.name} can't be used now ({why}); going on without it")
        self._disconnect()
        if isinstance(error, OSError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING:
            return False
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
