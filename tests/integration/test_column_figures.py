"""The page of a file shows the figures of its columns, beside those of the files before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datawarehouse.db_connection import Warehouse
from datawarehouse.profiles import beside
from tests.integration.small import Small
from web.column_figures import FILES, Cell, column_figures
from web.figures import NONE

SALES: dict[str, Any] = {"key": "id", "columns": {"id": "int", "amount": "float", "day": "date", "at": "str"}}


def test_a_file_is_shown_beside_the_last_thirty(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"sales": SALES})
    for n in range(12):
        small.load("sales", [[n, 9 + n % 3, "2026-01-01", "x"], [100 + n, 9 + n % 3, "2026-01-01", "y"]])
    done = small.load("sales", [[20, 1000, "2026-01-02", "x"], [21, None, "2026-01-01", "x"]])
    with small.warehouse.transaction() as tx:
        table = column_figures(beside(tx, done.file_id or 0, FILES), ["at", "id", "amount"])
        assert column_figures(beside(tx, 10**6, FILES), []) is None
    assert table is not None
    assert (table.files, table.rows) == (12, Cell("2", "2", is_odd=False))
    assert [row.column for row in table.columns] == ["at", "id", "amount", "day"]
    cells = {row.column: row.cells for row in table.columns}
    assert cells["amount"] == (
        Cell("50.0%", "0.0%", is_odd=True),
        Cell("1", "1", is_odd=False),
        Cell("1,000", "10 ± 0.852803", is_odd=True),
        Cell("1,000", "10 ± 0.852803", is_odd=True),
        Cell("1,000", "10 ± 0.852803", is_odd=True),
    )
    assert cells["day"][2:] == (
        Cell("2026-01-01", "", is_odd=False),
        Cell(NONE, "", is_odd=False),
        Cell("2026-01-02", "", is_odd=False),
    )
    assert cells["at"][1] == Cell("1", "2", is_odd=True)
