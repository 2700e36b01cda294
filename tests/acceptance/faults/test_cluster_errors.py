"""A file, a table or a sequence that is in trouble means the same on a cluster as without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults.cluster import Cluster
from tests.acceptance.faults.scenario import Bench, settle
from tests.acceptance.faults.test_availability import ORDERS, failed_files, order, titled
from tests.acceptance.faults.test_cluster import local, log_text, use

pytest.importorskip("distributed")

ANSWER_SECONDS = 1
UNREADABLE = """
import errno
from ingestion import file_load
read = file_load.read_chunks

def broken(file, name, *rest):
    if name == "tickets.csv":
        raise OSError(errno.EIO, "Input/output error")
    return read(file, name, *rest)

file_load.read_chunks = broken
"""


@contextmanager
def on_a_cluster(bench: Bench, patches: Path | None = None, **changes: Any) -> Iterator[Product]:
    """A running product whose files are loaded by one worker elsewhere."""
    product = bench.clone()
    with Cluster(product, 1, patches=patches) as cluster:
        execution = {"engine": "dask", "workers": 1, "scheduler": cluster.address}
        use(product, bench, cluster.address, **{"execution": execution, **changes})
        with product.running():
            product.stream("01", "orders.json", [samples.order(1)])  # the worker has come
            wait_until(lambda: product.value(ORDERS, order(1)), "the first file loads", seconds=60)
            yield product
    local(product, bench)


def test_a_file_that_the_workers_disk_does_not_give_is_told_of_once_and_holds_up_no_other(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(UNREADABLE)
    with on_a_cluster(bench, tmp_path) as product:
        product.stream("02", "tickets.csv", [samples.ticket(1)])
        product.stream("03", "orders.json", [samples.order(2)])
        wait_until(lambda: product.value(ORDERS, order(2)), "the neighbour loads", seconds=5)
        wait_until(lambda: titled(product, "File failed"), "somebody is told")
        time.sleep(3)
        (told,) = titled(product, "File failed")
        assert "tickets.csv" in told
    assert settle(product).run() == []


def test_a_locked_table_holds_up_no_other_for_longer_than_without_a_cluster(bench: Bench) -> None:
    with on_a_cluster(bench, database={"answer_seconds": ANSWER_SECONDS}) as product:
        with closing(product.connect()) as other:
            other.cursor().execute("LOCK TABLE fact_order IN SHARE ROW EXCLUSIVE MODE")
            product.stream("02", "orders.json", [samples.order(2)])
            time.sleep(0.5)
            product.batch("customers.csv", [samples.customer(777)])
            there = "SELECT count(*) FROM dim_customer WHERE customer_id = 777"
            wait_until(lambda: product.value(there), "the neighbour loads", seconds=ANSWER_SECONDS + 5)
            wait_until(lambda: titled(product, "Loading held up"), "somebody is told")
        wait_until(lambda: product.value(ORDERS, order(2)), "the file loads")
        assert failed_files(product) == []
    assert settle(product).run() == []


def test_a_sequence_that_is_behind_is_moved_on_at_once(bench: Bench) -> None:
    with on_a_cluster(bench) as product:
        product.stream("02", "orders.json", [samples.order(n) for n in range(2, 303)])
        wait_until(lambda: product.value(ORDERS, order(302)), "there are numbers")
        with closing(product.connect()) as other, other, other.cursor() as cursor:
            cursor.execute("SELECT setval(pg_get_serial_sequence('fact_order', 'order_sk'), 1)")
        product.stream("03", "orders.json", [samples.order(1000)])
        wait_until(lambda: product.value(ORDERS, order(1000)), "the file loads", seconds=10)
        assert log_text(product).count("once more") <= 3
    assert settle(product).run() == []
