"""Of columns that change one alert tells, however many files, restarts and workers meet them."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import DatabaseConfig
from tests.integration.drifting import Drifting

MET = "SELECT logical_name, column_name, kind, looks_like, files, rows FROM drift ORDER BY 1, 2, 3"
DIFFER = "Columns differ"


def test_one_change_is_told_once_for_all_files_and_restarts(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {"new_columns": "keep"}})
    for n in range(6):
        drifting.put("notes.csv", f"id,name,sent_on,coupon\n{n},a,2026-01-01,C{n}\n")
    drifting.turn()
    assert [title for title, _ in drifting.alerts] == [DIFFER]
    assert "coupon is new: kept in dim_notes._extra; `python main.py adopt notes coupon`" in drifting.alerts[0][1]
    drifting.put("notes.csv", "id,name,sent_on,coupon\n7,a,2026-01-01,\n")
    drifting.put("notes.csv", "id,name,sent_on,coupon,tip\n8,a,2026-01-01,,5\n")
    drifting.turn()
    assert [title for title, _ in drifting.alerts] == [DIFFER, DIFFER]
    assert "tip is new" in drifting.alerts[1][1]
    assert "coupon" not in drifting.alerts[1][1]
    assert drifting.rows(MET) == [
        ("notes", "coupon", "kept", None, 8, 6),
        ("notes", "tip", "kept", None, 1, 1),
    ]
    assert drifting.rows("SELECT count(*) FROM dim_notes WHERE _extra->>'coupon' = 'C' || id") == [(6,)]


@pytest.mark.parametrize("policy", ["keep", "ignore"])
def test_a_rename_is_recognised_with_the_line_that_accepts_it(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    expected = {"notes.csv": {"new_columns": policy, "missing_columns": "null"}}
    drifting = Drifting(database, tmp_path, monkeypatch, expected)
    drifting.put("notes.csv", "id,Name,dispatched\n" + "".join(f"{n},a,2026-01-0{n}\n" for n in range(1, 6)))
    drifting.turn()
    kind, rows = ("kept", 5) if policy == "keep" else ("ignored", 0)
    by_values = "sent_on" if policy == "keep" else None
    assert drifting.rows(MET) == [
        ("notes", "Name", kind, "name", 1, rows),
        ("notes", "dispatched", kind, by_values, 1, rows),
        ("notes", "name", "null", None, 1, 0),
        ("notes", "sent_on", "null", None, 1, 0),
    ]
    ((_, text),) = drifting.alerts
    assert "name may be called Name now: from: [name, Name]" in text
    assert ("sent_on may be called dispatched now: from: [sent_on, dispatched]" in text) == (policy == "keep")
    assert "sent_on is missing: it is null" in text


def test_a_refused_file_names_the_rename_and_is_listed(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {}})
    drifting.put("notes.csv", "id,full_name,sent_on\n1,a,2026-01-01\n")
    drifting.turn()
    ((title, text),) = drifting.alerts
    assert title == "File failed"
    assert (
        "missing: name; unexpected: full_name; name may be called full_name now: from: [name, full_name]" in text
    )
    assert drifting.rows(MET) == [
        ("notes", "full_name", "unexpected", "name", 1, 0),
        ("notes", "name", "missing", None, 1, 0),
    ]
    drifting.yaml.write_text(
        drifting.yaml.read_text().replace("  - name: name\n", "  - name: name\n      from: [name, full_name]\n", 1)
    )
    drifting.turn()
    assert drifting.rows("SELECT id, name FROM dim_notes") == [(1, "a")]


@pytest.mark.parametrize("policy", ["keep", "add", "ignore"])
def test_of_two_workers_one_tells_and_after_a_restart_nobody_does(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    expected = {"notes.csv": {"new_columns": policy, "missing_columns": "null"}}
    drifting = Drifting(database, tmp_path, monkeypatch, expected, execution={"workers": 2})
    for turn in range(2):
        for number in range(12):
            drifting.put("notes.csv", f"id,sent_on,coupon\n{100 * turn + number},2026-01-01,C\n")
        drifting.turn()
    told = [text for title, text in drifting.alerts if title == DIFFER]
    assert (sum("coupon is new" in text for text in told), sum("name is missing" in text for text in told)) == (
        1,
        1,
    )
    assert drifting.rows("SELECT column_name, files FROM drift ORDER BY 1") == [("coupon", 24), ("name", 24)]
    assert drifting.rows("SELECT count(*) FROM dim_notes") == [(24,)]


def test_a_type_that_others_refuse_tells_each_change_once_over_its_failed_files(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused file has an alert of its own kind; what it differs in is listed with how many had it."""
    drifting = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {}}, execution={"workers": 2})
    for number in range(6):
        drifting.put("notes.csv", f"id,name,sent_on,coupon\n{number},a,2026-01-01,C\n")
    drifting.turn()
    drifting.turn()
    assert drifting.rows("SELECT column_name, kind, files FROM drift") == [("coupon", "unexpected", 6)]
    assert DIFFER not in [title for title, _ in drifting.alerts]
