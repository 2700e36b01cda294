"""Values of new columns end where an oracle says that shares no code with the product."""

from __future__ import annotations

import csv
import io
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
from tests.acceptance.oracle import Oracle
from tests.integration.small import PII

pytestmark = pytest.mark.usefixtures("config")
COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "dtype": "int", "nullable": False},
    {"name": "city", "dtype": "str", "from": ["city", "head.place.city"]},
    {"name": "qty", "dtype": "int", "rules": {"at_least": 0}},
]
FILES = ("sales.csv", "visits.json", "clicks.ndjson")
CONFIG: dict[str, Any] = {
    "watcher": {
        "batch": {"expected_files": {}},
        "stream": {
            "expected_files": {
                name: {"table": f"fact_{name.partition('.')[0]}", "new_columns": "keep", "missing_columns": "null"}
                for name in FILES
            }
        },
    },
    "schemas": {name.partition(".")[0]: {"primary_key": "id", "columns": COLUMNS} for name in FILES},
}
TEXTS = ["", "x", "007", "1,5", 'a "b"', "NULL", " y ", "Köln"]
SOURCES = ["1", "1.50", "null", '"\\u00e9 x"', "1e3", "-0", '{"m": [1, 2.0, {"n": null}]}', "[]", "true", '"007"']
BESIDE = ["tip", "coupon", "a.b", "Tip %"]


def csv_text(chance: random.Random) -> str:
    names = ["id", "city", "qty", *chance.sample([*BESIDE, "", "tip"], chance.randint(1, 4))]
    names = [name for name in names if name != "city" or chance.random() < 0.7]
    chance.shuffle(names)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for number in range(1, 30):
        of = {"id": chance.choice([str(number), str(number), "x"]), "qty": chance.choice(["", "2", "-1"])}
        writer.writerow([of.get(name, chance.choice(TEXTS)) for name in names])
    return out.getvalue()


def json_text(chance: random.Random, *, lines: bool) -> str:
    records = []
    for number in range(1, 30):
        members = [f'"id": {chance.choice([str(number), str(number), chr(34) + "x" + chr(34)])}']
        members += [f'"{name}": {chance.choice(SOURCES)}' for name in chance.sample(BESIDE, chance.randint(0, 3))]
        members += [f'"qty": {chance.choice(["2", "-1", "null"])}'] if chance.random() < 0.8 else []
        place = ", ".join(
            [f'"city": "{chance.choice(["Rome", "Oslo"])}"']
            + [f'"zip": {chance.choice(SOURCES)}'] * (chance.random() < 0.5)
        )
        alt = f', "alt": {chance.choice(SOURCES)}' if chance.random() < 0.4 else ""
        members += [f'"head": {{"place": {{{place}}}{alt}}}'] if chance.random() < 0.6 else []
        chance.shuffle(members)
        records.append("{" + ", ".join(members) + "}")
    return "\n".join(records) if lines else f"[{', '.join(records)}]"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pattern", FILES)
def test_the_product_and_the_oracle_agree_on_what_is_kept(
    warehouse: Warehouse, tmp_path: Path, pattern: str, seed: int
) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(yaml.safe_dump(CONFIG))
    config, oracle = get_config(source), Oracle(source)
    init_schema(warehouse, config)
    name, chance = pattern.partition(".")[0], random.Random(seed)
    text = csv_text(chance) if name == "sales" else json_text(chance, lines=name == "clicks")
    path = tmp_path / "2026-02-20/09" / pattern
    path.parent.mkdir(parents=True)
    path.write_text(text)
    spec = oracle.spec_for(path, "stream")
    assert spec is not None
    book = oracle.load(path, spec)
    assert book is not None
    config = config.model_copy(
        update={"reader": config.reader.model_copy(update={"chunk_rows": chance.choice([4, 99])})}
    )
    outcome = FileLoad(warehouse, config, PII).run(FileJob(path, config.by_logical_name[name], 0, 0))
    assert (outcome.error is None) == (book.error is None), (outcome.error, book.error)
    assert (outcome.total, outcome.inserted) == (book.total, book.inserted)
    with warehouse.transaction() as tx:
        tx.execute(f"SELECT id, _extra::text FROM {spec.table}")
        assert {key: as_kept(extra) for key, extra in tx.fetchall()} == {
            row.values["id"]: row.kept for row in book.rows if row.stage is None
        }
        tx.execute("SELECT row_number, raw_data->>'_extra' FROM quarantine")
        refused = {number: as_kept(extra) for number, extra in tx.fetchall()}
        assert refused == {row.number: row.kept for row in book.rejected if row.values}
    assert any(row.kept for row in book.rows)


def as_kept(extra: str | None) -> dict[str, Any]:
    return dict(json.loads(extra, parse_int=str, parse_float=str)) if extra else {}
