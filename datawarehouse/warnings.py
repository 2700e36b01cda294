"""What checks warn of in loaded rows: how many of each file, by check, and which, as far as they are listed."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import execute_values

from datawarehouse.queries import query
from validation.findings import FileFindings

PAGE_ROWS = 1000


def write(tx: Cursor, file_id: int, findings: FileFindings) -> None:
    """Keep the warnings of a file, beside those that it has."""
    warnings = findings.warnings
    if not warnings:
        return
    counts = [(file_id, name, column, t.loaded, t.severity.says) for (name, column), t in warnings.items()]
    execute_values(tx, query("warnings", "add_counts"), counts, page_size=PAGE_ROWS)
    rows = [(file_id, number, *check) for check, tally in warnings.items() for number in tally.listed]
    if rows:
        execute_values(tx, query("warnings", "list_rows"), rows, page_size=PAGE_ROWS)


def write_anew(tx: Cursor, file_id: int, findings: FileFindings) -> None:
    """Keep the warnings of a file that was read again, in the place of those that it had."""
    forget(tx, [file_id])
    write(tx, file_id, findings)
    tx.execute(query("warnings", "recounted"), {"file_id": file_id, "warned": findings.warned})


def forget(tx: Cursor, file_ids: Iterable[int]) -> None:
    """Remove all warnings of files."""
    tx.execute(query("warnings", "forget"), {"file_ids": [*file_ids]})
