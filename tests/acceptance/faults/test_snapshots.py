"""A snapshot that was cut takes nothing away; one that is whole does so once, wherever it is killed."""

from __future__ import annotations

from typing import Any

from tests.acceptance.daemon import Product
from tests.acceptance.faults import kills
from tests.acceptance.faults.scenario import Bench, Tally

ROWS = 100
STOCK: dict[str, Any] = {
    "watcher": {
        "stream": {
            "expected_files": {
                "stock.csv": {"table": "dim_stock", "keep": "history", "rows": "snapshot", "gone": "mark"}
            }
        }
    },
    "schemas": {
        "stock": {
            "primary_key": "id",
            "columns": [
                {"name": "id", "dtype": "int", "nullable": False},
                {"name": "price", "dtype": "float", "sql_type": "numeric(8,2)"},
            ],
        }
    },
}


def put(product: Product, hour: int, rows: int, price: str = "1.50") -> None:
    lines = (f"{number},{price}\n" for number in range(rows))
    product.stream(f"{hour:02}", "stock.csv", "id,price\n" + "".join(lines))


def there(product: Product) -> tuple[int, int, int]:
    """Rows that are there, those that are gone, and versions in force."""
    (row,) = product.rows(
        "SELECT count(*) FILTER (WHERE _gone_at IS NULL) AS here, count(_gone_at) AS gone,"
        " (SELECT count(*) FROM dim_stock_history WHERE is_current) AS versions FROM dim_stock"
    )
    return row["here"], row["gone"], row["versions"]


def last_file(product: Product) -> dict[str, Any]:
    return product.rows(
        "SELECT file_id, status, gone_records, error FROM pipeline_file_log ORDER BY file_id DESC"
    )[0]


def test_a_snapshot_takes_away_what_it_lacks_and_one_that_was_cut_nothing(bench: Bench) -> None:
    product = bench.clone(**STOCK)
    put(product, 1, ROWS)
    product.once(expect=0)
    for hour, rows in ((2, ROWS // 10), (3, 0)):
        put(product, hour, rows)
        product.once(expect=1)
        assert last_file(product)["status"] == "failed"
        assert f"it lacks {ROWS - rows} of the {ROWS} rows" in last_file(product)["error"]
        assert there(product) == (ROWS, 0, ROWS)

    tally = Tally("killed while rows are taken away")
    for hour, seam in enumerate(("before rows are taken away", "after rows are taken away", "before COMMIT"), 4):
        put(product, hour, ROWS - 5 * (hour - 3))
        before = there(product)
        assert kills.kill_at(product, seam, 1, tally), seam
        assert there(product) == before
        product.once()
        gone = 5 * (hour - 3)
        assert there(product) == (ROWS - gone, gone, ROWS - gone), seam
        assert last_file(product)["gone_records"] == 5

    put(product, 8, 10)
    product.once(expect=1)
    product.run("reprocess", last_file(product)["file_id"], "--accept-gone", "--yes", expect=0)
    assert there(product) == (10, ROWS - 10, 10)
    assert "Everything adds up" in product.run("verify", expect=0).stdout
