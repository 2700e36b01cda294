"""On a cluster a file is put right by the whole one, and JSON is kept digit for digit, as without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import DatabaseConfig
from ingestion.places import open_writers
from tests.integration.home import Home

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


@pytest.fixture
def cluster(database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose files are loaded by a dask worker."""
    monkeypatch.setattr(open_writers, "OWN_DISKS", set())  # as on a file server, where no kernel knows the writer
    home = Home(tmp_path, database, monkeypatch)
    files = {f"notes.{ending}": {"table": "fact_note"} for ending in ("csv", "ndjson", "json")}
    home.configure(files, {"notes": NOTES}, execution={"engine": "dask", "workers": 1})
    return home


def test_on_a_cluster_a_value_that_was_cut_is_what_the_whole_file_says(cluster: Home) -> None:
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


def test_on_a_cluster_json_is_stored_digit_for_digit_and_what_is_none_is_refused(cluster: Home) -> None:
    record = f'{{"note_id": 1, "text": {NESTED}, "doc": {NESTED}}}'
    cluster.put("notes.ndjson", f'{record}\n{{"note_id": 2, "text": "x", "doc": [NaN]}}\n')
    cluster.put("notes.json", f'[{record.replace("1", "3", 1)}, {{"note_id": 4, "text": NaN, "doc": 1.10}}]')
    cluster.turn()
    stored = cluster.rows("SELECT note_id, text, doc::text FROM fact_note ORDER BY 1")
    assert stored == [(1, NESTED, NESTED), (3, NESTED, NESTED)]
    refused = cluster.rows("SELECT source_file, row_number, rejection_reason FROM quarantine ORDER BY 1")
    assert refused == [("notes.json", 2, "text: not_json"), ("notes.ndjson", 2, "doc: dtype")]
