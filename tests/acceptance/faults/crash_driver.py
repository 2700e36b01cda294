"""Runs the pipeline and kills it at a named point: `python crash_driver.py SEAM N REPORT MAIN.PY [ARGS]`.

The product has no hooks. The points are set from outside: in the driver of PostgreSQL, whose connections are
replaced by watched ones, in SQLite's, and in the interpreter's audit events (files opened, sockets connected).
With the seam `trace`, nothing is killed and REPORT gets every statement and event that a seam could match.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import sqlite3
import sys
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions


@dataclass(frozen=True)
class Seam:
    """A point in the work: an event of some kind whose text matches, before or after it."""

    kind: str  # sql, copy (a read of the data that is copied), commit, tracker, audit
    pattern: str
    when: str = "before"


# The statements that the points are told by: tables and verbs, not the product's functions.
CLAIM = r"pg_(?:try_)?advisory_xact_lock\(hashtext\('fastfeast file'"
COPY = r'^\s*COPY "stage of '
MERGE = r'WITH found AS|INSERT INTO "?(fact|dim)_\w+"? AS t'
QUARANTINE = r"^\s*COPY quarantine"
WAITING = r"^\s*COPY orphan_wait"
BOOKS = r"INSERT INTO pipeline_file_log"
BACKED_UP = r"UPDATE pipeline_file_log\s+SET backup_written"
BACKUP = r"^open .*quarantined_\d.* writing"
HEALED = r"UPDATE quarantine q\s+SET resolution"
HEALED_BOOKS = r'UPDATE pipeline_file_log\s+SET "?valid_records'
HISTORY = r'INSERT INTO "?dim_\w+_history'
BOUND = r'UPDATE "?fact_\w+"? AS c SET'
TRACKER = r"INSERT OR REPLACE"

SEAMS: dict[str, Seam] = {
    "before the claim": Seam("sql", CLAIM),
    "after the claim": Seam("sql", CLAIM, "after"),
    "before the parents are locked": Seam("sql", r"FOR KEY SHARE"),
    "after the parents are locked": Seam("sql", r"FOR KEY SHARE", "after"),
    "before COPY": Seam("sql", COPY),
    "mid-COPY": Seam("copy", COPY),
    "after COPY, before the merge": Seam("sql", MERGE),
    "after the merge": Seam("sql", MERGE, "after"),
    "before the versions are placed": Seam("sql", HISTORY),
    "after the versions are placed": Seam("sql", HISTORY, "after"),
    "before facts are bound anew": Seam("sql", BOUND),
    "after facts are bound anew": Seam("sql", BOUND, "after"),
    "before the quarantine": Seam("sql", QUARANTINE),
    "after the quarantine": Seam("sql", QUARANTINE, "after"),
    "after the orphans are put to wait": Seam("sql", WAITING, "after"),
    "before the books are closed": Seam("sql", BOOKS),
    "before COMMIT": Seam("commit", BOOKS),
    "after COMMIT": Seam("commit", BOOKS, "after"),
    "before the tracker": Seam("tracker", TRACKER),
    "after the tracker": Seam("tracker", TRACKER, "after"),
    "before the backup is claimed": Seam("sql", BACKED_UP),
    "before the CSV is written": Seam("audit", BACKUP),
    "after the CSV, before its COMMIT": Seam("commit", BACKED_UP),
    "before an alert": Seam("audit", r"^smtplib\.connect"),
    "in the retry, before the orphans are marked": Seam("sql", HEALED),
    "in the retry, before the books move": Seam("sql", HEALED_BOOKS),
    "in the retry, before COMMIT": Seam("commit", HEALED_BOOKS),
    "in the retry, after COMMIT": Seam("commit", HEALED_BOOKS, "after"),
}

NOTED = r"UPDATE pipeline_file_log SET lies_at"
# What follows the load of files that are put away; not a part of each round, for most keep theirs.
SEAMS_OF_FATES: dict[str, Seam] = {
    "before that is committed": Seam("commit", NOTED),
    "after that is committed": Seam("commit", NOTED, "after"),
    "before the archive is written": Seam("audit", r"^open .*/archive/.*\.part writing"),
    "before a file has its name in the archive": Seam("audit", r"^os.link .*/archive/"),
    "before the original is removed": Seam("audit", r"^os.remove .*/data/input/.*\.part"),
}

TAKEN = r"SET _gone_at = g\._gone_at"
SEAMS_OF_SNAPSHOTS: dict[str, Seam] = {
    "before rows are taken away": Seam("sql", TAKEN),
    "after rows are taken away": Seam("sql", TAKEN, "after"),
}

# What brings the tables to another YAML, or to another version.
SEAMS_OF_MODELS: dict[str, Seam] = {
    "after rows were set aside": Seam("sql", QUARANTINE, "after"),
    "before the tables are committed": Seam("commit", r"'code_version'"),
    "before what is done beside loads": Seam("sql", r"INDEX CONCURRENTLY"),
}


class Trap:
    """Counts matching events and kills the process at the n-th."""

    def __init__(self, seam: Seam, count: int, report: Path) -> None:
        self.seam = seam
        self.left = count
        self.report = report
        self.connections: list[psycopg2.extensions.connection] = []
        self._pattern = re.compile(seam.pattern, re.IGNORECASE | re.DOTALL)
        self._lock = threading.RLock()  # guards `left`

    def pass_by(self, kind: str, when: str, text: str) -> None:
        if (kind, when) != (self.seam.kind, self.seam.when) or not self._pattern.search(text):
            return
        with self._lock:
            self.left -= 1
            if self.left > 0:
                return
            busy = {psycopg2.extensions.TRANSACTION_STATUS_ACTIVE, psycopg2.extensions.TRANSACTION_STATUS_INTRANS}
            in_transaction = any(
                not connection.closed and connection.info.transaction_status in busy
                for connection in self.connections
            )
            self.report.write_text(json.dumps({"open_transaction": in_transaction}))
            os.kill(os.getpid(), signal.SIGKILL)


class Tracer(Trap):
    """Kills nothing, and writes down what passes by."""

    def __init__(self, report: Path) -> None:
        super().__init__(Seam("", ""), 0, report)
        self._out = report.open("w", encoding="utf-8")
        self._writing = threading.local()

    def pass_by(self, kind: str, when: str, text: str) -> None:
        if when == "before" and kind != "copy" and not getattr(self._writing, "now", False):
            self._writing.now = True
            self._out.write(f"{kind}: {' '.join(text.split())[:300]}\n")
            self._out.flush()
            self._writing.now = False


def set_traps(trap: Trap) -> None:
    """Replace connections and listen to audit events."""
    connect, open_tracker = psycopg2.connect, sqlite3.connect

    def watched_connect(*args: Any, **kwargs: Any) -> Any:
        kwargs["connection_factory"] = _watched_factory(kwargs.get("connection_factory"), trap)
        return connect(*args, **kwargs)

    class Tracker(sqlite3.Connection):
        def execute(self, query: str, *parameters: Any) -> Any:
            trap.pass_by("tracker", "before", query)
            result = super().execute(query, *parameters)
            trap.pass_by("tracker", "after", query)
            return result

        def executemany(self, query: str, *parameters: Any) -> Any:
            trap.pass_by("tracker", "before", query)
            result = super().executemany(query, *parameters)
            trap.pass_by("tracker", "after", query)
            return result

    def watched_tracker(*args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("factory", Tracker)
        return open_tracker(*args, **kwargs)

    def audit(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str):
            writing = args[2] & (os.O_WRONLY | os.O_RDWR | os.O_APPEND) if isinstance(args[2], int) else False
            trap.pass_by("audit", "before", f"open {args[0]} {'writing' if writing else 'reading'}")
        elif event in {"os.link", "os.rename", "os.remove"}:
            trap.pass_by("audit", "before", f"{event} {' '.join(map(str, args[:2]))}")
        elif event == "smtplib.connect":
            trap.pass_by("audit", "before", f"smtplib.connect {args[1]} {args[2]}")

    psycopg2.connect = watched_connect
    sqlite3.connect = watched_tracker
    sys.addaudithook(audit)


def _watched_factory(factory: Any, trap: Trap) -> Any:
    """`factory`, the product's own or None, making connections that pass the trap."""
    own = factory if isinstance(factory, partial) else partial(factory or psycopg2.extensions.connection)

    class Connection(own.func):  # type: ignore[name-defined,misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.done = ""  # what the transaction has written so far
            trap.connections.append(self)

        def rollback(self) -> None:
            super().rollback()
            self.done = ""

        def cursor(self, *args: Any, **kwargs: Any) -> Any:
            kwargs["cursor_factory"] = _watched_cursor(kwargs.get("cursor_factory") or self.cursor_factory, trap)
            return super().cursor(*args, **kwargs)

        def commit(self) -> None:
            started = self.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE
            if started:
                trap.pass_by("commit", "before", self.done)
            super().commit()
            if started:
                trap.pass_by("commit", "after", self.done)
            self.done = ""

    return partial(Connection, *own.args, **own.keywords)


def _watched_cursor(factory: Any, trap: Trap) -> Any:
    base = factory or psycopg2.extensions.cursor

    class Cursor(base):  # type: ignore[valid-type,misc]
        def execute(self, query: Any, parameters: Any = None) -> None:
            text = query if isinstance(query, str) else _text(query, self)
            trap.pass_by("sql", "before", text)
            super().execute(query, parameters)
            if "INSERT" in text or "UPDATE" in text:
                self.connection.done += f"{text}\n"
            trap.pass_by("sql", "after", text)

        def copy_expert(self, query: Any, file: Any, size: int = 8192) -> None:
            text = query if isinstance(query, str) else _text(query, self)
            trap.pass_by("sql", "before", text)
            super().copy_expert(query, _Watched(file, trap, text), size)
            trap.pass_by("sql", "after", text)

    return Cursor


class _Watched:
    """A file whose second read, in the middle of a COPY, passes the trap."""

    def __init__(self, file: Any, trap: Trap, query: str) -> None:
        self._file, self._trap, self._query, self._reads = file, trap, query, 0

    def read(self, size: int = -1) -> Any:
        self._reads += 1
        if self._reads == 2:
            self._trap.pass_by("copy", "before", self._query)
        return self._file.read(size)

    def readline(self, size: int = -1) -> Any:
        return self._file.readline(size)

    def write(self, data: Any) -> Any:
        return self._file.write(data)


def _text(query: Any, cursor: Any) -> str:
    if isinstance(query, bytes | bytearray):
        return bytes(query).decode("utf-8", "replace")
    return str(query.as_string(cursor))


def seam_of(name: str) -> Seam:
    """The point of this name."""
    return {**SEAMS, **SEAMS_OF_FATES, **SEAMS_OF_SNAPSHOTS, **SEAMS_OF_MODELS}[name]


def main() -> None:
    """Set the trap of the command line and become the program it names."""
    name, count, report, program, *rest = sys.argv[1:]
    set_traps(Tracer(Path(report)) if name == "trace" else Trap(seam_of(name), int(count), Path(report)))
    sys.argv = [program, *rest]
    sys.path.insert(0, str(Path(program).parent))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
