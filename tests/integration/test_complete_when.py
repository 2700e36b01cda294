"""A file waits for its marker, or for the manifest whose counts its books are balanced against."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

from config.config_loader import get_config
from config.errors import ConfigError
from config.settings import DatabaseConfig
from ingestion.completeness import ALONE_SECONDS, Completeness
from ingestion.not_loaded import look_through
from tests.acceptance import samples
from tests.integration.home import Home
from tests.integration.test_after_load import LINES, SCHEMAS, files, run


@pytest.fixture
def home(tmp_path: Path, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, database, monkeypatch)


def configure(home: Home, complete_when: dict[str, str], **more: Any) -> None:
    entry = {"table": "dim_thing", "kind": "dimension", "complete_when": complete_when, **more}
    home.configure({"things*.csv": entry}, SCHEMAS, reader={"file_type_map": {"things*.csv": "things"}})


def failures(home: Home) -> dict[str, str]:
    found = home.rows("SELECT file_name, error FROM pipeline_file_log WHERE status = 'failed' ORDER BY file_id")
    return dict(found)


def test_a_file_waits_for_its_marker_which_goes_with_it(home: Home) -> None:
    configure(home, {"marker": "{name}.done"}, after_load={"loaded": {"move": "archive"}})
    home.put("things.csv", LINES)
    home.put("things_2.csv.done", "")
    home.turn()
    assert home.rows("SELECT count(*) FROM pipeline_file_log") == [(0,)]
    config = get_config()
    left = look_through(config).not_loaded
    assert [(one.kind, one.path.name, one.why) for one in left] == [
        ("incomplete", "things.csv", "waits for things.csv.done beside it")
    ]

    late = Completeness(config, clock=lambda: time.time() + ALONE_SECONDS + 60)
    path = home.home / "data/stream" / samples.DAY / "09/things.csv"
    (spec,) = config.files
    assert not late.is_complete(path, spec)
    assert late.is_marker(path.with_name("things_2.csv.done"), spec.feed)
    assert not late.is_marker(path.with_name("other.csv"), spec.feed)
    told = {one.name: text for one, text in late.alone()}
    assert "let its sender write that" in told["things.csv"]
    assert "remove the marker" in told["things_2.csv.done"]

    home.put("things.csv.done", "")
    home.put("things_2.csv", "thing_id,size\n7,70\n")
    home.turn()
    assert home.rows("SELECT count(*) FROM dim_thing") == [(3,)]
    assert sorted(files(home.home)) == [
        "archive/things.csv",
        "archive/things.csv.done",
        "archive/things_2.csv",
        "archive/things_2.csv.done",
    ]


def test_a_file_whose_counts_are_not_those_of_its_manifest_fails_with_both(home: Home) -> None:
    configure(home, {"manifest": "{name}.yaml"}, after_load={"failed": {"move": "failed"}})
    md5 = hashlib.md5(LINES.encode()).hexdigest()  # noqa: S324
    home.put("things_1.csv", LINES)
    home.put("things_1.csv.yaml", f'{{"rows": 2, "md5": "{md5}"}}')
    home.put("things_2.csv", "thing_id,size\n5,50\n6,-1\n")
    home.put("things_2.csv.yaml", "rows: 3")
    home.put("things_3.csv", "thing_id,size\n8,80\n")
    home.put("things_3.csv.yaml", f"- {{name: things_3.csv, rows: 1, md5: {md5}}}")
    home.put("things_4.csv", "thing_id,size\n9,90\n")
    home.put("things_4.csv.yaml", "[name: things_5.csv]")
    home.put("things_5.csv", "thing_id,size\n10,90\n")
    home.put("things_5.csv.yaml", "]")
    home.turn()
    assert home.rows("SELECT thing_id FROM dim_thing ORDER BY 1") == [(1,), (2,)]
    errors = failures(home)
    assert "things_2.csv.yaml says 3 rows, and the file has 2" in errors["things_2.csv"]
    assert f"says MD5 {md5}" in errors["things_3.csv"]
    assert "does not name things_4.csv" in errors["things_4.csv"]
    assert "can't be read as a manifest" in errors["things_5.csv"]

    ((bad, lies_at),) = home.rows(
        "SELECT file_id, lies_at FROM pipeline_file_log WHERE file_name = 'things_2.csv'"
    )
    Path(f"{lies_at}.yaml").write_text("rows: 2")
    run("reprocess", f"{bad}", "--yes")
    assert home.rows("SELECT thing_id FROM dim_thing ORDER BY 1") == [(1,), (2,), (5,)]


def test_one_manifest_may_name_all_files_of_its_folder(home: Home) -> None:
    configure(home, {"manifest": "manifest.csv"})
    home.put("things_1.csv", LINES)
    home.put("things_2.csv", "thing_id,size\n5,50\n")
    home.put("manifest.csv", "name,rows\nthings_1.csv,2\nthings_2.csv,7\n")
    home.turn()
    assert [*failures(home)] == ["things_2.csv"]
    assert home.rows("SELECT count(*) FROM dim_thing") == [(2,)]


@pytest.mark.parametrize(
    ("complete_when", "problem"),
    [
        ({"marker": "done"}, "as in '{name}.done'"),
        ({"marker": "{day}.done"}, "with {name} or {stem}"),
        ({"marker": "{name}.done", "manifest": "x"}, "exactly one of marker and manifest"),
    ],
)
def test_what_is_no_name_of_a_marker_is_refused(home: Home, complete_when: dict[str, str], problem: str) -> None:
    configure(home, complete_when)
    with pytest.raises(ConfigError) as told:
        get_config()
    assert problem in str(told.value)
