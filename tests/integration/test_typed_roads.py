"""Workbooks, Parquet and packed files with the operator's commands: what only the reader can tell stays told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from tests.integration.putting_right import KEY, Site, words
from tests.integration.small import settings_of
from tests.workbooks import CellError, ods, packed, parquet, xlsx

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


# ---------------------------------------------------------------- the operator's commands, by format

ROWS: list[list[Any]] = [[1, "a", "x@y.com", 1.5], [2, "b", None, "much"], [3, "c", None, 0.25], [1, "d", None, 4]]
NAMES = {"books": ".xlsx", "tiles": ".parquet", "packs": ".csv.zst"}


def file_of(kind: str, rows: list[list[Any]]) -> bytes:
    if kind == "books":
        return xlsx([HEADER, *rows])
    if kind == "tiles":
        told = [[None if v is None else str(v) for v in row] for row in rows]
        return parquet({name: [row[n] for row in told] for n, name in enumerate(HEADER)})
    return packed(csv_of(rows), ".zst")


@pytest.mark.parametrize("kind", NAMES)
def test_a_file_is_checked_explained_undone_and_loaded_again_as_any_other(kind: str, typed: Site) -> None:
    name = kind + NAMES[kind]
    path = typed.home / name
    path.write_bytes(file_of(kind, ROWS))
    (told,) = json.loads(typed.run("check", path, "--json", expect=1))
    assert (told["total"], told["refused"]) == (4, 2)
    assert sorted(reason["rule"] for reason in told["reasons"]) == ["dtype", "duplicate"]
    typed.run("check", path, "--html", typed.home / "report.html", expect=1)
    assert "duplicate" in (typed.home / "report.html").read_text()

    outcome = typed.load(name, path.read_bytes())
    assert (outcome.inserted, outcome.quarantined) == (2, 2)
    words(typed.run("explain", kind, 3), [f"was loaded from {outcome.job.path}, row 3, file {outcome.file_id}."])
    typed.check_books()
    typed.run("undo", outcome.file_id, "--yes")
    assert typed.rows(f"SELECT count(*) FROM dim_{kind}") == [(0,)]
    typed.run("reprocess", outcome.file_id, "--yes", expect=None)
    assert typed.rows(f"SELECT id, label FROM dim_{kind} ORDER BY 1") == [(1, "a"), (3, "c")]
    typed.check_books()

    (q_id,) = typed.quarantined(label="b")
    typed.run("quarantine", "edit", q_id, "--set", "amount=7.5", "--yes")
    typed.run("quarantine", "replay", q_id, "--yes")
    assert typed.rows(f"SELECT amount FROM dim_{kind} WHERE id = 2") == [(7.5,)]
    typed.check_books()


@pytest.mark.parametrize("kind", NAMES)
def test_the_mended_file_under_the_same_name_loads_what_was_refused(kind: str, typed: Site) -> None:
    name = kind + NAMES[kind]
    typed.load(name, file_of(kind, ROWS))
    mended = [ROWS[0], [2, "b", None, 2], *ROWS[2:3]]
    again = typed.load(name, file_of(kind, mended))
    assert (again.inserted, again.already_present, again.quarantined) == (1, 2, 0)
    typed.check_books()


@pytest.mark.parametrize("ending", [".parquet", ".parquet.zst", ".xlsx.gz", ".ods.zip", ".csv.zst", ".csv.zip"])
def test_what_infer_proposes_for_it_loads_it(ending: str, typed: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = {".parquet": "tiles", ".xlsx": "books"}.get(f".{ending.split('.')[1]}", "")
    rows = [[n, f"thing {n}", None, n / 4] for n in range(1, 30)]
    data = file_of(kind, rows) if kind else ods([HEADER, *rows]) if "ods" in ending else csv_of(rows)
    extension = f".{ending.split('.')[1]}"
    path = typed.home / f"visits{ending}"
    path.write_bytes(packed(data, ending.removeprefix(extension), f"visits{extension}"))
    said = typed.run("infer", path, "--name", "visits", "--json")
    proposed = json.loads(said[said.index("{") :])["config"]
    (pattern,) = proposed["watcher"]["batch"]["expected_files"]
    proposed["watcher"]["stream"] = {}
    config = typed.home / "proposed.yaml"
    config.write_text(yaml.safe_dump(proposed))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(config))
    init_schema(typed.warehouse, typed.config)
    outcome = typed.load(f"visits{ending}", path.read_bytes())
    assert (outcome.inserted, outcome.quarantined) == (29, 0), pattern
    assert typed.rows(f"SELECT label FROM {outcome.job.spec.table} WHERE id = 7") == [("thing 7",)]


def csv_of(rows: list[list[Any]]) -> bytes:
    return "".join(",".join("" if v is None else str(v) for v in row) + "\n" for row in [HEADER, *rows]).encode()
