"""Persons in histories: erased, or masked late, they are in no version, nor in what was seen beside them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from datawarehouse.db_connection import Warehouse
from datawarehouse.erasure import erase
from datawarehouse.schema.late_pii import mask_late_columns
from datawarehouse.undo import undo
from tests.integration.small import PII, Small
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("config")
PERSON: dict[str, Any] = {
    "key": "id",
    "columns": {
        "id": "int",
        "name": {"dtype": "str", "personal": True},
        "city": "str",
        "note": "str",
        "u": "datetime",
    },
    "keep": "history",
    "newer_by": "u",
    "track": ["name", "city"],
}
CANARY = "Zyx Canary"


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path) -> Small:
    return seeded(warehouse, tmp_path, PERSON)


def seeded(warehouse: Warehouse, tmp_path: Path, person: dict[str, Any]) -> Small:
    small = Small(warehouse, tmp_path, {"item": person})
    small.load("item", [(1, f"{CANARY} A", "x", "n", "2026-01-01"), (2, "Other", "x", "n", "2026-01-01")])
    small.load("item", [(1, f"{CANARY} B", "x", "n", "2026-01-02"), (1, f"{CANARY} B", "y", "n", "2026-01-03")])
    small.load("item", [(1, f"{CANARY} B", "y", "of no interest", "2026-01-04")])
    assert "canary" in everything(small).lower()
    return small


def everything(small: Small) -> str:
    tables = small.rows(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return "\n".join(str(small.rows(f'SELECT * FROM "{table}"')) for (table,) in tables)


def check_books(small: Small) -> None:
    assert [row for check in run_checks(small.warehouse, small.config) for row in check.differences] == []


def forget(small: Small) -> None:
    with small.warehouse.transaction() as tx:
        erase(tx, small.config, "dim_item", "1", "me")


def test_an_erased_person_is_in_no_version(small: Small, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        forget(small)
    assert CANARY not in everything(small)
    assert CANARY not in caplog.text
    check_books(small)
    versions = "SELECT city, valid_from::date::text, valid_to::date::text FROM dim_item_history WHERE id = 1"
    assert small.rows(f"{versions} ORDER BY 2") == [
        ("x", "2026-01-01", "2026-01-03"),
        ("y", "2026-01-03", "infinity"),
    ]
    assert small.rows("SELECT name FROM dim_item ORDER BY id") == [(None,), ("Other",)]


def test_no_file_brings_an_erased_person_back(small: Small) -> None:
    forget(small)
    late = small.load(
        "item", [(1, f"{CANARY} C", "z", "n", "2026-01-02T12:00:00"), (1, CANARY, "w", "n", "2026-02-01")]
    )
    assert CANARY not in everything(small)
    check_books(small)
    with small.warehouse.transaction() as tx:
        undo(tx, small.config, late.file_id or 0, "me", "2026-02-20")
    assert CANARY not in everything(small)
    check_books(small)


def test_a_person_is_erased_from_a_history_that_is_kept_no_more(small: Small, tmp_path: Path) -> None:
    small = Small(small.warehouse, tmp_path, {"item": {**PERSON, "keep": "latest", "track": []}})
    forget(small)
    assert CANARY not in everything(small)


def test_a_column_that_becomes_sensitive_is_hashed_in_all_versions(
    warehouse: Warehouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named = {**PERSON["columns"], "name": {"dtype": "str", "sql_type": "varchar(64)"}}
    small = seeded(warehouse, tmp_path, {**PERSON, "columns": named})
    with warehouse.transaction() as tx:
        mask_late_columns(tx, small.config, PII)
    hashed = {**named, "name": {"dtype": "str", "sql_type": "varchar(64)", "pii": "email"}}
    small = Small(warehouse, tmp_path, {"item": {**PERSON, "columns": hashed}})
    with caplog.at_level(logging.DEBUG), warehouse.transaction() as tx:
        masked = mask_late_columns(tx, small.config, PII)
    assert masked.rows > 0
    assert "canary" not in everything(small).lower()
    assert "canary" not in caplog.text.lower()
    check_books(small)
    again = small.load("item", [(1, f"{CANARY} B", "y", "n", "2026-01-05")])
    assert again.updated == 1
    assert small.rows("SELECT count(*) FROM dim_item_history WHERE id = 1") == [(3,)]
    check_books(small)
