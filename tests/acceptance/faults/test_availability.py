"""A warehouse that changes its rights, its tables, its server or its past: nothing fails, nothing stands still."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance import samples
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults.availability import (
    LOADER,
    RIGHTS,
    change,
    fail_over,
    lead_to,
    replayed,
    restored,
    standby_of,
    with_a_loader,
)
from tests.acceptance.faults.proxy import Proxy
from tests.acceptance.faults.scenario import Bench, files_of, put_round, settle
from tests.acceptance.server import free_port

NEIGHBOUR_SECONDS = 5.0
ORDERS = "SELECT count(*) FROM fact_order WHERE order_id = %s"


def alerts(product: Product) -> list[tuple[str, str]]:
    """Title and text of every alert that was raised."""
    text = "".join(path.read_text() for path in sorted((product.home / "logs").glob("*.log")))
    lines = [json.loads(line) for line in text.splitlines()]
    return [(line["alert"], line["msg"]) for line in lines if "alert" in line]


def titled(product: Product, title: str) -> list[str]:
    return [text for alert, text in alerts(product) if alert == title]


def failed_files(product: Product) -> list[dict[str, object]]:
    return product.rows("SELECT file_name, error FROM pipeline_file_log WHERE status = 'failed'")


def order(number: int) -> str:
    return samples.uid("order", number)


# ---------------------------------------------------------------- rights and tables

NAMED = {
    "right": ["fact_order", LOADER, 'GRANT INSERT ON "fact_order" TO "ff_loader"'],
    "table": ["fact_order", "gone"],
    "column": ["fact_order.order_amount", "gone"],
    "schema": ["schema"],
}


@pytest.mark.parametrize("fault", RIGHTS)
def test_a_right_or_a_table_that_is_gone_for_seconds_fails_no_file_and_is_told_once(
    bench: Bench, fault: str
) -> None:
    product = with_a_loader(bench)
    spoil, mend = RIGHTS[fault]
    with product.running():
        change(product, spoil)
        for number in range(12):  # some alone, some together
            product.stream(f"10/{number:02d}", "orders.json", [samples.order(1000 + number)])
        wait_until(lambda: titled(product, "Loading held up"), "somebody is told")
        if fault != "schema":
            newcomer = samples.customer(777)
            product.batch("customers.csv", [newcomer])
            there = "SELECT count(*) FROM dim_customer WHERE customer_id = 777"
            wait_until(lambda: product.value(there), "another type loads", seconds=NEIGHBOUR_SECONDS)
        time.sleep(2)
        change(product, mend)
        wait_until(lambda: product.value("SELECT count(*) FROM fact_order") == 12, "the files load")
        assert failed_files(product) == []
        told = titled(product, "Loading held up")
        assert len(told) == 1
        assert all(name in told[0] for name in NAMED[fault]), told
    assert settle(product).run() == []


def test_a_right_that_healing_needs_holds_up_no_file_and_the_orphans_heal_after(bench: Bench) -> None:
    product = with_a_loader(bench)
    with product.running():
        early = samples.order(2000) | {"customer_id": 4321}
        product.stream("10", "orders.json", [early])
        wait_until(lambda: product.value("SELECT count(*) FROM orphan_wait"), "an order waits")
        change(product, "REVOKE UPDATE ON quarantine FROM ff_loader")
        product.batch("customers.csv", [samples.customer(4321)])
        product.stream("11", "orders.json", [samples.order(2001)])
        wait_until(lambda: product.value(ORDERS, order(2001)), "a file behind loads", seconds=NEIGHBOUR_SECONDS)
        wait_until(lambda: titled(product, "Loading held up"), "somebody is told")
        change(product, "GRANT UPDATE ON quarantine TO ff_loader")
        wait_until(lambda: product.value(ORDERS, order(2000)), "the orphan heals")
    assert failed_files(product) == []
    assert settle(product).run() == []


# ---------------------------------------------------------------- another server


@pytest.fixture(scope="module")
def own_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A server that may be lost for good: by the last test that has it."""
    bench = Bench(tmp_path_factory.mktemp("own"))
    yield bench
    bench.close()


def test_connections_to_a_demoted_primary_are_left_for_those_to_the_new_one(own_bench: Bench) -> None:
    """The old primary lives on, takes no writes, and the proxy's open connections still lead to it."""
    bench = own_bench
    with Proxy(bench.server.port) as proxy, standby_of(bench.server) as standby:
        product = bench.clone(port=proxy.port)
        with product.running():
            put_round(product, 0)
            product.wait_for_files(files_of(1))
            wait_until(lambda: replayed(bench.server, standby), "the standby has all so far")
            bench.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            bench.execute("SELECT pg_reload_conf()")
            wait_until(lambda: replayed(bench.server, standby), "the standby has all so far")
            standby.promote()
            lead_to(product, standby, proxy)
            put_round(product, 1)
            product.wait_for_files(files_of(2), seconds=20)
            assert failed_files(product) == []
        assert settle(product).run() == []
    bench.execute("ALTER SYSTEM RESET default_transaction_read_only")
    bench.execute("SELECT pg_reload_conf()")


def test_after_a_failover_to_a_standby_that_was_behind_what_it_lacks_is_loaded_again(own_bench: Bench) -> None:
    bench = own_bench
    with Proxy(bench.server.port) as proxy, standby_of(bench.server) as standby:
        product = bench.clone(port=proxy.port)
        with product.running():
            put_round(product, 0)
            product.wait_for_files(files_of(1))
            wait_until(lambda: replayed(bench.server, standby), "the standby has all so far")
            standby.stop()
            put_round(product, 1)
            product.wait_for_files(files_of(2))
            fail_over(product, bench.server, standby, proxy)
            product.wait_for_files(files_of(2))
            put_round(product, 2)
            product.wait_for_files(files_of(3))
            assert failed_files(product) == []
            told = titled(product, "Database went back in time")
            assert len(told) == 1
            assert "orders.json" in told[0]
        assert settle(product).run() == []


# ---------------------------------------------------------------- an older database


def test_files_that_a_restored_dump_lacks_are_loaded_again_without_a_restart(bench: Bench, tmp_path: Path) -> None:
    product = bench.clone()
    name = str(product.url).rpartition("/")[2]
    dump = Path("/tmp") / f"{name}-{os.getpid()}.dump"
    with product.running():
        put_round(product, 0)
        product.wait_for_files(files_of(1))
        time.sleep(1)  # what follows a commit, the healing, is in the dump, too
        bench.server.run("pg_dump", "-Fc", "-f", dump, "--dbname", bench.server.url(name))
        put_round(product, 1)
        put_round(product, 2)
        product.wait_for_files(files_of(3))
        restoring = threading.Thread(target=lambda: restored(bench, dump, name))
        restoring.start()
        put_round(product, 3)
        restoring.join()
        product.wait_for_files(files_of(4), seconds=60)
        assert failed_files(product) == []
        assert len(titled(product, "Database went back in time")) == 1
        wait_until(lambda: product.run("verify").returncode == 0, lambda: product.run("verify").stdout)
    dump.unlink()
    assert settle(product).run() == []


def test_verify_names_files_that_count_as_done_and_are_not_in_the_database(bench: Bench) -> None:
    product = bench.clone()
    put_round(product, 0)
    assert settle(product).run() == []
    change(product, "DELETE FROM pipeline_file_log WHERE logical_name = 'categories'")
    found = product.run("verify")
    assert found.returncode == 1
    assert "categories.csv" in found.stdout
    assert "file log" in found.stdout


# ---------------------------------------------------------------- commands end

REFUSED = {
    "wrong port": ("postgres@127.0.0.1:{free}/x", "can't be reached"),
    "wrong password": ("locked:wrong@127.0.0.1:{port}/base", "password authentication failed"),
    "rejected": ("barred@127.0.0.1:{port}/base", "pg_hba.conf rejects"),
    "no database, no right to make one": ("nobody@127.0.0.1:{port}/nowhere", "can't create it"),
}


@pytest.fixture(scope="module")
def strict_bench(bench: Bench) -> Bench:
    """The bench, with roles that may not enter."""
    bench.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
    bench.execute("CREATE ROLE barred LOGIN")
    bench.execute("CREATE ROLE nobody LOGIN")
    hba = bench.server.data / "pg_hba.conf"
    strict = "host all locked 127.0.0.1/32 scram-sha-256\nhost all barred 127.0.0.1/32 reject\n"
    hba.write_text(strict + hba.read_text())
    bench.execute("SELECT pg_reload_conf()")
    return bench


BACKFILL = ("backfill", "--from", "2026-01-01", "--to", "2026-01-01")


@pytest.mark.parametrize(("command", "why"), [*((("once",), why) for why in REFUSED), (BACKFILL, "wrong port")])
def test_a_command_ends_with_a_database_that_says_no(
    strict_bench: Bench, tmp_path: Path, why: str, command: tuple[str, ...]
) -> None:
    url, text = REFUSED[why]
    url = "postgresql://" + url.format(port=strict_bench.server.port, free=free_port())
    product = Product(tmp_path / "home", url)
    begun = time.monotonic()
    done = product.run(*command, "--wait", "1")
    assert done.returncode == 2
    assert text in done.stdout + done.stderr
    assert time.monotonic() - begun < 20


def test_once_gives_up_a_table_that_stays_locked_and_loads_the_rest(bench: Bench) -> None:
    product = bench.clone(database={"answer_seconds": 1})
    product.stream("10", "orders.json", [samples.order(1)])
    product.batch("customers.csv", [samples.customer(777)])
    with closing(product.connect()) as other:
        other.cursor().execute("LOCK TABLE fact_order IN ACCESS EXCLUSIVE MODE")
        done = product.run("once", "--wait", "3")
    assert done.returncode == 2, done.stdout
    assert "given up" in done.stdout + done.stderr
    assert product.value("SELECT count(*) FROM dim_customer WHERE customer_id = 777") == 1
    assert failed_files(product) == []


# ---------------------------------------------------------------- a start without a home


def test_a_start_that_has_much_to_catch_up_with_loads_at_once(bench: Bench) -> None:
    """The lock on the CSV backup stands for hours of writing it anew."""
    product = bench.clone()
    put_round(product, 0)
    assert settle(product).run() == []
    folder = product.home / "data/quarantine/stream"
    for path in [*folder.glob("*.csv"), *(product.home / "data/tracker").iterdir()]:
        path.unlink()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with product.running():
            product.stream("12", "orders.json", [samples.order(3000)])
            wait_until(lambda: product.value(ORDERS, order(3000)), "a new file loads", seconds=NEIGHBOUR_SECONDS)
            fcntl.flock(lock, fcntl.LOCK_UN)
            wait_until(lambda: list(folder.glob("*.csv")), "the backup is written anew")
    assert settle(product).run() == []
