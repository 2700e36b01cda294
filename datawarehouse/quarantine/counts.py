"""Which quarantined rows have passed since, and what quarantine has of each file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.queries import query


class QuarantineCounts(NamedTuple):
    """A file's rows in quarantine: those that are refused still, orphans, and so on as in pipeline_file_log."""

    quarantined: int = 0
    orphans: int = 0
    resolved_orphans: int = 0
    resolved_records: int = 0
    duplicates: int = 0


def passed_rows(tx: Cursor, file_ids: Sequence[int]) -> list[tuple[int, dict[str, Any]]]:
    """File id and text of the rows of these files that were refused once, and have passed since."""
    tx.execute(_statement("passed"), {"file_ids": list(file_ids)})
    return tx.fetchall()


def counts_by_file() -> sql.Composed:
    """The query of `file_id` and QuarantineCounts, for all files that quarantine has rows of."""
    return _statement("counts_by_file")


def counts_of_file(tx: Cursor, file_id: int) -> QuarantineCounts:
    """What quarantine has of one file."""
    tx.execute(_statement("counts_of_file", counts_by_file=counts_by_file(), file_id=sql.Literal(file_id)))
    return QuarantineCounts(*(tx.fetchone() or ()))


def _statement(name: str, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(query("quarantine", name)).format(
        has_passed=sql.SQL(query("quarantine", "has_passed")), **parts
    )
