"""Killed wherever it may be, parents and children of one file are there both, once, or neither."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.faults import kills
from tests.acceptance.faults.scenario import Bench, Tally

CARTS: dict[str, Any] = {
    "reader": {"chunk_rows": 40},
    "watcher": {
        "stream": {
            "expected_files": {
                "carts.json": {"table": "fact_cart"},
                "cart_items": {
                    "table": "fact_cart_item",
                    "from_child": {"of": "carts", "path": "items"},
                    "foreign_keys": {"customer_id": "customers"},
                },
            }
        }
    },
    "schemas": {
        "carts": {
            "primary_key": "cart_id",
            "columns": [
                {"name": "cart_id", "dtype": "int", "nullable": False},
                {"name": "state", "dtype": "str", "allowed_values": ["open", "paid"]},
            ],
        },
        "cart_items": {
            "primary_key": ["cart_id", "position"],
            "columns": [
                {"name": "customer_id", "dtype": "int"},
                {"name": "quantity", "dtype": "int", "rules": {"at_least": 1}},
            ],
        },
    },
}
SEAMS = {  # and the visit to it: the first is the parents', the second the children's
    "after the claim": 2,
    "before the quarantine": 2,
    "before COMMIT": 1,
    "after COMMIT": 1,
}
STATES = ("open", "paid", "lost")


def carts(number: int) -> str:
    """50 carts with 100 items: one cart in three is refused, and its first item waits; no second one is good."""
    items = ({"customer_id": 1, "quantity": 1}, {"customer_id": 1, "quantity": 0})
    return json.dumps([{"cart_id": number * 100 + n, "state": STATES[n % 3], "items": items} for n in range(50)])


def test_killed_in_the_middle_of_parents_or_children_it_loses_and_doubles_none(bench: Bench) -> None:
    product = bench.clone(**CARTS)
    tally, files = Tally("killed among parents and children"), 0
    for seam, visit in SEAMS.items():
        files += 1
        product.stream(f"{files:02}", "carts.json", carts(files))
        kills.kill_at(product, seam, visit, tally)
        counts = product.rows(
            "SELECT logical_name, count(*) AS files FROM pipeline_file_log"
            " WHERE logical_name IN ('carts', 'cart_items') GROUP BY 1"
        )
        assert len({row["files"] for row in counts}) < 2, seam
        product.once(expect=0)
    assert tally.injected == files
    books = product.rows(
        "SELECT logical_name, total_records AS total, inserted_records AS inserted, quarantined"
        " FROM pipeline_file_log WHERE logical_name IN ('carts', 'cart_items')"
    )
    assert {tuple(row.values()) for row in books} == {("carts", 50, 34, 16), ("cart_items", 100, 34, 66)}
    assert len(books) == 2 * files
    assert product.value("SELECT count(*) FROM fact_cart") == 34 * files
    assert product.value("SELECT count(*) FROM fact_cart_item") == 34 * files
