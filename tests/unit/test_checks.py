"""Checks of a schema: conditions over the columns of a row, as PostgreSQL writes them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from config.checks import Check
from config.file_spec import FileSpec
from config.model import Dtype, Stage
from config.schema import Column
from tests.unit.test_validation import judge, make_spec
from validation.checks import spec_problems
from validation.expressions.functions import OFFERED

COLUMNS = (
    Column(name="count", dtype=Dtype.INT),
    Column(name="small", dtype=Dtype.INT, sql_type="smallint"),
    Column(name="price", dtype=Dtype.FLOAT, sql_type="numeric(10,2)"),
    Column(name="rate", dtype=Dtype.FLOAT),
    Column(name="begin", dtype=Dtype.DATETIME),
    Column(name="finish", dtype=Dtype.DATETIME),
    Column(name="day", dtype=Dtype.DATE),
    Column(name="state", dtype=Dtype.STR),
    Column(name="is_new", dtype=Dtype.BOOL),
    Column(name="more", dtype=Dtype.JSON),
    Column(name="Strange Name", dtype=Dtype.STR),
)


def spec_with(checks: Mapping[str, Check]) -> FileSpec:
    spec = make_spec(*COLUMNS)
    return dataclasses.replace(spec, schema=spec.schema.changed(checks=dict(checks)))


def broken(check: Check, *rows: dict[str, str | None]) -> list[int]:
    """The numbers of the rows that break `check`."""
    batch = judge(spec_with({"it": check}), *({"id": str(n), **row} for n, row in enumerate(rows, 1)))
    found = batch.rejections()
    assert all((r.stage, r.rule, r.column) == (Stage.RECORDS, "it", "") for row in found for r in row.reasons)
    return [row.number for row in found]


def test_a_row_that_breaks_a_check_is_refused_and_one_for_which_it_is_null_holds() -> None:
    late = Check(row="finish >= begin")
    day, later = "2026-01-01 10:00:00", "2026-01-01 10:00:01"
    rows: list[dict[str, str | None]] = [
        {"begin": day, "finish": later},
        {"begin": later, "finish": day},
        {"begin": later},
        {},
    ]
    assert broken(late, *rows) == [2]


def test_a_row_for_which_a_check_can_not_be_worked_out_breaks_it_and_costs_no_other() -> None:
    rows: list[dict[str, str | None]] = [
        {"count": "4", "small": "2"},
        {"count": "4", "small": "0"},
        {"count": "4", "small": "3"},
    ]
    assert broken(Check(row="count / small >= 1"), *rows) == [2]
    assert broken(Check(row="small <> 0 and count / small >= 2"), *rows) == [2, 3]
    assert broken(Check(row="count / small >= 2", when="small <> 0"), *rows) == [3]
    assert broken(Check(row="count + 1 > 0"), {"count": "2147483647"}, {"count": "1"}) == [1]


def test_a_value_that_its_schema_refuses_is_no_matter_of_the_checks() -> None:
    spec = spec_with({"it": Check(row="count > 0 and small > 0")})
    refused = judge(spec, {"id": "1", "count": "x", "small": "40000"}).rejections()
    assert [(r.rule, r.column) for r in refused[0].reasons] == [("dtype", "count"), ("out_of_range", "small")]


@pytest.mark.parametrize(
    ("text", "place", "way_out"),
    [
        ("count >", "near its character", "something is missing"),
        ("count > 1; drop table x", "", "without a semicolon"),
        ("counts > 1", "at character 1, counts", "it has id, count"),
        ("1 < pg_read_file('/etc/passwd')", "at character 5, pg_read_file", "docs/checks.md"),
        ("count > (select 1)", "at character 9, (select 1)", "other tables are for foreign keys"),
        ("count in (select 1)", "", "other tables are for foreign keys"),
        ("begin < now()", "", "must not change with the day"),
        ("price / count > 1", "at character 1, price / count", "Multiply instead"),
        ("count / 2 > 1 and price / 3 > 1", "at character 19, price / 3", "Multiply instead"),
        ("state > 'm'", "", 'COLLATE "C"'),
        ("lower(state) = 'a'", "at character 1, lower(state)", 'COLLATE "C"'),
        ("state ilike 'a'", "", 'COLLATE "C"'),
        ("state = 1", "", "text and integer are not compared"),
        ("count = '1'", "", "has no quotes"),
        ("day = '31.01.2026'", "at character 7, '31.01.2026'", "'2026-01-31'"),
        ("finish - begin < interval '2 fortnights'", "", "'2 hours'"),
        ("state ~ '[0-9'", "", "at its character 1"),
        (r"state ~ '^\d+$'", "", "[0-9]"),
        ("state like state", "", "written out"),
        ("more = '{}'", "at character 1, more", "only IS NULL"),
        ("count", "", "where a condition is wanted"),
        ("state::int > 1", "", "dtype"),
        ("'a' || repeat('x', 9) = state", "at character 8, repeat", "docs/checks.md"),
        ("count(*) > 1", "at character 1, count(*)", "docs/checks.md"),
        ("count > 1 from things", "", "one condition"),
        ("things.count > 1", "", "without its table"),
        ("count = 1 = is_new", "", "in parentheses"),
        ("(" * 3000 + "is_new" + ")" * 3000, "", "nested too deeply"),
    ],
)
def test_an_expression_that_is_not_offered_is_told_with_its_place_and_the_way_out(
    text: str, place: str, way_out: str
) -> None:
    spec = spec_with({"it": Check(row=text)})
    (found,) = spec_problems(spec)
    assert found.startswith("schemas.things.checks.it.row: ")
    assert place in found
    assert way_out in found


def test_columns_may_have_names_with_capitals_and_blanks_and_only_null_is_asked_of_others() -> None:
    assert broken(Check(row='"Strange Name" <> state'), {"Strange Name": "a", "state": "a"}) == [1]
    assert broken(Check(row="more is null and COUNT = 1"), {"more": "{}", "count": "1"}) == [1]


def test_the_documentation_lists_what_may_be_called() -> None:
    text = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    table = text.partition("| function |")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)) == set(OFFERED)


def test_a_record_that_deletes_is_held_to_no_check() -> None:
    batch = judge(spec_with({"it": Check(row="count > 0")}), {"id": "1", "count": "0"}, {"id": "2", "count": "0"})
    batch.exempt(np.array([True, False]), {"id"})
    assert [row.number for row in batch.rejections()] == [2]
