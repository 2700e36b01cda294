"""Checks of a schema: conditions over the columns of a row, as PostgreSQL writes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from config.checks import Check
from config.file_spec import FileSpec
from config.model import Dtype, Stage
from config.schema import Column
from tests.unit.test_validation import judge, make_spec

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
    rows = [{"begin": day, "finish": later}, {"begin": later, "finish": day}, {"begin": later}, {}]
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
