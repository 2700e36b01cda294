"""Arrays of objects as a type of their own: one file brings parents and children, all or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from config.jobs import FileOutcome
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema_init import init_schema
from tests.integration.putting_right import Site

ORDERS: dict[str, Any] = {
    "primary_key": "order_id",
    "columns": [
        {"name": "order_id", "dtype": "int", "nullable": False},
        {"name": "customer", "dtype": "str", "from": "customer.name", "nullable": False},
        {"name": "status", "dtype": "str", "allowed_values": ["new", "paid"]},
        {"name": "updated_at", "dtype": "datetime"},
    ],
}
ITEMS: dict[str, Any] = {
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

    def load(self, relative: str, text: str | bytes) -> FileOutcome:
        """Load a file as the service does, with what follows a commit for each of its types."""
        outcome = super().load(relative, text)
        for child in outcome.children:
            if child.file_id and child.quarantined:
                self.backup.append([child.file_id], child.job.spec.feed)
            if child.inserted:
                OrphanRetry(self.warehouse, self.config).after(child.job.spec.table)
        return outcome

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


def test_numbers_texts_and_dates_of_elements_are_stored_as_they_are_written(shop: Shop) -> None:
    record = (
        '[{"order_id": 1, "customer": {"name": "n"}, "status": "new", "updated_at": null,\n'
        ' "items": [ {"sku": "a", "quantity": 3, "price": 12345678.90},{"price":1e1,"quantity":null,"sku":"b"} ]}]'
    )
    shop.load(HOUR, record)
    assert shop.items() == [(1, 1, "a", 3, "12345678.90"), (1, 2, "b", None, "10.00")]


@pytest.mark.parametrize("ending", ["json", "ndjson"])
@pytest.mark.parametrize("array", ["missing", "null", "empty"])
def test_a_record_without_an_array_has_no_children(
    site: Site, monkeypatch: pytest.MonkeyPatch, ending: str, array: str
) -> None:
    shop = Shop(site.warehouse, site.home)
    config = settings()
    expected = config["watcher"]["stream"]["expected_files"]
    expected[f"orders.{ending}"] = expected.pop("orders.json")
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    bare = order(1)
    if array == "missing":
        del bare["items"]
    elif array == "null":
        bare["items"] = None
    records = [bare, order(2, item()), bare | {"order_id": 3}]
    text = json.dumps(records) if ending == "json" else "\n".join(map(json.dumps, records))
    outcome = shop.load(f"stream/2026-02-20/09/orders.{ending}", text)
    assert (outcome.inserted, [child.total for child in outcome.children]) == (3, [1])
    assert [row[:2] for row in shop.items()] == [(2, 1)]


def test_a_file_without_any_array_loads_and_its_children_are_none(shop: Shop) -> None:
    bare = order(1)
    del bare["items"]
    outcome = shop.load(HOUR, json.dumps([bare]))
    assert (outcome.inserted, [child.total for child in outcome.children]) == (1, [0])


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("5", "not_an_object"),
        ('"text"', "not_an_object"),
        ("null", "not_an_object"),
        ("[1]", "not_an_object"),
        ('{"sku": "a", "quantity": 1, "sku": "b"}', "key_given_twice"),
        ('{"sku": "a", "quantity": 1, "price": 1, "colour": 2}', "unexpected_column"),
        ('{"sku": "a", "quantity": NaN, "price": 1}', "not_json"),
        ('{"sku": "a", "quantity": "x", "price": 1}', "dtype"),
        ('{"sku": "a", "quantity": 0, "price": 1}', "at_least"),
        ('{"sku": "a", "quantity": 1, "price": 1.005}', "out_of_range"),
        ('{"sku": null, "quantity": 1, "price": 1}', "not_null"),
        ('{"sku": "\\ud800", "quantity": 1, "price": 1}', "lone_surrogate"),
        ("{}", "not_null"),
        ('{"sku": "zzz", "quantity": 1, "price": 1}', "parent_missing"),
    ],
)
def test_a_bad_element_costs_no_good_one_and_no_parent(shop: Shop, element: str, reason: str) -> None:
    good = json.dumps(item())
    record = json.dumps(order(7)).replace('"items": []', f'"items": [{good}, {element}, {good}]')
    outcome = shop.load(HOUR, f"[{record}, {json.dumps(order(8, item()))}]")
    (child,) = outcome.children
    assert (outcome.inserted, child.total, child.inserted, child.quarantined) == (2, 4, 3, 1)
    assert [row[:2] for row in shop.items()] == [(7, 1), (7, 3), (8, 1)]
    ((number, why, _),) = shop.refused()
    assert number == 2
    assert reason in why
    raw = shop.one("SELECT raw_data FROM quarantine")
    assert (raw["order_id"], raw["position"]) == ("7", "2")


@pytest.mark.parametrize("value", ["5", '"text"', "true", '{"sku": "a"}', "NaN"])
def test_what_is_no_array_is_told_once_a_record(shop: Shop, value: str) -> None:
    record = json.dumps(order(7)).replace('"items": []', f'"items": {value}')
    outcome = shop.load(HOUR, f"[{record}, {json.dumps(order(8, item()))}]")
    (child,) = outcome.children
    assert (child.total, child.inserted, child.quarantined) == (2, 1, 1)
    if value == "NaN":  # which is no JSON: the record is refused, too
        assert outcome.quarantined == 1
    else:
        assert outcome.inserted == 2
    raw = shop.one("SELECT raw_data FROM quarantine WHERE source_table = 'fact_cart_item'")
    assert (raw["order_id"], raw["position"]) == ("7", None)
    assert "not_an_array" in shop.refused()[0][1]


def test_an_array_at_the_end_of_a_path(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(site.warehouse, site.home)
    config = settings({"from_child": {"of": "orders", "path": "cart.lines"}}, new_columns="ignore")
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    carts: list[Any] = [{"lines": [item()], "total": 5}, None, {}, {"lines": None}, 5, [1], "text"]
    records = [order(number, cart=cart) for number, cart in enumerate(carts, 1)]
    outcome = shop.load(HOUR, json.dumps(records))
    (child,) = outcome.children
    assert (outcome.inserted, child.total, child.inserted) == (7, 4, 1)
    assert [why for _, why, _ in shop.refused()] == ["no_object_at_path"] * 3


def test_children_of_a_refused_record_wait_and_heal_when_it_is_replayed(shop: Shop) -> None:
    outcome = shop.load(HOUR, json.dumps([order(1, item(), status="lost"), order(2, item())]))
    (child,) = outcome.children
    assert (outcome.quarantined, child.inserted, child.orphans) == (1, 1, 1)
    (row,) = shop.quarantined(status="lost")
    shop.run("quarantine", "edit", row, "--set", "status=new", "--yes")
    shop.run("quarantine", "replay", row, "--yes")
    assert [row[:2] for row in shop.items()] == [(1, 1), (2, 1)]
    assert shop.refused() == [(1, shop.refused()[0][1], "loaded")]


def test_children_wait_for_other_parents_and_heal(shop: Shop) -> None:
    shop.load(HOUR, json.dumps([order(1, item("new"))]))
    assert shop.items() == []
    shop.load("batch/2026-02-21/products.csv", "sku,title\nnew,N\n")
    assert [row[:3] for row in shop.items()] == [(1, 1, "new")]


def test_the_same_content_is_loaded_once(shop: Shop) -> None:
    text = json.dumps([order(1, item())])
    shop.load(HOUR, text)
    again = shop.load("stream/2026-02-20/10/orders.json", text)
    assert again.status == "already_done"
    assert shop.one("SELECT count(*) FROM pipeline_file_log WHERE logical_name = 'order_items'") == 1


def test_a_key_that_is_there_is_counted_as_there(shop: Shop) -> None:
    shop.load(HOUR, json.dumps([order(1, item())]))
    outcome = shop.load("stream/2026-02-20/10/orders.json", json.dumps([order(1, item("b"), item("c"))]))
    (child,) = outcome.children
    assert (outcome.already_present, child.already_present, child.inserted) == (1, 1, 1)
    assert [row[:3] for row in shop.items()] == [(1, 1, "a"), (1, 2, "c")]


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 7])
def test_chunks_leave_no_trace(shop: Shop, monkeypatch: pytest.MonkeyPatch, chunk_rows: int) -> None:
    config = settings() | {"reader": {"chunk_rows": chunk_rows}}
    shop.configure(monkeypatch, config)
    records = [order(n, *(item("abcz"[(n + i) % 4], i) for i in range(n % 5))) for n in range(12)]
    outcome = shop.load(HOUR, json.dumps(records))
    (child,) = outcome.children
    wanted = [(n, i + 1) for n in range(12) for i in range(n % 5) if i and "abcz"[(n + i) % 4] != "z"]
    assert [row[:2] for row in shop.items()] == wanted
    assert child.total == sum(n % 5 for n in range(12))
    numbers = [row[0] for row in shop.refused()]
    flat = [(n, i) for n in range(12) for i in range(n % 5)]
    assert numbers == [k for k, (n, i) in enumerate(flat, 1) if not i or "abcz"[(n + i) % 4] == "z"]


def test_a_file_whose_elements_are_others_is_refused_as_a_whole(shop: Shop) -> None:
    records = json.dumps([order(1, {"sku": "a", "quantity": 1, "price": 1, "colour": 1})])
    outcome = shop.load(HOUR, records)
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.startswith("order_items: the columns are not those of schema 'order_items'")
    assert shop.one("SELECT count(*) FROM fact_cart") == 0
    logged = "SELECT logical_name, status FROM pipeline_file_log WHERE file_path LIKE '%%orders.json'"
    assert shop.rows(logged) == [("orders", "failed")]


def test_a_mended_child_makes_its_failed_file_a_new_try(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps([order(1, {"sku": "a", "quantity": 1, "price": 1, "colour": 1})])
    assert shop.load(HOUR, text).status == "failed"
    shop.configure(monkeypatch, settings({"new_columns": "ignore"}))
    outcome = shop.load(HOUR, text)
    assert (outcome.inserted, [child.inserted for child in outcome.children]) == (1, [1])


def test_undo_takes_parents_and_children_back_and_reprocess_brings_them_again(shop: Shop) -> None:
    outcome = shop.load(HOUR, json.dumps([order(1, item(), item("zz")), order(2, item(), status="lost")]))
    (child,) = outcome.children
    assert f"with file {child.file_id}" in shop.run("undo", outcome.file_id, "--yes")
    assert shop.items() == []
    assert shop.one("SELECT count(*) FROM fact_cart") == 0
    assert shop.one("SELECT count(*) FROM quarantine") == 0
    shop.check_books()
    said = shop.run("reprocess", outcome.file_id, "--yes", expect=None)
    assert "order_items" in said
    assert [row[:2] for row in shop.items()] == [(1, 1)]
    assert len(shop.refused()) == 2


def test_children_alone_are_undone_and_reprocessed_by_their_own_id(shop: Shop) -> None:
    outcome = shop.load(HOUR, json.dumps([order(1, item(), item("zz"))]))
    (child,) = outcome.children
    shop.run("undo", child.file_id, "--yes")
    assert shop.items() == []
    assert shop.one("SELECT count(*) FROM fact_cart") == 1
    shop.check_books()
    shop.run("reprocess", child.file_id, "--yes", expect=None)
    assert [row[:2] for row in shop.items()] == [(1, 1)]


def test_undo_is_refused_while_other_files_have_children_of_its_rows(shop: Shop) -> None:
    outcome = shop.load(HOUR, json.dumps([order(1, item())]))
    later = shop.load("stream/2026-02-20/10/orders.json", json.dumps([order(1, item(), item())]))
    said = shop.run("undo", outcome.file_id, "--yes", expect=2)
    assert f"files {later.children[0].file_id}" in said
    assert [row[:2] for row in shop.items()] == [(1, 1), (1, 2)]


def test_reprocess_judges_children_by_todays_rules(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = shop.load(HOUR, json.dumps([order(1, item(quantity=0), item())]))
    (child,) = outcome.children
    assert child.quarantined == 1
    columns = [column | {"rules": {}} for column in ITEMS["columns"]]
    shop.configure(monkeypatch, settings(items=ITEMS | {"columns": columns}))
    shop.run("reprocess", child.file_id, "--yes")
    assert [row[:2] for row in shop.items()] == [(1, 1), (1, 2)]
    shop.execute("DELETE FROM fact_cart_item WHERE position = 2")
    assert "1 rows that were in no table any more loaded" in shop.run("reprocess", child.file_id, "--yes")


def test_a_child_type_that_is_declared_later_is_loaded_by_reprocess(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(site.warehouse, site.home)
    config = settings(new_columns="ignore")
    del config["watcher"]["stream"]["expected_files"]["order_items"], config["schemas"]["order_items"]
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    outcome = shop.load(HOUR, json.dumps([order(1, item())]))
    assert outcome.children == ()
    shop.configure(monkeypatch, settings())
    shop.run("reprocess", outcome.file_id, "--yes")
    assert [row[:2] for row in shop.items()] == [(1, 1)]
    shop.run("reprocess", outcome.file_id, "--yes")
    assert [row[:2] for row in shop.items()] == [(1, 1)]
