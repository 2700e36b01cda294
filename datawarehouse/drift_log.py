"""What files had beside their schemas, or lacked: kept in table drift, so that each change is told once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.drift import Change
from config.file_names import storable
from config.jobs import FileOutcome
from datawarehouse.queries import query


def note(tx: Cursor, outcome: FileOutcome, name: str) -> list[Change]:
    """Note what the file called `name` differed in. Returns what nobody, in any process, has met before."""
    own = outcome.job.spec.name
    changes = {(change.of or own, change.column, change.kind.value): change for change in outcome.drift}
    if not changes:
        return []
    parameters = {
        "types": [change.of or own for change in changes.values()],
        "file": storable(name),
        "columns": [storable(change.column) for change in changes.values()],
        "kinds": [change.kind.value for change in changes.values()],
        "looks_like": [change.looks_like for change in changes.values()],
        "rows": [change.rows for change in changes.values()],
    }
    tx.execute(query("drift", "note"), parameters)
    new = set(tx.fetchall())
    return [change for (of, column, kind), change in changes.items() if (of, storable(column), kind) in new]


def met(tx: Cursor, logical_name: str | None = None) -> Sequence[dict[str, Any]]:
    """The rows of table drift, of one type or of all."""
    tx.execute(query("drift", "met"), {"logical_name": logical_name})
    names = [column.name for column in tx.description or ()]
    return [dict(zip(names, row, strict=True)) for row in tx.fetchall()]
