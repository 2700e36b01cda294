"""Workbooks, Parquet and packed files with the operator's commands: what only the reader can tell stays told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from tests.integration.putting_right import KEY, Site
from tests.integration.small import settings_of
from tests.workbooks import CellError, parquet, xlsx

COLUMNS = {"id": "int", "label": "str", "mail": {"dtype": "str", "pii": "email"}, "amount": "float"}
HEADER = list(COLUMNS)
LOST = 12345678901234567890.0  # a workbook keeps 17 of its digits at most


@pytest.fixture
def typed(
    warehouse: Warehouse, database: DatabaseConfig, config: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Site:
    types = {
        "books": {"key": "id", "columns": COLUMNS, "extension": ".xlsx"},
        "tiles": {"key": "id", "columns": COLUMNS, "extension": ".parquet"},
        "packs": {"key": "id", "columns": COLUMNS, "extension": ".csv.zst"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings_of(types)))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setenv("PII_HASH_KEY", KEY)
    site = Site(warehouse, tmp_path)
    init_schema(warehouse, site.config)
    return site


def not_utf8() -> bytes:
    broken = pa.array([b"a", b"b\xff", b"c"]).view(pa.string())
    return parquet({"id": [1, 2, 3], "label": broken, "mail": ["a@b.com"] * 3, "amount": [1.5, None, 2]})


CASES: dict[str, tuple[str, bytes, str]] = {
    "error": (
        "books.xlsx",
        xlsx([HEADER, [1, "a", "x@y.com", 1], [2, CellError("#N/A"), None, 1]]),
        "label: error_value",
    ),
    "error in a hashed column": (
        "books.xlsx",
        xlsx([HEADER, [1, "a", "x@y.com", 1], [2, "b", CellError("#N/A"), 1]]),
        "mail: error_value",
    ),
    "merged": (
        "books.xlsx",
        xlsx([HEADER, [1, "a", "x@y.com", 1], [2, None, None, 1]], merged=["B2:B3"]),
        "label: merged_cell",
    ),
    "lost digits": ("books.xlsx", xlsx([HEADER, [1, "a", None, 1], [2, LOST, None, 1]]), "label: digits_lost"),
    "not UTF-8": ("tiles.parquet", not_utf8(), "label: not_utf8"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_value_that_the_reader_could_not_tell_is_not_loaded_by_a_replay_until_it_is_edited(
    case: str, typed: Site
) -> None:
    name, data, reason = CASES[case]
    outcome = typed.load(name, data)
    table = outcome.job.spec.table
    assert outcome.quarantined == 1
    ((q_id, told),) = typed.rows("SELECT quarantine_id, rejection_reason FROM quarantine")
    assert told == reason
    typed.run("quarantine", "replay", q_id, "--yes", expect=None)
    assert typed.rows("SELECT rejection_reason FROM quarantine WHERE resolution IS NULL") == [(reason,)]
    assert typed.rows(f"SELECT count(*) FROM {table} WHERE id = 2") == [(0,)]
    column = reason.partition(":")[0]
    value = "n@ew.com" if column == "mail" else "mended"
    typed.run("quarantine", "edit", q_id, "--set", f"{column}={value}", "--yes")
    typed.run("quarantine", "replay", q_id, "--yes")
    assert typed.rows("SELECT resolution FROM quarantine") == [("replayed",)]
    if column == "label":
        assert typed.rows(f"SELECT label FROM {table} WHERE id = 2") == [("mended",)]
    typed.check_books()
