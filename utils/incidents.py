"""Trouble that lasts: which of it is open, since when and how often; a restart does not forget it."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from utils.alerts import MOST_REASONS, AlertKind, Group
from utils.logger import get_logger

logger = get_logger(__name__)
T = TypeVar("T")

# Of these the database knows whether they last. Of others only the process does that met them, so that they are
# forgotten with it.
LASTING = {
    *(AlertKind.FILE_FAILED, AlertKind.NOTHING_LOADED, AlertKind.MANY_REFUSED),
    *(AlertKind.LATE, AlertKind.SILENT, AlertKind.SHRUNKEN, AlertKind.SWOLLEN, AlertKind.DIRTY),
}
# Of these one file more with the same fault is no news.
QUIET = {AlertKind.FILE_FAILED, AlertKind.NOTHING_LOADED, AlertKind.MANY_REFUSED}
REMINDER = dt.timedelta(days=1)  # what goes on is told again after so long
_FORGET = dt.timedelta(days=40)
_TABLE = """
CREATE TABLE IF NOT EXISTS incident (
    kind TEXT NOT NULL, file_type TEXT NOT NULL, process TEXT NOT NULL, key TEXT NOT NULL, opened_at TEXT NOT NULL,
    told_at TEXT, last_at TEXT NOT NULL, count INTEGER NOT NULL, reasons TEXT NOT NULL,
    PRIMARY KEY (kind, file_type, process)
)
"""


class Phase(StrEnum):
    """What a notice is to its incident."""

    OPENS = "opens"
    MORE = "more"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Incident:
    """One that is open, or was: `opened_at` in UTC, `count` alerts. `new` are the reasons that came last."""

    key: str
    kind: str
    file_type: str
    opened_at: dt.datetime
    told_at: dt.datetime | None
    count: int
    reasons: Counter[str]
    new: tuple[str, ...] = ()

    @property
    def top_reason(self) -> str:
        """The most frequent one, or ''."""
        return next((reason for reason, _ in self.reasons.most_common(1)), "")


class Incidents:
    """Kept in a SQLite file, by any thread. Where that can't be used, in memory."""

    def __init__(self, path: Path | None, now: dt.datetime) -> None:
        self._process = secrets.token_hex(8)
        self._lock = threading.Lock()  # guards _connection
        self._connection = self._opened(path)
        old = (now - _FORGET).isoformat()
        self._do(lambda connection: connection.execute("DELETE FROM incident WHERE last_at < ?", (old,)))

    @staticmethod
    def _opened(path: Path | None) -> sqlite3.Connection:
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
                return _connected(path)
            except (OSError, sqlite3.Error) as problem:
                _warn(problem)
        return _connected(":memory:")

    def add(self, group: Group) -> tuple[Incident, Phase | None]:
        """Count the alerts of `group`, and open an incident where none is; None: there is no news to tell.

        News is what nobody was told of yet, another fault, and what was told long ago.
        """

        def change(connection: sqlite3.Connection) -> tuple[Incident, Phase | None]:
            before = self._find(connection, group.kind, group.file_type)
            new = {reason: count for reason, count in group.reasons.items() if reason}
            reasons = Counter(before.reasons if before else {}) + Counter(new)
            phase = _phase(before, group)
            incident = Incident(
                before.key if before else secrets.token_hex(4),
                group.kind,
                group.file_type,
                before.opened_at if before else group.first_at,
                group.last_at if phase or before is None else before.told_at,
                (before.count if before else 0) + group.count,
                Counter(dict(reasons.most_common(MOST_REASONS))),
                tuple(reason for reason in new if before and reason not in before.reasons),
            )
            self._put(connection, incident, group.last_at)
            return incident, phase

        return self._do(change)

    def close(self, kind: str, file_type: str) -> Incident | None:
        """It is over; what it was, or None where none was open, or another process has closed it."""

        def change(connection: sqlite3.Connection) -> Incident | None:
            incident = self._find(connection, kind, file_type)
            gone = connection.execute(
                "DELETE FROM incident WHERE kind = ? AND file_type = ? AND process = ?",
                (kind, file_type, self._of(kind)),
            )
            return incident if gone.rowcount else None

        return self._do(change)

    def untold(self, kind: str, file_type: str) -> None:
        """Nobody could be told of it: the next alert opens it for those who read."""
        statement = "UPDATE incident SET told_at = NULL WHERE kind = ? AND file_type = ? AND process = ?"
        self._do(lambda connection: connection.execute(statement, (kind, file_type, self._of(kind))))

    def open(self) -> list[Incident]:
        """Those that are open, as far as this process can know."""
        statement = f"{_SELECT} WHERE process IN ('', ?)"
        rows = self._do(lambda connection: connection.execute(statement, (self._process,)).fetchall())
        return [_incident(row) for row in rows]

    def shut(self) -> None:
        """No more is asked."""
        with self._lock:
            self._connection.close()

    # ---------------------------------------------------------------- inside

    def _of(self, kind: str) -> str:
        return "" if kind in LASTING else self._process

    def _do(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """In one transaction; where the file fails, from now on in memory."""
        with self._lock:
            try:
                return _in_transaction(self._connection, change)
            except sqlite3.Error as problem:
                _warn(problem)
                self._connection.close()
                self._connection = _connected(":memory:")
                return _in_transaction(self._connection, change)

    def _find(self, connection: sqlite3.Connection, kind: str, file_type: str) -> Incident | None:
        found = connection.execute(
            f"{_SELECT} WHERE kind = ? AND file_type = ? AND process = ?", (kind, file_type, self._of(kind))
        ).fetchone()
        return _incident(found) if found else None

    def _put(self, connection: sqlite3.Connection, one: Incident, last_at: dt.datetime) -> None:
        told_at = one.told_at and one.told_at.isoformat()
        values = (one.kind, one.file_type, self._of(one.kind), one.key, one.opened_at.isoformat(), told_at)
        more = (last_at.isoformat(), one.count, json.dumps(one.reasons))
        connection.execute("INSERT OR REPLACE INTO incident VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, *more))


def _phase(before: Incident | None, group: Group) -> Phase | None:
    if before is None or before.told_at is None:
        return Phase.OPENS
    another = group.reasons.keys() - before.reasons.keys()
    long_ago = group.last_at - before.told_at >= REMINDER
    return Phase.MORE if group.kind not in QUIET or another or long_ago else None


def _connected(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=2, check_same_thread=False)
    connection.execute(_TABLE)
    return connection


def _in_transaction(connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], T]) -> T:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        return change(connection)


def _warn(problem: Exception) -> None:
    logger.warning(f"[alert] a restart forgets which trouble is open: incidents.db can't be used ({problem})")


_SELECT = "SELECT key, kind, file_type, opened_at, told_at, count, reasons FROM incident"


def _incident(row: tuple[str, str, str, str, str | None, int, str]) -> Incident:
    key, kind, file_type, opened_at, told_at, count, reasons = row
    told = dt.datetime.fromisoformat(told_at) if told_at else None
    return Incident(
        key, kind, file_type, dt.datetime.fromisoformat(opened_at), told, count, Counter(json.loads(reasons))
    )
