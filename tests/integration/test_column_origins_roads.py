"""Wherever a column comes from: it is the same on all roads that its row may take."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from config.jobs import FileJob
from datawarehouse.schema_init import init_schema
from ingestion.group_load import GroupLoad
from tests.integration.putting_right import KEY, Site
from validation.pii_handler import PiiHandler

MAIL = "ann.lee@example.com"
COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "dtype": "int", "nullable": False, "from": ["Order No.", "order.id"]},
    {"name": "shop_id", "dtype": "int", "from": ["Shop", "order.shop"]},
    {"name": "mail", "dtype": "str", "pii": "email", "from": ["E-Mail", "buyer.contact.mail"]},
    {"name": "city", "dtype": "str", "from": ["City", "buyer.city"], "nullable": False},
    {"name": "qty", "dtype": "int", "default": 1, "nullable": False, "rules": {"at_least": 0}},
    {"name": "price", "dtype": "float", "sql_type": "numeric(20,4)", "from": ["Price", "lines.price"]},
    {"name": "day", "dtype": "date", "value": {"file": "date"}},
    {"name": "hour", "dtype": "int", "value": {"file": "hour"}},
    {"name": "branch", "dtype": "str", "value": {"path": "branch=([^/]+)"}, "optional": True},
    {"name": "file", "dtype": "str", "value": {"file": "name"}},
    {"name": "source", "dtype": "str", "value": {"constant": "export"}},
]
SHOPS = {
    "primary_key": "shop_id",
    "columns": [{"name": "shop_id", "dtype": "int", "nullable": False}, {"name": "name", "dtype": "str"}],
}
ALL = (
    "SELECT id, shop_id, mail, city, qty, price::text, day::text, hour, branch, file, source"
    " FROM fact_{} ORDER BY id"
)
PLACE = "stream/2026-02-20/09/branch=north"
ENDINGS = {"sales": "sales.csv", "visits": "visits.json", "clicks": "clicks.ndjson"}


def settings(columns: list[dict[str, Any]]) -> dict[str, Any]:
    entry = {"foreign_keys": {"shop_id": "shops"}}
    stream = {pattern: {"table": f"fact_{name}", **entry} for name, pattern in ENDINGS.items()}
    return {
        "watcher": {
            "batch": {"dir": "data/batch", "expected_files": {"shops.csv": {"table": "dim_shop"}}},
            "stream": {"dir": "data/stream", "expected_files": stream},
        },
        "schemas": {"shops": SHOPS} | {name: {"primary_key": "id", "columns": columns} for name in ENDINGS},
    }


class Roads(Site):
    """A site with files whose columns come from everywhere."""

    def configure(self, monkeypatch: pytest.MonkeyPatch, columns: list[dict[str, Any]]) -> None:
        path = self.home / "config.yaml"
        path.write_text(yaml.safe_dump(settings(columns)))
        monkeypatch.setenv("FASTFEAST_CONFIG", str(path))

    def together(self, files: dict[str, str]) -> None:
        jobs = []
        for relative, text in files.items():
            path = self.home / "data" / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            jobs.append(FileJob(path, self.config.by_logical_name[path.name.partition(".")[0]], 0, 0))
        loaded = GroupLoad(self.warehouse, self.config, PiiHandler(KEY)).run(jobs).loaded
        assert len(loaded) == len(files)
        self.backup.append([outcome.file_id for outcome in loaded if outcome.file_id], jobs[0].spec.feed)


@pytest.fixture
def roads(site: Site, monkeypatch: pytest.MonkeyPatch) -> Roads:
    roads = Roads(site.warehouse, site.home)
    roads.configure(monkeypatch, COLUMNS)
    init_schema(roads.warehouse, roads.config)
    roads.load("batch/2026-02-20/shops.csv", "shop_id,name\n1,one\n")
    return roads


Sale = tuple[int, int, str | None, str | None, int | None, str]
SALES: list[Sale] = [
    (1, 1, MAIL, "Cairo", 3, "0.1000"),
    (2, 2, MAIL, "Giza", None, "12345678901.2345"),  # waits for its shop
    (3, 1, MAIL, None, -1, "7"),  # refused
    (4, 1, None, "Köln", None, "1e2"),
]


def text_of(name: str, sales: list[Sale]) -> str:
    if name == "sales":
        lines = [",".join("" if value is None else str(value) for value in sale) for sale in sales]
        return "\n".join(["Order No.,Shop,E-Mail,City,qty,Price", *lines, ""])
    records = []
    for number, shop, mail, city, qty, price in sales:
        buyer = {"contact": {"mail": mail}, "city": city, "age": [1, {"x": 2}]}
        record = {"order": {"id": number, "shop": shop}, "buyer": buyer, "qty": qty, "lines": {"price": "PRICE"}}
        records.append(json.dumps(record).replace('"PRICE"', price))
    return "[" + ",\n".join(records) + "]" if name == "visits" else "\n".join(records)


def wanted(name: str, sales: list[Sale], branch: str | None = "north") -> list[tuple[Any, ...]]:
    hashed = PiiHandler(KEY).hash_text(MAIL)
    prices = {"7": "7.0000", "1e2": "100.0000"}
    place = ("2026-02-20", 9, branch, ENDINGS[name], "export")
    return [(i, s, m and hashed, c, 1 if q is None else q, prices.get(p, p), *place) for i, s, m, c, q, p in sales]


@pytest.mark.parametrize("name", ENDINGS)
@pytest.mark.parametrize("grouped", [False, True])
def test_each_road_gives_a_row_the_same_values(roads: Roads, name: str, grouped: bool) -> None:
    more: list[Sale] = [(9, 1, None, "Rome", 2, "1.0000")]
    if grouped:
        roads.together(
            {
                f"{PLACE}/{ENDINGS[name]}": text_of(name, SALES),
                f"stream/2026-02-20/09/{ENDINGS[name]}": text_of(name, more),
            }
        )
    else:
        roads.load(f"{PLACE}/{ENDINGS[name]}", text_of(name, SALES))
        roads.load(f"stream/2026-02-20/09/{ENDINGS[name]}", text_of(name, more))
    others = wanted(name, more, branch=None)
    assert roads.rows(ALL.format(name)) == [*wanted(name, [SALES[0], SALES[3]]), *others]
    reasons = "SELECT row_number, rejection_reason FROM quarantine ORDER BY 1"
    assert roads.rows(reasons) == [(2, "shop_id: parent_missing"), (3, "city: not_null; qty: at_least")]
    kept = json.dumps(roads.rows("SELECT raw_data FROM quarantine"))
    assert MAIL not in kept
    roads.load("batch/2026-02-21/shops.csv", "shop_id,name\n2,two\n")  # heals
    assert roads.rows(ALL.format(name)) == [*wanted(name, [SALES[0], SALES[1], SALES[3]]), *others]
    (third,) = roads.quarantined(id=3)
    roads.run("quarantine", "edit", third, "--set", "city=Luxor", "--set", "qty=", "--yes")
    roads.run("quarantine", "replay", third, "--yes")
    mended: Sale = (3, 1, MAIL, "Luxor", None, "7")
    whole = [*wanted(name, [SALES[0], SALES[1], mended, SALES[3]]), *others]
    assert roads.rows(ALL.format(name)) == whole
    roads.check_books()
    roads.execute(f"DELETE FROM fact_{name} WHERE id IN (1, 2)")
    file = roads.one("SELECT min(file_id) FROM pipeline_file_log WHERE source_table = %s", f"fact_{name}")
    roads.run("reprocess", file, "--yes")
    assert roads.rows(ALL.format(name)) == whole
    roads.check_books()
    assert MAIL not in "".join(path.read_text() for path in (roads.home / "data/quarantine").rglob("*.csv"))


def test_rows_refused_under_the_files_names_replay_under_todays(
    roads: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [
        {"name": "Order No.", "stored_as": "id", "dtype": "int", "nullable": False},
        {"name": "Shop", "stored_as": "shop_id", "dtype": "int"},
        {"name": "E-Mail", "stored_as": "mail", "dtype": "str", "pii": "email"},
        {"name": "City", "stored_as": "city", "dtype": "str", "nullable": False},
        {"name": "qty", "dtype": "int", "default": 1, "nullable": False},
        {"name": "Price", "stored_as": "price", "dtype": "float", "sql_type": "numeric(20,4)"},
    ]
    config = settings(COLUMNS)
    config["schemas"]["sales"] = {"primary_key": "Order No.", "columns": old}
    config["watcher"]["stream"]["expected_files"]["sales.csv"]["foreign_keys"] = {"Shop": "shops"}
    path = roads.home / "old.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))
    header = "Order No.,Shop,E-Mail,City,qty,Price\n"
    roads.load(
        f"{PLACE}/sales.csv", f"{header}1,1,{MAIL},Cairo,3,0.1000\n2,2,{MAIL},Giza,,12345678901.2345\n3,1,,,1,1\n"
    )
    assert len(roads.rows("SELECT FROM quarantine")) == 2
    roads.configure(monkeypatch, COLUMNS)
    assert "An orphan" in roads.run("explain", "sales", "2", expect=1)
    roads.load("batch/2026-02-21/shops.csv", "shop_id,name\n2,two\n")
    assert roads.rows(ALL.format("sales") + " DESC LIMIT 1") == wanted("sales", [SALES[1]])
    (third,) = [row[0] for row in roads.rows("SELECT quarantine_id FROM quarantine WHERE row_number = 3")]
    roads.run("quarantine", "edit", third, "--set", "city=Luxor", "--yes")
    roads.run("quarantine", "replay", third, "--yes")
    assert roads.rows(ALL.format("sales") + " DESC LIMIT 1") == wanted(
        "sales", [(3, 1, None, "Luxor", 1, "1.0000")]
    )


@pytest.mark.parametrize(
    "record",
    [
        '{"order": {"id": 1, "shop": 1}, "buyer": "%s"}',
        '{"order": {"id": 1, "shop": 1}, "buyer": {"city": "x", "contact": ["%s"]}}',
        '{"order": {"id": 1, "shop": 1}, "buyer": {"city": "x", "city": "y", "contact": {"mail": "%s"}}}',
        '{"order": {"id": 1, "shop": 1}, "buyer": {"city": "x", "contact": {"mail": "%s"}}, "E-Mail": "%s"}',
        '{"order": {"id": 1, "shop": 1}, "buyer": {"city": "%s", "contact": {"mail": "%s"}}, "qty": -1}',
        '{"order": {"id": 1, "shop": 1}, "buyer": {"city": null, "contact": {"mail": "%s"}}, "mail": "%s"}',
        '{"order": {"id": 1, "shop": 1}, "buyer": {"contact": {"mail": NaN}}, "City": {"a": "%s"}, "qty": "x"}',
    ],
)
def test_a_person_is_in_clear_nowhere_however_the_record_is_wrong(roads: Roads, record: str) -> None:
    good = '{"order": {"id": 2, "shop": 1}, "buyer": {"city": "x"}, "qty": 1, "lines": {"price": 1}}'
    outcome = roads.load(f"{PLACE}/visits.json", f"[{record.replace('%s', MAIL)}, {good}]")
    assert (outcome.inserted, outcome.quarantined) == (1, 1)
    kept = json.dumps(roads.rows("SELECT raw_data, reasons FROM quarantine"))
    kept += "".join(path.read_text() for path in (roads.home / "data/quarantine").rglob("*.csv"))
    kept += roads.run("check", roads.home / "data" / PLACE / "visits.json", expect=1)
    assert "sha256:" in kept or PiiHandler(KEY).hash_text(MAIL) in kept
    assert "ann.lee" not in kept
