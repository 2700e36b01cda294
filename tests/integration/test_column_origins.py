"""A column comes from where the YAML says: another name, a path, a default, the file's place; on every road."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from config.jobs import FileJob, Status
from datawarehouse.db_connection import Warehouse
from ingestion.group_load import GroupLoad
from tests.integration.small import PII, Small

pytestmark = pytest.mark.usefixtures("config")
COLUMNS: dict[str, Any] = {
    "id": {"dtype": "int", "from": ["Order No.", "order"]},
    "name": {"dtype": "str", "from": "Full Name", "nullable": False},
    "qty": {"dtype": "int", "default": 1, "nullable": False},
    "price": {"dtype": "float", "sql_type": "numeric(12,4)", "default": 0.5, "optional": True},
    "note": {"dtype": "str", "optional": True},
    "day": {"dtype": "date", "default": "2020-02-29"},
    "tags": {"dtype": "json", "sql_type": "text[]", "default": ["none"], "optional": True},
}
TYPES: dict[str, Any] = {
    "sale": {"key": "id", "columns": COLUMNS},
    "visit": {"key": "id", "columns": COLUMNS, "extension": ".json"},
}
WANTED = "SELECT id, name, qty, price::text, note, day::text, tags FROM dim_{} ORDER BY id"


@pytest.fixture
def small(warehouse: Warehouse, tmp_path: Path) -> Small:
    return Small(warehouse, tmp_path, TYPES)


CSV = 'Full Name,order,qty,day\n"A, B",1,,2026-01-01\nC,2,7,\n'


def test_a_csv_column_comes_under_an_alias_and_gets_its_default(small: Small) -> None:
    outcome = small.load("sale", CSV)
    assert (outcome.status, outcome.inserted) == (Status.SUCCESS, 2)
    read = list(csv.DictReader(io.StringIO(CSV)))
    wanted = [
        (int(r["order"]), r["Full Name"], int(r["qty"] or 1), "0.5000", None, r["day"] or "2020-02-29", ["none"])
        for r in read
    ]
    assert small.rows(WANTED.format("sale")) == wanted


def test_a_json_key_comes_under_an_alias_and_gets_its_default(small: Small) -> None:
    records = [
        {"order": 1, "Full Name": "A", "qty": None, "day": None},
        {"order": 2, "Full Name": "B", "price": 12345678.1234, "tags": ["x"], "note": "n"},
    ]
    outcome = small.load("visit", json.dumps(records))
    assert (outcome.status, outcome.inserted) == (Status.SUCCESS, 2)
    assert small.rows(WANTED.format("visit")) == [
        (1, "A", 1, "0.5000", None, "2020-02-29", ["none"]),
        (2, "B", 1, "12345678.1234", "n", "2020-02-29", ["x"]),
    ]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("sale", "Order No.,order,Full Name,qty,day\n1,1,x,1,\n", "given twice: id (as Order No. and order)"),
        ("sale", "order,qty,day\n1,1,\n", "missing: name (from Full Name)"),
        ("sale", "order,name,qty,day\n1,x,1,\n", "unexpected: name"),
        ("sale", "order,Full Name,day\n1,x,\n", "missing: qty"),
        ("visit", '[{"order": 1}]', "missing: name (from Full Name)"),
        ("visit", '[{"order": 1, "name": "x", "Full Name": "y"}]', "unexpected: name"),
    ],
)
def test_other_columns_are_told_with_their_names_and_the_way_out(
    small: Small, name: str, text: str, told: str
) -> None:
    outcome = small.load(name, text)
    assert outcome.status is Status.FAILED
    assert told in (outcome.error or "")
    assert "(the YAML can say: " in (outcome.error or "")


def test_a_record_that_gives_a_column_twice_is_refused_and_costs_no_other(small: Small) -> None:
    both = [{"order": 1, "Order No.": 9, "Full Name": "A"}, {"Order No.": 2, "Full Name": "B"}]
    outcome = small.load("visit", json.dumps(both))
    assert (outcome.status, outcome.inserted, outcome.quarantined) == (Status.SUCCESS, 1, 1)
    assert {(rule, column) for _, rule, column in outcome.reasons} == {("key_given_twice", "")}
    every = small.load("visit", json.dumps(both[:1]))
    assert "given twice: id (as Order No. and order)" in (every.error or "")


PLACED: dict[str, Any] = {
    "key": "id",
    "columns": {
        "id": "int",
        "day": {"dtype": "date", "value": {"file": "date"}},
        "branch": {"dtype": "int", "value": {"path": "branch=([^/]+)"}},
        "region": {"dtype": "str", "value": {"path": "region=([^/]+)"}, "optional": True, "default": "none"},
        "kind": {"dtype": "str", "value": {"constant": "a"}},
    },
}


@pytest.mark.parametrize("extension", [".csv", ".json"])
@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("2026-02-20/branch=7", ""),
        (
            "branch=7",
            "column day: the file lies in no folder YYYY-MM-DD, which would tell its date; optional: true",
        ),
        ("2026-02-20", "column branch: the file's path does not match value.path; optional: true lets it be null"),
        ("2026-02-20/branch=x", "column branch: what its value (path) takes of the file's path is no int"),
    ],
)
def test_a_path_that_does_not_tell_fails_the_file_and_says_why(
    warehouse: Warehouse, tmp_path: Path, extension: str, folder: str, told: str
) -> None:
    small = Small(warehouse, tmp_path, {"thing": PLACED | {"extension": extension}})
    path = tmp_path / "in" / folder / f"thing{extension}"
    path.parent.mkdir(parents=True)
    path.write_text("id\n1\n" if extension == ".csv" else '[{"id": 1}]')
    outcome = small.loader().run(FileJob(path, small.config.by_logical_name["thing"], 0, 0))
    assert told in (outcome.error or "")
    stored = small.rows("SELECT id, day::text, branch, region, kind FROM dim_thing")
    assert stored == ([] if told else [(1, "2026-02-20", 7, "none", "a")])


DRIFTING: dict[str, Any] = {
    "key": "id",
    "columns": {"id": "int", "a": "str", "b": {"dtype": "int", "default": 5}},
    "new_columns": "ignore",
    "missing_columns": "null",
}


def test_new_columns_are_left_out_and_missing_ones_null_alone_and_in_a_group(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    types = {name: DRIFTING | {"extension": ending} for name, ending in (("one", ".csv"), ("two", ".json"))}
    small = Small(warehouse, tmp_path, types)
    files = {"one": ["x,id\n9,1\n", "id,a,b\n2,A,2\n", "id,y,y\n3,,\n"]}
    files["two"] = ['[{"x": [9], "id": 1}]', '[{"id": 2, "a": "A", "b": 2}]', '[{"id": 3, "y": {"id": 1}}]']
    for name, texts in files.items():
        jobs = [small.job(name, text) for text in texts]
        assert small.loader().run(jobs[0]).inserted == 1
        together = GroupLoad(small.warehouse, small.config, PII).run(jobs[1:]).loaded
        assert [outcome.inserted for outcome in together] == [1, 1]
        stored = small.rows(f"SELECT id, a, b FROM dim_{name} ORDER BY id")
        assert stored == [(1, None, 5), (2, "A", 2), (3, None, 5)]
