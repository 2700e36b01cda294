"""Figures of columns: what each load keeps of its file, on every road, and what becomes of them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from datawarehouse import profiles
from datawarehouse.db_connection import Warehouse
from datawarehouse.undo import lock_file, undo
from ingestion.reprocess import job_of, reprocess
from tests.integration.small import PII, Small

THINGS: dict[str, Any] = {
    "key": "id",
    "columns": {
        "id": "int",
        "amount": {"dtype": "float", "sql_type": "numeric(10,2)", "rules": {"at_least": 0}},
        "name": "str",
        "day": "date",
        "at": "datetime",
        "clock": "time",
        "ok": "bool",
        "mail": {"dtype": "str", "pii": "email"},
        "born": {"dtype": "date", "personal": True},
    },
}
ROWS: list[list[Any]] = [
    [1, "0.50", "a", "2026-02-01", "2026-02-01 10:00:00", "09:30:00", "true", "a@x.com", "2020-01-01"],
    [2, "9.50", "b", "2026-01-31", "2026-02-03 10:00:00.5", "23:00:00", "false", "b@x.com", "2021-01-01"],
    [3, None, "b", None, None, None, "true", "b@x.com", None],
    [4, "-7.00", "z", "1999-01-01", "1999-01-01", "00:00:00", "false", "z@x.com", "2019-01-01"],  # refused
    [5, "2.00", "", "2026-02-01", "2026-02-02", "10:00:00", "true", "", "2020-01-01"],
]
FIGURES = [
    ("amount", 4, 0.25, 3, "0.5", "9.5", 4.0),
    ("at", 4, 0.25, 3, "2026-02-01 10:00:00", "2026-02-03 10:00:00.500000", None),
    ("born", 4, 0.25, 2, None, None, None),
    ("clock", 4, 0.25, 3, "09:30:00", "23:00:00", None),
    ("day", 4, 0.25, 2, "2026-01-31", "2026-02-01", None),
    ("id", 4, 0.0, 4, "1", "5", 2.75),
    ("mail", 4, 0.25, 2, None, None, None),
    ("name", 4, 0.25, 2, None, None, None),
    ("ok", 4, 0.0, 2, "false", "true", 0.75),
]
SHOWN = "column_name, row_count, null_share, distinct_count, min_value, max_value, mean_value"


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path) -> Small:
    return Small(warehouse, tmp_path, {"things": THINGS, "plain": {**THINGS, "profile": False}})


def figures(small: Small, file_id: int | None) -> list[tuple[Any, ...]]:
    return small.rows(f"SELECT {SHOWN} FROM column_profile WHERE file_id = {file_id} ORDER BY 1")


@pytest.mark.parametrize("chunk_rows", [2, 10_000])
def test_a_load_keeps_the_figures_of_its_columns(small: Small, chunk_rows: int) -> None:
    done = small.load("things", ROWS, chunk_rows=chunk_rows)
    assert figures(small, done.file_id) == FIGURES


def test_reprocess_counts_them_anew_and_undo_forgets_them(small: Small) -> None:
    done = small.load("things", ROWS)
    small.rows("UPDATE column_profile SET row_count = 0")
    with small.warehouse.transaction() as tx:
        file = lock_file(tx, done.file_id or 0)
        reprocess(tx, small.config, PII, job_of(small.config, file), file, "me")
    assert figures(small, done.file_id) == FIGURES
    with small.warehouse.transaction() as tx:
        undo(tx, small.config, done.file_id or 0, "me", "today")
    assert figures(small, done.file_id) == []


def test_files_that_come_together_have_figures_of_their_own(small: Small) -> None:
    other = [[n + 10, *row[1:]] for n, row in enumerate(ROWS)]
    nothing_good = [[9, "-1", *ROWS[0][2:]]]
    first, second, third = small.load_together("things", [ROWS, nothing_good, other])
    assert figures(small, first.file_id) == FIGURES
    assert figures(small, second.file_id) == []
    assert [row for row in figures(small, third.file_id) if row[0] != "id"] == [f for f in FIGURES if f[0] != "id"]
    assert small.rows("SELECT DISTINCT logical_name FROM column_profile") == [("things",)]


def test_none_are_kept_where_the_yaml_says_so(small: Small) -> None:
    assert figures(small, small.load("plain", ROWS).file_id) == []


def test_old_ones_are_pruned_but_for_the_last_of_each_type(small: Small) -> None:
    ids = [small.load("things", [[n, *row[1:]] for row in ROWS[:1]]).file_id for n in range(4)]
    small.rows(f"UPDATE column_profile SET profiled_at = '2020-01-01' WHERE file_id <> {ids[1]}")
    with small.warehouse.transaction() as tx:
        assert profiles.prune(tx, dt.datetime(2021, 1, 1, tzinfo=dt.UTC), kept=1) == 2
    assert small.rows("SELECT DISTINCT file_id FROM column_profile ORDER BY 1") == [(ids[1],), (ids[3],)]


def test_a_column_that_becomes_personal_keeps_counts_alone(small: Small) -> None:
    small.load("things", ROWS)
    with small.warehouse.transaction() as tx:
        profiles.forget_values(tx, "things", ["day", "mail"])
    assert small.rows("SELECT column_name FROM column_profile WHERE min_value IS NULL ORDER BY 1") == [
        (name,) for name in ("born", "day", "mail", "name")
    ]
