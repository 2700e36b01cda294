"""With partitioned facts a killed pipeline loses nothing, doubles nothing, and every row has its key."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.acceptance.faults import kills
from tests.acceptance.faults.scenario import Bench, Tally, put_round, settle

MONTHLY = {"interval": "month"}
PARTITIONED = {
    "orders.json": {"partition_by": {"column": "order_created_at", **MONTHLY}},
    "tickets.csv": {"partition_by": {"column": "created_at", **MONTHLY}},
}


def test_killed_at_random_times_every_row_has_its_key_and_every_key_its_row(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"watcher": {"stream": {"expected_files": PARTITIONED}}}
    bench = Bench(tmp_path, **changes)
    try:
        product = bench.clone(**changes)
        dice, tally = random.Random(20260220), Tally("killed with partitions")
        for number in range(3):
            put_round(product, number)
            kills.kill_anywhere(product, dice, tally, within=2)
        assert settle(product).run() == []
        assert tally.injected > 0
        for table, key in (("fact_order", "order_id"), ("fact_ticket", "ticket_id")):
            keys = f"SELECT {key}, created_at FROM {table}_key ORDER BY 1"
            assert product.rows(keys) == product.rows(f"SELECT {key}, created_at FROM {table} ORDER BY 1")
            assert product.value(f"SELECT count(*) FROM {table}")
            assert product.value(f"SELECT count(*) FROM {table}_default") == 0  # the timer made what was missing
    finally:
        bench.close()
