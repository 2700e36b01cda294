"""Figures of the columns of files, as they are kept in column_profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from psycopg2.extensions import cursor as Cursor  # noqa: N812

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
