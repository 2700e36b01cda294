"""Rows that came before their parents are loaded when the parents come, with nobody doing anything."""

from __future__ import annotations

from tests.acceptance import samples
from tests.acceptance.books import assert_books_balance
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product, wait_until

LATE_CUSTOMER = 777


def state(product: Product) -> dict[str, int]:
    """Rows in the facts, and orphans that still wait."""
    tables = ("fact_order", "fact_ticket", "fact_ticket_event")
    counts = {table: product.value(f"SELECT count(*) FROM {table}") or 0 for table in tables}
    waiting = "SELECT count(*) FROM quarantine WHERE rejection_stage = 'orphan' AND resolution IS NULL"
    return {**counts, "waiting": product.value(waiting)}


def put_family(product: Product) -> None:
    """An order of a customer who isn't there, its ticket and the ticket's events, and a family without fault."""
    product.stream("09", "orders.json", [samples.order(1, customer_id=LATE_CUSTOMER), samples.order(2)])
    product.stream("09", "tickets.csv", [samples.ticket(1, customer_id=LATE_CUSTOMER), samples.ticket(2)])
    product.stream("09", "ticket_events.json", [samples.event(1), samples.event(2)])


def test_an_order_its_ticket_and_its_events_follow_the_customer(product: Product) -> None:
    samples.write_master(product.home)
    put_family(product)
    with product.running():
        product.wait_for_files(len(samples.master_rows()) + 3)
        found = wait_until(lambda: s if (s := state(product))["waiting"] == 3 else None, "three rows wait")
        assert (found["fact_order"], found["fact_ticket"], found["fact_ticket_event"]) == (1, 1, 1)
        product.batch("customers.csv", [samples.customer(LATE_CUSTOMER)])
        wait_until(lambda: state(product)["waiting"] == 0, "all of them are loaded", seconds=15)
        assert state(product) == {"fact_order": 2, "fact_ticket": 2, "fact_ticket_event": 2, "waiting": 0}
    audit = assert_books_balance(product)
    assert [book.resolved_orphans for _, book in audit.books if book.orphans] == [1, 1, 1]
    region = product.value("SELECT region_id FROM fact_ticket WHERE ticket_id = %s", samples.uid("ticket", 1))
    assert region == samples.order(1)["region_id"], "what is derived from the order came with it"


def test_the_youngest_may_come_first(product: Product) -> None:
    samples.write_master(product.home)
    product.stream("07", "ticket_events.json", [samples.event(n) for n in range(1, 6)])
    product.stream("08", "tickets.csv", [samples.ticket(n) for n in range(1, 6)])
    product.stream("09", "orders.json", [samples.order(n) for n in range(1, 6)])
    product.once(expect=0)
    assert state(product) == {"fact_order": 5, "fact_ticket": 5, "fact_ticket_event": 5, "waiting": 0}
    audit = assert_books_balance(product)
    assert sorted(book.resolved_orphans for _, book in audit.books if book.orphans) == [5, 5]


def test_within_one_folder_parents_go_first_and_nobody_waits(product: Product) -> None:
    samples.write_master(product.home)
    product.stream("09", "ticket_events.json", [samples.event(1)])
    product.stream("09", "tickets.csv", [samples.ticket(1)])
    product.stream("09", "orders.json", [samples.order(1)])
    product.once(expect=0)
    assert product.value("SELECT count(*) FROM quarantine") == 0
    assert_books_balance(product)


def test_a_row_with_two_missing_parents_waits_for_both(product: Product) -> None:
    samples.write_master(product.home)
    product.stream("09", "orders.json", [samples.order(1, customer_id=LATE_CUSTOMER, driver_id=LATE_CUSTOMER)])
    product.once(expect=0)
    product.batch("customers.csv", [samples.customer(LATE_CUSTOMER)], day="2026-02-21")
    product.once(expect=0)
    assert state(product)["waiting"] == 1
    product.batch("drivers.csv", [samples.driver(LATE_CUSTOMER)], day="2026-02-22")
    product.once(expect=0)
    assert state(product) == {"fact_order": 1, "fact_ticket": 0, "fact_ticket_event": 0, "waiting": 0}
    assert_books_balance(product)


def test_a_batch_row_waits_for_its_region_like_any_other(product: Product) -> None:
    samples.write_master(product.home)
    product.batch("customers.csv", [samples.customer(900, region_id=3)], day="2026-02-20")
    product.once(expect=0)
    assert product.value("SELECT count(*) FROM dim_customer WHERE customer_id = 900") == 0
    region = {"region_id": 3, "region_name": "New", "city_id": 1, "delivery_base_fee": 10}
    product.batch("regions.csv", [region], day="2026-02-21")
    product.once(expect=0)
    assert product.value("SELECT count(*) FROM dim_customer WHERE customer_id = 900") == 1
    assert product.value("SELECT city_name FROM dim_region WHERE region_id = 3") == "Cairo"
    assert_books_balance(product)


def test_an_orphan_whose_key_came_otherwise_is_already_present(product: Product) -> None:
    samples.write_master(product.home)
    product.stream("09", "orders.json", [samples.order(1, customer_id=LATE_CUSTOMER)])
    product.stream("10", "orders.json", [samples.order(1)])
    product.once(expect=0)
    product.batch("customers.csv", [samples.customer(LATE_CUSTOMER)])
    product.once(expect=0)
    assert product.value("SELECT resolution FROM quarantine") == "already_present"
    assert product.value("SELECT customer_id FROM fact_order") == samples.order(1)["customer_id"]
    assert_books_balance(product)


def test_an_orphan_that_waited_too_long_is_given_up_with_its_history(make_product: MakeProduct) -> None:
    product = make_product(quarantine={"true_orphan_after_hours": 2 / 3600, "retry_minutes": 0.01})
    samples.write_master(product.home)
    put_family(product)
    with product.running():
        wait_until(lambda: product.value("SELECT count(*) FROM true_orphan") == 3, "they are given up", seconds=40)
    given_up = product.rows("SELECT * FROM true_orphan ORDER BY source_table")
    assert [row["source_table"] for row in given_up] == ["fact_order", "fact_ticket", "fact_ticket_event"]
    missing = [{"customer_id"}, {"customer_id", "order_id"}, {"ticket_id"}]
    assert [set(row["unresolved_fk"].split(", ")) for row in given_up] == missing
    assert all(row["first_seen_at"] is not None and row["retry_count"] >= 0 for row in given_up)
    resolutions = product.rows("SELECT DISTINCT resolution FROM quarantine WHERE rejection_stage = 'orphan'")
    assert [row["resolution"] for row in resolutions] == ["true_orphan"]
    assert_books_balance(product)
