"""Rules are proposed for what is in a table; those that refuse nothing let all of its rows in again."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import DatabaseConfig
from tests.integration.drifting import Drifting

COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "dtype": "int", "nullable": False},
    {"name": "code", "dtype": "str"},
    {"name": "kind", "dtype": "str"},
    {"name": "site", "dtype": "str"},
    {"name": "ref", "dtype": "str"},
    {"name": "said", "dtype": "str"},
    {"name": "price", "dtype": "float", "sql_type": "numeric(8,2)"},
    {"name": "change", "dtype": "int"},
    {"name": "begun", "dtype": "datetime"},
    {"name": "ended", "dtype": "datetime"},
    {"name": "mail", "dtype": "str", "pii": "email"},
    {"name": "town", "dtype": "str", "personal": True},
    {"name": "ok", "dtype": "bool", "rules": {"required": True}},
]
ROWS = [
    [
        *(n, f"ORD-{n:05}", ["new", "old", "sold"][n % 3], f"https://x.org/{n}" if n else "no site"),
        *(uuid.UUID(int=n), "" if n == 7 else f"word {'x' * n}", 12.5 + n, n - 40, "2026-01-01 10:00:00"),
        *("" if n % 4 == 0 else f"2026-01-0{1 + n % 9} 11:00:00", f"a{n}@x.com", ["Rome", "Oslo"][n % 2], "true"),
    ]
    for n in range(120)
]
FILE = "\n".join([",".join(column["name"] for column in COLUMNS), *(",".join(map(str, row)) for row in ROWS), ""])
LINES = {
    "code": {"required: true": 0, "matches: ORD-[0-9]{5}": 0, "unique: true": 0},
    "kind": {"required: true": 0, "in: [new, old, sold]": 0},
    "site": {"required: true": 0, "url: true": 1, "unique: true": 0},
    "ref": {"required: true": 0, "uuid: true": 0, "unique: true": 0},
    "said": {"required: true": 1, "not_blank: true": 0, "trimmed: true": 1, "unique: true": 0},
    "price": {"required: true": 0, "between: [0, 200]": 0},
    "change": {"required: true": 0, "between: [-50, 100]": 0, "unique: true": 0},
    "begun": {"required: true": 0, "not_in_future: true": 0, "at_least: 2026-01-01": 0},
    "ended": {"not_in_future: true": 0, "at_least: {column: begun}": 0},
    "mail": {"required: true": 0, "unique: true": 0},
    "town": {"required: true": 0, "length: 4": 0, "not_blank: true": 0, "trimmed: true": 0},
}


def test_what_is_proposed_is_counted_and_can_be_put_into_the_yaml(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schemas = {"sales": {"primary_key": "id", "columns": COLUMNS}}
    site = Drifting(database, tmp_path, monkeypatch, {"sales.csv": {}}, schemas=schemas)
    site.put("sales.csv", FILE)
    site.turn()
    code, said = site.run("profile", "sales", "--json")
    assert code == 0
    found = json.loads(said)
    assert (found["type"], found["rows"]) == ("sales", 120)
    lines: dict[str, dict[str, int]] = {}
    for one in found["proposals"]:
        lines.setdefault(one["column"], {})[one["yaml"].replace("'", "")] = one["refuses"]
    assert lines == LINES
    shown = site.run("profile", site.config.by_logical_name["sales"].table)[1]
    assert "in: [new, old, sold]" in shown
    assert "Rome" not in said + shown
    columns = copy.deepcopy(COLUMNS)
    for one in found["proposals"]:
        if not one["refuses"]:
            (column,) = (column for column in columns if column["name"] == one["column"])
            column.setdefault("rules", {}).update(yaml.safe_load(f"{{{one['yaml']}}}"))
    again = tmp_path / "again"
    again.mkdir()
    schemas = {"sales": {"primary_key": "id", "columns": columns}}
    site = Drifting(database, again, monkeypatch, {"sales.csv": {}}, schemas=schemas)
    site.put("sales.csv", FILE + "500,X,odd,,,,-1,900,2030-01-01,2026-01-01,,,true\n")
    site.turn()
    books = "SELECT total_records, valid_records FROM pipeline_file_log ORDER BY file_id DESC LIMIT 1"
    assert site.rows(books) == [(121, 120)]
    left = json.loads(site.run("profile", "sales", "--json")[1])["proposals"]
    assert [(one["column"], one["rule"], one["refuses"]) for one in left] == [
        ("site", "url", 1),
        ("said", "required", 1),
        ("said", "trimmed", 1),
    ]
