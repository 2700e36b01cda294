"""The single place for connections: start, pool, transactions, and the driver's errors in our own terms."""

from __future__ import annotations

import atexit
import math
import os
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errorcodes
import psycopg2.pool
import sqlalchemy.exc
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR, parse_dsn
from psycopg2.extensions import connection as Connection  # noqa: N812  (psycopg2 names its classes in lower case)
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.config_loader import get_config
from config.errors import Collision, ConfigError, DataError, PipelineError, WarehouseUnavailable
from config.model import DatabaseConfig, PipelineConfig
from datawarehouse.embedded_server import EmbeddedServer
from utils.logger import get_logger

logger = get_logger(__name__)

APPLICATION_NAME = "fastfeast"
MIN_SERVER_VERSION = 120000
LOCK_TIMEOUT_SECONDS = 30
CLOSE_SECONDS = 10  # how long close() waits for borrowed connections
PATIENCE_SECONDS = 30  # a live server ends a statement at its timeout; so much later it is frozen
SHORT_PATIENCE_SECONDS = 1  # the same, for statements that have to be quick

# SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
COLLISION = ("40",)  # deadlocks and the like
UNAVAILABLE = ("08", "53", "57", "58", "25006", "25P03", "25P04", "55006", "55P03")
BAD_DATA = ("22", "23", "54")  # 54: a row or a document beyond the server's limits

# What a server says at login when waiting won't help, and what to do. The driver has no SQLSTATE for these.
LOGIN_ADVICE = {
    "password authentication failed": "check the user and PGPASSWORD",
    "no password supplied": "set PGPASSWORD in .env",
    "no pg_hba.conf entry": "let this machine and user in, in the server's pg_hba.conf",
    "authentication failed": "check the user, and the server's pg_hba.conf",
    'role ".*" does not exist': "create the role, or name another in database.user",
    "not permitted to log in": "give the role LOGIN",
    "permission denied for database": "GRANT CONNECT on the database to the role",
    "certificate": "check sslmode and sslrootcert in DATABASE_URL",
    "unsupported startup parameter: options": "behind PgBouncer set database.transaction_pooling: true",
    "does not support ssl": "change sslmode in DATABASE_URL, or switch TLS on in the server",
}


# ---------------------------------------------------------------- errors


class NoDatabaseYet(ConfigError):
    """No start has made the database so far."""

    def __init__(self, place: str) -> None:
        super().__init__(f"there is no database yet ({place}); `python main.py once` makes it")


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's and SQLAlchemy's errors into ours, by what the caller does next.

    Raises WarehouseUnavailable (wait and repeat), DataError (isolate the row) or PipelineError. The messages
    hold SQLSTATE and the names of table, column and constraint, and nothing that the server says beyond them:
    that may quote the row.
    """
    try:
        yield
    except psycopg2.Error as error:
        raise _translate(error) from None
    except sqlalchemy.exc.DBAPIError as error:
        if not isinstance(error.orig, psycopg2.Error):
            raise PipelineError(f"SQLAlchemy: {type(error).__name__}") from None
        raise _translate(error.orig) from None


def _translate(error: psycopg2.Error) -> PipelineError:
    code = error.pgcode
    if code is None:
        # A plain DatabaseError without a code is a reply cut short
        lost = isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.pool.PoolError))
        if lost or type(error) is psycopg2.DatabaseError:
            return WarehouseUnavailable(f"the connection to PostgreSQL is lost ({type(error).__name__})")
        return PipelineError(f"the database driver refused a call ({type(error).__name__})")
    try:
        name = psycopg2.errorcodes.lookup(code).lower()
    except KeyError:
        name = "unknown to the driver"
    names = {
        "table": error.diag.table_name,
        "column": error.diag.column_name,
        "constraint": error.diag.constraint_name,
    }
    place = ", ".join(f"{kind} {value}" for kind, value in names.items() if value)
    message = f"PostgreSQL: {code} {name}" + (f" ({place})" if place else "")
    if code.startswith(COLLISION):
        return Collision(message)
    if code.startswith(UNAVAILABLE):
        return WarehouseUnavailable(message)
    return DataError(message) if code.startswith(BAD_DATA) else PipelineError(message)


# ---------------------------------------------------------------- frozen connections


class _Watch:
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

    def __init__(self, dsn: str, watch: _Watch) -> None:
        super().__init__(dsn)
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


# ---------------------------------------------------------------- the warehouse


class Warehouse:
    """The PostgreSQL that everything is loaded into, and a pool of connections to it.

    open() and close() are called by one thread; everything else by any.
    """

    def __init__(self, config: DatabaseConfig, home: Path) -> None:
        """`home` is where a relative `config.data_dir` starts. Raises ConfigError if the URL is no good."""
        self._config = config
        self._base = _base_parameters(config)
        self._server = EmbeddedServer(home / config.data_dir) if config.embedded and not config.url else None
        self._watch: _Watch | None = None
        self._pool: psycopg2.pool.ThreadedConnectionPool | None = None
        self._changed = threading.Condition()  # guards _lent and _closing
        self._lent = 0
        self._closing = False
        self._quick = threading.local()  # .seconds: how quick the statements of this thread have to be

    @property
    def parameters(self) -> dict[str, Any]:
        """host, port, user, password, dbname and what else the URL gives: libpq's names, for psql or pg_dump."""
        return dict(self._base)

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
                self._base.update(self._server.start())
            self._watch = _Watch(self._config.statement_timeout_seconds + PATIENCE_SECONDS)
            self._first_connection(create=create).close()
            with translated():
                pool = psycopg2.pool.ThreadedConnectionPool(
                    self._config.pool.min, self._config.pool.max, **self._connect_arguments()
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
        broken = bool(connection.closed)
        try:
            if not broken and connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
                connection.rollback()
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
        with translated():
            connection = self.get_conn()
            try:
                if deadline_seconds is not None and isinstance(connection, WatchedConnection):
                    connection.limit_seconds = deadline_seconds
                with connection.cursor() as cursor:
                    if self._config.transaction_pooling:
                        pairs = [
                            f"set_config('{name}', '{value}', true)" for name, value in self._settings.items()
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
            if _is_live(connection):
                return connection
            pool.putconn(connection, close=True)
        return self._connection_of(pool)  # the pool is empty by now: this one is new

    def _connection_of(self, pool: psycopg2.pool.ThreadedConnectionPool) -> Connection:
        try:
            return pool.getconn()
        except psycopg2.OperationalError as error:
            if self._server is None:
                raise self._login_error(error, opening=False) from None
        self._revive_server()
        try:
            return pool.getconn()
        except psycopg2.OperationalError as error:
            raise self._login_error(error, opening=False) from None

    def _revive_server(self) -> None:
        """Start the embedded server again if it has died: nobody else will."""
        try:
            if self._server is not None:
                self._server.start()
        except ConfigError as error:  # e.g. a full disk, now: worth another try later
            raise WarehouseUnavailable(str(error)) from None

    def _connect(self) -> Connection:
        try:
            connection: Connection = psycopg2.connect(**self._connect_arguments())
        except psycopg2.OperationalError as error:
            raise self._login_error(error, opening=False) from None
        return connection

    @property
    def _settings(self) -> dict[str, str]:
        """The server's settings for each session, or for each transaction where sessions are shared."""
        statement_ms = self._config.statement_timeout_seconds * 1000
        return {
            "statement_timeout": str(statement_ms),
            "lock_timeout": str(LOCK_TIMEOUT_SECONDS * 1000),
            "idle_in_transaction_session_timeout": str(statement_ms),
            "timezone": "UTC",
        }

    def _connect_arguments(self) -> dict[str, Any]:
        if self._watch is None:
            raise WarehouseUnavailable("the warehouse is not open")
        settings = {} if self._config.transaction_pooling else self._settings
        text = " ".join(f"-c {name}={value}" for name, value in settings.items())
        options = f"{text} {self._base.get('options', '')}".strip()
        return {
            "application_name": APPLICATION_NAME,
            "connect_timeout": self._config.connect_timeout_seconds,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            **self._base,
            "client_encoding": "UTF8",
            **({"options": options} if options else {}),
            "connection_factory": partial(WatchedConnection, watch=self._watch),
        }

    def _first_connection(self, *, create: bool) -> Connection:
        """Connect, creating the database if need be, and see whether the server will do."""
        arguments = self._connect_arguments()
        try:
            connection: Connection = psycopg2.connect(**arguments)
        except psycopg2.OperationalError as error:
            if re.search(r'database ".*" does not exist', str(error)) is None:
                raise self._login_error(error, opening=True) from None
            if not create:
                raise NoDatabaseYet(f"{self._base['dbname']}, {self._place}") from None
            self._create_database(arguments)
            connection = self._connect()
        encoding = connection.get_parameter_status("server_encoding")
        if connection.server_version < MIN_SERVER_VERSION or encoding != "UTF8":
            version = connection.server_version // 10000
            connection.close()
            raise ConfigError(
                f"{self._place}: PostgreSQL {version} with encoding {encoding}, but 12 or newer with UTF8 is "
                f"needed; name another server, or another database in database.dbname"
            )
        return connection

    def _create_database(self, arguments: dict[str, Any]) -> None:
        """CREATE DATABASE; that another process does so at the same time is fine."""
        name = self._base["dbname"]
        command = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(sql.Identifier(name))
        try:
            connection = psycopg2.connect(**{**arguments, "dbname": "postgres"})
        except psycopg2.OperationalError as error:
            raise ConfigError(
                f"{self._place} has no database {name}, and it can't be created: "
                f"the database postgres can't be entered ({self._said(error)}); create {name} yourself"
            ) from None
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(command)
            logger.info("created the database", extra={"database": name})
        except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
            pass
        except psycopg2.Error as error:
            raise ConfigError(
                f"{self._place} has no database {name}, and {self._base.get('user', 'this role')} can't create "
                f"it ({_translate(error)}); as an administrator run: "
                f"CREATE DATABASE \"{name}\" OWNER ... TEMPLATE template0 ENCODING 'UTF8'"
            ) from None
        finally:
            connection.close()

    @property
    def _place(self) -> str:
        host = self._base.get("host") or self._base.get("hostaddr") or "the local socket"
        return f"PostgreSQL at {host}:{self._base.get('port', 5432)}"

    def _said(self, error: psycopg2.Error) -> str:
        """What libpq says of a connection that did not come about: it has seen no row yet. Less the password."""
        text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        password = str(self._base.get("password") or "")
        return text.replace(password, "***") if password else text

    def _login_error(self, error: psycopg2.Error, *, opening: bool) -> PipelineError:
        said = self._said(error)
        if opening:  # later on, what worked before is waited for
            for sign, advice in LOGIN_ADVICE.items():
                if re.search(sign, said, re.IGNORECASE):
                    return ConfigError(f"{self._place} refuses the login ({said}); {advice}")
        return WarehouseUnavailable(f"{self._place} can't be reached ({said})")


def _base_parameters(config: DatabaseConfig) -> dict[str, Any]:
    """Where to connect to, in libpq's terms."""
    fields = {"host": config.host, "port": config.port, "user": config.user, "dbname": config.dbname}
    if not config.url:
        if config.embedded:
            return {"dbname": config.dbname}
        return {**fields, **({"password": config.password} if config.password else {})}
    scheme = config.url.partition("://")[0]
    if "://" in config.url and scheme not in {"postgresql", "postgres"}:
        raise ConfigError(f"DATABASE_URL: {scheme}:// is not PostgreSQL; write postgresql://user@host:5432/dbname")
    try:
        parsed = parse_dsn(config.url)
    except psycopg2.Error:  # its text quotes the URL
        raise ConfigError(
            "DATABASE_URL can't be read; write postgresql://user:password@host:5432/dbname, "
            "with special characters of the password as %XX"
        ) from None
    defaults = {"dbname": config.dbname, **({"password": config.password} if config.password else {})}
    return {**defaults, **parsed}


def _is_live(connection: Connection) -> bool:
    """Nothing is to be read from an idle connection, but the end of it, or the server's farewell."""
    if connection.closed:
        return False
    poll = select.poll()
    try:
        poll.register(connection.fileno(), select.POLLIN)
    except (psycopg2.Error, ValueError):
        return False
    return not poll.poll(0)


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
