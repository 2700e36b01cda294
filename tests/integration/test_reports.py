"""The queries that command line, metrics and dashboard share: filters, order, counts, on really loaded files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from config.jobs import FileJob
from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from ingestion.file_load import FileLoad
from validation.pii_handler import PiiHandler

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def loaded(warehouse: Warehouse, config: PipelineConfig, tmp_path: Path) -> Warehouse:
    """Four files: cities and regions, good; categories with three bad rows; regions with two orphans."""

    def load(name: str, text: str) -> None:
        path = tmp_path / name
        path.write_text(text)
        spec = config.by_logical_name[name.partition(".")[0]]
        FileLoad(warehouse, config, PiiHandler(None)).run(FileJob(path, spec, 0, 0))

    load("cities.csv", "city_id,city_name,country,timezone\n1,Cairo,Egypt,Africa/Cairo\n")
    load("categories.csv", "category_id,category_name\n1,Grill\nx,Fish\n-2,\n1,Again\n")
    load("regions.csv", "region_id,region_name,city_id,delivery_base_fee\n1,Old,1,5\n2,New,7,5\n3,Far,8,5\n")
    load("regions.csv", "region,city\n1,1\n")
    return warehouse


def of(warehouse: Warehouse, function: Any, **parameters: Any) -> list[dict[str, Any]]:
    with warehouse.transaction() as tx:
        rows: list[dict[str, Any]] = function(tx, **parameters)
        return rows


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["logical_name"] for row in rows]


def test_files_come_newest_first_page_by_page(loaded: Warehouse) -> None:
    assert names(of(loaded, reports.files)) == ["regions", "regions", "categories", "cities"]
    page = of(loaded, reports.files, limit=3)
    assert names(of(loaded, reports.files, before_id=page[-1]["file_id"])) == ["cities"]


def test_files_are_filtered_by_each_of_their_marks(loaded: Warehouse) -> None:
    assert names(of(loaded, reports.files, status="failed")) == ["regions"]
    assert names(of(loaded, reports.files, logical_name="cities")) == ["cities"]
    assert of(loaded, reports.files, file_type="stream") == []
    assert names(of(loaded, reports.files, text="CATEGORIES.c")) == ["categories"]
    assert of(loaded, reports.files, text="%") == []  # it is text, no pattern
    now = dt.datetime.now(dt.UTC)
    assert len(of(loaded, reports.files, since=now - HOUR)) == 4
    assert of(loaded, reports.files, since=now + HOUR) == []
    assert names(of(loaded, reports.files, status="success", logical_name="regions", text="reg")) == ["regions"]


def test_one_file_is_told_whole_or_not_at_all(loaded: Warehouse) -> None:
    file_id = of(loaded, reports.files, logical_name="categories")[0]["file_id"]
    with loaded.transaction() as tx:
        file = reports.file(tx, file_id)
        assert file is not None
        assert (file["total_records"], file["inserted_records"], file["quarantined"]) == (4, 1, 3)
        assert len(file["file_hash"]) == 32
        assert reports.file(tx, file_id + 99) is None


def test_quarantined_rows_are_filtered_by_each_of_their_marks(loaded: Warehouse) -> None:
    def found(**parameters: Any) -> list[str]:
        return [row["rejection_reason"] for row in of(loaded, reports.quarantined, **parameters)]

    category = of(loaded, reports.files, logical_name="categories")[0]["file_id"]
    every = found()
    assert len(every) == 5
    assert len(found(file_id=category)) == len(found(table="dim_category")) == 3
    assert found(stage="orphan") == ["city_id: parent_missing"] * 2
    assert found(rule="duplicate") == ["category_id: duplicate"]
    assert len(found(rule="at_least")) == 1
    assert found(text="fISH") == ["category_id: dtype"]
    assert found(since=dt.datetime.now(dt.UTC) + HOUR) == []
    newest = of(loaded, reports.quarantined, limit=2)
    assert newest[0]["quarantine_id"] > newest[1]["quarantine_id"]
    assert len(found(before_id=newest[-1]["quarantine_id"])) == 3


def test_a_row_counts_under_each_of_its_reasons(loaded: Warehouse) -> None:
    rows = of(loaded, reports.reasons)
    counts = {(row["source_table"], row["rule"], row["column"]): row["rows"] for row in rows}
    assert rows[0]["rows"] == counts["dim_region", "parent_missing", "city_id"] == 2
    assert (
        counts["dim_category", "at_least", "category_id"]
        == counts["dim_category", "not_null", "category_name"]
        == 1
    )
    assert len(of(loaded, reports.reasons, limit=1)) == 1
    region = of(loaded, reports.files, logical_name="regions", status="success")[0]["file_id"]
    assert {row["source_table"] for row in of(loaded, reports.reasons, file_id=region)} == {"dim_region"}


def test_an_orphan_that_healed_is_open_no_more(loaded: Warehouse, config: PipelineConfig) -> None:
    assert [(row["state"], row["rows"]) for row in of(loaded, reports.orphans)] == [("open", 2)]
    with loaded.transaction() as tx:
        tx.execute("INSERT INTO dim_city VALUES (7, 'Giza', 'Egypt', 'Africa/Cairo', 1)")
    assert OrphanRetry(loaded, config).everything() == 1
    assert [(row["state"], row["rows"]) for row in of(loaded, reports.orphans)] == [("loaded", 1), ("open", 1)]
    assert len(of(loaded, reports.quarantined, stage="orphan")) == 2
    assert len(of(loaded, reports.quarantined, stage="orphan", open_only=True)) == 1
    assert {row["rule"]: row["rows"] for row in of(loaded, reports.reasons)}["parent_missing"] == 1
    with loaded.transaction() as tx:
        (region,) = (row for row in reports.files(tx, logical_name="regions", status="success"))
        by_state = reports.read(tx, "orphans_of_file", file_id=region["file_id"])
        assert {row["state"]: row["first_row"] for row in by_state} == {"loaded": 2, "open": 3}
        (wait,) = reports.read(tx, "waits_of_file", file_id=region["file_id"], limit=5)
        assert (wait["column"], wait["parent_table"], wait["parent_key"]) == ("city_id", "dim_city", "8")
