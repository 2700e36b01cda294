"""`sql` and `psql`: ask the warehouse, wherever it is."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import psycopg2
import typer
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import register_default_json, register_default_jsonb

from config.errors import ConfigError, PipelineError
from config.settings import PipelineConfig
from datawarehouse.embedded_server import EmbeddedServer
from workbench.exit_codes import EXIT_OK
from workbench.output import AsJson, say, show_rows
from workbench.session import checked_config, command, open_warehouse

SCREEN_ROWS = 1000
_OF_THE_STATEMENT = ("42", "0A", "25", "2B")  # SQLSTATE classes whose messages name no values
_PG_VARIABLES = {"user": "PGUSER", "dbname": "PGDATABASE", "connect_timeout": "PGCONNECT_TIMEOUT"}


@command
def sql(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="One statement.")],
    write: Annotated[bool, typer.Option("--write", help="Let it change data.")] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
) -> int:
    """Run a statement on the warehouse and show what it gives; it may only read, unless --write is given."""
    if not statement.strip():
        raise ConfigError("the statement is empty")
    with open_warehouse(checked_config()) as warehouse, warehouse.transaction() as tx:
        for register in (register_default_json, register_default_jsonb):
            register(tx, loads=str)  # as it is stored: a parsed 12.50 would be 12.5
        if not write:  # for the session, so that a COMMIT within the statement does not end it
            tx.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET TRANSACTION READ ONLY")
        _execute(tx, statement)
        names = _distinct([column.name for column in tx.description or ()])
        told = tx.statusmessage
        rows = tx.fetchall() if tx.description else []
    if not names:
        if not (as_json or as_csv):
            say(told or "Done.")
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([names, *rows])
    else:
        _show(names, rows, as_json=as_json)
    return EXIT_OK


def _execute(tx: Cursor, statement: str) -> None:
    """Run the user's own statement. What is wrong with it is said in the server's words, which quote no data."""
    try:
        tx.execute(statement)
    except psycopg2.errors.ReadOnlySqlTransaction:
        raise PipelineError("the statement would change data; --write lets it") from None
    except psycopg2.Error as error:
        if not (error.pgcode or "").startswith(_OF_THE_STATEMENT):
            raise
        place = f", at character {error.diag.statement_position}" if error.diag.statement_position else ""
        raise PipelineError(f"PostgreSQL: {error.diag.message_primary}{place}") from None
    except ValueError:
        raise ConfigError("the statement has a character that SQL can't hold") from None


def _show(names: list[str], rows: list[tuple[Any, ...]], *, as_json: bool) -> None:
    shown = rows if as_json else rows[:SCREEN_ROWS]
    show_rows(
        [dict(zip(names, row, strict=True)) for row in shown], as_json=as_json, empty="No rows.", grouped=False
    )
    if len(rows) > len(shown):
        say(f"{len(shown):,} of {len(rows):,} rows; --csv gives all.")


def _distinct(names: list[str]) -> list[str]:
    """Column names, each once: count, count_2."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result


@command
def psql(context: typer.Context) -> int:
    """Run psql on the warehouse; what follows is given to it. The embedded server stays up while it runs.

    The exit code is that of psql.
    """
    config = checked_config()
    program = _psql(config)
    with open_warehouse(config) as warehouse:
        return _run([str(program), *context.args], {**os.environ, **pg_variables(warehouse.parameters)})


def _run(arguments: Sequence[str], environment: dict[str, str]) -> int:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for psql
    try:
        return subprocess.run(arguments, env=environment, check=False, preexec_fn=_default_interrupt).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def pg_variables(parameters: dict[str, Any]) -> dict[str, str]:
    """libpq's parameters as the variables that psql and pg_dump read; so no password is on a command line."""
    return {
        _PG_VARIABLES.get(name, f"PG{name.replace('_', '').upper()}"): str(value)
        for name, value in parameters.items()
    }


def _psql(config: PipelineConfig) -> Path:
    """The psql that comes with the embedded server; for a server of one's own, first that on the PATH."""
    database = config.database
    own = bool(database.url) or not database.embedded
    if own and (found := shutil.which("psql")):
        return Path(found)
    try:
        return EmbeddedServer(config.path(database.data_dir)).bin_dir / "psql"
    except ConfigError:
        raise ConfigError("there is no psql here; install PostgreSQL's client, or use `sql`") from None
