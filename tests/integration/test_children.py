"""Arrays of objects as a type of their own: one file brings parents and children, all or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from datawarehouse.schema_init import init_schema
from tests.integration.putting_right import Site

ORDERS = {
    "primary_key": "order_id",
    "columns": [
        {"name": "order_id", "dtype": "int", "nullable": False},
        {"name": "customer", "dtype": "str", "from": "customer.name", "nullable": False},
        {"name": "status", "dtype": "str", "allowed_values": ["new", "paid"]},
        {"name": "updated_at", "dtype": "datetime"},
    ],
}
ITEMS = {
    "primary_key": ["order_id", "position"],
    "columns": [
        {"name": "sku", "dtype": "str", "nullable": False},
        {"name": "quantity", "dtype": "int", "rules": {"at_least": 1}},
        {"name": "price", "dtype": "float", "sql_type": "numeric(12,2)"},
    ],
}
PRODUCTS = {
    "primary_key": "sku",
    "columns": [{"name": "sku", "dtype": "str", "nullable": False}, {"name": "title", "dtype": "str"}],
}
CHILD = {"table": "fact_cart_item", "from_child": {"of": "orders", "path": "items"}}


def settings(child: dict[str, Any] | None = None, items: dict[str, Any] | None = None, **orders: Any) -> Any:
    return {
        "watcher": {
            "batch": {"dir": "data/batch", "expected_files": {"products.csv": {"table": "dim_ware"}}},
            "stream": {
                "dir": "data/stream",
                "expected_files": {
                    "orders.json": {"table": "fact_cart", **orders},
                    "order_items": {**CHILD, "foreign_keys": {"sku": "products"}, **(child or {})},
                },
            },
        },
        "schemas": {"orders": ORDERS, "order_items": items or ITEMS, "products": PRODUCTS},
    }


class Shop(Site):
    def configure(self, monkeypatch: pytest.MonkeyPatch, config: Any) -> None:
        path = self.home / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        monkeypatch.setenv("FASTFEAST_CONFIG", str(path))
        init_schema(self.warehouse, self.config)

    def items(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT order_id, position, sku, quantity, price::text FROM fact_cart_item ORDER BY 1, 2")

    def refused(self, table: str = "fact_cart_item") -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT row_number, rejection_reason, resolution FROM quarantine WHERE source_table = %s ORDER BY 1",
            table,
        )


@pytest.fixture
def shop(site: Site, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop(site.warehouse, site.home)
    shop.configure(monkeypatch, settings())
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\nb,B\nc,C\n")
    return shop


def item(sku: Any = "a", quantity: Any = 1, price: Any = 1.5, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity, "price": price, **more}


def order(number: Any, *items: Any, **changes: Any) -> dict[str, Any]:
    record = {"order_id": number, "customer": {"name": "n"}, "status": "new", "updated_at": "2026-02-20"}
    return {**record, "items": list(items), **changes}


HOUR = "stream/2026-02-20/09/orders.json"


def test_one_file_brings_parents_and_children(shop: Shop) -> None:
    outcome = shop.load(HOUR, json.dumps([order(1, item(), item("b", 2, 10)), order(2, item("c"))]))
    (child,) = outcome.children
    assert (outcome.total, outcome.inserted, child.total, child.inserted) == (2, 2, 3, 3)
    assert shop.items() == [(1, 1, "a", 1, "1.50"), (1, 2, "b", 2, "10.00"), (2, 1, "c", 1, "1.50")]
    logged = (
        "SELECT logical_name, file_hash, file_path, total_records FROM pipeline_file_log WHERE file_id IN (%s, %s)"
    )
    first, second = shop.rows(logged + " ORDER BY file_id", outcome.file_id, child.file_id)
    assert (first[0], second[0]) == ("orders", "order_items")
    assert first[1:3] == second[1:3]
