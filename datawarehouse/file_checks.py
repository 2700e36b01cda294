"""Checks of whole files: PostgreSQL works out what their figures amount to, within the load's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from psycopg2 import Error, sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from validation.checks import Figures, FileCheck


def broken_checks(tx: Cursor, figures: Figures, file_id: int) -> Iterator[FileCheck]:
    """The checks that a file breaks. One that can't be worked out is broken; one that is null holds."""
    for check in figures.checks:
        found = figures.of(file_id, check)
        if found is None or _holds(tx, check, found) is False:
            yield check


def told(broken: Iterable[FileCheck]) -> str:
    """Why a file fails that breaks checks."""
    named = "; ".join(f"{check.name} ({check.says})" for check in broken)
    return f"breaks {named}; nothing of it is loaded or quarantined"


def _holds(tx: Cursor, check: FileCheck, figures: list[object]) -> bool | None:
    named = sql.SQL(", ").join(
        sql.SQL("CAST({} AS {}) AS {}").format(
            sql.Literal(figure), sql.SQL(one.postgresql), sql.Identifier(f"a_{n}")
        )
        for n, (one, figure) in enumerate(zip(check.condition.aggregates, figures, strict=True))
    )
    statement = sql.SQL("SELECT ({}) FROM (SELECT {}) AS figures").format(sql.SQL(check.condition.sql), named)
    tx.execute("SAVEPOINT file_check")
    try:
        tx.execute(statement)
        ((holds,),) = tx.fetchall()
    except Error as error:
        if (error.pgcode or "")[:2] != "22":  # of its figures, as a division by zero
            raise
        tx.execute("ROLLBACK TO SAVEPOINT file_check")
        return False
    tx.execute("RELEASE SAVEPOINT file_check")
    return None if holds is None else bool(holds)
