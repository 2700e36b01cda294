"""On a cluster a column comes from where the YAML says, as without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from config.config_loader import get_config
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from ingestion.pipeline import Pipeline

pytest.importorskip("distributed")

CONFIG = {
    "watcher": {
        "settle_seconds": 0.05,
        "batch": {"dir": "data/batch", "expected_files": {}},
        "stream": {
            "dir": "data/stream",
            "expected_files": {
                "notes.csv": {"table": "fact_note", "new_columns": "ignore"},
                "notes.json": {"table": "fact_note", "read": {"records": "data.items"}, "new_columns": "ignore"},
            },
        },
    },
    "schemas": {
        "notes": {
            "primary_key": "id",
            "columns": [
                {"name": "id", "dtype": "int", "nullable": False, "from": ["No.", "note.id"]},
                {"name": "size", "dtype": "float", "sql_type": "numeric(30,10)", "from": ["Size", "note.size"]},
                {"name": "kind", "dtype": "str", "optional": True, "default": "plain"},
                {"name": "day", "dtype": "date", "value": {"file": "date"}},
                {"name": "hour", "dtype": "int", "value": {"file": "hour"}},
            ],
        }
    },
    "execution": {"engine": "dask", "workers": 1},
    "web": {"enabled": False},
}


def test_on_a_cluster_columns_come_from_where_the_yaml_says(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(config))
    folder = tmp_path / "data/stream/2026-02-20/09"
    folder.mkdir(parents=True)
    (folder / "notes.csv").write_text("No.,Size,new\n1,12345678901234567890.0123456789,x\n")
    record = '{"note": {"id": 2, "size": 0.1000000001, "x": []}, "kind": "k", "y": 1}'
    (folder / "notes.json").write_text(f'{{"n": 1, "data": {{"items": [{record}]}}}}')
    with Pipeline(get_config()) as pipeline:
        pipeline.run_once()
    warehouse = Warehouse(database, tmp_path)
    warehouse.open()
    try:
        with warehouse.transaction() as tx:
            tx.execute("SELECT id, size::text, kind, day::text, hour FROM fact_note ORDER BY id")
            assert tx.fetchall() == [
                (1, "12345678901234567890.0123456789", "plain", "2026-02-20", 9),
                (2, "0.1000000001", "k", "2026-02-20", 9),
            ]
    finally:
        warehouse.close()
