"""The books of a file that was read again, brought to what the tables and quarantine hold of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.quarantine.counts import counts_of_file
from datawarehouse.queries import query


@dataclass(frozen=True, slots=True)
class Moves:
    """What a file's rows did: came out of quarantine (`inserted`, or `updated` an older row), came back into the
    table although the books had them there, went into quarantine although the books had them in the table."""

    inserted: int = 0
    updated: int = 0
    restored: int = 0
    refused: int = 0
    stale: int = 0  # of those that came out of quarantine
    changed: int = 0
    rewritten: bool = False  # the CSV backup has other rows, or reasons, now


def recount(tx: Cursor, file: Mapping[str, Any], moves: Moves) -> None:
    """Write the books of `file`, a row of pipeline_file_log, whose records are in its table or in quarantine."""
    refused = counts_of_file(tx, file["file_id"])
    own, has_updates = own_rows(tx, file)
    has_updates |= moves.updated > 0
    valid = file["total_records"] - refused.quarantined
    inserted, updated = _brought(tx, file, moves, own, valid) if has_updates else (min(own, valid), 0)
    counts = {**refused._asdict(), "inserted": inserted, "updated": updated}
    parameters = {"file_id": file["file_id"], **counts, "rewritten": moves.rewritten}
    parameters |= {"stale": moves.stale, "changed": moves.changed}
    tx.execute(query("file_log", "recounted"), parameters)
    if has_updates:
        _hand_over(tx, file["source_table"])


def own_rows(tx: Cursor, file: Mapping[str, Any]) -> tuple[int, bool]:
    """How many rows of its table are the file's; and whether any file has updated rows of this table."""
    of_file = {"file_id": file["file_id"], "table": file["source_table"]}
    tx.execute(_of_table("own_rows", of_file), of_file)
    own, has_updates = tx.fetchone() or (0, False)
    return own, has_updates


def missing_rows(tx: Cursor, table: str) -> int:
    """How many rows the table lacks by the file log as it stands: those that were deleted by hand."""
    of_table = {"table": table}
    tx.execute(_of_table("rows_missing", of_table), of_table)
    return int((tx.fetchone() or (0,))[0])


def settle_others(tx: Cursor, table: str, file_ids: Iterable[int], missing_before: int) -> None:
    """The books of other files once rows of a file were taken back, and rows of `file_ids` are in force again.

    Who has inserted a row, and who has updated it, is told by the sums: the table lacks no more rows than before.
    """
    of_files = {"table": table, "file_ids": [*file_ids]}
    tx.execute(_of_table("in_force_again", of_files), of_files)
    _hand_over(tx, table)
    if (surplus := missing_rows(tx, table) - max(missing_before, 0)) > 0:
        tx.execute(query("file_log", "give_back"), {"table": table, "rows": surplus})


def _brought(tx: Cursor, file: Mapping[str, Any], moves: Moves, own: int, valid: int) -> tuple[int, int]:
    """How many of its `valid` rows a file has inserted, and how many updated, in a table with updates.

    There, a row that is updated becomes the other file's, and stays one that its first file inserted: its `own`
    rows don't tell. So the rows that came or went are reckoned up. One that came back had been counted before if
    the table lacked rows.
    """
    updated = file["updated_records"] + moves.updated
    inserted = file["inserted_records"] + moves.inserted + moves.restored
    twice = min(inserted + updated - own, moves.restored + moves.refused)
    if twice > 0:
        came = moves.inserted + moves.restored
        inserted -= max(0, min(twice, missing_rows(tx, file["source_table"]) + came))
    inserted = min(inserted, valid)
    return inserted, min(updated, valid - inserted)


def _hand_over(tx: Cursor, table: str) -> None:
    """Every row is one that some file has inserted: of rows that none has, those who updated them have."""
    missing = missing_rows(tx, table)
    if missing < 0:
        tx.execute(query("file_log", "take_over"), {"table": table, "rows": -missing})
        missing = missing_rows(tx, table)
    if missing < 0:
        tx.execute(query("file_log", "not_removed"), {"table": table, "rows": -missing})


def _of_table(name: str, parameters: Mapping[str, Any]) -> sql.Composed:
    return sql.SQL(query("file_log", name)).format(table=sql.Identifier(parameters["table"]))
