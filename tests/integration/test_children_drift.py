"""Other keys than the schemas have, in records and in the elements of their arrays: by the policy of each type."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingestion import drift_report, file_report
from tests.integration.putting_right import Site
from tests.integration.test_children import HOUR, ITEMS, Shop, item, order, settings
from tests.integration.test_children_roads import service

MET = "SELECT logical_name, column_name, kind, files, rows FROM drift ORDER BY 1, 2, 3"
PRODUCTS = "sku,title\na,A\nb,B\n"


@pytest.fixture
def shop(site: Site) -> Shop:
    return Shop(site.warehouse, site.home)


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    for module in (drift_report, file_report):
        monkeypatch.setattr(module, "send_alert", lambda title, text, **_: told.append((title, text)))
    return told


def extras(shop: Shop, table: str, key: str) -> dict[Any, Any]:
    """What each row has of new columns, by its key."""
    rows = shop.rows(f"SELECT {key}, to_jsonb(t) FROM {table} t ORDER BY 1")
    found = {}
    for number, row in rows:
        kept = row.get("_extra") or {}
        found[number] = kept | {name: row[name] for name in ("coupon", "gift", "items") if row.get(name)}
    return found


@pytest.mark.parametrize("policy", ["keep", "add"])
def test_arrays_that_are_types_of_their_own_are_no_new_columns(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    shop.configure(monkeypatch, settings(new_columns=policy))
    shop.load("batch/2026-02-20/products.csv", PRODUCTS)
    records = [order(1, item(), coupon="C"), order(2, item("b"), status="lost", coupon="D"), order(3)]
    outcome = shop.load(HOUR, json.dumps(records))
    assert [(change.column, change.kind.value) for change in outcome.drift] == [
        ("coupon", {"keep": "kept", "add": "added"}[policy])
    ]
    assert extras(shop, "fact_cart", "order_id") == {1: {"coupon": "C"}, 3: {}}
    raw = shop.one("SELECT raw_data FROM quarantine WHERE source_table = 'fact_cart'")
    assert json.loads(raw["_extra"]) == {"coupon": "D"}
    assert "items" not in raw
    assert [row[:2] for row in shop.items()] == [(1, 1)]


def test_arrays_within_an_object_are_no_new_columns_whatever_else_is_taken_of_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(_at("cart.lines"), new_columns="keep")
    expected = config["watcher"]["stream"]["expected_files"]
    for name, path in (("gifts", "cart.gifts"), ("tags", "customer.tags")):
        expected[name] = {"table": f"dim_{name}", "from_child": {"of": "orders", "path": path}}
        config["schemas"][name] = {"primary_key": "row", "columns": [{"name": "tag", "dtype": "str"}]}
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", PRODUCTS)
    record = {k: v for k, v in order(1).items() if k != "items"}
    tag = [{"tag": "x"}]
    full = {"cart": {"lines": [item()], "gifts": tag}, "customer": {"name": "n", "tags": tag}}
    outcome = shop.load(HOUR, json.dumps([record | full, record | {"order_id": 2, "cart": 5}]))
    assert (outcome.drift, outcome.inserted) == ((), 2)
    assert [child.inserted for child in outcome.children] == [1, 1, 1]
    assert shop.rows("SELECT _extra FROM fact_cart") == [(None,), (None,)]


@pytest.mark.parametrize("policy", ["keep", "add"])
def test_a_new_key_of_elements_comes_into_their_own_table(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    shop.configure(monkeypatch, settings({"new_columns": policy}) | {"reader": {"chunk_rows": 2}})
    shop.load("batch/2026-02-20/products.csv", PRODUCTS)
    elements = [item(), item(gift="x"), item(quantity=0, gift="y"), item("late", gift="z"), item(gift=None)]
    outcome = shop.load(HOUR, json.dumps([order(1, *elements)]))
    (child,) = outcome.children
    assert outcome.drift == ()
    assert [(change.column, change.rows) for change in child.drift] == [("gift", 3)]
    assert extras(shop, "fact_cart_item", "position") == {1: {}, 2: {"gift": "x"}, 5: {}}
    raws = shop.rows("SELECT raw_data->>'_extra' FROM quarantine ORDER BY row_number")
    assert [json.loads(raw) for (raw,) in raws] == [{"gift": "y"}, {"gift": "z"}]
    shop.load("batch/2026-02-21/products.csv", "sku,title\nlate,L\n")
    assert extras(shop, "fact_cart_item", "position")[4] == {"gift": "z"}
    shop.run("undo", child.file_id, "--yes")
    shop.run("reprocess", child.file_id, "--yes", expect=None)
    assert extras(shop, "fact_cart_item", "position") == {1: {}, 2: {"gift": "x"}, 4: {"gift": "z"}, 5: {}}


def test_a_key_that_elements_lack_is_null_where_the_policy_says_so(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.configure(monkeypatch, settings({"missing_columns": "null"}))
    shop.load("batch/2026-02-20/products.csv", PRODUCTS)
    outcome = shop.load(HOUR, json.dumps([order(1, {"sku": "a", "quantity": 1})]))
    (child,) = outcome.children
    assert [(change.column, change.kind.value) for change in child.drift] == [("price", "null")]
    assert shop.items() == [(1, 1, "a", 1, None)]


def test_changes_of_elements_are_told_once_as_those_of_their_type(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, alerts: list[tuple[str, str]]
) -> None:
    here = service(shop, monkeypatch)
    shop.configure(monkeypatch, _quickly(settings({"new_columns": "keep"})))
    here.put("batch/2026-02-20/products.csv", PRODUCTS)
    for hour in ("09", "10"):
        here.put(f"stream/2026-02-20/{hour}/orders.json", json.dumps([order(int(hour), item(gift="x"))]))
    here.turn()
    assert shop.rows(MET) == [("order_items", "gift", "kept", 2, 2)]
    ((title, text),) = alerts
    assert title == "Columns differ"
    assert "gift is new: kept in fact_cart_item._extra; `python main.py adopt order_items gift`" in text
    assert "gift" in shop.run("drift", "order_items")


def test_what_a_refused_file_has_in_its_elements_is_listed_under_their_type(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, alerts: list[tuple[str, str]]
) -> None:
    here = service(shop, monkeypatch)
    here.put("batch/2026-02-20/products.csv", PRODUCTS)
    here.put(HOUR, json.dumps([order(1, item(gift="x"))]))
    here.turn()
    assert [title for title, _ in alerts] == ["File failed"]
    assert shop.rows(MET) == [("order_items", "gift", "unexpected", 1, 0)]


@pytest.mark.parametrize("path", ["itmes", "customer.items", "cart.items"])
def test_a_path_that_no_record_has_is_told_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, alerts: list[tuple[str, str]], path: str
) -> None:
    here = service(shop, monkeypatch)
    shop.configure(monkeypatch, _quickly(settings(_at(path), new_columns="ignore")))
    here.put("batch/2026-02-20/products.csv", PRODUCTS)
    for hour in ("09", "10"):
        here.put(f"stream/2026-02-20/{hour}/orders.json", json.dumps([order(int(hour), item()), order(5)]))
    here.turn()
    assert shop.rows("SELECT * FROM drift WHERE logical_name = 'orders' AND column_name <> 'items'") == []
    assert (("order_items", path, "no_array", 2, 0)) in shop.rows(MET)
    told = [text for _, text in alerts if path in text]
    assert len(told) == 1
    assert f"no record has {path}" in told[0]
    assert "from_child" in told[0]
    assert f"no record has {path}" in " ".join(shop.run("drift", "order_items", "--json").split())


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        json.dumps([order(1, item()), {k: v for k, v in order(2).items() if k != "items"}]),
        json.dumps([order(1)]),
        json.dumps([order(1) | {"items": None}]),
        json.dumps([order(1) | {"items": 5}]),
    ],
)
def test_a_path_that_some_record_has_is_not_told(shop: Shop, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    shop.configure(monkeypatch, settings())
    shop.load("batch/2026-02-20/products.csv", PRODUCTS)
    outcome = shop.load(HOUR, text)
    assert [child.drift for child in outcome.children] == [()]


def test_check_tells_of_a_path_that_no_record_has(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.configure(monkeypatch, settings(_at("itmes"), new_columns="ignore"))
    path = shop.home / "orders.json"
    path.write_text(json.dumps([order(1, item())]))
    assert "no record has itmes" in " ".join(shop.run("check", path).split())


def test_a_path_that_is_mended_brings_the_children_of_files_of_before(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, alerts: list[tuple[str, str]]
) -> None:
    here = service(shop, monkeypatch)
    shop.configure(monkeypatch, _quickly(settings(_at("itmes"), new_columns="ignore")))
    here.put("batch/2026-02-20/products.csv", PRODUCTS)
    here.put(HOUR, json.dumps([order(1, item(), item("zz"))]))
    here.turn()
    assert len([text for _, text in alerts if "no record has itmes" in text]) == 1
    shop.configure(monkeypatch, _quickly(settings()))
    assert "the YAML has another path now" in " ".join(shop.run("drift", "order_items", "--json").split())
    file_id = shop.one("SELECT file_id FROM pipeline_file_log WHERE logical_name = 'order_items'")
    assert f"`undo {file_id}` first" in shop.run("reprocess", file_id, "--yes", expect=2)
    shop.run("undo", file_id, "--yes")
    shop.run("reprocess", file_id, "--yes", expect=None)
    assert [row[:2] for row in shop.items()] == [(1, 1)]
    assert [row[0] for row in shop.refused()] == [2]
    shop.check_books()


def test_a_kept_key_of_elements_is_adopted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.configure(monkeypatch, settings({"new_columns": "keep"}))
    shop.load("batch/2026-02-20/products.csv", PRODUCTS)
    shop.load(HOUR, json.dumps([order(1, item(gift="x"), item())]))
    shop.run("adopt", "order_items", "gift", "--yes")
    assert shop.rows("SELECT position, gift FROM fact_cart_item ORDER BY 1") == [(1, "x"), (2, None)]


def test_new_values_of_elements_of_a_personal_type_are_hidden(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = {"name": "mail", "dtype": "str", "pii": "email", "optional": True}
    shop.configure(monkeypatch, settings({"new_columns": "keep"}, ITEMS | {"columns": [*ITEMS["columns"], mail]}))
    shop.load("batch/2026-02-20/products.csv", PRODUCTS)
    shop.load(HOUR, json.dumps([order(1, item(to="ann.lee@example.com"), item(quantity=0, to="bob@example.com"))]))
    kept = shop.one("SELECT _extra->>'to' FROM fact_cart_item")
    refused = shop.one("SELECT raw_data::text FROM quarantine")
    assert kept.startswith("sha256:")
    assert "bob@" not in refused


def _at(path: str) -> dict[str, Any]:
    return {"from_child": {"of": "orders", "path": path}}


def _quickly(config: Any) -> Any:
    config["watcher"]["settle_seconds"] = 0.05
    return config | {"web": {"enabled": False}}
