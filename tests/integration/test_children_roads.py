"""Parents and children of one file on the other roads: the service, a cluster, cut files, newer versions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from config.config_loader import get_config
from config.jobs import FileJob
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from ingestion.group_load import GroupLoad
from ingestion.pipeline import Pipeline
from ingestion.places import open_writers
from tests.integration.putting_right import KEY, Site
from tests.integration.test_children import HOUR, ITEMS, ORDERS, Shop, item, order, settings
from validation.pii_handler import PiiHandler
from workbench.check import Checker


@pytest.fixture
def shop(site: Site, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop(site.warehouse, site.home)
    shop.configure(monkeypatch, settings())
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\nb,B\nc,C\n")
    return shop


class Service:
    """A home whose files the whole pipeline loads."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def put(self, relative: str, text: str) -> Path:
        path = self.shop.home / "data" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1e9, 1e9))
        return path

    def turn(self) -> str:
        with Pipeline(get_config()) as pipeline:
            pipeline.run_once()
            return pipeline.runner.summary.text()


def service(shop: Shop, monkeypatch: pytest.MonkeyPatch, **sections: Any) -> Service:
    config = settings() | {"web": {"enabled": False}} | sections
    config["watcher"]["settle_seconds"] = 0.05
    shop.configure(monkeypatch, config)
    return Service(shop)


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_the_service_loads_parents_and_children_and_heals_both(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    if engine == "dask":
        pytest.importorskip("distributed")
    here = service(shop, monkeypatch, execution={"engine": engine, "workers": 1})
    here.put(HOUR, json.dumps([order(1, item("late"), item()), order(2, item("a"), {"sku": None}, status="lost")]))
    here.put("stream/2026-02-20/10/orders.json", json.dumps([order(2, item("b"))]))
    summary = here.turn()
    assert "2 files loaded, 0 failed" in summary
    assert [row[:3] for row in shop.items()] == [(1, 2, "a"), (2, 1, "b")]
    late = shop.rows(
        "SELECT row_number, resolution FROM quarantine WHERE source_table = 'fact_cart_item' ORDER BY 1"
    )
    assert late == [(1, None), (3, "already_present"), (4, None)]
    assert shop.one("SELECT count(*) FROM pipeline_file_log WHERE logical_name = 'order_items'") == 2
    here.put("batch/2026-02-21/products.csv", "sku,title\nlate,L\n")
    here.turn()
    assert [row[:3] for row in shop.items()] == [(1, 1, "late"), (1, 2, "a"), (2, 1, "b")]
    assert "0 files loaded" in here.turn()


def test_files_with_children_are_not_loaded_together(shop: Shop) -> None:
    jobs = []
    for hour in ("09", "10"):
        path = shop.home / "data/stream/2026-02-20" / hour / "orders.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps([order(int(hour), item())]))
        jobs.append(FileJob(path, shop.config.by_logical_name["orders"], 0, 0))
    together = GroupLoad(shop.warehouse, shop.config, PiiHandler(KEY)).run(jobs)
    assert (together.loaded, together.held) == ([], [])
    assert shop.items() == []


def test_a_file_that_was_loaded_before_it_was_whole_brings_its_other_children(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(site.warehouse, site.home)
    monkeypatch.setattr(open_writers, "OWN_DISKS", set())  # as on a file server, where no kernel knows the writer
    config = settings()
    expected = config["watcher"]["stream"]["expected_files"]
    expected["orders.ndjson"] = expected.pop("orders.json")
    config |= {"web": {"enabled": False}}
    config["watcher"]["settle_seconds"] = 0.05
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    whole = "\n".join(json.dumps(order(n, item(), item())) for n in (1, 2, 3))
    here = Service(shop)
    here.put("stream/2026-02-20/09/orders.ndjson", whole[: len(whole) - 20])
    here.turn()
    assert [row[:2] for row in shop.items()] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    here.put("stream/2026-02-20/09/orders.ndjson", whole)
    here.turn()
    assert [row[:2] for row in shop.items()] == [(n, p) for n in (1, 2, 3) for p in (1, 2)]
    assert shop.one("SELECT count(*) FROM quarantine WHERE resolution IS NULL") == 0


def test_children_without_a_key_come_once_when_the_file_grows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(site.warehouse, site.home)
    monkeypatch.setattr(open_writers, "OWN_DISKS", set())
    config = settings(items=ITEMS | {"primary_key": "row"}) | {"web": {"enabled": False}}
    expected = config["watcher"]["stream"]["expected_files"]
    expected["orders.ndjson"] = expected.pop("orders.json")
    config["watcher"]["settle_seconds"] = 0.05
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    lines = [json.dumps(order(n, item(), item())) + "\n" for n in (1, 2, 3)]
    here = Service(shop)
    here.put("stream/2026-02-20/09/orders.ndjson", "".join(lines[:2]))
    here.turn()
    here.put("stream/2026-02-20/09/orders.ndjson", "".join(lines))
    here.turn()
    assert [row[:2] for row in shop.items()] == [(n, p) for n in (1, 2, 3) for p in (1, 2)]


@pytest.fixture
def replacing(
    warehouse: Warehouse, database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Shop:
    """A shop without `site`, which holds that rows stay those of the file that has inserted them."""
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setenv("PII_HASH_KEY", KEY)
    return Shop(warehouse, tmp_path)


def test_a_newer_export_replaces_children_by_the_time_of_their_parent(
    replacing: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = replacing
    time = {"name": "updated_at", "dtype": "datetime", "value": {"parent": "updated_at"}}
    newer = {"keep": "latest", "newer_by": "updated_at"}
    config = settings(newer, ITEMS | {"columns": [*ITEMS["columns"], time]}, **newer)
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\nb,B\nc,C\n")
    shop.load(HOUR, json.dumps([order(1, item("a"), item("b"), updated_at="2026-02-20T09:00:00")]))
    late = order(1, item("c", 9), updated_at="2026-02-19T09:00:00")
    shop.load("stream/2026-02-20/08/orders.json", json.dumps([late]))
    assert [row[:4] for row in shop.items()] == [(1, 1, "a", 1), (1, 2, "b", 1)]
    new = order(1, item("c", 9), updated_at="2026-02-21T09:00:00")
    outcome = shop.load("stream/2026-02-20/10/orders.json", json.dumps([new]))
    assert [child.updated for child in outcome.children] == [1]
    assert [row[:4] for row in shop.items()] == [(1, 1, "c", 9), (1, 2, "b", 1)]
    shop.run("verify")


@pytest.mark.parametrize("later_first", [False, True])
def test_versions_of_children_are_in_the_order_of_their_files(
    replacing: Shop, monkeypatch: pytest.MonkeyPatch, later_first: bool
) -> None:
    shop = replacing
    shop.configure(monkeypatch, settings({"keep": "history"}, keep="history"))
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    files = [(hour, json.dumps([order(1, item(quantity=int(hour)))])) for hour in ("09", "10")]
    for hour, text in reversed(files) if later_first else files:
        shop.load(f"stream/2026-02-20/{hour}/orders.json", text)
    assert shop.items() == [(1, 1, "a", 10, "1.50")]
    versions = "SELECT quantity, valid_from::text, valid_to::text FROM fact_cart_item_history ORDER BY valid_from"
    nine, ten = "2026-02-20 09:00:00", "2026-02-20 10:00:00"
    assert shop.rows(versions) == [(9, nine, ten), (10, ten, "infinity")]


CANARY = "ann.lee@example.com"


def test_what_is_personal_of_the_record_is_hashed_in_its_children(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(site.warehouse, site.home)
    mail = {"name": "mail", "dtype": "str", "pii": "email"}
    config = settings(items=ITEMS | {"columns": [*ITEMS["columns"], mail | {"value": {"parent": "mail"}}]})
    config["schemas"]["orders"] = ORDERS | {"columns": [*ORDERS["columns"], mail]}
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    bad: list[Any] = [item("zz"), item(quantity=0), 5, {"sku": "a", "colour": 1}, item()]
    shop.load(HOUR, json.dumps([order(1, *bad, mail=CANARY)]))
    hashed = PiiHandler(KEY).hash_text(CANARY)
    assert shop.rows("SELECT mail FROM fact_cart_item") == [(hashed,)]
    raws = [row[0] for row in shop.rows("SELECT raw_data::text FROM quarantine ORDER BY row_number")]
    assert len(raws) == 4
    assert not any(CANARY in raw for raw in raws)
    assert all(hashed in raw for raw in raws)
    shop.load("batch/2026-02-21/products.csv", "sku,title\nzz,Z\n")
    assert shop.rows("SELECT position, mail FROM fact_cart_item ORDER BY 1") == [(1, hashed), (5, hashed)]


def test_explain_tells_where_a_child_came_from(shop: Shop) -> None:
    outcome = shop.load(HOUR, json.dumps([order(1, item(), item("zz"))]))
    (child,) = outcome.children
    said = shop.run("explain", "fact_cart_item", "1", "1", expect=None)
    assert str(child.file_id) in said
    waiting = shop.run("explain", "fact_cart_item", "1", "2", expect=None)
    assert "zz" in waiting


def test_check_judges_children_too(shop: Shop) -> None:
    path = shop.home / "orders.json"
    path.write_text(json.dumps([order(1, item(), item(quantity=0)), order(2, item("zz"))]))
    said = json.loads(shop.run("check", path, "--json", expect=1))
    assert [(one["name"], one["total"], one["refused"]) for one in said] == [
        ("orders", 2, 0),
        ("order_items", 3, 1),
    ]
    with shop.warehouse.transaction() as tx:
        found = Checker(shop.config, tx, 3).check(path, shop.config.by_logical_name["order_items"])
    assert found.refused_by_stage == {"records": 1, "orphan": 2}
    said = json.loads(shop.run("check", path, "--database", "--json", expect=1))
    assert [one["refused_by_stage"] for one in said] == [{}, {"records": 1, "orphan": 1}]


def test_a_contract_of_children_is_judged_with_their_file(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = {"contract": {"max_reject_pct": 40, "abort": True}}
    shop.configure(monkeypatch, settings(contract))
    outcome = shop.load(HOUR, json.dumps([order(1, item(), item(quantity=0))]))
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.startswith("order_items: too many refused records")
    assert shop.one("SELECT count(*) FROM fact_cart") == 0
    assert shop.one("SELECT count(*) FROM quarantine") == 0


def test_a_dimension_and_a_partitioned_fact_may_be_children(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(site.warehouse, site.home)
    config = settings()
    expected = config["watcher"]["stream"]["expected_files"]
    time = {"name": "updated_at", "dtype": "datetime", "nullable": False, "value": {"parent": "updated_at"}}
    expected["order_items"]["partition_by"] = {"column": "updated_at", "interval": "month", "since": "2026-01-01"}
    config["schemas"]["order_items"] = ITEMS | {"columns": [*ITEMS["columns"], time]}
    expected["order_tags"] = {"table": "dim_tag", "from_child": {"of": "orders", "path": "customer.tags"}}
    config["schemas"]["order_tags"] = {
        "primary_key": ["order_id", "tag"],
        "columns": [{"name": "tag", "dtype": "str", "nullable": False}],
    }
    shop.configure(monkeypatch, config)
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    tags = {"name": "n", "tags": [{"tag": "x"}, {"tag": "y"}, {"tag": "x"}]}
    outcome = shop.load(HOUR, json.dumps([order(1, item(), customer=tags), order(2, item())]))
    assert {child.job.spec.name: (child.inserted, child.duplicates) for child in outcome.children} == {
        "order_items": (2, 0),
        "order_tags": (2, 1),
    }
    assert shop.rows("SELECT order_id, position, tag FROM dim_tag ORDER BY 2") == [(1, 1, "x"), (1, 2, "y")]
    shop.run("undo", outcome.file_id, "--yes")
    assert shop.items() == []


def test_verify_files_and_config_check_know_of_children(shop: Shop) -> None:
    outcome = shop.load(HOUR, json.dumps([order(1, item(), item("zz"))]))
    (child,) = outcome.children
    shop.run("verify")
    assert "fact_cart_item" in shop.run("files", "show", child.file_id)
    assert "orders.items" in shop.run("config", "check", "--database")
    listed = json.loads(shop.run("files", "--type", "order_items", "--json"))
    assert [file["file_id"] for file in listed] == [child.file_id]
