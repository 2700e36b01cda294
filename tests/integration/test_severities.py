"""What becomes of rows that break a rule: refused, warned of, or the whole file with them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from config.jobs import Status
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.replay import replay
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.undo import lock_file, undo
from ingestion.reprocess import job_of, reprocess
from tests.integration.small import PII, Small
from workbench.explain import look

RULES: dict[str, Any] = {
    "n": {"at_least": {"value": 0, "then": "warn"}, "at_most": {"value": 99, "then": "fail"}},
    "name": {
        "required": True,
        "lower": {"then": "warn", "says": "names are written small"},
        "length": {"max": 5, "at_most_pct": 50},
        "not_in": {"value": ["odd"], "then": "fail", "at_most_pct": 25},
        "matches": {"value": "[a-z]+", "when": {"n": 7}},
    },
    "code": {"unique": True},
}
THINGS = {
    "key": "id",
    "columns": {
        "id": "int",
        "n": {"dtype": "int", "rules": RULES["n"]},
        "name": {"dtype": "str", "rules": RULES["name"]},
        "code": {"dtype": "str", "rules": RULES["code"]},
    },
}
GOOD = [[1, 1, "a", "c1"], [2, 2, "b", "c2"], [3, 3, "c", "c3"], [4, 4, "d", "c4"]]


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path) -> Small:
    # `unique` keeps files from being loaded together
    return Small(warehouse, tmp_path, {"things": THINGS, "plain": {**THINGS, "columns": PLAIN}})


PLAIN = {name: column for name, column in THINGS["columns"].items() if name != "code"}  # type: ignore[attr-defined]


def test_a_warning_is_loaded_counted_and_listed(small: Small) -> None:
    done = small.load("things", [*GOOD, [5, -1, "E", "c5"], [6, -2, "f", "c6"], [7, -3, None, "c7"]], chunk_rows=2)
    assert (done.status, done.inserted, done.quarantined, done.warned) == (Status.SUCCESS, 6, 1, 2)
    assert done.warnings == {("at_least", "n"): 2, ("lower", "name"): 1}
    assert done.top_warning == "n: at_least"
    assert small.rows("SELECT warned_records, valid_records, quarantined FROM pipeline_file_log") == [(2, 6, 1)]
    assert small.rows("SELECT check_name, column_name, rows, says FROM file_warning ORDER BY 1") == [
        ("at_least", "n", 2, None),
        ("lower", "name", 1, "names are written small"),
    ]
    assert small.rows("SELECT row_number, check_name FROM warned_row ORDER BY 1, 2") == [
        (5, "at_least"),
        (5, "lower"),
        (6, "at_least"),
    ]
    with small.warehouse.transaction() as tx:
        found = look(tx, small.config, small.config.by_logical_name["things"], ["5"])
    assert [(one["column_name"], one["check_name"], one["says"]) for one in found["warnings"]] == [
        ("n", "at_least", None),
        ("name", "lower", "names are written small"),
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [[5, 100, "e", "c5"]],
            "n: at_most is broken by 1 of 5 records, first by record 5: then: fail takes none",
        ),
        (
            [[5 + n, 5, "toolong", f"d{n}"] for n in range(5)],
            "name: length is broken by 5 of 9 records, first by record 5: 55.6 % are more than at_most_pct: 50. "
            "Mend the file, or raise at_most_pct under schemas.things.columns.name.rules.length",
        ),
        (
            [[5, 5, "odd", "c5"], [6, 6, "odd", "c6"]],
            "name: not_in is broken by 2 of 6 records, first by record 5: 33.3 % are more than at_most_pct: 25",
        ),
    ],
)
def test_too_many_fail_the_file_and_nothing_of_it_stays(small: Small, rows: list[list[Any]], told: str) -> None:
    done = small.load("things", [*GOOD, *rows], chunk_rows=3)
    assert done.status is Status.FAILED
    assert told in str(done.error)
    assert small.rows("SELECT count(*) FROM dim_things UNION ALL SELECT count(*) FROM file_warning") == [
        (0,),
        (0,),
    ]


def test_up_to_their_share_they_are_refused_or_pass(small: Small) -> None:
    more = [[5, 5, "odd", "c5"], [6, 6, "toolong", "c6"], [7, 7, "f7", "c7"], [8, 8, "f8", "c8"]]
    done = small.load("things", [*GOOD, *more])
    assert (done.status, done.inserted, done.quarantined, done.warned) == (Status.SUCCESS, 6, 2, 0)
    assert small.rows("SELECT row_number, rejection_reason FROM quarantine ORDER BY 1") == [
        (6, "name: length"),
        (7, "name: matches"),
    ]


def test_a_value_that_an_earlier_good_row_has_breaks_unique_in_any_chunk(small: Small) -> None:
    rows: list[list[Any]] = [[1, 1, None, "x"], [2, 2, "b", "x"], [3, 3, "c", "y"], [4, 4, "d", "x"]]
    last = "WHERE file_id = (SELECT max(file_id) FROM quarantine) ORDER BY 1"
    for chunk_rows in (2, 100):
        small.load("things", [*rows, [5, 5, "e", None], [6, chunk_rows, "f", "y"]], chunk_rows=chunk_rows)
        assert small.rows(f"SELECT row_number, rejection_reason FROM quarantine {last}") == [
            (1, "name: required"),
            (4, "code: unique"),
            (6, "code: unique"),
        ]


def test_files_that_come_together_have_warnings_of_their_own(small: Small) -> None:
    first, second = small.load_together("plain", [[[1, -1, "a"], [2, 2, "b"]], [[3, 3, "c"], [4, 4, "D"]]])
    assert (first.warnings, second.warnings) == ({("at_least", "n"): 1}, {("lower", "name"): 1})
    assert small.rows("SELECT file_id, row_number FROM warned_row ORDER BY 1") == [
        (first.file_id, 1),
        (second.file_id, 2),
    ]


CHILDREN: dict[str, Any] = {
    "towns": {"key": "town", "columns": {"town": "int"}},
    "shops": {
        "key": "id",
        "columns": {
            "id": "int",
            "town": "int",
            "n": {"dtype": "int", "rules": {"at_least": {"value": 0, "then": "warn"}, "at_most": 9}},
            "m": {"dtype": "int", "rules": {"at_most": {"value": 9, "then": "fail"}}},
        },
        "foreign_keys": {"town": "towns"},
    },
}


def test_rows_that_come_late_are_warned_of_as_in_their_file(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, CHILDREN)
    small.load("towns", [[1]])
    done = small.load("shops", [[1, 1, -1, 0], [2, 2, -2, 0], [3, 1, 10, 0], [4, 1, 4, 0]])
    figures = "SELECT warned_records, valid_records FROM pipeline_file_log WHERE logical_name = 'shops'"
    listed = "SELECT array_agg(row_number ORDER BY 1), (SELECT max(rows) FROM file_warning) FROM warned_row"
    assert small.rows(figures) == [(1, 2)]
    small.load("towns", [[2]])
    assert OrphanRetry(warehouse, small.config).after("dim_towns") == 1
    assert small.rows(figures) == [(2, 3)]
    assert small.rows(listed) == [([1, 2], 2)]

    types = copy.deepcopy(CHILDREN)
    types["shops"]["columns"]["n"]["rules"] = {"at_most": {"value": 9, "then": "warn"}}
    [(row,)] = small.rows("SELECT quarantine_id FROM quarantine WHERE row_number = 3")
    with warehouse.transaction() as tx:
        assert replay(tx, small.read(types), [row], "me").loaded == {"dim_shops": 1}
    assert small.rows(figures) == [(3, 4)]
    assert small.rows(listed) == [([1, 2, 3], 2)]

    with warehouse.transaction() as tx:
        file = lock_file(tx, done.file_id or 0)
        reprocess(tx, small.config, PII, job_of(small.config, file), file, "me")
    assert small.rows(figures) == [(2, 4)]
    with warehouse.transaction() as tx:
        undo(tx, small.config, done.file_id or 0, "me", "today")
    assert small.rows(figures) == [(0, 0)]
    assert small.rows("SELECT * FROM file_warning") == small.rows("SELECT * FROM warned_row") == []
