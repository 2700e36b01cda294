"""What becomes of a file after its load: it is kept, moved, packed or deleted, and found wherever it went."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import main
from config.settings import DatabaseConfig
from tests.acceptance import samples
from tests.integration.home import Home

SCHEMAS = {
    "things": {
        "primary_key": "thing_id",
        "columns": [
            {"name": "thing_id", "dtype": "int", "nullable": False},
            {"name": "size", "dtype": "int", "rules": {"at_least": 0}},
            {"name": "day", "dtype": "date", "value": {"file": "date"}},
        ],
    }
}
LINES = "thing_id,size\n1,10\n2,20\n"


@pytest.fixture
def home(tmp_path: Path, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, database, monkeypatch)


def configure(home: Home, after_load: Mapping[str, Any], **sections: Any) -> None:
    entry = {"table": "dim_thing", "kind": "dimension", "after_load": dict(after_load)}
    home.configure({"things.csv": entry}, SCHEMAS, **sections)


def files(folder: Path) -> dict[str, str]:
    """What lies below the folder that looks like an input: content by path, hidden files too."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".csv" in path.name)
    return {
        str(path.relative_to(folder)): (
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        ).decode()
        for path in sorted(found)
    }


def run(*arguments: str) -> str:
    """What the command says, in one line."""
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code in {0, 1}, result.output
    return result.output.replace("\n", " ")


def log(home: Home) -> list[tuple[Any, ...]]:
    return home.rows("SELECT file_id, status, lies_at FROM pipeline_file_log ORDER BY file_id")


def test_a_loaded_file_is_moved_and_found_where_it_went(home: Home) -> None:
    configure(home, {"loaded": {"move": "archive/{type}/{date}/{hour}"}, "failed": {"move": "failed/{file_id}"}})
    home.put("things.csv", LINES)
    home.put("things.csv", "thing_id;size\n", hour=10)
    home.turn()
    archive, failed = home.home / "archive", home.home / "failed"
    there = archive / "things" / samples.DAY / "09" / "things.csv"
    (good, how, place), (bad, end, other) = log(home)
    assert (how, place, end, other) == ("success", str(there), "failed", str(failed / f"{bad}/things.csv"))
    inside = str(there.relative_to(home.home))
    assert files(home.home) == {inside: LINES, f"failed/{bad}/things.csv": "thing_id;size\n"}
    explained = run("explain", "things", "2")
    assert "row 2" in explained
    assert str(there) in explained.replace(" ", "")
    home.rows("DELETE FROM dim_thing WHERE thing_id = 1 RETURNING 1")
    assert "1 rows that were in no table any more loaded" in run("reprocess", f"{good}", "--yes")
    assert home.rows("SELECT day::text FROM dim_thing WHERE thing_id = 1") == [(samples.DAY,)]
    run("undo", f"{good}", "--yes")
    assert f"file {good} is file" in run("reprocess", f"{good}", "--yes")
    assert log(home)[-1][1:] == ("success", str(there))
