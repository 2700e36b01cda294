"""On a cluster a file is put right by the whole one, and JSON is kept digit for digit, as without one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from ingestion.pipeline import Pipeline
from ingestion.places import open_writers
from tests.acceptance import samples

pytest.importorskip("distributed")

NESTED = '{"lat": 12.50, "n": 1e3, "b": [1.10, "x"]}'
NOTES = {
    "primary_key": "note_id",
    "columns": [
        {"name": "note_id", "dtype": "int", "nullable": False},
        {"name": "text", "dtype": "str"},
        {"name": "doc", "dtype": "json", "sql_type": "json"},
    ],
}


class Cluster:
    """A home whose files are loaded by a dask worker."""

    def __init__(self, home: Path, database: DatabaseConfig, patch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.database = database
        files = {f"notes.{ending}": {"table": "fact_note"} for ending in ("csv", "ndjson", "json")}
        config = {
            "watcher": {
                "settle_seconds": 0.05,
                "batch": {"expected_files": {}},
                "stream": {"dir": "data/stream", "expected_files": files},
            },
            "schemas": {"notes": NOTES},
            "execution": {"engine": "dask", "workers": 1},
            "web": {"enabled": False},
        }
        path = home / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        patch.setenv("FASTFEAST_CONFIG", str(path))

    def put(self, name: str, text: str) -> None:
        path = self.home / "data/stream" / samples.DAY / "09" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1e9, 1e9))

    def turn(self) -> None:
        with Pipeline(get_config()) as pipeline:
            pipeline.run_once()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        warehouse = Warehouse(self.database, self.home)
        warehouse.open()
        try:
            with warehouse.transaction() as tx:
                tx.execute(statement)
                return tx.fetchall()
        finally:
            warehouse.close()


@pytest.fixture
def cluster(database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setattr(open_writers, "OWN_DISKS", set())  # as on a file server, where no kernel knows the writer
    return Cluster(tmp_path, database, monkeypatch)


def test_on_a_cluster_a_value_that_was_cut_is_what_the_whole_file_says(cluster: Cluster) -> None:
    whole = "note_id,doc,text\n1,,first\n2,,second one\n3,,third\n"
    cluster.put("notes.csv", whole[: whole.index(" one")])
    cluster.turn()
    stored = "SELECT note_id, text FROM fact_note ORDER BY 1"
    assert cluster.rows(stored) == [(1, "first"), (2, "second")]
    cluster.put("notes.csv", whole)
    cluster.turn()
    assert cluster.rows(stored) == [(1, "first"), (2, "second one"), (3, "third")]
    books = "SELECT sum(inserted_records), sum(quarantined) FROM pipeline_file_log"
    assert cluster.rows(books) == [(3, 0)]


def test_on_a_cluster_json_is_stored_digit_for_digit_and_what_is_none_is_refused(cluster: Cluster) -> None:
    record = f'{{"note_id": 1, "text": {NESTED}, "doc": {NESTED}}}'
    cluster.put("notes.ndjson", f'{record}\n{{"note_id": 2, "text": "x", "doc": [NaN]}}\n')
    cluster.put("notes.json", f'[{record.replace("1", "3", 1)}, {{"note_id": 4, "text": NaN, "doc": 1.10}}]')
    cluster.turn()
    stored = cluster.rows("SELECT note_id, text, doc::text FROM fact_note ORDER BY 1")
    assert stored == [(1, NESTED, NESTED), (3, NESTED, NESTED)]
    refused = cluster.rows("SELECT source_file, row_number, rejection_reason FROM quarantine ORDER BY 1")
    assert refused == [("notes.json", 2, "text: not_json"), ("notes.ndjson", 2, "doc: dtype")]
