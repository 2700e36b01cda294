"""Figures of the columns of files, as they are kept in column_profile."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.checks import MOST_FILES
from datawarehouse.queries import query
from validation.profile import Profile


def write(tx: Cursor, logical_name: str, of_files: Mapping[int, Sequence[Profile]]) -> None:
    """Keep the profiles of files of one type."""
    rows = [(file_id, *profile) for file_id, profiles in of_files.items() for profile in profiles]
    if not rows:
        return
    names = ("file_ids", "columns", "rows", "null_shares", "distinct", "lows", "highs", "means")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    tx.execute(query("profiles", "add"), {"logical_name": logical_name, **columns})


def write_anew(tx: Cursor, logical_name: str, file_id: int, profiles: Iterable[Profile]) -> None:
    """Keep the profiles of a file that was read again, in the place of those that it had."""
    forget(tx, file_id)
    write(tx, logical_name, {file_id: [*profiles]})


def forget(tx: Cursor, file_id: int) -> None:
    """Remove the profiles of a file."""
    tx.execute(query("profiles", "forget"), {"file_id": file_id})


def before(tx: Cursor, logical_name: str, column: str, file_id: int, files: int) -> list[Profile]:
    """The profiles of a column in the last files of a type before `file_id`, newest first."""
    parameters = {"logical_name": logical_name, "column": column, "file_id": file_id, "files": files}
    tx.execute(query("profiles", "before"), parameters)
    return [Profile(*row) for row in tx.fetchall()]


def beside(tx: Cursor, file_id: int, files: int) -> dict[str, list[Profile]]:
    """The columns of a file by name: its own profile first, then those of the last files before it."""
    tx.execute(query("profiles", "beside"), {"file_id": file_id, "files": files})
    found: dict[str, list[Profile]] = {}
    for row in tx.fetchall():
        found.setdefault(row[0], []).append(Profile(*row))
    return found


def forget_values(tx: Cursor, logical_name: str, columns: Iterable[str]) -> None:
    """Keep nothing but counts of columns whose values are not to be told any more."""
    tx.execute(query("profiles", "forget_values"), {"logical_name": logical_name, "columns": [*columns]})


def prune(tx: Cursor, before: dt.datetime, kept: int = MOST_FILES) -> int:
    """Remove those of files that were loaded `before`, but for the last `kept` of each type.

    Returns of how many files.
    """
    tx.execute(query("profiles", "prune"), {"before": before, "kept": kept})
    return int((tx.fetchone() or (0,))[0])
