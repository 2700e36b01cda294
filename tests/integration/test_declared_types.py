"""What a file writes in a declared way is in the table as it was meant; what it writes otherwise is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from datawarehouse.db_connection import Warehouse
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")
TYPES: dict[str, Any] = {
    "receipt": {
        "key": "id",
        "read": {
            "delimiter": ";",
            "decimal": ",",
            "thousands": ".",
            "dates": "%d.%m.%Y",
            "timezone": "Europe/Berlin",
        },
        "columns": {
            "id": "str",
            "amount": {"dtype": "float", "sql_type": "numeric(10,2)"},
            "pieces": "int",
            "day": "date",
            "at": {"dtype": "datetime", "sql_type": "timestamptz", "format": ["%d.%m.%Y %H:%M", "iso"]},
            "till": {"dtype": "time"},
            "ticket": {"dtype": "uuid"},
            "labels": {"dtype": "json", "sql_type": "text[]"},
            "counts": {"dtype": "json", "sql_type": "integer[]"},
        },
        "keep": "latest",
        "newer_by": "at",
    }
}
HEADER = "id;amount;pieces;day;at;till;ticket;labels;counts\n"
UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
ROW = f'R-1;5.927,85;1.200;31.12.2026;01.07.2026 12:00;09:05;{UUID.upper()};"[""a"", ""b,c""]";[1, null]\n'


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path) -> Small:
    return Small(warehouse, tmp_path, TYPES)


def rows(small: Small) -> list[tuple[Any, ...]]:
    with small.warehouse.transaction() as tx:
        tx.execute(
            "SELECT id, amount, pieces, day, at, till, ticket::text, labels, counts FROM dim_receipt ORDER BY id"
        )
        return tx.fetchall()


def test_each_value_is_in_the_table_as_it_was_meant(small: Small) -> None:
    outcome = small.load("receipt", HEADER + ROW)
    assert (outcome.inserted, outcome.quarantined) == (1, 0)
    at = dt.datetime(2026, 7, 1, 10, tzinfo=dt.UTC)
    wanted = (
        "R-1",
        Decimal("5927.85"),
        1200,
        dt.date(2026, 12, 31),
        at,
        dt.time(9, 5),
        UUID,
        ["a", "b,c"],
        [1, None],
    )
    assert rows(small) == [wanted]


def test_what_is_written_in_another_way_is_refused_by_row_and_reason(small: Small) -> None:
    bad = (
        ROW.replace("R-1", "R-2").replace("5.927,85", "5927.85")
        + ROW.replace("R-1", "R-3").replace("01.07.2026 12:00", "25.10.2026 02:30")
        + ROW.replace("R-1", "R-4").replace("[1, null]", "[1.5]")
        + ROW.replace("R-1", "R-5").replace("31.12.2026", "2026-12-31")
    )
    outcome = small.load("receipt", HEADER + bad + ROW)
    assert (outcome.inserted, outcome.quarantined) == (1, 4)
    assert {(rule, column) for _, rule, column in outcome.reasons} == {
        ("dtype", "amount"),
        ("ambiguous_time", "at"),
        ("array_item", "counts"),
        ("dtype", "day"),
    }


def test_a_row_that_is_the_same_in_another_writing_has_not_changed(small: Small) -> None:
    small.load("receipt", HEADER + ROW)
    again = ROW.replace(UUID.upper(), UUID).replace("1.200", "1200").replace("[1, null]", "[1,null]")
    same = small.load("receipt", HEADER + again)
    assert (same.inserted, same.updated, same.already_present, same.changed) == (0, 0, 1, 0)
    newer = small.load("receipt", HEADER + again.replace("01.07.2026 12:00", "02.07.2026 12:00"))
    assert newer.updated == 1
