"""Reads the warehouse for a page: read-only, bounded in time, and never so often at once that loading waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import PipelineError, WarehouseUnavailable
from datawarehouse import reports
from datawarehouse.queries import query
from datawarehouse.reports import Row
from ingestion.pipeline import Pipeline

CONNECTIONS = 2  # of the pool's that pages may have at a time
WAIT_SECONDS = 5.0  # for one of them
ANSWER_SECONDS = 10.0  # the server itself ends a statement after 5 s
CANCELED = "57014"  # SQLSTATE of a statement that took too long
WRITES = "25006"  # and of one that writes in a transaction that may only read


class TooSlow(PipelineError):
    """A query was given up after its time: the answer is there, for a shorter period."""


class Reader:
    """Gives read-only transactions on the pipeline's warehouse."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._lock = threading.Lock()  # guards what follows; a connection isn't given back while it is held
        self._busy: set[Connection] = set()
        self._closed = False

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor. Raises TooSlow, WarehouseUnavailable or another PipelineError."""
        if not self._free.acquire(timeout=WAIT_SECONDS):
            raise TooSlow("too many pages are being made at once; try again")
        try:
            with self._pipeline.warehouse.transaction(deadline_seconds=ANSWER_SECONDS) as tx:
                tx.execute(query("dashboard", "read_only"))
                with self._in_hand(tx.connection):
                    yield tx
        except WarehouseUnavailable as problem:
            if CANCELED in str(problem):
                raise TooSlow("this took longer than 5 s; choose a shorter time") from None
            if WRITES in str(problem):
                raise PipelineError(f"{WRITES}: the statement writes; a page may only read") from None
            raise
        finally:
            self._free.release()

    def close(self) -> None:
        """End the queries in hand, and refuse others: the service stops."""
        with self._lock:
            self._closed = True
            for connection in self._busy:
                with suppress(psycopg2.Error):
                    connection.cancel()

    @contextmanager
    def _in_hand(self, connection: Connection) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise TooSlow("the service stops")
            self._busy.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(connection)

    def not_loaded(self) -> list[tuple[str, Path, str]]:
        """As the pipeline knows it: kind, path, why."""
        return self._pipeline.not_loaded()

    def rows(self, name: str, **parameters: Any) -> list[Row]:
        """The rows of a query of sql/dashboard.sql, in a transaction of their own."""
        with self.transaction() as tx:
            return reports.rows_of(tx, "dashboard", name, **parameters)

    def statement(self, text: str, **parameters: Any) -> list[Row]:
        """The rows of a statement of the configuration, in a transaction of their own."""
        with self.transaction() as tx:
            return reports.rows_of_statement(tx, text, **parameters)
