"""Keys are compared as they are, and healing orphans gets on and ends, whatever their types."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine import retry as quarantine_retry
from datawarehouse.quarantine.retry import OrphanRetry
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")


def types(parent: str, child: str, dtype: str = "str", *, more: Any = None) -> dict[str, Any]:
    return {
        "owner": {"key": "id", "columns": {"id": {"dtype": dtype, "sql_type": parent}, "name": "str"}},
        "item": {
            "key": "id",
            "columns": {"id": "int", "owner": {"dtype": dtype, "sql_type": child}},
            "foreign_keys": {"owner": "owner"},
            **(more or {}),
        },
    }


class StopsLater(threading.Event):
    """Is set after it was asked `times` times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def is_set(self) -> bool:
        self.times -= 1
        return self.times < 0


def still_open(small: Small) -> list[tuple[Any, ...]]:
    return small.rows(
        "SELECT array_agg(row_number ORDER BY row_number) FROM quarantine"
        " WHERE rejection_stage = 'orphan' AND resolution IS NULL"
    )


@pytest.mark.parametrize("parent", ["varchar(5)", "char(5)", "text"])
def test_many_orphans_whose_keys_begin_like_a_parents_wait_on(
    any_warehouse: Warehouse, tmp_path: Path, parent: str
) -> None:
    small = Small(any_warehouse, tmp_path, types(parent, "text"))
    count = quarantine_retry.CHUNK_ROWS + 50
    assert small.load("item", [(n, "ABCDEFGH") for n in range(count)]).orphans == count
    small.load("item", [(count, "ABCDE")])
    small.load("owner", [("ABCDE", "a")])
    retry = OrphanRetry(any_warehouse, small.config)
    assert [retry.after("dim_owner"), retry.everything()] == [1, 0]
    assert small.rows("SELECT owner FROM dim_item") == [("ABCDE",)]


def test_orphans_that_keep_waiting_do_not_hold_up_those_behind_them(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a turn takes: theirs is another parent, which has not come."""
    monkeypatch.setattr(quarantine_retry, "CHUNK_ROWS", 4)
    two = types("varchar(5)", "text")
    two["item"]["columns"] |= {"second": {"dtype": "str"}}
    two["item"]["foreign_keys"] = {"owner": "owner", "second": "owner"}
    small = Small(warehouse, tmp_path, two)
    rows = [(n, "a", "never" if n < 10 else "a") for n in range(13)]
    assert small.load("item", rows).orphans == 13
    small.load("owner", [("a", "x")])
    assert OrphanRetry(warehouse, small.config).everything() == 3
    assert still_open(small) == [(list(range(1, 11)),)]


def test_healing_stops_when_it_is_told_to(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine_retry, "CHUNK_ROWS", 2)
    small = Small(warehouse, tmp_path, types("text", "text"))
    small.load("item", [(n, "a") for n in range(10)])
    small.load("owner", [("a", "x")])
    stop = StopsLater(2)
    assert OrphanRetry(warehouse, small.config, stop).everything() == 4
    assert OrphanRetry(warehouse, small.config).everything() == 6


@pytest.mark.parametrize(
    ("parent", "beyond"), [("integer", 5_000_000_000), ("smallint", 70_000), ("bigint", -(2**63))]
)
@pytest.mark.parametrize("chunk_rows", [1, 100])
def test_a_key_beyond_the_parents_type_is_an_orphan_and_costs_no_other(
    any_warehouse: Warehouse, tmp_path: Path, parent: str, beyond: int, chunk_rows: int
) -> None:
    lookup = {"derive": {"owner_name": {"lookup": {"from": "owner", "by": "owner", "take": "name"}}}}
    small = Small(any_warehouse, tmp_path, types(parent, "bigint", "int", more=lookup))
    small.load("owner", [(7, "seven")])
    outcome = small.load("item", [(1, beyond), (2, 7), (3, -beyond - 1), (4, 8)], chunk_rows)
    assert (outcome.error, outcome.inserted, outcome.orphans) == (None, 1, 3)
    assert small.rows("SELECT id, owner, owner_name FROM dim_item") == [(2, 7, "seven")]
    small.load("owner", [(8, "eight")])
    assert OrphanRetry(any_warehouse, small.config).everything() == 1
    assert still_open(small) == [([1, 3],)]


def test_a_wait_for_what_is_no_number_any_more_stops_nobody(warehouse: Warehouse, tmp_path: Path) -> None:
    """As left by a configuration in which the key was text."""
    small = Small(warehouse, tmp_path, types("integer", "bigint", "int"))
    small.load("item", [(1, 8), (2, 9), (3, 10)])
    small.rows("UPDATE orphan_wait SET parent_key = 'A8' WHERE row_number = 1")
    small.rows(f"UPDATE orphan_wait SET parent_key = '{'9' * 30}' WHERE row_number = 2")
    small.load("owner", [(10, "x")])
    assert OrphanRetry(warehouse, small.config).everything() == 1


def test_keys_that_are_padded_find_their_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    lookup = {"derive": {"owner_name": {"lookup": {"from": "owner", "by": "owner", "take": "name"}}}}
    small = Small(warehouse, tmp_path, types("char(5)", "text", more=lookup))
    small.load("owner", [("AB", "short"), ("ABCDE", "full")])
    assert small.load("owner", [("AB", "again")]).already_present == 1
    assert small.load("item", [(1, "AB"), (2, "ABCDE")]).inserted == 2
    assert small.rows("SELECT owner_name FROM dim_item ORDER BY id") == [("short",), ("full",)]
