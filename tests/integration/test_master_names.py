"""Master files are known by the name of their type, or by the pattern of a batch file whose type has another."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import yaml

from config.config_loader import get_config
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from ingestion.pipeline import Pipeline
from tests.conftest import opened


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("ORDERS.CSV", "ORDERS.CSV"),
        ("Export Orders_*.csv", "Export Orders_2026-02-20.csv"),
        ("orders.csv", "orders.csv.gz"),
        ("whatever.csv", "orders.csv"),  # by the type's own name, as ever
    ],
)
def test_a_master_file_whose_type_has_another_name_is_loaded(
    pattern: str, name: str, database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = {
        "watcher": {
            "settle_seconds": 0.05,
            "master": {"dir": "data/master"},
            "batch": {"dir": "data/batch", "expected_files": {pattern: {"table": "dim_order"}}},
        },
        "reader": {"file_type_map": {pattern: "orders"}},
        "schemas": {
            "orders": {"primary_key": "id", "columns": [{"name": "id", "dtype": "int", "nullable": False}]}
        },
        "web": {"enabled": False},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(text))
    (tmp_path / ".env").touch()
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setenv("FASTFEAST_CONFIG", "config.yaml")
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    (tmp_path / "data/master").mkdir(parents=True)
    data = b"id\n1\n"
    if name.endswith(".gz"):
        data = gzip.compress(data)
    (tmp_path / "data/master" / name).write_bytes(data)
    with Pipeline(get_config()) as pipeline:
        pipeline.run_once()
    with opened(database, tmp_path) as warehouse:
        assert _ids(warehouse) == [(1,)]


def _ids(warehouse: Warehouse) -> list[tuple[int]]:
    with warehouse.transaction() as tx:
        tx.execute("SELECT id FROM dim_order")
        return tx.fetchall()
