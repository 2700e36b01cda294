"""What a service's tracker says, read by other processes while it runs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from config.jobs import Stamp

DONE, FAILED = "done", "failed"  # the states of a file
BUSY_SECONDS = 2.0  # for which a locked database is waited for
_STAMPS = "SELECT path, size, mtime_ns, inode, ctime_ns FROM processed_files"
_STAMPS_OF_OLD = "SELECT path, size, mtime_ns, 0, 0 FROM processed_files"


class TrackerView:
    """What the tracker of a service has written so far, to be read only; nothing where there is none."""

    def __init__(self, db_path: Path) -> None:
        self._known: dict[str, Stamp] = {}
        with contextlib.suppress(sqlite3.Error), contextlib.closing(_read_only(db_path)) as connection:
            try:
                rows = connection.execute(_STAMPS)
            except sqlite3.OperationalError:  # of an older version, which has not run since
                rows = connection.execute(_STAMPS_OF_OLD)
            self._known = {os.fsdecode(path): Stamp(*stamp) for path, *stamp in rows}

    def is_current(self, path: str, size: int, mtime_ns: int, inode: int = 0, ctime_ns: int = 0) -> bool:
        """Was exactly this file, unchanged since, finished before?"""
        return is_same(self._known.get(path), Stamp(size, mtime_ns, inode, ctime_ns))


def is_same(known: Stamp | None, found: Stamp) -> bool:
    """Are these one file's, unchanged? A tracker of an older version knows size and time of change only."""
    if known is None or known.ctime_ns:
        return known == found
    return known[:2] == found[:2]


def counted_as_done(db_path: Path) -> dict[str, set[str]]:
    """The paths that a service's tracker counts as done, by MD5; nothing where there is no tracker."""
    found: dict[str, set[str]] = {}
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_read_only(db_path)) as connection:
        rows = connection.execute("SELECT path, md5 FROM processed_files WHERE status = ?", (DONE,))
        for path, md5 in rows:
            found.setdefault(md5, set()).add(os.fsdecode(path))
    return found


def _read_only(db_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{db_path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
