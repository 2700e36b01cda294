"""The local memory of finished files: MD5 and a SQLite cache on one thread. PostgreSQL is the truth."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from config.model import FileJob, Status
from utils.logger import get_logger

logger = get_logger(__name__)

_DDL = """CREATE TABLE IF NOT EXISTS processed_files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, md5 TEXT NOT NULL,
    status TEXT NOT NULL, error TEXT, processed_at TEXT NOT NULL) WITHOUT ROWID"""
_UPSERT = "INSERT OR REPLACE INTO processed_files VALUES (?, ?, ?, ?, ?, ?, ?)"
_BUSY_SECONDS = 2.0
_RETRY_SECONDS = 5.0

Row = tuple[bytes, int, int, str, str, str | None, str]


def compute_hash(file_path: Path) -> str:
    """MD5 of the file's content, hex; it tells contents apart and protects nothing."""
    with file_path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class FileTracker:
    """Which files are finished, by path, size and time of change.

    Everything is kept in memory and written behind by one thread. SQLite may be deleted, cut, locked or full:
    then there is one warning, the memory serves, and what is owed is written later.
    """

    def __init__(self, db_path: Path) -> None:
        self._path = db_path
        self._known: dict[str, Row] = {}
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._owed: dict[bytes, Row] = {}
        self._all_owed = False
        self._connection: sqlite3.Connection | None = None
        self._warned = False
        self._read()
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)
        self._thread.start()

    def is_current(self, path: str, size: int, mtime_ns: int) -> bool:
        """Was exactly this file, unchanged since, finished before? No I/O."""
        row = self._known.get(path)
        return row is not None and row[1] == size and row[2] == mtime_ns

    def is_processed(self, file_path: Path, file_hash: str) -> bool:
        """Is content with this hash known as done, under this name or any other?"""
        answer: Future[bool] = Future()

        def look() -> None:
            rows = list(self._known.values())
            answer.set_result(any(row[3] == file_hash and row[4] == "done" for row in rows))

        row = self._known.get(str(file_path))
        if row is not None and row[3] == file_hash and row[4] == "done":
            return True
        self._tasks.put(look)
        return answer.result()

    def mark_as_done(self, job: FileJob) -> None:
        """Remember the file as done. Returns at once."""
        self._mark(job, "done", None)

    def mark_as_failed(self, job: FileJob, error: str) -> None:
        """Remember the file as failed: it is not tried again until it changes. Returns at once."""
        self._mark(job, Status.FAILED.value, error)

    def keep_only(self, hashes: set[str]) -> None:
        """Forget every file whose content isn't among `hashes`, failed ones too; those are judged anew."""
        kept = {path: row for path, row in self._known.items() if row[3] in hashes and row[4] == "done"}
        if len(kept) != len(self._known):
            self._known = kept
            self._tasks.put(self._owe_everything)

    def close(self) -> None:
        """Write what was accepted and end the thread. Idempotent."""
        self._tasks.put(None)
        self._thread.join()

    def _mark(self, job: FileJob, status: str, error: str | None) -> None:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        row: Row = (os.fsencode(job.path), job.size, job.mtime_ns, job.md5, status, error, now)
        self._known[str(job.path)] = row
        self._tasks.put(lambda: self._owed.update({row[0]: row}))

    def _owe_everything(self) -> None:
        self._all_owed = True

    def _read(self) -> None:
        """Fill the memory. A file that is no database is made anew; one that can't be read now is left alone."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.closing(self._open()) as connection:
                rows = connection.execute("SELECT * FROM processed_files").fetchall()
        except sqlite3.OperationalError as error:
            self._warn(error)
        except sqlite3.DatabaseError as error:
            self._warn(error)
            self._remove()
        except OSError as error:
            self._warn(error)
        else:
            self._known = {os.fsdecode(row[0]): row for row in rows}

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_DDL)
            connection.commit()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _run(self) -> None:
        ending = False
        while not ending:
            try:
                tasks: list[Callable[[], None] | None] = [self._tasks.get(timeout=_RETRY_SECONDS)]
            except queue.Empty:
                tasks = []
            with contextlib.suppress(queue.Empty):
                while True:
                    tasks.append(self._tasks.get_nowait())
            for task in tasks:
                if task is None:
                    ending = True
                else:
                    task()
            if self._owed or self._all_owed:
                self._write()
        if self._connection is not None:
            self._connection.close()

    def _write(self) -> None:
        """Write what is owed in one transaction; on an error keep it for the next turn."""
        try:
            if self._connection is None or not self._path.exists():  # deleted under us: begin anew
                self._disconnect()
                self._all_owed = True
                self._connection = self._open()
            if self._all_owed:
                self._connection.execute("DELETE FROM processed_files")
                self._connection.executemany(_UPSERT, list(self._known.values()))
            self._connection.executemany(_UPSERT, list(self._owed.values()))
            self._connection.commit()
        except (sqlite3.Error, OSError) as error:
            self._warn(error)
            self._disconnect()
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
                self._remove()
        else:
            self._owed.clear()
            self._all_owed = False
            self._warned = False

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()
        self._all_owed = True

    def _warn(self, error: Any) -> None:
        if not self._warned:
            self._warned = True
            what = type(error).__name__
            logger.warning(f"[tracker] {self._path.name} can't be used now ({what}); going on without it")
