"""Checks that hold a file to the files before it: as usual, or not, alone and among others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.jobs import FileOutcome, Status
from datawarehouse.db_connection import Warehouse
from ingestion.report_html import page
from tests.integration.small import Small, settings_of
from validation.checks import problems
from workbench.check import Checker

SALES: dict[str, Any] = {"key": "id", "columns": {"id": "int", "amount": "float", "Shop": "str", "ok": "bool"}}
USUAL = "3 sigma of the last 30 files"
CHECKS: dict[str, Any] = {
    "amount": {"file": "avg(amount)", "within": USUAL},
    "shops": {"file": "count(distinct shop)", "within": USUAL, "then": "warn", "says": "shops are missing"},
    "no_nulls": {"file": "null_share(amount)", "within": USUAL, "then": "warn"},
    "positive": {"row": "amount > 0", "says": "amounts are above 0"},
    "rows": {"file": "count(*)", "within": "40 sigma of the last 12 files"},
}


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path) -> Small:
    return Small(warehouse, tmp_path, {"sales": {**SALES, "checks": CHECKS}})


def rows(start: int, *amounts: Any, shops: int = 2) -> list[list[Any]]:
    return [[start + n, amount, f"s{n % shops}", "true"] for n, amount in enumerate(amounts)]


def load(small: Small, start: int, *amounts: Any, **how: Any) -> FileOutcome:
    return small.load("sales", rows(start, *amounts, **how))


def test_a_file_that_is_not_as_the_ones_before_fails_or_is_told_of(small: Small) -> None:
    assert load(small, 0, 9000, 9000).status is Status.SUCCESS  # too few before it
    small.rows("UPDATE column_profile SET mean_value = 10 WHERE column_name = 'amount'")
    for n in range(1, 10):
        assert load(small, 100 * n, 10 + n % 3, 10).status is Status.SUCCESS
    done = load(small, 2000, 14, 14)
    assert done.status is Status.FAILED
    assert str(done.error).startswith("breaks amount (avg(amount) within 3 sigma of the last 30 files: ")
    assert " sigma off); nothing of it is loaded" in str(done.error)
    assert load(small, 3000, 10, None, shops=1).status is Status.SUCCESS
    assert small.rows("SELECT check_name, rows, says FROM file_warning ORDER BY 1") == [
        ("no_nulls", 0, f"null_share(amount) within {USUAL}: it was the same in the last 10 files"),
        ("shops", 0, "shops are missing: it was the same in the last 10 files"),
    ]
    [third, fourth] = small.load_together("sales", [rows(4000, 10, 11), rows(5000, 10, 10)])
    assert third.status is fourth.status is Status.SUCCESS
    assert load(small, 6000, *[10] * 90).status is Status.FAILED
    with small.warehouse.transaction() as tx:
        checker = Checker(small.config, tx, 3)
        more, odd = (
            checker.check(job.path, job.spec)
            for job in (
                small.job("sales", rows(6000, *[10] * 90)),
                small.job("sales", rows(7000, 10, 11, -1, shops=1)),
            )
        )
    assert str(more.error).startswith(
        "breaks rows (count(*) within 40 sigma of the last 12 files: it was the same"
    )
    assert odd.notes == ["Warning: it breaks shops (shops are missing: 3.33 sigma off)."]
    assert "positive: amounts are above 0" in page([odd])


@pytest.mark.parametrize(
    ("check", "told"),
    [
        ({"within": "3 sigmas of the last 30 files"}, "write it as in: 3 sigma of the last 30 files"),
        ({"within": "0 sigma of the last 30 files"}, "0 sigma is no distance"),
        ({"within": "3 sigma of the last 5 files"}, "10 to 365 files may be compared with, not 5"),
        ({"within": USUAL, "when": "id > 0"}, "within goes with file"),
        (
            {"within": USUAL, "file": "avg(amounts)"},
            "is no column of this schema; it has id, amount",
        ),
        ({"within": USUAL, "file": "avg(amount) > 3"}, "is no figure that is kept of files"),
        ({"within": USUAL, "file": "avg(amount + 1)"}, "is of a column by itself"),
        ({"within": USUAL, "file": "max(shop)"}, "Shop is of dtype str; max(…) is held to figures of numbers"),
        ({"within": USUAL, "file": "avg(born)"}, "born is personal: nothing but counts is kept of it"),
    ],
)
def test_what_can_not_be_is_refused_at_the_start(tmp_path: Path, check: dict[str, Any], told: str) -> None:
    columns = {**SALES["columns"], "born": {"dtype": "int", "personal": True}}
    one = {**SALES, "columns": columns, "checks": {"it": {"file": "avg(amount)", **check}}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings_of({"sales": one})))
    with pytest.raises(ConfigError) as problem:
        raise ConfigError("\n".join(problems(get_config(path))))
    assert "schemas.sales.checks.it" in str(problem.value)
    assert told in str(problem.value)
