"""What it costs that a file tells again what is there: counted, not timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from datawarehouse.db_connection import Warehouse
from tests.integration.small import Small

ROWS = 5_000
TYPE = {"key": "id", "columns": {"id": "int", "code": "str", "v": "str"}}
OF_TEXTS = {**TYPE, "key": ["id", "code"]}


@pytest.mark.parametrize(("keep", "key", "least"), [("latest", TYPE, 0), ("history", OF_TEXTS, 16 * ROWS)])
def test_what_is_told_again_writes_next_to_nothing(
    warehouse: Warehouse, tmp_path: Path, keep: str, key: dict[str, object], least: int
) -> None:
    """No row of a table, and of each key two bounds at most: of whole numbers one after the other, two in all."""
    small = Small(warehouse, tmp_path, {"item": {**key, "keep": keep}})
    rows = [(number, f"c{number}", "a") for number in range(ROWS)]
    small.load("item", rows, folder="2026-01-01")
    versions = "SELECT sum(hashtext(t.ctid::text || t.xmin::text)::bigint) FROM dim_item t"
    before = small.rows(versions)
    ((start,),) = small.rows("SELECT pg_current_wal_insert_lsn()::text")
    again = small.load("item", [*rows, (ROWS, "new", "a")], folder="2026-01-02")
    ((written,),) = small.rows(f"SELECT (pg_current_wal_insert_lsn() - '{start}')::bigint")
    assert (again.inserted, again.already_present) == (1, ROWS)
    assert small.rows(versions + f" WHERE id < {ROWS}") == before
    ((bounds,),) = small.rows("SELECT sum(cardinality(unchanged)) FROM file_keys")
    assert bounds == (2 if least == 0 else 2 * ROWS)
    assert written < least + 150_000  # pages that change for the first time after a checkpoint are written whole
