"""`check` and its page for senders tell of columns that are not as agreed, and what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import DatabaseConfig
from tests.integration.drifting import Drifting

ROWS = "".join(f"{n},a,2026-01-0{n},C\n" for n in range(1, 5))
RENAME = "name may be called Name now: from: [name, Name]"
BECOMES = {
    "keep": ("kept", "its values will be kept in dim_notes._extra"),
    "add": ("added", "its values get a column of dim_notes, of text"),
    "ignore": ("ignored", "its values will be left out (new_columns: ignore)"),
}


def checked(drifting: Drifting, text: str, name: str = "notes.csv") -> tuple[int, list[dict[str, Any]], str, str]:
    """Exit code and `drift` as JSON, what the screen says, and the page."""
    path = drifting.home / name
    path.write_text(text)
    page = drifting.home / "report.html"
    code, said = drifting.run("check", str(path), "--json", "--html", str(page))
    (found,) = json.loads(said)
    return code, found["drift"], drifting.run("check", str(path))[1], page.read_text()


@pytest.mark.parametrize("policy", BECOMES)
def test_new_and_missing_columns_are_told_with_what_becomes_of_them(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    expected = {"notes.csv": {"new_columns": policy, "missing_columns": "null"}}
    drifting = Drifting(database, tmp_path, monkeypatch, expected)
    code, drift, said, page = checked(drifting, f"id,Name,sent_on,coupon\n{ROWS}")
    kind, becomes = BECOMES[policy]
    rows = 0 if policy == "ignore" else 4
    assert code == 0
    assert [(one["column"], one["kind"], one["rows"], one["looks_like"]) for one in drift] == [
        ("Name", kind, rows, "name"),
        ("coupon", kind, rows, None),
        ("name", "null", 0, None),
    ]
    missing = "name is missing: it will be null, or its default, in these rows"
    for sentence in (f"coupon is new: {becomes}", f"Name is new: {becomes}; {RENAME}", missing):
        assert sentence in said
        assert sentence in page


def test_a_refused_file_says_which_columns_and_the_line_that_accepts_a_rename(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {}})
    code, drift, said, page = checked(drifting, f"id,Name,sent_on,coupon\n{ROWS}")
    assert code == 1
    assert [(one["column"], one["kind"], one["looks_like"]) for one in drift] == [
        ("name", "missing", None),
        ("Name", "unexpected", "name"),
        ("coupon", "unexpected", None),
    ]
    assert RENAME in said
    assert f"Name is new: the file is refused for it (new_columns: fail); {RENAME}" in page


def test_a_name_or_value_of_a_person_is_not_repeated(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifting = Drifting(database, tmp_path, monkeypatch, {"notes.csv": {"new_columns": "keep"}})
    _, drift, said, page = checked(drifting, "id,name,sent_on,me@canary.example\n1,a,2026-01-01,<b>x</b>\n")
    assert [(one["column"], one["kind"]) for one in drift] == [("(no plain name)", "kept")]
    assert not [text for text in ("canary", "<b>") if text in said + page]


@pytest.mark.parametrize("name", ["notes.json", "notes.ndjson"])
def test_keys_that_only_some_records_have_are_told(
    database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    drifting = Drifting(database, tmp_path, monkeypatch, {name: {"new_columns": "keep"}}, reader={"chunk_rows": 1})
    records = [{"id": n, "name": "x", "sent_on": None, **({"tip": 1} if n == 3 else {})} for n in range(1, 5)]
    lines = "\n".join(map(json.dumps, records))
    text = f"[{','.join(map(json.dumps, records))}]" if name.endswith(".json") else lines
    _, drift, _, page = checked(drifting, text, name)
    assert [(one["column"], one["kind"], one["rows"]) for one in drift] == [("tip", "kept", 1)]
    assert "tip is new" in page
