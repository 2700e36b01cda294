"""What people are shown of elements of arrays: under the name of their file, and with that of their type."""

from __future__ import annotations

import json
import re

import pytest

from tests.integration.putting_right import Site
from tests.integration.test_children import HOUR, Shop, item, order, settings
from tests.integration.test_web import running, with_web

NAME = "2026-02-20/09/orders.json → order_items"


@pytest.fixture
def shop(site: Site, monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop(site.warehouse, site.home)
    shop.configure(monkeypatch, settings())
    shop.load("batch/2026-02-20/products.csv", "sku,title\na,A\n")
    shop.load(HOUR, json.dumps([order(1, item(), item(quantity=0)), order(2, item())]))
    return shop


def test_files_and_status_name_the_type_of_elements(shop: Shop) -> None:
    files = json.loads(shop.run("files", "--json"))
    assert [file["file"] for file in files[:2]] == [NAME, "2026-02-20/09/orders.json"]
    last = json.loads(shop.run("status", "--json", expect=None))["last_files"]
    assert [file["file"] for file in last[:2]] == [NAME, "2026-02-20/09/orders.json"]


def test_explain_tells_the_number_of_an_element_among_those_of_its_file(shop: Shop) -> None:
    origin = json.loads(shop.run("explain", "order_items", "2", "1", "--json"))["origin"]
    assert (origin["row_number"], origin["note"]) == (3, None)
    refused = json.loads(shop.run("explain", "order_items", "1", "2", "--json", expect=1))["refused"]
    assert [(row["row_number"], row["state"]) for row in refused] == [(2, "refused")]


def test_the_report_for_senders_has_a_part_for_the_elements(shop: Shop) -> None:
    path, page = shop.home / "orders.json", shop.home / "report.html"
    path.write_text(json.dumps([order(1, item(), item(quantity=0)), order(2) | {"items": 5}]))
    shop.run("check", path, "--html", page, expect=1)
    text = page.read_text()
    assert "<h2>orders.json</h2>" in text
    assert "<h2>orders.json → order_items</h2>" in text
    assert "0 of 1 files without a problem" in text
    assert "not_an_array: there is another value where the record should have an array" in text


def test_the_dashboard_lists_elements_as_their_type(shop: Shop) -> None:
    config = with_web(shop.config, shop.config.database)
    with running(config) as (site, _):
        page = site.get("/files").text
        links = re.findall(r'href="(/files/\d+)"><bdi>' + NAME, page)
        assert len(links) == 1
        assert NAME in site.get(links[0]).text
