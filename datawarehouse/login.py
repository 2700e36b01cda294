"""Where the server is and how to enter it: libpq's parameters, the missing database, what a refusal means."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812  (psycopg2 names its classes in lower case)
from psycopg2.extensions import parse_dsn

from config.errors import ConfigError, PipelineError, WarehouseUnavailable
from config.settings import DatabaseConfig
from datawarehouse.db_errors import translate
from datawarehouse.watched_connection import Watch, WatchedConnection
from utils.logger import get_logger

logger = get_logger(__name__)

APPLICATION_NAME = "fastfeast"
MIN_SERVER_VERSION = 120000
LOCK_TIMEOUT_SECONDS = 30

# What a server says at login when waiting won't help, and what to do. The driver has no SQLSTATE for these.
LOGIN_ADVICE = {
    "password authentication failed": "check the user and PGPASSWORD",
    "no password supplied": "set PGPASSWORD in .env",
    "no pg_hba.conf entry": "let this machine and user in, in the server's pg_hba.conf",
    "pg_hba.conf rejects connection": "let this machine and user in, in the server's pg_hba.conf",
    "authentication failed": "check the user, and the server's pg_hba.conf",
    'role ".*" does not exist': "create the role, or name another in database.user",
    "not permitted to log in": "give the role LOGIN",
    "permission denied for database": "GRANT CONNECT on the database to the role",
    "certificate": "check sslmode and sslrootcert in DATABASE_URL",
    "unsupported startup parameter: options": "behind PgBouncer set database.transaction_pooling: true",
    "does not support ssl": "change sslmode in DATABASE_URL, or switch TLS on in the server",
}


class NoDatabaseYet(ConfigError):
    """No start has made the database so far."""

    def __init__(self, place: str) -> None:
        super().__init__(f"there is no database yet ({place}); `python main.py once` makes it")


class Login:
    """How to connect. `parameters` are libpq's; an embedded server adds where it listens."""

    def __init__(self, config: DatabaseConfig) -> None:
        """Raises ConfigError if the URL is no good."""
        self._config = config
        self.parameters = _base_parameters(config)

    def connect(self, watch: Watch) -> Connection:
        """A connection watched by `watch`. Raises WarehouseUnavailable."""
        try:
            connection: Connection = psycopg2.connect(**self.arguments(watch))
        except psycopg2.OperationalError as error:
            raise self.refusal(error) from None
        return connection

    @property
    def settings(self) -> dict[str, str]:
        """The server's settings for each session, or for each transaction where sessions are shared."""
        statement_ms = self._config.statement_timeout_seconds * 1000
        return {
            "statement_timeout": str(statement_ms),
            "lock_timeout": str(LOCK_TIMEOUT_SECONDS * 1000),
            "idle_in_transaction_session_timeout": str(statement_ms),
            "timezone": "UTC",
        }

    def arguments(self, watch: Watch) -> dict[str, Any]:
        """What the driver's connect() takes, for connections watched by `watch`."""
        settings = {} if self._config.transaction_pooling else self.settings
        text = " ".join(f"-c {name}={value}" for name, value in settings.items())
        options = f"{text} {self.parameters.get('options', '')}".strip()
        return {
            "application_name": APPLICATION_NAME,
            "connect_timeout": self._config.connect_timeout_seconds,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            **self.parameters,
            "client_encoding": "UTF8",
            **({"options": options} if options else {}),
            "connection_factory": partial(WatchedConnection, watch=watch),
        }

    def first_connection(self, watch: Watch, *, create: bool) -> Connection:
        """Connect, creating the database if need be, and see whether the server will do.

        Raises ConfigError when it won't, or when waiting would not help; NoDatabaseYet; WarehouseUnavailable.
        """
        arguments = self.arguments(watch)
        try:
            connection: Connection = psycopg2.connect(**arguments)
        except psycopg2.OperationalError as error:
            if re.search(r'database ".*" does not exist', str(error)) is None:
                raise self.refusal(error, opening=True) from None
            if not create:
                raise NoDatabaseYet(f"{self.parameters['dbname']}, {self._place}") from None
            self._create_database(arguments)
            connection = self.connect(watch)
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
        name = self.parameters["dbname"]
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
            user = self.parameters.get("user", "this role")
            raise ConfigError(
                f"{self._place} has no database {name}, and {user} can't create it ({translate(error)}); "
                f"as an administrator run: "
                f"CREATE DATABASE \"{name}\" OWNER ... TEMPLATE template0 ENCODING 'UTF8'"
            ) from None
        finally:
            connection.close()

    @property
    def _place(self) -> str:
        host = self.parameters.get("host") or self.parameters.get("hostaddr") or "the local socket"
        return f"PostgreSQL at {host}:{self.parameters.get('port', 5432)}"

    def _said(self, error: psycopg2.Error) -> str:
        """What libpq says of a connection that did not come about: it has seen no row yet. Less the password."""
        text = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        password = str(self.parameters.get("password") or "")
        return text.replace(password, "***") if password else text

    def refusal(self, error: psycopg2.Error, *, opening: bool = False) -> PipelineError:
        """The error of ours for a connection that did not come about, at the start (`opening`) or later."""
        said = self._said(error)
        for sign, advice in LOGIN_ADVICE.items():
            if re.search(sign, said, re.IGNORECASE):
                kind = ConfigError if opening else WarehouseUnavailable  # what worked before is waited for
                return kind(f"{self._place} refuses the login ({said}); {advice}")
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
