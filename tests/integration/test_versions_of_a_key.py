"""With `keep: latest` the newest row of a key is loaded, whatever the order in one file or in several."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from config.jobs import FileOutcome
from config.model import Stage
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from tests.integration.putting_right import CUSTOMERS, Site, customer, update_if_newer
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")
V1, V2, V3 = (1, "v1", "2024-01-01"), (1, "v2", "2024-01-02"), (1, "v3", "2024-01-03")
UNKNOWN = (1, "v0", None)
COLUMNS: dict[str, Any] = {"id": "int", "v": "str", "u": "datetime"}
ITEM: dict[str, Any] = {"key": "id", "columns": COLUMNS, "keep": "latest", "newer_by": "u"}
FACT = {
    **ITEM,
    "table": "fact_item",
    "columns": {**ITEM["columns"], "u": {"dtype": "datetime", "nullable": False}},
}
PARTITIONED = {**FACT, "partition_by": {"column": "u", "interval": "year", "since": "2024-01-01"}}
KINDS = {"dimension": ITEM, "fact": FACT, "partitioned": PARTITIONED}


def books(outcome: FileOutcome) -> tuple[int, int, int, int]:
    assert outcome.error is None
    return outcome.inserted, outcome.updated, outcome.already_present, outcome.quarantined


@pytest.mark.parametrize("kind", KINDS)
def test_any_order_and_any_chunks_give_the_newest(any_warehouse: Warehouse, tmp_path: Path, kind: str) -> None:
    small = Small(any_warehouse, tmp_path, {"item": KINDS[kind]})
    table = small.config.by_logical_name["item"].table
    older = UNKNOWN if kind == "dimension" else V1
    for number, (order, chunk_rows) in enumerate(
        itertools.product(itertools.permutations([older, V2, V3]), (1, 2, 100))
    ):
        rows = [(number, *row[1:]) for row in order]
        assert books(small.load("item", rows, chunk_rows)) == (1, 0, 2, 0), (order, chunk_rows)
    assert small.rows(f"SELECT DISTINCT v FROM {table}") == [("v3",)]


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_what_tells_nothing_newer_is_a_duplicate(warehouse: Warehouse, tmp_path: Path, chunk_rows: int) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    again = [(1, "other", time) for _, _, time in (V1, V3, UNKNOWN)]
    outcome = small.load("item", [V1, UNKNOWN, V3, *again, V2], chunk_rows)
    assert (books(outcome), outcome.duplicates) == ((1, 0, 3, 3), 3)
    assert small.rows("SELECT v FROM dim_item") == [("v3",)]
    assert small.rows("SELECT array_agg(row_number ORDER BY row_number) FROM quarantine") == [([4, 5, 6],)]


@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_the_newest_of_a_file_takes_the_place_of_an_older_row(
    warehouse: Warehouse, tmp_path: Path, chunk_rows: int
) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    small.load("item", [V2])
    assert books(small.load("item", [V3, V1, UNKNOWN], chunk_rows)) == (0, 1, 2, 0)
    assert books(small.load("item", [V1, V2, UNKNOWN], chunk_rows)) == (0, 0, 3, 0)
    assert small.rows("SELECT v FROM dim_item") == [("v3",)]


def test_a_known_time_is_newer_than_an_unknown_one(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    assert books(small.load("item", [UNKNOWN])) == (1, 0, 0, 0)
    assert books(small.load("item", [(1, "still unknown", None)])) == (0, 1, 0, 0)  # the later file's
    assert books(small.load("item", [V1])) == (0, 1, 0, 0)
    assert books(small.load("item", [(1, "unknown again", None)])) == (0, 0, 1, 0)
    assert small.rows("SELECT v FROM dim_item") == [("v1",)]


def test_a_newest_row_that_postgresql_refuses_costs_no_older_one(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    small.rows("ALTER TABLE dim_item ADD CHECK (v NOT IN ('v3', 'v2'))")
    good = [(2, "a", "2024-01-01"), (2, "b", "2024-01-05")]
    outcome = small.load("item", [V1, V3, *good, UNKNOWN, V2])
    assert (books(outcome), outcome.rejected_by_stage) == ((2, 0, 2, 2), {Stage.LOAD: 2})
    assert small.rows("SELECT v FROM dim_item ORDER BY 1") == [("b",), ("v1",)]


def test_files_loaded_together_have_the_newest_of_each(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"item": ITEM})
    small.load("item", [V2])
    outcomes = small.load_together("item", [[V1, V3], [(2, "a", None), (2, "b", "2024-01-01")], [(3, "c", None)]])
    assert list(map(books, outcomes)) == [(0, 1, 1, 0), (1, 0, 1, 0), (1, 0, 0, 0)]
    assert small.rows("SELECT v FROM dim_item ORDER BY id") == [("v3",), ("b",), ("c",)]


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])), ids=str)
def test_orphans_that_heal_leave_the_newest(warehouse: Warehouse, tmp_path: Path, order: Any) -> None:
    columns = {**ITEM["columns"], "owner": "int"}
    item = {**ITEM, "columns": columns, "foreign_keys": {"owner": "owner"}}
    small = Small(warehouse, tmp_path, {"owner": {"key": "id", "columns": {"id": "int"}}, "item": item})
    small.load("owner", [[1]])
    versions = [(*V1, 1), (*V2, 2), (*V3, 2)]  # the first is loaded at once
    assert small.load("item", [versions[n] for n in order]).orphans == 2
    small.load("owner", [[2]])
    OrphanRetry(warehouse, small.config).everything()
    assert small.rows("SELECT v FROM dim_item") == [("v3",)]
    counts = "inserted_records, updated_records, already_present, quarantined FROM pipeline_file_log"
    assert small.rows(f"SELECT {counts} WHERE source_table = 'dim_item'") == [(1, 0, 2, 0)]


def test_a_replayed_and_a_reprocessed_row_are_the_newest(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    update_if_newer(monkeypatch, tmp_path, "customers.csv")

    def version(name: str, day: int, email: str = "ali@example.com") -> str:
        return customer(1, email, name=name).replace(",2026-01-01\n", f",2026-01-0{day}\n")

    text = CUSTOMERS + version("old", 1) + version("newest", 3, "no mail") + version("middle", 2)
    outcome = site.load("batch/2026-02-20/customers.csv", text)
    assert (outcome.inserted, outcome.already_present, outcome.quarantined) == (1, 1, 1)
    assert site.one("SELECT full_name FROM dim_customer") == "middle"
    (refused,) = site.quarantined(full_name="newest")
    site.run("quarantine", "edit", refused, "--set", "email=ali@example.com", "--yes")
    site.run("quarantine", "replay", refused, "--yes")
    assert site.one("SELECT full_name FROM dim_customer") == "newest"
    counts = "SELECT inserted_records, updated_records, already_present, quarantined FROM pipeline_file_log"
    assert site.one(counts) == (1, 0, 2, 0)
    site.run("reprocess", outcome.file_id, "--yes", expect=None)  # the mail in the file is none
    assert site.one("SELECT full_name FROM dim_customer") == "newest"
    assert site.one(counts) == (1, 0, 2, 0)
