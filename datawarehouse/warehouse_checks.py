"""Checks of the warehouse after a load: a SELECT that finds no row, read-only and with a time limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.checks import Check
from config.file_spec import FileSpec
from datawarehouse.db_connection import Warehouse
from datawarehouse.queries import query

MOST_COUNTED = 1000
SECONDS = 20.0
_CANCELED = "57014"
# Of its statement: syntax and names, values, what a read-only transaction does not do, a right that lacks
_OF_THE_CHECK = ("42", "22", "25", "0A", "21", "P0")


class Found(NamedTuple):
    """What a check came upon: how many rows, MOST_COUNTED at most, or why it could not be asked."""

    name: str
    rows: int
    problem: str
    says: str


def broken_checks(warehouse: Warehouse, spec: FileSpec) -> Iterator[Found]:
    """Ask the checks of the warehouse that `spec` has; those that find rows, or can't be asked.

    Raises what transactions raise; a check that PostgreSQL refuses is no error of that kind.
    """
    for name, check in spec.schema.checks.items():
        if check.warehouse is not None:
            with warehouse.transaction() as tx:
                found = _asked(tx, name, check)
            if found.rows or found.problem:
                yield found


def _asked(tx: Cursor, name: str, check: Check) -> Found:
    says = check.says or ""
    tx.execute(query("warehouse_checks", "read_only"), {"milliseconds": int(SECONDS * 1000)})
    statement = sql.SQL(query("warehouse_checks", "count")).format(
        select=sql.SQL(check.warehouse or ""), most=sql.Literal(MOST_COUNTED)
    )
    tx.execute("SAVEPOINT warehouse_check")
    try:
        tx.execute(statement)
        ((rows,),) = tx.fetchall()
    except psycopg2.Error as error:
        code = error.pgcode or ""
        if code != _CANCELED and not code.startswith(_OF_THE_CHECK):
            raise
        tx.execute("ROLLBACK TO SAVEPOINT warehouse_check")
        if code == _CANCELED:
            return Found(name, 0, f"takes longer than {SECONDS:g} s", says)
        detail = (error.diag.message_primary or "") if code.startswith("42") else ""
        return Found(name, 0, f"PostgreSQL refuses it ({code}{': ' if detail else ''}{detail})", says)
    return Found(name, int(rows), "", says)
