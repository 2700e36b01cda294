"""A refused row that is judged again is held to what the load held against it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from config.checks import Check
from config.model import Dtype, PiiKind, Stage
from config.schema import Column
from tests.unit.test_validation import DATES, make_spec
from validation.batch import Reason
from validation.rejudge import Refused, judge_again

SPEC = make_spec(
    Column(name="phone", dtype=Dtype.STR, pii=PiiKind.TEXT),
    Column(name="note", dtype=Dtype.STR, uses={"required_when": {"phone": ["1"]}}),
)
BROKEN = (Reason(Stage.RECORDS, "required_when", "note"),)


@pytest.mark.parametrize(
    ("row", "refused"),
    [
        (Refused({"id": "1", "phone": "a" * 64, "note": None}, BROKEN), True),
        (Refused({"id": "1", "phone": "a" * 64, "note": "x"}, BROKEN, frozenset({"note"})), False),
        (Refused({"id": "1", "phone": "b" * 64, "note": None}, BROKEN, frozenset({"phone"})), False),
        (Refused({"id": "1", "phone": "a" * 64, "note": None}, ()), False),
        (Refused({"id": "1", "phone": "1", "note": None}, ()), False),
    ],
)
def test_a_rule_that_looks_at_a_hashed_column_stands_until_one_of_both_is_edited(row: Any, refused: bool) -> None:
    batch, _ = judge_again(SPEC, [row], DATES)
    assert [r.reasons for r in batch.rejections()] == ([BROKEN] if refused else [])


@pytest.mark.parametrize(
    ("note", "held", "edited", "refused"),
    [
        ("x", "told_apart", "", True),
        ("x", "told_apart", "note", False),
        ("x", "", "", False),
        ("", "has_a_note", "", True),
        ("x", "has_a_note", "", False),
        ("x", "of_former_days", "", False),
    ],
)
def test_a_check_of_a_hashed_column_stands_and_others_are_judged_again(
    note: str, held: str, edited: str, refused: bool
) -> None:
    reasons = (Reason(Stage.RECORDS, held, ""),) if held else ()
    row = Refused({"id": "1", "phone": "a" * 64, "note": note}, reasons, frozenset({edited}))
    columns = (Column(name="phone", dtype=Dtype.STR, pii=PiiKind.TEXT), Column(name="note", dtype=Dtype.STR))
    spec = make_spec(*columns)
    checks = {"told_apart": Check(row="phone <> note"), "has_a_note": Check(row="length(note) > 0")}
    spec = dataclasses.replace(spec, schema=spec.schema.changed(checks=checks))
    batch, _ = judge_again(spec, [row], DATES)
    assert [r.reasons for r in batch.rejections()] == ([row.reasons] if refused else [])
