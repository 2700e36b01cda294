"""Other keys of an object that columns take keys of: kept by their path, or told of; never lost unsaid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from tests.integration.drifting import Drifting
from tests.integration.small import Small

COLUMNS: dict[str, Any] = {
    "id": "int",
    "lat": {"dtype": "float", "sql_type": "numeric", "from": "geo.lat"},
    "city": {"dtype": "str", "from": "geo.place.city"},
}
RECORDS = [
    '{"id": 1, "geo": {"lat": 1.50, "place": {"city": "Rome"}}}',
    '{"id": 2, "geo": {"lat": 2, "alt": 30.10, "place": {"city": "Oslo", "zip": "007"}}, "new": 1}',
    '{"id": 3, "geo": null}',
    '{"id": 4}',
    '{"geo": {"place": null, "alt": {"m": [1.0]}, "a.b": 1e400}, "id": 5}',
    '{"id": 6, "geo": {"lat": 6, "place": {"zip": null}}}',
]
KEPT: dict[int, Any] = {
    2: {"new": "1", "geo.alt": "30.10", "geo.place.zip": "007"},
    5: {"geo.alt": {"m": ["1.0"]}, "geo.a\\.b": "1e400"},
}


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("chunk_rows", [1, 10_000])
@pytest.mark.parametrize("extension", [".json", ".ndjson"])
@pytest.mark.parametrize("policy", ["keep", "add"])
def test_they_are_kept_by_their_path_digit_for_digit(
    warehouse: Warehouse, tmp_path: Path, policy: str, extension: str, chunk_rows: int
) -> None:
    how = {
        "key": "id",
        "columns": COLUMNS,
        "new_columns": policy,
        "missing_columns": "null",
        "extension": extension,
    }
    small = Small(warehouse, tmp_path, {"visit": how})
    text = "\n".join(RECORDS) if extension == ".ndjson" else f"[{', '.join(RECORDS)}]"
    outcome = small.load("visit", text, chunk_rows=chunk_rows)
    assert (outcome.inserted, outcome.error) == (6, None)
    assert small.rows("SELECT id, lat::text, city FROM dim_visit ORDER BY 1")[:2] == [
        (1, "1.50", "Rome"),
        (2, "2", "Oslo"),
    ]
    beside = "_extra" if policy == "keep" else "to_jsonb(t) - '{id,lat,city,_file_id,_loaded_at}'::text[]"
    found = {
        key: {name: value for name, value in as_json(extra).items() if value is not None}
        for key, extra in small.rows(f"SELECT id, ({beside})::text FROM dim_visit t")
    }
    if policy == "add" and "geo.alt" in found[5]:
        found[5]["geo.alt"] = as_json(found[5]["geo.alt"])
    assert {key: extra for key, extra in found.items() if extra} == KEPT
    assert {change.column for change in outcome.drift} >= {"new", "geo.alt", "geo.place.zip", "geo.a\\.b"}


def as_json(text: str | None) -> dict[str, Any]:
    return dict(json.loads(text, parse_int=str, parse_float=str)) if text else {}


@pytest.mark.parametrize("policy", ["fail", "ignore"])
def test_where_they_are_left_out_that_is_told_once_and_listed(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    drifting = make(database, tmp_path, monkeypatch, policy)
    for number in range(3):
        drifting.put("notes.ndjson", f'{{"id": {number}, "geo": {{"lat": 1, "alt": 2}}}}')
    drifting.turn()
    drifting.turn()
    assert drifting.rows("SELECT column_name, kind, files FROM drift") == [("geo.alt", "ignored", 3)]
    ((title, text),) = drifting.alerts
    assert (title, "geo.alt is new: its values are left out" in text) == ("Columns differ", True)
    assert drifting.rows("SELECT count(lat) FROM dim_notes") == [(3,)]


def make(database: DatabaseConfig, home: Path, patch: pytest.MonkeyPatch, policy: str) -> Drifting:
    columns = [
        {"name": "id", "dtype": "int", "nullable": False},
        {"name": "lat", "dtype": "int", "from": "geo.lat"},
    ]
    schemas = {"notes": {"primary_key": "id", "columns": columns}}
    return Drifting(database, home, patch, {"notes.ndjson": {"new_columns": policy}}, schemas=schemas)


def test_one_is_adopted_with_its_path_and_a_plain_name(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = make(database, tmp_path, monkeypatch, "keep")
    drifting.put("notes.ndjson", '{"id": 1, "geo": {"lat": 1, "alt": 2}}')
    drifting.turn()
    code, said = drifting.run("adopt", "notes", "geo.alt", "--dtype", "int", "--yes")
    assert code == 0, said
    assert '- {name: geo_alt, dtype: int, optional: true, from: "geo.alt"}' in drifting.yaml.read_text()
    drifting.put("notes.ndjson", '{"id": 2, "geo": {"lat": 1, "alt": 3}}')
    drifting.turn()
    assert drifting.rows("SELECT id, geo_alt, _extra FROM dim_notes ORDER BY 1") == [(1, 2, None), (2, 3, None)]


@pytest.mark.usefixtures("config")
def test_an_object_that_is_a_column_as_a_whole_has_nothing_beside_it(warehouse: Warehouse, tmp_path: Path) -> None:
    columns = {"id": "int", "geo": "json", "lat": {"dtype": "int", "from": "geo.lat"}}
    small = Small(warehouse, tmp_path, {"visit": {"key": "id", "columns": columns, "extension": ".json"}})
    outcome = small.load("visit", '[{"id": 1, "geo": {"lat": 1, "alt": 2}}]')
    assert (outcome.inserted, outcome.drift) == (1, ())
