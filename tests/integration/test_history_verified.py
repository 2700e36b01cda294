"""`verify` where history is kept: versions and rows that were changed by hand are told, each as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datawarehouse.db_connection import Warehouse
from tests.integration.small import Small
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("config")
COLUMNS: dict[str, Any] = {"id": "int", "v": "str", "w": "int", "u": "datetime"}
ITEM: dict[str, Any] = {"key": "id", "columns": COLUMNS, "keep": "history", "newer_by": "u", "track": ["v"]}


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path) -> Small:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    small.load("item", [(1, "a", 1, "2026-01-01"), (2, "x", 1, None)])
    small.load("item", [(1, "b", 1, "2026-01-02"), (1, "b", 2, "2026-01-03"), (1, "c", 2, "2026-01-04")])
    small.load("item", [(1, "c", 3, "2026-01-05")])
    assert told(small) == []
    return small


def told(small: Small) -> list[tuple[str, int]]:
    checks = run_checks(small.warehouse, small.config)
    (history,) = [check for check in checks if check.name == "history agrees with its table"]
    assert history.compared == 1
    assert all(row["table"] == "dim_item" for row in history.differences)
    return [(row["what"], row["found"]) for row in history.differences]


LATER = "'2026-02-01'"


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE dim_item SET v = 'd' WHERE id = 1", "rows that are not as their history has them"),
        ("UPDATE dim_item SET w = 4 WHERE id = 1", "rows that are not as their history has them"),
        ("UPDATE dim_item SET w = 4 WHERE id = 2", "rows that are not as their history has them"),
        ("UPDATE dim_item SET w = NULL WHERE id = 2", "rows that are not as their history has them"),
        ("DELETE FROM dim_item WHERE id = 2", "versions in force without their row"),
        ("DELETE FROM dim_item_history WHERE id = 2", "rows without a version in force"),
        ("DELETE FROM dim_item_history WHERE v = 'b'", "versions with a gap to the next"),
        ("UPDATE dim_item_history SET v = 'a' WHERE v = 'b'", "versions like the next"),
        (
            f"UPDATE dim_item_history SET valid_to = {LATER} WHERE id = 2",
            "last versions that end, and no file says so",
        ),
        ("UPDATE dim_item_history SET u = '2026-03-01' WHERE v = 'a'", "versions that begin at another time than"),
        ("UPDATE dim_item_seen SET _file_id = 99", "versions of a file that is not loaded"),
        ("UPDATE dim_item_history SET _file_id = 99 WHERE v = 'a'", "versions of a file that is not loaded"),
        ("UPDATE dim_item_seen SET w = 5 WHERE w = 3", "rows that are not as their history has them"),
    ],
)
def test_what_was_changed_by_hand_is_told(small: Small, statement: str, what: str) -> None:
    small.rows(statement)
    assert any(text.startswith(what) for text, _ in told(small)), told(small)


def test_versions_that_overlap_are_told(small: Small) -> None:
    """As in a table whose constraint was dropped."""
    constraints = small.rows(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'dim_item_history'::regclass AND contype = 'x'"
    )
    for (name,) in constraints:
        small.rows(f'ALTER TABLE dim_item_history DROP CONSTRAINT "{name}"')
    small.rows("UPDATE dim_item_history SET valid_to = '2026-01-03 12:00' WHERE v = 'a'")
    assert ("versions that overlap the next", 1) in told(small)


def test_names_may_hold_anything(warehouse: Warehouse, tmp_path: Path) -> None:
    columns = {"a %s": "int", 'b"{}': "str", "doc": {"dtype": "json", "sql_type": "json"}}
    small = Small(warehouse, tmp_path, {"item": {"key": "a %s", "columns": columns, "keep": "history"}})
    small.load("item", [(1, "x", "{}")], folder="2026-01-01")
    small.load("item", [(1, "y", "[1]")], folder="2026-01-02")
    assert told(small) == []
