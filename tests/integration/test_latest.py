"""`keep: latest` without a column of times: the row of the later file stands, whenever it comes."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from config.jobs import FileOutcome
from datawarehouse.db_connection import Warehouse
from ingestion.group_load import GroupLoad
from tests.integration.small import PII, Small

pytestmark = pytest.mark.usefixtures("config")
ITEM: dict[str, Any] = {"key": "id", "columns": {"id": "int", "v": "str"}, "keep": "latest"}
COMPOSITE = {**ITEM, "key": ["id", "v2"], "columns": {"id": "int", "v2": "str", "v": "str"}}
DAYS = ("2026-02-19/23", "2026-02-20", "2026-02-20/07")


def books(outcome: FileOutcome) -> tuple[int, int, int, int, int]:
    assert outcome.error is None
    return outcome.inserted, outcome.updated, outcome.already_present, outcome.stale, outcome.changed


def test_a_price_that_changes_is_that_of_the_later_file(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    small.load("item", [(1, "3.50"), (2, "same")], folder=DAYS[0])
    outcome = small.load("item", [(1, "9.90"), (2, "same"), (3, "new")], folder=DAYS[1])
    assert books(outcome) == (1, 1, 1, 0, 0)
    assert small.rows("SELECT id, v FROM dim_item ORDER BY 1") == [(1, "9.90"), (2, "same"), (3, "new")]
    (logged,) = small.rows(
        "SELECT inserted_records, updated_records, unchanged_records, stale_records, as_of::text"
        f" FROM pipeline_file_log WHERE file_id = {outcome.file_id}"
    )
    assert logged == (1, 1, 1, 0, "2026-02-20 00:00:00")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_the_order_of_arrival_makes_no_difference(
    warehouse: Warehouse, tmp_path: Path, order: tuple[int, ...]
) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    files = {day: [(1, f"of {day}"), (10 + number, "own")] for number, day in enumerate(DAYS)}
    for number in order:
        small.load("item", files[DAYS[number]], folder=DAYS[number])
    assert small.rows("SELECT v FROM dim_item WHERE id = 1") == [(f"of {DAYS[2]}",)]
    updated, stale = small.rows("SELECT sum(updated_records), sum(stale_records) FROM pipeline_file_log")[0]
    assert updated + stale == 2
    assert small.rows("SELECT count(*) FROM dim_item") == [(4,)]


def test_the_same_content_on_another_day_is_another_file(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    for day, price in (("2026-02-01", "3.50"), ("2026-02-02", "9.90"), ("2026-02-03", "3.50")):
        assert small.load("item", [(1, price)], folder=day).status == "success"
    assert small.rows("SELECT v FROM dim_item") == [("3.50",)]
    assert small.load("item", [(1, "3.50")], folder="2026-02-03").status == "already_done"


def test_files_of_one_hour_are_told_apart_by_their_times_of_change(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    jobs = [small.job("item", [(1, text)], "2026-02-20/10") for text in ("first", "second")]
    for job, seconds in zip(jobs, (1_000, 2_000), strict=True):
        os.utime(job.path, (seconds, seconds))
    for job in reversed(jobs):
        small.loader().run(job)
    assert small.rows("SELECT v FROM dim_item") == [("second",)]


@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_rows_of_one_file_with_one_key_are_duplicates(
    warehouse: Warehouse, tmp_path: Path, chunk_rows: int
) -> None:
    small = Small(warehouse, tmp_path, {"item": COMPOSITE})
    small.load("item", [(1, "a", "old")], folder=DAYS[0])
    outcome = small.load("item", [(1, "a", "new"), (1, "a", "newer?"), (1, "b", "x")], chunk_rows, DAYS[1])
    assert (books(outcome), outcome.duplicates) == ((1, 1, 0, 0, 0), 1)
    assert small.rows("SELECT v FROM dim_item ORDER BY v2") == [("new",), ("x",)]


def test_a_group_of_late_files_brings_nothing_older(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    small.load("item", [(1, "new"), (2, "new")], folder=DAYS[2])
    jobs = [small.job("item", rows, DAYS[0]) for rows in ([(1, "old"), (3, "a")], [(2, "old"), (4, "b")])]
    outcomes = GroupLoad(warehouse, small.config, PII).run(jobs).loaded
    assert list(map(books, outcomes)) == [(1, 0, 1, 1, 0)] * 2
    assert small.rows("SELECT v FROM dim_item ORDER BY id") == [("new",), ("new",), ("a",), ("b",)]
