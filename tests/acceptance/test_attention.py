"""What needs attention is told in one place until it is mended: by `status`, and the dashboard's first panel."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.test_web import address_of, get


def needs(product: Product) -> list[dict[str, Any]]:
    """The list of `status --json`."""
    items: list[dict[str, Any]] = json.loads(status(product, "--json"))["attention"]
    return items


def status(product: Product, *options: str) -> str:
    done = product.run("status", *options)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


@pytest.fixture
def product(make_product: MakeProduct) -> Product:
    product = make_product()
    samples.write_master(product.home)
    return product


def test_what_needs_attention_is_told_and_what_is_mended_is_not(product: Product) -> None:
    product.stream("09", "orders.json", [samples.order(1)])
    product.once(expect=0)
    assert needs(product) == []
    assert status(product).startswith("Nothing needs attention.")

    for hour in ("10", "11"):
        product.stream(hour, "orders.json", f'[{{"order_id": "x", "hour": {hour}}}]')
    product.stream("12", "orders.json", [samples.order(n, payment_method="crad") for n in range(5)])
    product.stream("13", "orders.json", [samples.order(50, customer_id=999_999)])  # waits for its parent
    product.stream("14", "ordesr.json", [samples.order(2)])
    done = product.once(expect=1)
    assert "! 2026-02-20/12/orders.json" in done.stdout.replace(samples.DAY, "2026-02-20")
    assert "of 2 files nothing was loaded" in done.stdout
    items = needs(product)
    assert [item["cause"] for item in items] == ["failed", "nothing loaded", "not read"]
    failed, refused, unread = items
    assert failed["what"].startswith("2 files of orders failed: the columns are not those of schema 'orders'")
    assert failed["where"] == f"{samples.DAY}/11/orders.json, {samples.DAY}/10/orders.json"
    assert failed["more"] == "python main.py files --type orders --status failed"
    assert (
        "of 1 file of orders nothing was loaded: 5 rows refused, as payment_method: allowed_values"
        in refused["what"]
    )
    assert refused["where"] == f"{samples.DAY}/12/orders.json"
    assert unread["what"].endswith("Did you mean orders.json?")
    assert unread["where"] == f"{samples.DAY}/14/ordesr.json"
    assert unread["more"].startswith("mv ")
    assert all(item["since"] for item in items)
    shown = status(product)
    assert shown.startswith("Needs attention:\n! 2 files of orders failed")
    for word in ("Did you mean", "nothing was loaded", "failed"):
        assert word in shown

    subprocess.run(shlex.split(unread["more"]), check=True)
    for hour in ("10", "11", "12"):
        product.stream(hour, "orders.json", [samples.order(int(hour) * 10)])
    product.once(expect=0)
    assert needs(product) == []


def test_trouble_of_the_last_day_is_told_until_its_end_was(product: Product) -> None:
    product.once(expect=0)
    logs = product.home / "logs"
    day = max(path.name for path in logs.glob("pipeline_*.log"))[9:19]

    def told(kind: str, time: str) -> None:
        record = {"time": f"{day} {time}", "msg": f"[alert] {kind}: text of {kind}", "alert": kind}
        with (logs / f"alerts_{day}.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n{broken\n")

    for _ in range(3):
        told("Database unavailable", "00:00:00")
    told("Loading held up", "00:00:01")
    first, second = needs(product)
    assert (first["cause"], first["what"]) == ("alert", "Loading held up: text of Loading held up")
    assert second["what"].startswith("Database unavailable (3 times)")
    told("Database available again", "00:00:02")
    assert [item["what"].partition(":")[0] for item in needs(product)] == ["Loading held up"]


def test_the_dashboard_shows_the_same_first(make_product: MakeProduct) -> None:
    product = make_product(web={"enabled": True, "port": 0})
    samples.write_master(product.home)
    with product.running() as daemon:
        address = address_of(daemon)
        wait_until(lambda: "Nothing needs attention." in get(f"{address}/")[1], "the page is there")
        product.stream("09", "orders.json", "[1")
        product.stream("10", "ordesr.json", "[]")
        page: str = wait_until(
            lambda: (text := get(f"{address}/")[1]).count("Did you mean") and "of orders failed" in text and text,
            "both are on the page",
        )
        assert f"{samples.DAY}/10/ordesr.json" in page
        assert page.index("Needs attention") < page.index("Files loaded")
        items = needs(product)
        assert [item["cause"] for item in items] == ["failed", "not read"]
        assert f"{samples.DAY}/09/orders.json" in get(f"{address}/files")[1]


def test_a_file_log_of_an_earlier_version_gets_its_indexes_at_a_start(product: Product) -> None:
    product.once(expect=0)
    there = (
        "SELECT count(*) FROM pg_indexes WHERE indexname IN ('pipeline_file_log_path', 'pipeline_file_log_no_row')"
    )
    assert product.value(there) == 2
    connection = product.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP INDEX pipeline_file_log_path, pipeline_file_log_no_row")
    connection.close()
    product.once(expect=0)
    assert product.value(there) == 2


def test_no_command_that_is_proposed_overwrites_a_file(product: Product) -> None:
    loaded = product.stream("09", "orders.json", [samples.order(1)])
    product.stream("09", "Orders.json", [samples.order(2)])
    product.stream("10", "Orders.json", [samples.order(3)])
    product.stream("10", "orders.JSON", [samples.order(4)])
    product.once(expect=0)
    before = loaded.read_bytes()
    unread = needs(product)
    assert [item["cause"] for item in unread] == ["not read"] * 3
    for item in unread:
        subprocess.run(shlex.split(item["more"]), check=False, timeout=60, capture_output=True)
    assert loaded.read_bytes() == before, "the file that was there is as it was"
    contents = [path.read_bytes() for path in loaded.parents[1].rglob("*") if path.is_file()]
    assert len(set(contents)) == 4, "and no other is lost"
