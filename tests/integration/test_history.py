"""`keep: history`: every version of a row, in intervals without gap or overlap, whatever the order of files."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from datawarehouse.db_connection import Warehouse
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")
COLUMNS: dict[str, Any] = {"id": "int", "v": "str", "u": "datetime"}
TIMED: dict[str, Any] = {"key": "id", "columns": COLUMNS, "keep": "history", "newer_by": "u"}
BY_FILE: dict[str, Any] = {"key": "id", "columns": {"id": "int", "v": "str"}, "keep": "history"}
VERSIONS = (
    "SELECT v, valid_from::date::text, valid_to::date::text, is_current FROM dim_item_history WHERE id = 1"
    " ORDER BY valid_from"
)


def test_a_new_row_has_one_version(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": TIMED})
    small.load("item", [(1, "a", "2026-01-01"), (2, "b", None)])
    assert small.rows("SELECT id, v, valid_from::text, valid_to::text, is_current FROM dim_item_history") == [
        (1, "a", "2026-01-01 00:00:00", "infinity", True),
        (2, "b", "-infinity", "infinity", True),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_versions_are_the_same_in_any_order(warehouse: Warehouse, tmp_path: Path, order: tuple[int, ...]) -> None:
    small = Small(warehouse, tmp_path, {"item": TIMED})
    rows = [(1, "a", "2026-01-01"), (1, "b", "2026-01-02"), (1, "a", "2026-01-03"), (1, "a", "2026-01-04")]
    for number in order:
        small.load("item", [rows[number]])
    assert small.rows(VERSIONS) == [
        ("a", "2026-01-01", "2026-01-02", False),
        ("b", "2026-01-02", "2026-01-03", False),
        ("a", "2026-01-03", "infinity", True),
    ]
    assert small.rows("SELECT v, u::date::text FROM dim_item") == [("a", "2026-01-04")]


@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_each_row_of_one_file_is_a_version(warehouse: Warehouse, tmp_path: Path, chunk_rows: int) -> None:
    small = Small(warehouse, tmp_path, {"item": TIMED})
    rows = [(1, "b", "2026-01-02"), (1, "c", "2026-01-03"), (1, "a", "2026-01-01"), (1, "a?", "2026-01-01")]
    outcome = small.load("item", rows, chunk_rows)
    assert (outcome.inserted, outcome.stale, outcome.duplicates) == (1, 2, 1)
    assert [row[0] for row in small.rows(VERSIONS)] == ["a", "b", "c"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_without_a_column_of_times_a_version_begins_with_its_file(
    warehouse: Warehouse, tmp_path: Path, order: tuple[int, ...]
) -> None:
    small = Small(warehouse, tmp_path, {"item": BY_FILE})
    for number in order:
        small.load("item", [(1, "abc"[number]), (2, "same")], folder=f"2026-01-0{number + 1}")
    assert small.rows(VERSIONS) == [
        ("a", "2026-01-01", "2026-01-02", False),
        ("b", "2026-01-02", "2026-01-03", False),
        ("c", "2026-01-03", "infinity", True),
    ]
    assert small.rows("SELECT v FROM dim_item ORDER BY id") == [("c",), ("same",)]
    assert small.rows("SELECT valid_from::text FROM dim_item_history WHERE id = 2") == [("2026-01-01 00:00:00",)]


def test_only_what_is_tracked_makes_a_version(warehouse: Warehouse, tmp_path: Path) -> None:
    columns = {"id": "int", "v": "str", "w": "int"}
    small = Small(warehouse, tmp_path, {"item": {**BY_FILE, "columns": columns, "track": ["v"]}})
    for day, row in enumerate([(1, "a", 1), (1, "a", 2), (1, "b", 2)], start=1):
        small.load("item", [row], folder=f"2026-01-0{day}")
    assert [row[:2] for row in small.rows(VERSIONS)] == [("a", "2026-01-01"), ("b", "2026-01-03")]
    assert small.rows("SELECT v, w FROM dim_item") == [("b", 2)]


def test_unchanged_rows_are_not_written_again(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": BY_FILE})
    rows = [(number, "v") for number in range(50)]
    small.load("item", rows, folder="2026-01-01")
    before = small.rows("SELECT sum(xmin::text::bigint), sum(xmax::text::bigint) FROM dim_item_history")
    outcome = small.load("item", [*rows, (99, "new")], folder="2026-01-02")
    assert (outcome.inserted, outcome.updated, outcome.already_present - outcome.stale) == (1, 0, 50)
    after = small.rows(
        "SELECT sum(xmin::text::bigint), sum(xmax::text::bigint) FROM dim_item_history WHERE id < 99"
    )
    assert after == before
    assert small.rows("SELECT count(*) FROM dim_item_seen") == [(0,)]


def test_versions_never_overlap_whoever_writes_them(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": TIMED})
    small.load("item", [(1, "a", "2026-01-01"), (1, "b", "2026-01-05")])
    for begins, ends in [("2026-01-02", "2026-01-03"), ("2026-02-01", "infinity"), ("2026-01-04", "2026-01-04")]:
        with pytest.raises(Exception, match="constraint"):
            small.rows(
                f"INSERT INTO dim_item_history (id, v, valid_from, valid_to, _file_id) VALUES"
                f" (1, 'x', '{begins}', '{ends}', 1)"
            )


def test_history_begins_with_the_rows_that_are_there(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": {**TIMED, "keep": "latest"}})
    small.load("item", [(1, "a", "2026-01-01"), (2, "b", None)])
    small = Small(warehouse, tmp_path, {"item": TIMED})
    small.load("item", [(1, "b", "2026-01-02")])
    assert [row[:2] for row in small.rows(VERSIONS)] == [("a", "2026-01-01"), ("b", "2026-01-02")]
    assert small.rows("SELECT valid_from::text FROM dim_item_history WHERE id = 2") == [("-infinity",)]
