"""When PostgreSQL is away, cut off, frozen or shot, nothing fails and nothing is lost: the pipeline waits."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress

import psycopg2

from datawarehouse.db_connection import SHORT_PATIENCE_SECONDS
from tests.acceptance import samples
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults.outage import caught_up_after_outage
from tests.acceptance.faults.proxy import Proxy
from tests.acceptance.faults.scenario import ROWS, Bench, files_of, in_transaction, put_round, put_rounds, settle
from tests.acceptance.test_web import address_of, get

MASTER = len(samples.master_rows())
BIG = 6_000
ANSWER_SECONDS = 2


def put_big_file(product: Product) -> None:
    product.stream("08", "orders.json", [samples.order(1_000_000 + n) for n in range(BIG)])


def failed_files(product: Product) -> list[dict[str, object]]:
    return product.rows("SELECT file_name, error FROM pipeline_file_log WHERE status = 'failed'")


def test_a_server_that_crashes_in_the_middle_of_a_file_and_stays_away(bench: Bench) -> None:
    product = bench.clone(reader={"chunk_rows": 500})
    with product.running():
        put_big_file(product)
        wait_until(lambda: in_transaction(product), "it works on the file", every=0.01)
        bench.server.stop("immediate")
        put_round(product, 0)
        put_round(product, 1)
        time.sleep(2)
        bench.server.start()
        product.wait_for_files(1 + files_of(2), seconds=60)
        assert failed_files(product) == []
    assert settle(product).run() == []


def test_small_files_that_arrive_during_an_outage_are_caught_up_with_and_none_fails(bench: Bench) -> None:
    product = bench.clone()
    caught_up_after_outage(bench, product, seconds=6, files=120, patience=60)
    assert settle(product).run() == []


def test_a_server_that_is_away_at_the_start_is_waited_for_or_named(bench: Bench) -> None:
    product = bench.clone()
    put_round(product, 0)
    bench.server.stop("fast")
    daemon = product.start()
    time.sleep(2)
    bench.server.start()
    code = daemon.process.poll()
    try:
        if code is None:
            daemon.wait_for_banner()
            product.wait_for_files(files_of(1))
            assert daemon.stop() == 0
        else:
            assert code == 2
            assert "PostgreSQL" in daemon.output()
    finally:
        daemon.kill()
    assert settle(product).run() == []


def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_repeated(bench: Bench) -> None:
    with Proxy(bench.server.port) as proxy:
        product = bench.clone(port=proxy.port)
        with product.running():
            for number in range(3):
                proxy.swallow_commits(2)
                put_round(product, number)
                time.sleep(0.4)
            product.wait_for_files(files_of(3), seconds=60)
            wait_until(lambda: proxy.swallowed >= 4, lambda: f"answers are lost; {proxy.swallowed}")
            proxy.swallow_commits(-(6 - proxy.swallowed))
            assert failed_files(product) == []
        assert settle(product).run() == []


def test_a_commit_that_is_cancelled_leaves_no_failed_transaction_behind(bench: Bench) -> None:
    with Proxy(bench.server.port) as proxy:
        product = bench.clone(port=proxy.port)
        with product.running():
            for number in range(2):
                proxy.cancel_commits(2)
                put_round(product, number)
                time.sleep(0.4)
            product.wait_for_files(files_of(2))
            assert proxy.cancelled >= 3
            assert failed_files(product) == []
        assert settle(product).run() == []


def test_connections_cut_again_and_again(bench: Bench) -> None:
    with Proxy(bench.server.port) as proxy:
        product = bench.clone(port=proxy.port, reader={"chunk_rows": 500})
        with product.running():
            put_big_file(product)
            cuts = during(lambda: bool(proxy.cut()), lambda: put_rounds(product, range(2)))
            assert cuts >= 3
            product.wait_for_files(1 + files_of(2), seconds=60)
        assert settle(product).run() == []


def test_backends_terminated_again_and_again(bench: Bench) -> None:
    product = bench.clone(reader={"chunk_rows": 500})

    def terminate() -> bool:
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return bool(product.value(query))

    with product.running():
        put_big_file(product)
        assert during(terminate, lambda: put_rounds(product, range(2))) >= 3
        product.wait_for_files(1 + files_of(2), seconds=60)
        assert failed_files(product) == []
    assert settle(product).run() == []


def during(fault: Callable[[], bool], work: Callable[[], object], *, times: int = 5) -> int:
    """Do `work` while `fault` strikes up to `times` times; returns how often it struck."""
    struck = 0
    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(times):
        time.sleep(0.3)
        with suppress(psycopg2.Error):
            struck += fault()
    worker.join()
    return struck


def test_a_frozen_backend_is_given_up_and_does_not_hold_up_the_others(bench: Bench) -> None:
    """Frozen while it waits for a lock, so that it holds none that the whole server needs."""
    product = bench.clone(database={"answer_seconds": ANSWER_SECONDS})
    healthy = [samples.order(2_000_000 + n) for n in range(5)]
    with product.running() as daemon, closing(product.connect()) as other:
        other.cursor().execute("LOCK TABLE fact_order IN SHARE ROW EXCLUSIVE MODE")
        product.stream("08", "orders.json", [samples.order(1_000_000 + n) for n in range(50)])
        pid = wait_until(lambda: waiting_for(product, "fact_order"), "it waits for the table", every=0.01)
        os.kill(pid, signal.SIGSTOP)
        frozen_at = time.monotonic()
        try:
            other.rollback()
            product.stream("09", "orders.json", healthy)
            loaded = "SELECT count(*) FROM fact_order WHERE order_id = %s"
            seconds = ANSWER_SECONDS + SHORT_PATIENCE_SECONDS + 5
            wait_until(
                lambda: product.value(loaded, healthy[0]["order_id"]), "the neighbour loads", seconds=seconds
            )
            assert time.monotonic() - frozen_at > ANSWER_SECONDS - 1, "there was something to wait for"
            product.stream("10", "orders.json", [samples.order(3_000_000)])
            wait_until(
                lambda: product.value(loaded, samples.uid("order", 3_000_000)),
                "the next one too, while the bad one is tried again and again",
                seconds=ANSWER_SECONDS + 5,
            )
            assert daemon.process.poll() is None
        finally:
            os.kill(pid, signal.SIGCONT)
        product.wait_for_files(MASTER + 3, seconds=60)
        assert failed_files(product) == []
    assert settle(product).run() == []


def waiting_for(product: Product, table: str) -> int | None:
    """Process id of the backend that waits for a lock on `table`."""
    query = "SELECT pid FROM pg_locks WHERE relation = %s::regclass AND NOT granted"
    pid: int | None = product.value(query, table)
    return pid


def test_a_frozen_network_is_waited_out(bench: Bench) -> None:
    with Proxy(bench.server.port) as proxy:
        product = bench.clone(port=proxy.port, database={"statement_timeout_seconds": 2})
        with product.running():
            put_round(product, 0)
            proxy.frozen.set()
            time.sleep(3.5)
            put_round(product, 1)
            proxy.frozen.clear()
            product.wait_for_files(files_of(2), seconds=60)
            assert failed_files(product) == []
            assert product.value("SELECT count(*) FROM fact_order") > ROWS
        assert settle(product).run() == []


def test_health_and_dashboard_say_that_the_database_is_away_and_that_it_is_back(bench: Bench) -> None:
    product = bench.clone(web={"enabled": True, "port": 0})
    with product.running() as daemon:
        address = address_of(daemon)
        wait_until(lambda: get(f"{address}/readyz")[0] == 200, "it is ready")
        bench.server.stop("fast")
        wait_until(lambda: get(f"{address}/readyz")[0] == 503, "it is not ready")
        status, page = get(address)
        assert (status, "The database does not answer" in page, "Traceback" in page) == (503, True, False)
        assert get(f"{address}/healthz")[0] == 200
        assert "fastfeast_database_up 0.0" in get(f"{address}/metrics")[1]
        bench.server.start()
        wait_until(lambda: get(f"{address}/readyz")[0] == 200, "it is ready again")
        assert get(address)[0] == 200
        assert "Traceback" not in daemon.output()
