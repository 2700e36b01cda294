"""Checks of whole files: PostgreSQL works out what their figures amount to, within the load's transaction.

Others hold a figure of the file against those of the files before it, as they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from psycopg2 import Error, sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.severity import Severity
from datawarehouse.profiles import before
from validation.checks import Figures, FileCheck, UsualCheck
from validation.profile import Profile, Profiles
from validation.usual import sigmas_off


class Broken(NamedTuple):
    """A check that a file breaks, and how that is said."""

    name: str
    severity: Severity
    says: str


def broken_checks(
    tx: Cursor, spec: FileSpec, figures: Figures, profiles: Profiles, file_id: int
) -> Iterator[Broken]:
    """The checks that a file breaks.

    One that can't be worked out is broken; one that is null holds, and one that goes by more files than there are.
    """
    for check in figures.checks:
        found = figures.of(file_id, check)
        if found is None or _holds(tx, check, found) is False:
            yield Broken(check.name, check.severity, check.says)
    if not figures.of_profiles:
        return
    by_column = {profile.column: profile for profile in profiles.of(file_id)}
    for usual in figures.of_profiles if by_column else ():
        if far := _how_far(tx, spec, usual, by_column[usual.figure.column], file_id):
            yield Broken(usual.name, usual.severity, f"{usual.says}: {far}")


def _how_far(tx: Cursor, spec: FileSpec, check: UsualCheck, profile: Profile, file_id: int) -> str:
    """How far a file is off those before it, where that is too far; else ''."""
    figure = check.figure.of(profile)
    found = before(tx, spec.name, check.figure.column, file_id, check.within.files)
    others = [one for one in map(check.figure.of, found) if one is not None]
    off = None if figure is None else sigmas_off(figure, others)
    if off is None or off <= check.within.sigma:
        return ""
    return f"{off:.3g} sigma off" if math.isfinite(off) else f"it was the same in the last {len(others)} files"


def told(broken: Iterable[Broken]) -> str:
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
