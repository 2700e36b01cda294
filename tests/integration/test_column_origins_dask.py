"""On a cluster a column comes from where the YAML says, as without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import DatabaseConfig
from tests.integration.home import Home

pytest.importorskip("distributed")

EXPECTED = {
    "notes.csv": {"table": "fact_note", "new_columns": "ignore"},
    "notes.json": {"table": "fact_note", "read": {"records": "data.items"}, "new_columns": "ignore"},
}
NOTES = {
    "primary_key": "id",
    "columns": [
        {"name": "id", "dtype": "int", "nullable": False, "from": ["No.", "note.id"]},
        {"name": "size", "dtype": "float", "sql_type": "numeric(30,10)", "from": ["Size", "note.size"]},
        {"name": "kind", "dtype": "str", "optional": True, "default": "plain"},
        {"name": "day", "dtype": "date", "value": {"file": "date"}},
        {"name": "hour", "dtype": "int", "value": {"file": "hour"}},
    ],
}


def test_on_a_cluster_columns_come_from_where_the_yaml_says(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path, database, monkeypatch)
    home.configure(EXPECTED, {"notes": NOTES}, execution={"engine": "dask", "workers": 1})
    home.put("notes.csv", "No.,Size,new\n1,12345678901234567890.0123456789,x\n")
    record = '{"note": {"id": 2, "size": 0.1000000001, "x": []}, "kind": "k", "y": 1}'
    home.put("notes.json", f'{{"n": 1, "data": {{"items": [{record}]}}}}')
    home.turn()
    assert home.rows("SELECT id, size::text, kind, day::text, hour FROM fact_note ORDER BY id") == [
        (1, "12345678901234567890.0123456789", "plain", "2026-02-20", 9),
        (2, "0.1000000001", "k", "2026-02-20", 9),
    ]
