"""A day of FastFeast data through `python main.py once`: what the oracle says is what the warehouse holds."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance import mess, samples
from tests.acceptance.books import Audit, assert_books_balance, snapshot, value_differences
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import ROOT, Product, wait_until
from tests.acceptance.oracle import Oracle

HASH_KEY = "0123456789abcdef0123456789abcdef"
DATE, DAY_AFTER = "2026-02-20", "2026-02-21"


@pytest.fixture(scope="module")
def simulated(make_product: MakeProduct) -> Product:
    """A simulated day, loaded as it would come: the batch of the day after the stream."""
    product = make_product()
    product.env["PII_HASH_KEY"] = HASH_KEY
    options = ["--date", DATE, "--hours", "9-11", "--seed", "7", "--manifest", str(product.home / "manifest.json")]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.simulate_day", *options],
        cwd=ROOT,
        env=product.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    day_after = product.home / "data/input/batch" / DAY_AFTER
    day_after.rename(product.home / DAY_AFTER)
    product.once(expect=0)
    (product.home / DAY_AFTER).rename(day_after)
    product.once(expect=0)
    return product


def test_every_row_of_a_simulated_day_is_where_the_oracle_puts_it(simulated: Product) -> None:
    audit = assert_books_balance(simulated)
    stages = {row.stage for _, book in audit.books for row in book.rows}
    assert stages == {None, "schema", "records", "orphan"}, "the generator makes rows of every kind"


def test_stored_values_are_those_of_the_files(simulated: Product) -> None:
    audit = Audit(simulated)
    assert value_differences(audit, HASH_KEY)[:20] == []


CHECKS: dict[str, Callable[[dict[str, Any]], bool | None]] = {  # by its name: does a row break it?
    "delivered_after_ordered": lambda r: r["delivered_at"] and r["delivered_at"] < r["order_created_at"],
    "total_adds_up": lambda r: (
        abs(r["order_amount"] + r["delivery_fee"] - r["discount_amount"] - r["total_amount"]) > Decimal("0.01")
    ),
    "answered_before_resolved": lambda r: (
        r["first_response_at"] and r["resolved_at"] and r["first_response_at"] > r["resolved_at"]
    ),
    "due_after_created": lambda r: min(r["sla_first_due_at"], r["sla_resolve_due_at"]) < r["created_at"],
}
OF_ORDERS = ("delivered_after_ordered", "total_adds_up")


def test_the_shipped_checks_warn_of_the_rows_that_contradict_themselves(simulated: Product) -> None:
    wanted: Counter[str] = Counter()
    for _, book in Audit(simulated).books:
        if book.spec.name in {"orders", "tickets"}:
            names = [name for name in CHECKS if (name in OF_ORDERS) == (book.spec.name == "orders")]
            good = [row.values for row in book.rows if row.stage is None]
            wanted.update(name for row in good for name in names if CHECKS[name](row))
    found = simulated.rows("SELECT check_name, sum(rows)::int AS rows FROM file_warning GROUP BY 1")
    assert {row["check_name"]: row["rows"] for row in found} == wanted
    assert wanted.keys() == CHECKS.keys(), "the generator makes rows of every kind"


def test_counts_equal_the_generators_manifest(simulated: Product) -> None:
    manifest = json.loads((simulated.home / "manifest.json").read_text())
    log = {(row["logical_name"], row["file_hash"]): row for row in simulated.file_log()}
    assert len(manifest) > 30
    for name, expected in manifest.items():
        row = log[Path(name).name.partition(".")[0], expected["md5"]]
        found = {
            "total": row["total_records"],
            "loaded": row["valid_records"] - row["resolved_orphans"],
            "rejected": row["quarantined"] + row["resolved_orphans"],
            "orphans": row["orphan_count"],
            "healed": row["resolved_orphans"],
        }
        assert found == {
            "total": expected["total"],
            "loaded": expected["loaded"],
            "rejected": sum(expected["rejected"].values()),
            "orphans": expected["rejected"]["orphan"],
            "healed": expected["healed_later"],
        }, name


def test_parents_are_loaded_before_children(simulated: Product) -> None:
    log = simulated.file_log()
    first_stream = next(i for i, row in enumerate(log) if row["file_type"] == "stream")
    assert all(row["file_type"] == "batch" for row in log[:first_stream])
    oracle = Oracle(simulated.config)
    for folder in {Path(row["file_path"]).parent for row in log}:
        names = [row["logical_name"] for row in log if Path(row["file_path"]).parent == folder]
        for name in names:
            for reference in oracle.by_name[name].foreign_keys:
                assert reference.parent not in names[names.index(name) :], folder


def test_facts_point_at_their_minute_and_a_ticket_at_its_orders_region(simulated: Product) -> None:
    for table, stamp in (
        ("fact_order", "created_at"),
        ("fact_ticket", "created_at"),
        ("fact_ticket_event", "event_ts"),
    ):
        wrong = simulated.value(
            f"SELECT count(*) FROM {table} WHERE date_key <> to_char({stamp}, 'YYYYMMDD')::int"
            f" OR time_key <> to_char({stamp}, 'HH24MI')::int OR date_key IS NULL OR time_key IS NULL"
        )
        assert wrong == 0, table
    assert simulated.value("SELECT count(*) FROM fact_ticket") > 0
    assert (
        simulated.value(
            "SELECT count(*) FROM fact_ticket t JOIN fact_order o USING (order_id)"
            " WHERE t.region_id IS DISTINCT FROM o.region_id"
        )
        == 0
    )
    assert (
        simulated.value(
            "SELECT count(*) FROM fact_ticket WHERE sla_resolution_breached IS DISTINCT FROM"
            " (resolved_at > sla_resolve_due_at) OR reopened IS DISTINCT FROM (status = 'Reopened')"
        )
        == 0
    )


def test_a_second_run_changes_nothing(simulated: Product) -> None:
    before = snapshot(simulated)
    simulated.once(expect=0)
    assert snapshot(simulated) == before


def test_a_lost_tracker_is_rebuilt_and_changes_nothing(simulated: Product) -> None:
    before = snapshot(simulated)
    for path in (simulated.home / "data/tracker").iterdir():
        path.unlink()
    simulated.once(expect=0)
    assert snapshot(simulated) == before
    assert (simulated.home / "data/tracker/pipeline_tracker.db").exists()


def put_messy_day(product: Product, seed: int, rows: int) -> None:
    """Master without fault, then files of every type full of faults, JSON and NDJSON and .gz among them."""
    samples.write_master(product.home)
    dice = random.Random(seed)
    oracle = Oracle(product.config)
    makers: dict[str, Any] = {
        "customers.csv": samples.customer,
        "drivers.csv": samples.driver,
        "agents.csv": samples.agent,
        "restaurants.json": samples.restaurant,
        "orders.json": samples.order,
        "tickets.csv": samples.ticket,
        "ticket_events.json": samples.event,
    }
    for name, make in makers.items():
        path = Path(name)
        spec = oracle.spec_for(path, "batch") or oracle.spec_for(path, "stream")
        assert spec is not None
        for hour in ("09", "10"):
            first = 1 if hour == "09" else rows // 2  # the hours overlap by half
            messy = mess.mess_up((make(n) for n in range(first, first + rows)), spec, dice)
            text = mess.messy_text(path, [make(first), *messy], dice)
            if spec.feed == "stream":
                product.stream(hour, name, text)
            else:
                product.batch(name, text, day=f"2026-02-{hour}")


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_full_of_faults_are_judged_as_the_oracle_judges_them(make_product: MakeProduct, seed: int) -> None:
    product = make_product(reader={"chunk_rows": 97})
    put_messy_day(product, seed, rows=400)
    product.once()
    audit = assert_books_balance(product)
    assert sum(book.inserted for _, book in audit.books) > 500
    assert sum(book.quarantined for _, book in audit.books) > 500
    assert value_differences(audit)[:20] == []


def test_chunks_leave_no_trace(make_product: MakeProduct) -> None:
    books = []
    for chunk_rows in (7, 50_000):
        product = make_product(reader={"chunk_rows": chunk_rows})
        put_messy_day(product, seed=3, rows=60)
        product.once()
        query = "SELECT file_id, row_number, rejection_stage, resolution FROM quarantine ORDER BY 1, 2"
        counts = (
            "SELECT file_name, total_records, inserted_records, orphan_count FROM pipeline_file_log ORDER BY 1, 2"
        )
        books.append((product.rows(query), product.rows(counts)))
    assert books[0] == books[1]


def test_an_embedded_server_serves_run_after_run_and_leaves_no_process(tmp_path: Path) -> None:
    product = Product(tmp_path / "home")
    samples.write_master(product.home)
    product.once(expect=0)
    product.stream("09", "orders.json", [samples.order(1), samples.order(2)])
    with product.running() as daemon:
        assert daemon.stop(signal.SIGINT) == 0
    folder = str(product.home / "data/postgres")
    left = [process.pid for process in psutil.process_iter() if folder in " ".join(_command_line(process))]
    assert left == []


def test_asked_by_sigusr1_it_says_what_each_thread_is_at_and_goes_on(make_product: MakeProduct) -> None:
    product = make_product()

    def asked() -> bool:
        daemon.process.send_signal(signal.SIGUSR1)
        return "ingestion_runner.py" in daemon.output()

    with product.running() as daemon:
        wait_until(asked, "the stack of the thread that loads")
        product.stream("09", "orders.json", [samples.order(1)])
        product.wait_for_files(1)


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
