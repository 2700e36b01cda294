"""Whatever brings a row late, a replay, an orphan that heals or a file read again: it has its own file's place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.jobs import FileOutcome
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.replay import replay
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.undo import lock_file
from ingestion.reprocess import Reprocessed, reprocess
from tests.integration.small import PII, Small
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("config")
BY_FILE: dict[str, Any] = {"key": "id", "columns": {"id": "int", "v": "str", "n": "int"}}
TIMED: dict[str, Any] = {**BY_FILE, "columns": {**BY_FILE["columns"], "u": "datetime"}, "newer_by": "u"}
KEPT = [
    pytest.param({**BY_FILE, "keep": "latest"}, id="latest by file"),
    pytest.param({**BY_FILE, "keep": "history"}, id="history by file"),
    pytest.param({**TIMED, "keep": "history"}, id="history by a time"),
]
BOOKS = (
    "SELECT inserted_records, updated_records, unchanged_records, stale_records, changed_records, quarantined"
    " FROM pipeline_file_log WHERE file_id = {}"
)


def day(small: Small, number: int, *rows: tuple[Any, ...]) -> FileOutcome:
    """A file of that day; its rows are of that time too."""
    is_timed = small.config.by_logical_name["item"].newer_by is not None
    lines = [(*row[:3], f"2026-01-0{number}", *row[3:]) if is_timed else row for row in rows]
    outcome = small.load("item", lines, folder=f"2026-01-0{number}")
    assert outcome.error is None
    return outcome


def check_books(small: Small) -> None:
    assert [row for check in run_checks(small.warehouse, small.config) for row in check.differences] == []


def values(small: Small) -> list[tuple[Any, ...]]:
    return small.rows("SELECT id, v FROM dim_item ORDER BY 1")


def versions(small: Small) -> list[tuple[Any, ...]]:
    if not small.config.by_logical_name["item"].keeps_history:
        return []
    return small.rows(
        "SELECT id, v, valid_from::date::text, valid_to::date::text, is_current FROM dim_item_history"
        " ORDER BY 1, 3"
    )


def again(small: Small, outcome: FileOutcome) -> Reprocessed:
    with small.warehouse.transaction() as tx:
        file = lock_file(tx, outcome.file_id or 0)
        return reprocess(tx, small.config, PII, outcome.job, file, "me")


@pytest.mark.parametrize("kept", KEPT)
def test_a_row_that_is_replayed_late_takes_its_place_by_its_own_file(
    warehouse: Warehouse, tmp_path: Path, kept: dict[str, Any]
) -> None:
    small = Small(warehouse, tmp_path, {"item": kept})
    early = day(small, 1, (1, "a", "x"), (2, "b", "x"), (3, "c", 1))
    day(small, 2, (1, "later", 1))
    day(small, 3, (4, "d", 1))
    small.rows('UPDATE quarantine SET raw_data = raw_data || \'{"n": "1"}\'')
    ids = [row[0] for row in small.rows("SELECT quarantine_id FROM quarantine ORDER BY 1")]
    with warehouse.transaction() as tx:
        settled = replay(tx, small.config, ids, "me")
    assert (settled.loaded.total(), settled.already_present.total()) == (1, 1)
    assert values(small) == [(1, "later"), (2, "b"), (3, "c"), (4, "d")]
    assert small.rows(BOOKS.format(early.file_id)) == [(2, 0, 0, 1, 0, 0)]
    if small.config.by_logical_name["item"].keeps_history:
        assert [row for row in versions(small) if row[0] == 1] == [
            (1, "a", "2026-01-01", "2026-01-02", False),
            (1, "later", "2026-01-02", "infinity", True),
        ]
    check_books(small)


@pytest.mark.parametrize("kept", KEPT)
def test_an_orphan_that_heals_takes_its_place_by_its_own_file(
    warehouse: Warehouse, tmp_path: Path, kept: dict[str, Any]
) -> None:
    columns = {**kept["columns"], "owner": "int"}
    item = {**kept, "columns": columns, "foreign_keys": {"owner": "owner"}}
    small = Small(warehouse, tmp_path, {"owner": {"key": "id", "columns": {"id": "int"}}, "item": item})
    small.load("owner", [[1]])
    early = day(small, 1, (1, "a", 1, 2))
    day(small, 2, (1, "later", 1, 1))
    assert early.orphans == 1
    small.load("owner", [[2]])
    OrphanRetry(warehouse, small.config).everything()
    assert values(small) == [(1, "later")]
    assert small.rows(BOOKS.format(early.file_id)) == [(0, 0, 0, 1, 0, 0)]
    if versions(small):
        assert [row[1:3] for row in versions(small)] == [("a", "2026-01-01"), ("later", "2026-01-02")]
    check_books(small)


def everything(small: Small) -> list[list[tuple[Any, ...]]]:
    tables = ["dim_item"]
    if small.config.by_logical_name["item"].keeps_history:
        tables += ["dim_item_history", "dim_item_seen"]
    return [
        *(small.rows(f"SELECT xmin, t.* FROM {table} t ORDER BY 2, 3") for table in tables),
        small.rows("SELECT * FROM pipeline_file_log ORDER BY file_id"),
    ]


@pytest.mark.parametrize("kept", KEPT)
def test_a_file_read_again_changes_nothing_when_nothing_changed(
    warehouse: Warehouse, tmp_path: Path, kept: dict[str, Any]
) -> None:
    small = Small(warehouse, tmp_path, {"item": kept})
    rows = [(1, "a", 1), (2, "same", 1), (3, "own", 1)]
    outcomes = [
        day(small, 3, *rows),
        day(small, 1, (1, "b", 1), (2, "same", 1), (5, "e", 1)),
        day(small, 2, (1, "c", 1), (1, "c", 1), (4, "d", 1)),
        day(small, 4, (1, "c", 1), (4, "e", 1), (6, "f", "x")),
    ]
    before = everything(small)
    for outcome in outcomes:
        again(small, outcome)
        assert everything(small) == before


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("number", range(3))
def test_a_row_deleted_by_hand_comes_back_with_its_history(
    warehouse: Warehouse, tmp_path: Path, kept: dict[str, Any], number: int
) -> None:
    small = Small(warehouse, tmp_path, {"item": kept})
    outcomes = [
        day(small, 1, (1, "a", 1), (2, "x", 1)),
        day(small, 2, (1, "b", 1)),
        day(small, 3, (1, "c", 1)),
    ]
    before, history = values(small), versions(small)
    small.rows("DELETE FROM dim_item WHERE id = 1")
    assert any(check.differences for check in run_checks(warehouse, small.config))
    again(small, outcomes[number])
    if number == 2 or history:
        assert values(small) == before
    assert versions(small) == history
    check_books(small)
