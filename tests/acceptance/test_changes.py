"""Rows that change by the shipped YAML, in the daemon: a ticket is resolved, a customer moves."""

from __future__ import annotations

import yaml

from scripts.distribute import as_citus_takes_it
from tests.acceptance import samples
from tests.acceptance.books import assert_books_balance
from tests.acceptance.daemon import Product, wait_until

STATUS = (
    "SELECT first_response_status || ', ' || resolution_status FROM v_ticket_sla_performance WHERE ticket_id = %s"
)
REGIONS = """
SELECT array_agg(h.region_id::text || ' now ' || c.region_id ORDER BY o.created_at)
FROM fact_order o JOIN dim_customer c USING (customer_id)
JOIN dim_customer_history h ON h.version_id = o.customer_version
WHERE o.customer_id = 2
"""
DUE = {"sla_first_due_at": "2099-01-01", "sla_resolve_due_at": "2099-01-02"}
OPEN = {"status": "Open", "first_response_at": None, "resolved_at": None}


def test_the_sla_follows_a_ticket_and_orders_stay_where_their_customer_lived(product: Product) -> None:
    samples.write_master(product.home)
    january = samples.order(1, order_created_at="2026-01-20 09:00:00", delivered_at="2026-01-20 10:00:00")
    ticket = samples.uid("ticket", 1)

    def shows(what: object, query: str, *parameters: object) -> None:
        wait_until(lambda: product.value(query, *parameters) == what, f"{what} by {query}")

    with product.running():
        product.stream("09", "orders.json", [january, samples.order(21)])
        product.stream("11", "tickets.csv", [samples.ticket(1, **DUE, **OPEN)])
        shows("pending, pending", STATUS, ticket)
        product.stream("13", "tickets.csv", [samples.ticket(1, **DUE)])
        shows("met, met", STATUS, ticket)
        product.stream("12", "tickets.csv", [samples.ticket(1, **DUE, **OPEN, refund_amount=0)])
        shows(1, "SELECT stale_records FROM pipeline_file_log WHERE file_path LIKE '%%/12/tickets.csv'")
        assert product.value(STATUS, ticket) == "met, met", "an older export that comes late changes nothing"
        product.batch("customers.csv", [samples.customer(2, region_id=2, updated_at="2026-02-20 09:10:00")])
        shows(["1 now 2", "2 now 2"], REGIONS)
        product.batch("customers.csv", [samples.customer(2, gender="female", updated_at="2026-02-20 09:05:00")])
        shows(3, "SELECT count(*) FROM dim_customer_history WHERE customer_id = 2")
        product.stream("14", "orders.json", [samples.order(21, order_status="Refunded")])
        shows("Refunded", "SELECT order_status FROM fact_order WHERE order_id = %s", samples.uid("order", 21))
    assert product.value(REGIONS) == ["1 now 2", "2 now 2"]
    assert_books_balance(product)
    product.run("verify", expect=0)


def test_a_warehouse_of_first_rows_begins_its_history_with_what_is_there(product: Product) -> None:
    """A start with the shipped YAML upgrades a warehouse that an earlier one made; no file is loaded again."""
    shipped = product.config.read_text(encoding="utf-8")
    earlier = as_citus_takes_it(yaml.safe_load(shipped))
    earlier["database"]["distributed"] = False
    product.config.write_text(yaml.safe_dump(earlier), encoding="utf-8")
    samples.write_master(product.home)
    product.stream("09", "orders.json", [samples.order(n) for n in (1, 21, 41)])
    product.stream("11", "tickets.csv", [samples.ticket(1, **DUE, **OPEN)])
    product.once(expect=0)
    product.rows("UPDATE pipeline_file_log SET as_of = '-infinity', modified_at = '-infinity' RETURNING file_id")
    before = product.file_log()

    product.config.write_text(shipped, encoding="utf-8")
    product.once(expect=0)
    assert product.file_log() == before
    assert product.value("SELECT count(*) FROM dim_customer_history WHERE is_current") == samples.CUSTOMERS
    assert product.value(REGIONS) == ["1 now 1"] * 3
    assert product.value("SELECT count(agent_version) FROM fact_ticket") == 1

    product.batch("customers.csv", [samples.customer(2, region_id=2, updated_at="2026-02-20 09:10:00")])
    product.stream("12", "tickets.csv", [samples.ticket(1, **DUE)])
    product.once(expect=0)
    assert product.value(REGIONS) == ["1 now 2", "2 now 2", "2 now 2"]
    assert product.value(STATUS, samples.uid("ticket", 1)) == "met, met"
    product.run("verify", expect=0)
