"""Connections that never wait for a frozen server for longer than they are told."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812  (psycopg2 names its classes in lower case)
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from utils.logger import get_logger

logger = get_logger(__name__)


class Watch:
    """Frees threads that wait for a frozen server, by shutting their connection's socket down.

    The driver waits in C, beyond the reach of any timeout of Python. One thread looks at all calls in progress.
    """

    def __init__(self, limit_seconds: float) -> None:
        self.limit_seconds = limit_seconds
        self._lock = threading.Lock()  # guards _calls; a call can't end, nor its socket close, while it is held
        self._calls: dict[int, tuple[Connection, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warehouse-watch", daemon=True)
        self._thread.start()

    @contextmanager
    def call(self, connection: Connection, limit_seconds: float) -> Iterator[None]:
        """While inside, `connection` waits for the server, for `limit_seconds` at most."""
        with self._lock:
            self._calls[id(connection)] = (connection, time.monotonic() + limit_seconds)
        try:
            yield
        finally:
            with self._lock:
                self._calls.pop(id(connection), None)

    def cut(self, *, now: float) -> None:
        """Shut down the sockets of the calls that should have ended before `now` (monotonic seconds)."""
        with self._lock:
            for connection, due in self._calls.values():
                if due < now:
                    logger.warning("cutting a connection: PostgreSQL does not answer")
                    with suppress(psycopg2.Error, OSError), _socket_of(connection) as duplicate:
                        duplicate.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self.cut(now=time.monotonic())


def _socket_of(connection: Connection) -> socket.socket:
    return socket.socket(fileno=os.dup(connection.fileno()))


class WatchedConnection(Connection):
    """A connection whose statements, COPY, COMMIT and ROLLBACK are watched."""

    def __init__(self, dsn: str, watch: Watch) -> None:
        super().__init__(dsn)
        self.made_at = time.monotonic()
        self.watch = watch
        self.limit_seconds = watch.limit_seconds
        self.cursor_factory = WatchedCursor

    def commit(self) -> None:
        with self.watch.call(self, self.limit_seconds):
            super().commit()

    def rollback(self) -> None:
        with self.watch.call(self, self.limit_seconds):
            super().rollback()


class WatchedCursor(Cursor):
    connection: WatchedConnection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (the driver's name)
        if vars and isinstance(query, sql.Composable):
            query = _with_parameters(query, self.connection)
        with self.connection.watch.call(self.connection, self.connection.limit_seconds):
            super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        with self.connection.watch.call(self.connection, self.connection.limit_seconds):
            super().executemany(query, vars_list)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        with self.connection.watch.call(self.connection, self.connection.limit_seconds):
            super().copy_expert(sql, file, size)


def _with_parameters(query: sql.Composable, connection: Connection) -> str:
    """`query` as text for a call with parameters: there the driver takes a % in a name for a placeholder."""
    if isinstance(query, sql.Composed):
        return "".join(_with_parameters(part, connection) for part in query.seq)
    text: str = query.as_string(connection)
    return text if isinstance(query, (sql.SQL, sql.Placeholder)) else text.replace("%", "%%")


def is_live(connection: Connection) -> bool:
    """Nothing is to be read from an idle connection, but the end of it, or the server's farewell."""
    if connection.closed:
        return False
    poll = select.poll()
    try:
        poll.register(connection.fileno(), select.POLLIN)
    except (psycopg2.Error, ValueError):
        return False
    return not poll.poll(0)
