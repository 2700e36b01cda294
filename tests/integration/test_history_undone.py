"""`undo` where history is kept: the versions of a file go, and what was in force before is in force again."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from datawarehouse.db_connection import Warehouse
from datawarehouse.undo import Undone, undo
from tests.integration.small import Small
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("config")
COLUMNS: dict[str, Any] = {"id": "int", "v": "str", "u": "datetime"}
TIMED: dict[str, Any] = {"key": "id", "columns": COLUMNS, "keep": "history", "newer_by": "u"}
BY_FILE: dict[str, Any] = {"key": "id", "columns": {"id": "int", "v": "str"}, "keep": "history"}
VERSIONS = (
    "SELECT id, v, valid_from::date::text, valid_to::date::text, _file_id FROM dim_item_history ORDER BY 1, 3"
)
SEEN = "SELECT id, v, seen_at, _file_id FROM dim_item_seen ORDER BY 1, 3, 4"
ROWS = "SELECT id, v, _file_id FROM dim_item ORDER BY 1"


def undone(small: Small, file_id: int | None) -> Undone:
    with small.warehouse.transaction() as tx:
        result = undo(tx, small.config, file_id or 0, "me", "2026-02-20")
    check_books(small)
    return result


def check_books(small: Small) -> None:
    found = [row for check in run_checks(small.warehouse, small.config) for row in check.differences]
    assert found == []


def test_what_was_in_force_before_is_in_force_again(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": TIMED})
    first = small.load("item", [(1, "a", "2026-01-01"), (2, "x", "2026-01-01")])
    second = small.load("item", [(1, "b", "2026-01-02"), (3, "new", "2026-01-02")])
    third = small.load("item", [(1, "c", "2026-01-03")])
    result = undone(small, third.file_id)
    assert (result.rows, result.restored) == (0, 1)
    assert small.rows(ROWS) == [(1, "b", second.file_id), (2, "x", first.file_id), (3, "new", second.file_id)]
    assert undone(small, first.file_id).rows == 1
    assert small.rows(VERSIONS) == [
        (1, "b", "2026-01-02", "infinity", second.file_id),
        (3, "new", "2026-01-02", "infinity", second.file_id),
    ]
    assert undone(small, second.file_id).rows == 2
    assert small.rows("SELECT FROM dim_item, dim_item_history, dim_item_seen") == []
    assert small.rows("SELECT sum(inserted_records), sum(updated_records) FROM pipeline_file_log") == [(0, 0)]


@pytest.mark.parametrize("types", [TIMED, BY_FILE], ids=["newer_by", "by file"])
@pytest.mark.parametrize("gone", range(4))
@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5], ids=str)
def test_it_is_as_if_the_file_had_never_come(
    warehouse: Warehouse, tmp_path: Path, types: dict[str, Any], gone: int, order: tuple[int, ...]
) -> None:
    def row(key: int, value: str, day: int) -> tuple[Any, ...]:
        # Without a time of its own a row that says what is there leaves no trace: `reprocess` brings it
        return (key, value, f"2026-01-0{day}") if types is TIMED else (key, f"{value}{day}")

    files = [
        [row(1, "a", 1), row(2, "same", 1)],
        [row(1, "b", 2), row(3, "b", 2)],
        [row(1, "b!", 3), row(2, "other", 3), row(4, "own", 3)],
        [row(1, "a", 4), row(3, "b!", 4), row(2, "same", 4)],
    ]
    small = Small(warehouse, tmp_path, {"item": types})
    ids: dict[int, int | None] = {}
    for number in order:
        ids[number] = small.load("item", files[number], folder=f"2026-01-0{number + 1}").file_id
        check_books(small)
    undone(small, ids[gone])
    found = small.rows("SELECT id, v FROM dim_item ORDER BY 1"), small.rows(_without_file(VERSIONS))
    small.rows("TRUNCATE dim_item, dim_item_history, dim_item_seen, pipeline_file_log")
    for number in sorted({*range(4)} - {gone}):
        small.load("item", files[number], folder=f"2026-01-0{number + 1}")
    assert found == (small.rows("SELECT id, v FROM dim_item ORDER BY 1"), small.rows(_without_file(VERSIONS)))


def _without_file(statement: str) -> str:
    return statement.replace(", _file_id", "")


def test_with_latest_it_says_which_rows_and_why_not(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": {**TIMED, "keep": "latest"}})
    small.load("item", [(1, "a", "2026-01-01"), (2, "x", "2026-01-01")])
    second = small.load("item", [(1, "b", "2026-01-02"), (2, "y", "2026-01-02"), (9, "new", "2026-01-02")])
    with pytest.raises(ConfigError) as told:
        undone(small, second.file_id)
    assert (
        f"file {second.file_id} replaced 2 rows of earlier files, among the 3 that are its now (id 1, 2, 9)"
        in str(told.value)
    )
    assert "`keep: history`" in str(told.value)
    check_books(small)


def test_what_was_replaced_before_history_began_is_not_made_up(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": {**TIMED, "keep": "latest"}})
    small.load("item", [(1, "a", "2026-01-01")])
    second = small.load("item", [(1, "b", "2026-01-02")])
    small = Small(warehouse, tmp_path, {"item": TIMED})
    third = small.load("item", [(1, "c", "2026-01-03")])
    with pytest.raises(ConfigError, match="is not kept"):
        undone(small, second.file_id)
    undone(small, third.file_id)
    assert small.rows(ROWS) == [(1, "b", second.file_id)]
