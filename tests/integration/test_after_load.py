"""What becomes of a file after its load: it is kept, moved, packed or deleted, and found wherever it went."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import main
from config.errors import ConfigError
from config.settings import DatabaseConfig
from tests.acceptance import samples
from tests.integration.alerts import caught_alerts
from tests.integration.home import Home
from utils.alerts import AlertKind

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
PRUNED = {"archive_days": 1}
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


def refused(*arguments: str) -> str:
    """What a command says that can't do what it is asked for."""
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code == 2, result.output
    return result.output.replace("\n", " ")


def other_disk() -> bool:
    """Is there a file system beside that of the temporary folder?"""
    shared, own = Path("/dev/shm"), Path(tempfile.gettempdir())
    return os.access(shared, os.W_OK) and shared.stat().st_dev != own.stat().st_dev


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


def test_an_archive_below_the_input_folder_brings_no_news_and_its_files_are_packed_and_pruned(home: Home) -> None:
    configure(home, {"loaded": {"move": "data/stream/archive/{type}"}, "compress": "gz"}, retention=PRUNED)
    home.put("things.csv", LINES)
    home.put("things.csv", LINES + "3,-1\n", hour=10)
    home.put("things.csv", LINES, hour=11)  # once more
    home.turn()
    archive = home.home / "data/stream/archive/things"
    assert files(home.home / "data/stream") == {
        "archive/things/things-2.csv.gz": LINES + "3,-1\n",
        "archive/things/things.csv.gz": LINES,
    }
    before = log(home)
    home.turn()
    assert log(home) == before
    assert "row 2" in run("explain", "things", "2")
    home.rows("DELETE FROM dim_thing RETURNING 1")
    run("reprocess", f"{before[0][0]}", "--yes")
    assert home.rows("SELECT count(*) FROM dim_thing") == [(2,)]
    assert "Everything adds up" in run("verify")
    (archive / "things-2.csv.gz").write_bytes(b"no gzip")
    assert "damaged" in refused("reprocess", f"{before[1][0]}", "--yes")
    (archive / "things.csv.gz").rename(home.home / "elsewhere")
    assert "no file is there" in run("verify")
    (home.home / "elsewhere").rename(archive / "things.csv.gz")
    home.rows("UPDATE pipeline_file_log SET put_away_at = now() - interval '3 days' RETURNING 1")
    home.turn()
    assert files(home.home / "data/stream") == {}
    assert [lies_at for *_, lies_at in log(home)] == [None, None]
    assert "after_load deleted it" in refused("reprocess", f"{before[0][0]}", "--yes")
    assert "Everything adds up" in run("verify")


def test_what_a_kill_or_a_lost_tracker_left_is_put_away_by_the_next_start(home: Home) -> None:
    configure(home, {})
    home.put("things.csv", LINES)
    home.put("things.csv", "thing_id;size\n", hour=10)
    home.turn()
    configure(home, {"loaded": {"move": "archive"}, "failed": "delete"})
    home.turn()
    assert files(home.home) == {"archive/things.csv": LINES}
    home.put("things.csv", LINES)  # as a kill between the two names leaves it
    for path in (home.home / "data/tracker").iterdir():
        path.unlink()
    home.turn()
    assert files(home.home) == {"archive/things.csv": LINES}
    assert [status for _, status, _ in log(home)] == ["success", "failed"]


def test_an_archive_that_can_not_be_written_holds_up_nothing_and_is_told_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = caught_alerts(monkeypatch)
    configure(home, {"loaded": {"move": "archive/{date}"}})
    (home.home / "archive").write_text("no folder")
    home.put("things.csv", LINES)
    home.put("things.csv", "thing_id,size\n4,40\n", hour=10)
    home.turn()
    assert home.rows("SELECT count(*) FROM dim_thing") == [(3,)]
    assert len(files(home.home / "data/stream")) == 2
    (alert,) = [alert for alert in sent if alert[0] == AlertKind.NOT_PUT_AWAY]
    assert "archive" in alert[1]
    assert "name another folder in after_load" in alert[1]
    (home.home / "archive").unlink()
    home.turn()
    assert files(home.home / "data/stream") == {}
    assert len(files(home.home / "archive")) == 2


@pytest.mark.skipif(not other_disk(), reason="there is one file system only")
def test_a_file_is_copied_whole_to_another_file_system_or_stays(home: Home) -> None:
    archive = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        configure(home, {"loaded": {"move": f"{archive}/{{type}}"}})
        home.put("things.csv", LINES)
        home.turn()
        assert files(archive) == {"things/things.csv": LINES}
        assert (archive / "things/things.csv").stat().st_mtime == 1e9
        assert files(home.home) == {}
        run("undo", f"{log(home)[0][0]}", "--yes")
        run("reprocess", f"{log(home)[0][0]}", "--yes")
        assert home.rows("SELECT count(*) FROM dim_thing") == [(2,)]
    finally:
        shutil.rmtree(archive)


@pytest.mark.parametrize(
    ("after_load", "problem"),
    [
        ({"loaded": "throw away"}, "write keep, delete, or {move: FOLDER}"),
        ({"loaded": {"move": "a/{day}"}}, "only {type}, {date}, {hour}, {file_id} may stand in braces"),
        ({"failed": {"move": "data/{type}"}}, "failed of things.csv: data/{type}: watcher."),
        ({"loaded": {"move": "data/stream"}}, "watcher.stream.dir is this folder or below it"),
        ({"loaded": {"move": "nowhere://bucket/x"}}, "its protocol is not known"),
        ({"loaded": {"move": "archive"}, "compress": "bz2"}, "gz"),
    ],
)
def test_what_can_not_be_is_refused_at_start(home: Home, after_load: dict[str, Any], problem: str) -> None:
    configure(home, after_load)
    with pytest.raises(ConfigError) as told:
        home.turn()
    assert problem in str(told.value)


def test_backfill_brings_back_what_failed_and_was_moved_once_the_yaml_is_mended(home: Home) -> None:
    fates = {"loaded": {"move": "archive"}, "failed": {"move": "failed"}, "compress": "gz"}
    configure(home, fates)
    home.put("things.csv", "thing_id;size\n1;10\n")
    home.turn()
    assert [*files(home.home)] == ["failed/things.csv.gz"]
    run("backfill", "--from", samples.DAY, "--to", samples.DAY)
    assert [*files(home.home)] == ["failed/things.csv.gz"]
    configure(home, fates, reader={"delimiter": ";"})
    run("backfill", "--from", samples.DAY, "--to", samples.DAY)
    assert files(home.home) == {"archive/things.csv.gz": "thing_id;size\n1;10\n"}
    assert home.rows("SELECT thing_id FROM dim_thing") == [(1,)]
