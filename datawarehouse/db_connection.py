"""The single place for connections: start, pool, transactions."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.pool
import sqlalchemy
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR
from psycopg2.extensions import connection as Connection  # noqa: N812  (psycopg2 names its classes in lower case)
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.config_loader import get_config
from config.errors import ConfigError, PipelineError, ReadOnlyServer, WarehouseUnavailable
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_errors import translated
from datawarehouse.embedded_server import EmbeddedServer
from datawarehouse.login import Login, NoDatabaseYet
from datawarehouse.watched_connection import Watch, WatchedConnection, is_live
from utils.logger import get_logger

logger = get_logger(__name__)

CLOSE_SECONDS = 10  # how long close() waits for borrowed connections
PATIENCE_SECONDS = 30  # a live server ends a statement at its timeout; so much later it is frozen
SHORT_PATIENCE_SECONDS = 1  # the same, for statements that have to be quick


class Warehouse:
    """The PostgreSQL that everything is loaded into, and a pool of connections to it.

    open() and close() are called by one thread; everything else by any.
    """

    def __init__(self, config: DatabaseConfig, home: Path) -> None:
        """`home` is where a relative `config.data_dir` starts. Raises ConfigError if the URL is no good."""
        self._config = config
        self._login = Login(config)
        self._server = EmbeddedServer(home / config.data_dir) if config.embedded and not config.url else None
        self._watch: Watch | None = None
        self._pool: psycopg2.pool.ThreadedConnectionPool | None = None
        self._changed = threading.Condition()  # guards _lent and _closing
        self._lent = 0
        self._closing = False
        self._distrusted_until = -math.inf  # monotonic: connections that were made before are closed
        self._quick = threading.local()  # .seconds: how quick the statements of this thread have to be

    @property
    def parameters(self) -> dict[str, Any]:
        """host, port, user, password, dbname and what else the URL gives: libpq's names, for psql or pg_dump."""
        return dict(self._login.parameters)

    def open(self, *, create: bool = True) -> None:
        """Start the embedded server if that is configured, create the database if missing, open the pool.

        With `create` false nothing is made: NoDatabaseYet when there is none.
        Raises ConfigError when the login, the rights, the server's version or its encoding won't do, and
        WarehouseUnavailable when the server can't be reached.
        """
        if self._pool is not None:
            return
        if not create and self._server is not None and not (self._server.data_dir / "PG_VERSION").exists():
            raise NoDatabaseYet(str(self._server.data_dir))
        try:
            if self._server is not None:
                self._login.parameters.update(self._server.start())
            self._watch = Watch(self._config.statement_timeout_seconds + PATIENCE_SECONDS)
            self._login.first_connection(self._watch, create=create).close()
            with translated():
                pool = psycopg2.pool.ThreadedConnectionPool(
                    self._config.pool.min, self._config.pool.max, **self._login.arguments(self._watch)
                )
            pool.minconn = self._config.pool.max  # the pool closes what is returned beyond minconn: keep all
            self._closing, self._pool = False, pool
        except BaseException:
            self.close()
            raise

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Wait for borrowed connections, close all, leave the embedded server. Idempotent.

        A connection that is not back after `timeout_seconds` is cut: its borrower gets WarehouseUnavailable.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._lent == 0, timeout_seconds):
                logger.warning("closing connections that are still in use", extra={"count": self._lent})
        if self._watch is not None:
            self._watch.cut(now=float("inf"))
        if self._pool is not None and not self._pool.closed:
            self._pool.closeall()
        if self._watch is not None:
            self._watch.stop()
        self._pool = self._watch = None
        if self._server is not None:
            self._server.stop()

    def get_conn(self) -> Connection:
        """Borrow a live connection, waiting until one is free; give it back with put_conn().

        Raises WarehouseUnavailable when the server can't be reached, or the warehouse is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._lent < self._config.pool.max)
            pool = self._pool
            if self._closing or pool is None:
                raise WarehouseUnavailable("the warehouse is not open")
            self._lent += 1
        try:
            with translated():
                return self._live_connection(pool)
        except BaseException:
            self._free_slot()
            raise

    def put_conn(self, connection: Connection) -> None:
        """Give a connection back. What it has not committed is rolled back; a broken one is thrown away."""
        pool = self._pool
        if self._is_distrusted(connection):
            connection.close()
        broken = bool(connection.closed)
        try:
            if not broken and connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
                connection.rollback()  # sends nothing after a COMMIT that failed: the driver takes it for an end
                broken = connection.info.transaction_status != TRANSACTION_STATUS_IDLE
            if not broken and connection.autocommit:
                connection.autocommit = False
        except psycopg2.Error:
            broken = True
        if isinstance(connection, WatchedConnection):
            connection.limit_seconds = connection.watch.limit_seconds
        try:
            if pool is not None:
                pool.putconn(connection, close=broken)
        except psycopg2.pool.PoolError:
            if pool is not None and not pool.closed:
                raise PipelineError("a connection was given back that is not borrowed") from None
        if pool is None or pool.closed:  # close() did not wait any longer
            connection.close()
        self._free_slot()

    @contextmanager
    def quick(self, seconds: float, lock_seconds: float = math.inf) -> Iterator[None]:
        """Inside, a statement of this thread's transactions takes `seconds` at most, instead of the full timeout.

        A live server ends it then, and gives its locks back; one that stays silent for 1 s more is frozen, and
        the connection is cut. A lock is waited for no longer than `lock_seconds` or database.answer_seconds. Both
        raise WarehouseUnavailable. Transactions with a deadline of their own are not concerned.
        """
        before = getattr(self._quick, "seconds", None)
        allowed = min(seconds, self._config.statement_timeout_seconds)
        self._quick.seconds = allowed, min(allowed, lock_seconds, self._config.answer_seconds)
        try:
            yield
        finally:
            self._quick.seconds = before

    @contextmanager
    def transaction(self, deadline_seconds: float | None = None) -> Iterator[Cursor]:
        """A cursor on a transaction: COMMIT when the block ends, ROLLBACK when it raises.

        `deadline_seconds` bounds each call to the server (statement, COPY, COMMIT), not the whole block; by
        default that of `quick`, or 30 s more than the statement timeout. The driver's errors come out
        translated. If the server can't be heard at COMMIT that is WarehouseUnavailable too, and the transaction
        may have been done: repeat it, and let it find that out.
        """
        with self._leaving_read_only_servers():
            connection = self.get_conn()
            try:
                if deadline_seconds is not None and isinstance(connection, WatchedConnection):
                    connection.limit_seconds = deadline_seconds
                with connection.cursor() as cursor:
                    if self._config.transaction_pooling:
                        pairs = [
                            f"set_config('{name}', '{value}', true)"
                            for name, value in self._login.settings.items()
                        ]
                        cursor.execute(f"SELECT {', '.join(pairs)}")
                    if deadline_seconds is None:
                        self._be_quick(connection, cursor)
                    yield cursor
                # COMMIT of a failed transaction is a ROLLBACK that looks like success
                if connection.info.transaction_status == TRANSACTION_STATUS_INERROR:
                    raise PipelineError("a statement failed earlier in this transaction: nothing is committed")
                connection.commit()
            finally:
                self.put_conn(connection)

    def engine(self) -> sqlalchemy.Engine:
        """A SQLAlchemy engine without a pool of its own. Wrap its use in translated()."""
        return sqlalchemy.create_engine(
            "postgresql+psycopg2://", creator=self._connect, poolclass=sqlalchemy.NullPool
        )

    # ------------------------------------------------------------ inside

    @contextmanager
    def _leaving_read_only_servers(self) -> Iterator[None]:
        """After a failover, connections to the demoted primary live on: close all, new ones find the new."""
        try:
            with translated():
                yield
        except ReadOnlyServer:
            self._distrusted_until = time.monotonic()
            raise

    def _connect(self) -> Connection:
        if self._watch is None:
            raise WarehouseUnavailable("the warehouse is not open")
        return self._login.connect(self._watch)

    def _be_quick(self, connection: Connection, tx: Cursor) -> None:
        allowed = getattr(self._quick, "seconds", None)
        if allowed is None or not isinstance(connection, WatchedConnection):
            return
        seconds, lock_seconds = allowed
        connection.limit_seconds = seconds + SHORT_PATIENCE_SECONDS
        tx.execute(
            sql.SQL("SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}").format(
                sql.Literal(round(seconds * 1000)), sql.Literal(round(lock_seconds * 1000))
            )
        )

    def _free_slot(self) -> None:
        with self._changed:
            self._lent -= 1
            self._changed.notify_all()

    def _live_connection(self, pool: psycopg2.pool.ThreadedConnectionPool) -> Connection:
        for _ in range(self._config.pool.max):
            connection = self._connection_of(pool)
            if is_live(connection) and not self._is_distrusted(connection):
                return connection
            pool.putconn(connection, close=True)
        return self._connection_of(pool)  # the pool is empty by now: this one is new

    def _is_distrusted(self, connection: Connection) -> bool:
        made_at = connection.made_at if isinstance(connection, WatchedConnection) else math.inf
        return made_at < self._distrusted_until

    def _connection_of(self, pool: psycopg2.pool.ThreadedConnectionPool) -> Connection:
        try:
            return pool.getconn()
        except psycopg2.OperationalError as error:
            if self._server is None:
                raise self._login.refusal(error) from None
        self._revive_server()
        try:
            return pool.getconn()
        except psycopg2.OperationalError as error:
            raise self._login.refusal(error) from None

    def _revive_server(self) -> None:
        """Start the embedded server again if it has died: nobody else will."""
        try:
            if self._server is not None:
                self._server.start()
        except ConfigError as error:  # e.g. a full disk, now: worth another try later
            raise WarehouseUnavailable(str(error)) from None


# ---------------------------------------------------------------- the default warehouse

_default: Warehouse | None = None


def init_pool(config: PipelineConfig | None = None) -> Warehouse:
    """Open the default warehouse (that of get_config(), if no `config` is given) and return it.

    The one that is already open is returned as it is. Closed at exit, if close_pool() has not done so before.
    Raises as Warehouse.open() does.
    """
    global _default  # noqa: PLW0603
    if _default is None:
        config = config or get_config()
        warehouse = Warehouse(config.database, config.home)
        warehouse.open()
        _default = warehouse
        atexit.register(close_pool)
    return _default


def default_warehouse() -> Warehouse:
    """The default warehouse. Raises WarehouseUnavailable before init_pool()."""
    if _default is None:
        raise WarehouseUnavailable("the warehouse is not open: call init_pool() first")
    return _default


def get_conn() -> Connection:
    """Borrow a connection of the default warehouse."""
    return default_warehouse().get_conn()


def put_conn(connection: Connection) -> None:
    """Give a connection of the default warehouse back."""
    default_warehouse().put_conn(connection)


@contextmanager
def transaction(deadline_seconds: float | None = None) -> Iterator[Cursor]:
    """A transaction on the default warehouse; see Warehouse.transaction."""
    with default_warehouse().transaction(deadline_seconds) as cursor:
        yield cursor


def close_pool() -> None:
    """Close the default warehouse. Idempotent."""
    global _default
    warehouse, _default = _default, None
    if warehouse is not None:
        atexit.unregister(close_pool)
        warehouse.close()
