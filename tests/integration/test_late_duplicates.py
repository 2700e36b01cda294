"""Of the rows of one file with one key one passes, and the others are duplicates, whenever they are judged."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from datawarehouse.quarantine import retry
from tests.integration.putting_right import (
    CUSTOMERS,
    ORDERS,
    Site,
    customer,
    order,
    update_if_newer,
)

pytestmark = pytest.mark.usefixtures("first_rows")
BOOKS = (
    "SELECT inserted_records, updated_records, already_present, quarantined, duplicate_count, orphan_count"
    " FROM pipeline_file_log WHERE file_id = %s"
)
TURNS = list(itertools.permutations([7, 8, 9]))  # the customers, in the order in which they come


def bring(site: Site, number: int) -> None:
    """A customer comes, and the orders that waited for it are judged."""
    site.load(f"{number}/customers.csv", CUSTOMERS + customer(number))
    site.backup.reconcile()
    site.check_books()


@pytest.mark.parametrize("turns", TURNS, ids=str)
@pytest.mark.parametrize(
    ("earlier", "books"),
    [("", (1, 0, 0, 2, 2, 1)), (ORDERS + order("a"), (0, 0, 1, 2, 2, 1))],
    ids=["new", "known"],
)
def test_one_row_of_a_key_passes_in_whatever_order_its_parents_come(
    site: Site, turns: tuple[int, ...], earlier: str, books: tuple[int, ...]
) -> None:
    if earlier:
        site.load("customers.csv", CUSTOMERS + customer(1))
        site.load("earlier/orders.csv", earlier)
    file = site.load("orders.csv", ORDERS + "".join(order("a", number) for number in (7, 8, 9))).file_id
    for number in turns:
        bring(site, number)
    assert site.one(BOOKS, file) == books
    refused = (
        "SELECT raw_data ->> 'customer_id', rejection_reason FROM quarantine WHERE resolution IS NULL ORDER BY 1"
    )
    assert site.rows(refused) == [(str(n), "order_id: duplicate") for n in sorted(turns[1:])]


@pytest.mark.parametrize("at_a_time", [1, 2, 10])
def test_a_heal_in_pages_is_a_heal_at_once(site: Site, monkeypatch: pytest.MonkeyPatch, at_a_time: int) -> None:
    monkeypatch.setattr(retry, "CHUNK_ROWS", at_a_time)
    site.load("customers.csv", CUSTOMERS + customer(1))
    site.load("earlier/orders.csv", ORDERS + order("a"))
    file = site.load("orders.csv", ORDERS + "".join(order(key, 7) for key in "abaab")).file_id
    bring(site, 7)
    assert site.one(BOOKS, file) == (1, 0, 1, 3, 3, 2)
    assert site.rows("SELECT row_number FROM quarantine WHERE resolution IS NULL ORDER BY 1") == [(3,), (4,), (5,)]


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("text", ["1", " 1", "01", "1.0"])
def test_a_key_is_told_by_its_value_and_not_by_its_text(site: Site, one_by_one: bool, text: str) -> None:
    site.load("customers.csv", CUSTOMERS + customer(1))
    lines = customer(1, name="A", gender="x") + customer(text, name="B", gender="x")
    file = site.load("again/customers.csv", CUSTOMERS + lines).file_id
    ids = site.quarantined(gender="x")
    for q_id in ids:
        site.run("quarantine", "edit", q_id, "--set", "gender=male", "--yes")
    for chosen in [[q_id] for q_id in ids] if one_by_one else [ids]:
        site.run("quarantine", "replay", *chosen, "--yes", expect=None)
    assert site.one(BOOKS, file) == (0, 0, 1, 1, 1, 0)
    site.check_books()


@pytest.mark.parametrize("order_of_days", [(2, 2, 3, 1), (3, 2, 1, 2), (1, 2, 2, 3), (2, 3, 2, 1)], ids=str)
def test_where_the_newest_counts_only_the_same_time_is_a_duplicate(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, order_of_days: tuple[int, ...]
) -> None:
    update_if_newer(monkeypatch, tmp_path, "customers.csv")

    def version(day: int) -> str:
        line = customer(1, name=f"of day {day}", gender="x")
        return line.replace(",2026-01-01\n", f",2026-02-0{day}\n")

    lines = "".join(map(version, order_of_days))
    file = site.load("newer/customers.csv", CUSTOMERS + lines).file_id
    for q_id in site.quarantined(gender="x"):
        site.run("quarantine", "edit", q_id, "--set", "gender=male", "--yes")
        site.run("quarantine", "replay", q_id, "--yes", expect=None)
    assert site.one("SELECT full_name FROM dim_customer") == "of day 3"
    assert site.one(BOOKS, file) == (1, 0, 2, 1, 1, 0)


def test_a_row_whose_twin_was_discarded_is_no_duplicate(site: Site) -> None:
    file = site.load("customers.csv", CUSTOMERS + customer(1, gender="x") + customer(1, gender="y")).file_id
    (one,), (other,) = site.quarantined(gender="x"), site.quarantined(gender="y")
    site.run("quarantine", "discard", one, "--reason", "r", "--yes")
    site.run("quarantine", "edit", other, "--set", "gender=male", "--yes")
    site.run("quarantine", "replay", other, "--yes")
    assert site.one(BOOKS, file) == (1, 0, 0, 1, 0, 0)


def test_a_duplicate_whose_key_is_mended_is_loaded(site: Site) -> None:
    file = site.load("customers.csv", CUSTOMERS + customer(1) + customer(1)).file_id
    (row,) = site.quarantined(customer_id=1)
    site.run("quarantine", "replay", row, "--yes", expect=1)
    site.run("quarantine", "edit", row, "--set", "customer_id=2", "--yes")
    site.run("quarantine", "replay", row, "--yes")
    assert site.one(BOOKS, file) == (2, 0, 0, 0, 1, 0)
    site.check_books()


def test_reprocess_leaves_what_healed_as_it_is(site: Site) -> None:
    site.load("customers.csv", CUSTOMERS + customer(1))
    site.load("earlier/orders.csv", ORDERS + order("a"))
    file = site.load("orders.csv", ORDERS + order("a", 7) + order("a", 8)).file_id
    for number in (8, 7):
        bring(site, number)
    before = site.rows("SELECT row_number, resolution, rejection_reason FROM quarantine ORDER BY 1")
    assert before == [(1, None, "order_id: duplicate"), (2, "already_present", "customer_id: parent_missing")]
    site.run("reprocess", file, "--yes", expect=None)
    assert site.rows("SELECT row_number, resolution, rejection_reason FROM quarantine ORDER BY 1") == before
    assert site.one(BOOKS, file) == (0, 0, 1, 1, 1, 1)
    site.check_books()


def test_an_orphan_that_was_edited_is_judged_when_it_heals(site: Site) -> None:
    """By the rules that a file meets: else an edit would bring into the table what no file may."""
    site.load("orders.csv", ORDERS + order("a", 7))
    (row,) = site.quarantined(order_id="a")
    site.run("quarantine", "edit", row, "--set", "order_amount=-5", "--yes")
    bring(site, 7)
    assert site.one("SELECT count(*) FROM fact_order") == 0
    assert site.one("SELECT rejection_reason FROM quarantine") == "order_amount: at_least"
