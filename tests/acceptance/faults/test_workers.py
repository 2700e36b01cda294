"""With four workers, the same faults and the same invariants."""

from __future__ import annotations

import random
import time
from typing import Any

from tests.acceptance import samples
from tests.acceptance.faults import kills
from tests.acceptance.faults.scenario import Bench, Tally, files_of, in_transaction, put_round, put_rounds, settle

MASTER = len(samples.master_rows())
WORKERS: dict[str, Any] = {"execution": {"workers": 4}}


def test_killed_at_random_times_four_workers_lose_and_double_nothing(bench: Bench) -> None:
    product = bench.clone(**WORKERS)
    dice, tally = random.Random(5), Tally("killed at a random time")
    for number in range(0, 8, 2):
        put_rounds(product, range(number, number + 2))
        kills.kill_anywhere(product, dice, tally, within=2.5)
    assert settle(product).run() == []
    assert tally.injected > 0


def test_a_server_that_crashes_under_four_workers_is_reported_once(bench: Bench) -> None:
    product = bench.clone(**WORKERS, reader={"chunk_rows": 500})
    with product.running():
        for hour in range(4):
            product.stream(
                f"big{hour}", "orders.json", [samples.order((hour + 1) * 100_000 + n) for n in range(3_000)]
            )
        deadline = time.monotonic() + 20
        while not in_transaction(product) and time.monotonic() < deadline:
            time.sleep(0.01)
        bench.server.stop("immediate")
        put_round(product, 0)
        time.sleep(2)
        bench.server.start()
        product.wait_for_files(4 + files_of(1), seconds=60)
    log = "".join(path.read_text() for path in (product.home / "logs").glob("*.log"))
    alerts = [f'"alert": "{subject}"' for subject in ("Database unavailable", "Database available again")]
    assert [log.count(alert) for alert in alerts] == [1, 1], log[-3000:]
    assert settle(product).run() == []
