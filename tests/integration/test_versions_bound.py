"""`version_of`: a fact is bound to the version of its parent that was valid at its time, whatever came first."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import pytest

from config.errors import ConfigError
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from tests.acceptance.daemon import wait_until
from tests.integration.small import Small
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("config")
PERSON: dict[str, Any] = {
    "key": "id",
    "columns": {"id": "int", "region": "str", "u": "datetime"},
    "keep": "history",
    "newer_by": "u",
}
SALE: dict[str, Any] = {
    "key": "n",
    "table": "fact_sale",
    "columns": {"n": "int", "person": "int", "at": "datetime"},
    "foreign_keys": {"person": "person"},
    "derive": {"person_version": {"version_of": "person", "by": "person", "at": "at"}},
}
BOUND = """
SELECT s.n, h.region FROM fact_sale s LEFT JOIN dim_person_history h ON h.version_id = s.person_version ORDER BY 1
"""
FIRST, SECOND, THIRD = (1, "north", "2026-01-10"), (1, "south", "2026-02-10"), (1, "west", "2026-03-10")
SALES = [
    (1, 1, "2026-01-01"),
    (2, 1, "2026-01-10"),
    (3, 1, "2026-02-09 23:59:59"),
    (4, 1, "2026-02-10"),
    (5, 1, "2026-04-01"),
    (6, None, "2026-04-01"),
    (7, 1, None),
]
AS_IT_WAS = [(1, "north"), (2, "north"), (3, "north"), (4, "south"), (5, "west"), (6, None), (7, None)]


def differences(small: Small) -> list[dict[str, Any]]:
    return [row for check in run_checks(small.warehouse, small.config)[:-1] for row in check.differences]


@pytest.fixture(params=["plain", "indexed", "partitioned", "latest"])
def small(request: pytest.FixtureRequest, warehouse: Warehouse, tmp_path: Path) -> Small:
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "indexed": {"indexes": ["person"]},
        "partitioned": {
            "partition_by": {"column": "day", "interval": "month", "since": "2026-01-01"},
            "columns": {**SALE["columns"], "day": {"dtype": "datetime", "nullable": False}},
        },
        "latest": {"keep": "latest"},
    }
    return Small(warehouse, tmp_path, {"person": PERSON, "sale": {**SALE, **ways[request.param]}})


def sales(small: Small, rows: list[Any] = SALES) -> list[Any]:
    wide = len(small.config.by_logical_name["sale"].schema.columns) == 4
    return [(*row, row[2] or "2026-06-01") for row in rows] if wide else rows


@pytest.mark.parametrize("chunk_rows", [2, 100])
def test_a_row_is_bound_to_the_version_of_its_time(small: Small, chunk_rows: int) -> None:
    small.load("person", [FIRST, SECOND, THIRD, (2, "east", None)])
    small.load("sale", sales(small), chunk_rows)
    assert small.rows(BOUND) == AS_IT_WAS
    assert differences(small) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_rows_are_bound_the_same_in_whatever_order_versions_come(small: Small, order: tuple[int, ...]) -> None:
    versions = [FIRST, SECOND, THIRD]
    small.load("person", [versions[order[0]]])
    small.load("sale", sales(small, SALES[:4]))
    small.load("person", [versions[order[1]], (3, "new", "2026-01-01")])
    assert differences(small) == []
    small.load("sale", sales(small, SALES[4:]))
    small.load("person", [versions[order[2]]])
    assert small.rows(BOUND) == AS_IT_WAS
    assert differences(small) == []


def test_only_rows_whose_version_is_another_now_are_written(small: Small) -> None:
    small.load("person", [FIRST, SECOND])
    small.load("sale", sales(small))
    before = dict(small.rows("SELECT n, xmin::text FROM fact_sale"))
    small.load("person", [THIRD, (2, "east", "2026-01-01")])
    after = dict(small.rows("SELECT n, xmin::text FROM fact_sale"))
    assert [n for n in before if before[n] != after[n]] == [5]


def test_placeholders_are_bound_when_their_parents_come(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"person": PERSON, "sale": {**SALE, "if_parent_missing": "placeholder"}})
    small.load("sale", SALES)
    assert {region for _, region in small.rows(BOUND)} == {None}
    for version in (SECOND, THIRD, FIRST):
        small.load("person", [version])
        assert differences(small) == []
    assert small.rows(BOUND) == AS_IT_WAS


def test_a_group_of_files_binds_its_rows(small: Small) -> None:
    small.load("person", [FIRST])
    small.load_together("sale", [sales(small, SALES[:3]), sales(small, SALES[3:])])
    small.load_together("person", [[SECOND], [(2, "east", "2026-01-01")]])
    small.load("person", [THIRD])
    assert small.rows(BOUND) == AS_IT_WAS
    assert differences(small) == []


def test_a_key_of_two_columns_and_a_day_bind_too(warehouse: Warehouse, tmp_path: Path) -> None:
    person = {**PERSON, "key": ["id", "land"], "columns": {"id": "int", "land": "str", **PERSON["columns"]}}
    sale = {
        **SALE,
        "columns": {"n": "int", "person": "int", "land": "str", "at": "date"},
        "foreign_keys": {"person, land": "person"},
        "derive": {"person_version": {"version_of": "person", "by": "person, land", "at": "at"}},
    }
    small = Small(warehouse, tmp_path, {"person": person, "sale": sale})
    small.load(
        "person", [(1, 'a"b', "north", "2026-01-10"), (1, 'a"b', "south", "2026-02-10"), (1, "c", "x", None)]
    )
    small.load("sale", [(1, 1, 'a"b', "2026-02-09"), (2, 1, 'a"b', "2026-02-10"), (3, 1, "c", "2026-02-10")])
    assert small.rows(BOUND) == [(1, "north"), (2, "south"), (3, "x")]
    small.load("person", [(1, 'a"b', "west", "2026-02-01")])
    assert small.rows(BOUND) == [(1, "west"), (2, "south"), (3, "x")]
    assert differences(small) == []


def test_rows_that_are_there_are_bound_when_the_yaml_says_so(warehouse: Warehouse, tmp_path: Path) -> None:
    person = {**PERSON, "keep": "latest"}
    small = Small(warehouse, tmp_path, {"person": person, "sale": {**SALE, "derive": {}}})
    small.load("person", [FIRST])
    small.load("sale", SALES)
    small = Small(warehouse, tmp_path, {"person": PERSON, "sale": SALE})
    assert {region for n, region in small.rows(BOUND) if n < 6} == {"north"}
    small.load("person", [SECOND])
    small.load("person", [THIRD])
    assert small.rows(BOUND) == AS_IT_WAS
    assert differences(small) == []
    init_schema(warehouse, small.config)


def test_versions_that_move_while_rows_are_loaded_are_found_by_who_ends_last(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    small = Small(warehouse, tmp_path, {"person": PERSON, "sale": SALE})
    small.load("person", [FIRST])
    job = small.job("sale", SALES)

    def while_loaded(_job: object, _rows: int) -> None:
        if not small.rows("SELECT FROM dim_person WHERE region = 'west'"):
            small.load("person", [SECOND, THIRD])

    small.loader(progress=while_loaded).run(job)
    assert small.rows(BOUND) == AS_IT_WAS
    assert differences(small) == []


def test_a_load_waits_with_its_end_for_versions_that_move(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"person": PERSON, "sale": SALE})
    small.load("person", [FIRST])
    with warehouse.transaction() as tx:
        tx.execute("SELECT pg_advisory_xact_lock(hashtext('fastfeast moves'), hashtext('dim_person'))")
        thread = threading.Thread(target=lambda: small.load("sale", SALES))
        thread.start()
        wait_until(lambda: small.rows("SELECT 1 FROM pg_locks WHERE NOT granted"), "the load waits")
    thread.join()
    assert len(small.rows(BOUND)) == 7


def test_verify_tells_of_rows_that_are_bound_to_another_version(small: Small) -> None:
    small.load("person", [FIRST, SECOND])
    small.load("sale", sales(small))
    small.rows("UPDATE fact_sale SET person_version = NULL WHERE n < 3")
    found = differences(small)
    assert [(row["table"], row["found"]) for row in found] == [("fact_sale", 2)]
    assert "person_version is not the version of its time" in found[0]["what"]


@pytest.mark.parametrize(
    ("derivation", "said"),
    [
        ({"version_of": "nobody", "by": "person", "at": "at"}, "'nobody' is not the type of any expected file"),
        (
            {"version_of": "plain", "by": "person", "at": "at"},
            "'plain' has no versions; give its files keep: history",
        ),
        (
            {"version_of": "person", "by": "n", "at": "at"},
            "'n' is not a foreign key to 'person' by its primary key",
        ),
        ({"version_of": "person", "by": "person", "at": "n"}, "at: 'n' is int, not datetime or date"),
        ({"version_of": "person", "by": "person", "at": "x"}, "at: 'x' is not a column of schemas.sale"),
        ({"version_of": "person", "by": "person"}, "at: missing; name the datetime or date column"),
        ({"version_of": "person", "at": "at"}, "by: missing; name the foreign key to 'person'"),
        ({"date_key": "at", "at": "at"}, "by and at go with version_of"),
        ({"by": "person", "at": "at"}, "give exactly one of date_key"),
    ],
)
def test_what_can_not_be_bound_is_said_with_a_way_out(
    warehouse: Warehouse, tmp_path: Path, derivation: dict[str, str], said: str
) -> None:
    plain = {"key": "id", "columns": {"id": "int"}}
    with pytest.raises(ConfigError) as caught:
        Small(
            warehouse, tmp_path, {"person": PERSON, "plain": plain, "sale": {**SALE, "derive": {"v": derivation}}}
        )
    assert said in str(caught.value)


def test_what_keeps_history_itself_is_not_bound(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'sale' keeps history itself"):
        Small(warehouse, tmp_path, {"person": PERSON, "sale": {**SALE, "keep": "history"}})
