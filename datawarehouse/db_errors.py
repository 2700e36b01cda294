"""The driver's errors in our own terms, by what the caller does next; never with the server's text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.errorcodes
import psycopg2.pool
import sqlalchemy.exc

from config.errors import (
    Collision,
    DataError,
    NumberTaken,
    PipelineError,
    ReadOnlyServer,
    WarehouseUnavailable,
    WarehouseUnfit,
)

# SQLSTATE classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
COLLISION = ("40",)  # deadlocks and the like
UNAVAILABLE = ("08", "53", "57", "58", "25P03", "25P04", "55006", "55P03")
READ_ONLY = "25006"  # read_only_sql_transaction
# insufficient_privilege, undefined_table, undefined_column, invalid_schema_name, and an ON CONFLICT whose unique
# index is gone: somebody changed rights or tables, or restores them at the moment. Nothing is wrong with the file.
UNFIT = {"42501", "42P01", "42703", "3F000", "42P10"}
BAD_DATA = (
    *("22", "23", "44", "54"),  # 54: a row or a document beyond the server's limits
    *("P0", "09", "27", "2F", "38", "39"),  # what functions raise, those of users' triggers among them
)
_FUNCTION = re.compile(r"^PL/pgSQL function ([\w.]{1,130})\(", re.MULTILINE)
TAKEN = "23505"  # unique_violation
# Tables whose primary key is a number that the database gives; a fact's is, too
NUMBERED = ("pipeline_file_log", "quarantine", "true_orphan", "quarantine_history", "contract_breach")


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's and SQLAlchemy's errors into ours, by what the caller does next.

    Raises WarehouseUnavailable (wait and repeat) or one of its kinds, DataError (isolate the row) or
    PipelineError. The messages hold SQLSTATE and the names of table, column and constraint, and nothing that the
    server says beyond them: that may quote the row.
    """
    try:
        yield
    except psycopg2.Error as error:
        raise translate(error) from None
    except sqlalchemy.exc.DBAPIError as error:
        if not isinstance(error.orig, psycopg2.Error):
            raise PipelineError(f"SQLAlchemy: {type(error).__name__}") from None
        raise translate(error.orig) from None


def translate(error: psycopg2.Error) -> PipelineError:
    """The error of ours that stands for the driver's."""
    code = error.pgcode
    if code is None:
        # A plain DatabaseError without a code is a reply cut short
        lost = isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.pool.PoolError))
        if lost or type(error) is psycopg2.DatabaseError:
            return WarehouseUnavailable(f"the connection to PostgreSQL is lost ({type(error).__name__})")
        return PipelineError(f"the database driver refused a call ({type(error).__name__})")
    try:
        name, is_raised = psycopg2.errorcodes.lookup(code).lower(), False
    except KeyError:  # PostgreSQL has no such code: somebody's function raised it
        name, is_raised = "raised by a function", True
    names = {
        "table": error.diag.table_name,
        "column": error.diag.column_name,
        "constraint": error.diag.constraint_name,
    }
    if function := _FUNCTION.search(error.diag.context or ""):
        names["function"] = function[1]
    place = ", ".join(f"{kind} {value}" for kind, value in names.items() if value)
    message = f"PostgreSQL: {code} {name}" + (f" ({place})" if place else "")
    if code == TAKEN and _is_number(names["table"] or "", names["constraint"], error.diag.message_detail or ""):
        return NumberTaken(message)
    return DataError(message) if is_raised else _kind(code)(message)


def _kind(code: str) -> type[PipelineError]:
    """The class of an SQLSTATE."""
    if code in UNFIT:
        return WarehouseUnfit
    if code == READ_ONLY:
        return ReadOnlyServer
    kinds = {COLLISION: Collision, UNAVAILABLE: WarehouseUnavailable, BAD_DATA: DataError}
    return next((kind for codes, kind in kinds.items() if code.startswith(codes)), PipelineError)


def _is_number(table: str, constraint: str | None, detail: str) -> bool:
    """Is this the primary key of a table whose rows are numbered by the database?

    `detail` names its columns: a fact's is its surrogate key, whatever the table is called.
    """
    is_fact = table.startswith("fact_") and not table.endswith("_key")  # that holds the keys of a partitioned one
    is_fact = is_fact or f"({table.rsplit('_', 1)[-1]}_sk)=" in detail
    return constraint == f"{table}_pkey" and (is_fact or table in NUMBERED)
