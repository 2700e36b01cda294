"""Files with columns from everywhere, good and bad, end as an oracle says that shares no code with the product."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.jobs import FileJob
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from tests.acceptance.oracle import FileBook, Oracle
from tests.integration.small import PII

pytestmark = pytest.mark.usefixtures("config")
COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "dtype": "int", "nullable": False, "from": ["No.", "head.id"]},
    {"name": "city", "dtype": "str", "nullable": False, "from": ["City", "head.place.city", "town"]},
    {"name": "qty", "dtype": "int", "default": 1, "rules": {"at_least": 0}, "optional": True},
    {"name": "price", "dtype": "float", "sql_type": "numeric(12,4)", "from": ["Price", "head.price"]},
    {"name": "day", "dtype": "datetime", "value": {"file": "date"}},
    {"name": "hour", "dtype": "int", "value": {"file": "hour"}},
    {"name": "branch", "dtype": "str", "value": {"path": "branch=([^/]+)"}, "optional": True, "default": "none"},
    {"name": "fresh", "dtype": "bool", "value": {"constant": True}},
]
EXPECTED = {
    "sales.csv": {"table": "fact_sale"},
    "loose.csv": {"table": "fact_loose", "new_columns": "ignore", "missing_columns": "null"},
    "visits.json": {"table": "fact_visit", "read": {"records": "data.items"}},
    "clicks.ndjson": {"table": "fact_click", "new_columns": "ignore"},
}
CONFIG: dict[str, Any] = {
    "watcher": {"batch": {"expected_files": {}}, "stream": {"expected_files": EXPECTED}},
    "schemas": {n.partition(".")[0]: {"primary_key": "id", "columns": COLUMNS} for n in EXPECTED},
}


def csv_text(chance: random.Random, *, loose: bool) -> str:
    names = [chance.choice(["No.", "head.id"]), chance.choice(["City", "town"]), "qty", "Price"]
    if loose:
        names += ["new", "other"]
        names = [name for name in names if name not in {"qty", "Price"} or chance.random() < 0.7]
    chance.shuffle(names)
    lines = []
    for number in range(1, 30):
        values = {
            "qty": chance.choice(["", "2", "-1", "x"]),
            "Price": chance.choice(["", "1.5", "0.12345", "12345678.1234"]),
            **dict.fromkeys(("City", "town"), chance.choice(["Rome", "Köln", ""])),
            **dict.fromkeys(("No.", "head.id"), chance.choice([str(number), "7", ""])),
        }
        line = ",".join(values.get(name, "n") for name in names)
        lines.append(line + chance.choice(["", "", "", ",more"]))
    return "\n".join([",".join(names), *lines, ""])


def record(chance: random.Random, number: int) -> str:
    place = chance.choice(
        ['{"city": "Rome", "zip": [1]}', '{"city": null}', "null", '"Rome"', '{"city": "\\u00e9"}']
    )
    price = chance.choice(["1.50", "null", "0.12345", "1e3", "{}", "NaN"])
    members = [f'"head": {{"id": {chance.choice([number, number, 7])}, "place": {place}, "price": {price}}}']
    members += chance.sample(
        ['"town": "Oslo"', '"qty": 3', '"qty": -2', '"strange": {"id": 1}'], chance.randint(0, 2)
    )
    return "{" + ", ".join(members) + "}" if chance.random() < 0.95 else "[1]"


def json_text(chance: random.Random, *, lines: bool) -> str:
    records = [record(chance, number) for number in range(1, 40)]
    if lines:
        return "\n".join(records)
    items = ", ".join(one.replace("NaN", "null") for one in records)
    return f'{{"meta": [{{"items": 1}}], "data": {{"n": null, "items": [{items}], "z": "]"}}, "end": 0}}'


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pattern", EXPECTED)
def test_the_product_and_the_oracle_agree_on_each_row(
    warehouse: Warehouse, tmp_path: Path, pattern: str, seed: int
) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(yaml.safe_dump(CONFIG))
    config, oracle = get_config(source), Oracle(source)
    init_schema(warehouse, config)
    name, chance = pattern.partition(".")[0], random.Random(seed)
    is_csv = pattern.endswith(".csv")
    text = csv_text(chance, loose=name == "loose") if is_csv else json_text(chance, lines=name == "clicks")
    path = tmp_path / "2026-02-20/09" / chance.choice(["", "branch=north"]) / pattern
    path.parent.mkdir(parents=True)
    path.write_text(text)
    spec = oracle.spec_for(path, "stream")
    assert spec is not None
    book = oracle.load(path, spec)
    assert book is not None
    outcome = FileLoad(warehouse, config, PII).run(FileJob(path, config.by_logical_name[name], 0, 0))
    assert (outcome.error is None) == (book.error is None), (outcome.error, book.error)
    assert (outcome.total, outcome.inserted, outcome.quarantined) == (book.total, book.inserted, book.quarantined)
    assert book.error or 0 < book.inserted < book.total
    with warehouse.transaction() as tx:
        tx.execute(f"SELECT id, city, qty, price, day, hour, branch, fresh FROM {spec.table} ORDER BY id")
        assert tx.fetchall() == values_of(book)
        tx.execute("SELECT row_number, rejection_stage FROM quarantine ORDER BY row_number")
        assert tx.fetchall() == [(row.number, row.stage) for row in book.rejected]


def values_of(book: FileBook) -> list[tuple[Any, ...]]:
    loaded = [row.values for row in book.rows if row.stage is None]
    return [
        tuple(values[column["name"]] for column in COLUMNS) for values in sorted(loaded, key=lambda v: v["id"])
    ]


def test_the_texts_are_what_they_say() -> None:
    for seed in range(4):
        document = json.loads(json_text(random.Random(seed), lines=False))
        assert len(document["data"]["items"]) == 39
