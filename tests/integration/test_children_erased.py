"""A person who is erased is so in elements of arrays, too: in rows, in quarantine, and in files to come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.putting_right import Site
from tests.integration.test_children import HOUR, ITEMS, ORDERS, Shop, item, order, settings

NOTE = {"name": "note", "dtype": "str", "personal": True}
MAIL = {"name": "mail", "dtype": "str", "pii": "email"}
BUYER = {"name": "buyer", "dtype": "int"}


@pytest.fixture
def shop(site: Site) -> Shop:
    return Shop(site.warehouse, site.home)


def notes(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.rows("SELECT order_id, position, note, mail FROM fact_cart_item ORDER BY 1, 2")


def gift(sku: str = "a", **changes: Any) -> dict[str, Any]:
    return item(sku, note="for Ann", mail="ann@example.com", **changes)


def test_elements_of_a_persons_own_record_are_blanked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [column | {"personal": column["name"] == "customer"} for column in ORDERS["columns"]]
    config = settings(items=ITEMS | {"columns": [*ITEMS["columns"], NOTE, MAIL]})
    config["schemas"]["orders"] = ORDERS | {"columns": columns}
    for column in columns:
        column["nullable"] = column["name"] != "order_id"
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    shop.load(HOUR, json.dumps([order(1, gift(), gift(quantity=0), gift("late")), order(2, gift())]))
    told = shop.run("erase", "--table", "fact_cart", "--key", "1", "--yes")
    assert "2 rows and 2 quarantined rows blanked" in told
    assert [row[2:] == (None, None) for row in notes(shop)] == [True, False]
    raws = [row[0] for row in shop.rows("SELECT raw_data FROM quarantine")]
    assert [(raw["note"], raw["mail"]) for raw in raws] == [(None, None)] * 2
    shop.load("batch/2026-02-21/products.csv", "sku,title\nlate,L\n")
    shop.load("stream/2026-02-20/10/orders.json", json.dumps([order(1, item(), item(), item(), gift())]))
    assert [row for row in notes(shop) if row[0] == 1] == [(1, n, None, None) for n in (1, 2, 3, 4)]


def test_elements_of_records_that_name_a_person_are_blanked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = BUYER | {"value": {"parent": "buyer"}}
    config = settings(
        {"foreign_keys": {"sku": "products", "buyer": "buyers"}},
        ITEMS | {"columns": [*ITEMS["columns"], NOTE, MAIL, taken]},
        foreign_keys={"buyer": "buyers"},
    )
    config["schemas"]["orders"] = ORDERS | {"columns": [*ORDERS["columns"], BUYER]}
    config["schemas"]["buyers"] = {
        "primary_key": "buyer",
        "columns": [BUYER | {"nullable": False}, {"name": "name", "dtype": "str", "personal": True}],
    }
    config["watcher"]["batch"]["expected_files"]["buyers.csv"] = {"table": "dim_buyer"}
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    shop.load("batch/2026-02-20/buyers.csv", "buyer,name\n7,Ann\n8,Bob\n")
    shop.load(HOUR, json.dumps([order(1, gift(), gift("zz"), buyer=7), order(2, gift(), buyer=8)]))
    shop.run("erase", "--buyer-key", "7", "--yes")
    assert [row[2:] == (None, None) for row in notes(shop)] == [True, False]
    assert shop.one("SELECT raw_data->>'note' FROM quarantine") is None
    shop.load("stream/2026-02-20/10/orders.json", json.dumps([order(3, gift(), buyer=7)]))
    assert [row for row in notes(shop) if row[0] == 3] == [(3, 1, None, None)]
    shop.run("verify")
