"""Personal data is found wherever it strayed to, however it is written; keys and numbers are left readable."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.file_spec import FileSpec
from config.key import ForeignKey
from config.model import Dtype, Feed, PiiKind, Stage
from config.schema import Column, Schema
from validation.batch import Reason, Rejection
from validation.canonical import all_tidied, canonical, tidied
from validation.fault_handler import quarantine_row
from validation.phones import PhoneForm
from validation.pii_handler import PiiHandler, malformed_raw
from validation.strays import looks_personal

PII = PiiHandler("k" * 16)
COLUMNS = (
    Column(name="id", dtype=Dtype.INT, nullable=False),
    Column(name="order_id", dtype=Dtype.STR, sql_type="varchar(36)"),
    Column(name="big", dtype=Dtype.INT, sql_type="bigint"),
    Column(name="amount", dtype=Dtype.FLOAT, sql_type="numeric(14,2)"),
    Column(name="double", dtype=Dtype.FLOAT),
    Column(name="at", dtype=Dtype.DATETIME),
    Column(name="yes", dtype=Dtype.BOOL),
    Column(name="note", dtype=Dtype.STR),
    Column(name="code", dtype=Dtype.STR, uses={"matches": "[A-Z]{2}[0-9]{10}"}),
    Column(name="phone", dtype=Dtype.STR, pii=PiiKind.PHONE),
    Column(name="email", dtype=Dtype.STR, pii=PiiKind.EMAIL),
)
SPEC = FileSpec(
    "people",
    Feed.BATCH,
    "people.csv",
    "dim_person",
    Schema(name="people", primary_key="id", columns=COLUMNS),
    (ForeignKey.of("order_id", "orders"),),
)
UUID = "12345678-1234-4123-8123-123456789012"


def kept(raw: dict[str, Any], *against: tuple[str, str], stage: Stage = Stage.RECORDS) -> dict[str, Any]:
    """What is kept of a row that is refused for reasons (rule, column)."""
    reasons = tuple(Reason(stage, rule, column) for rule, column in against) or (Reason(stage, "x", "yes"),)
    row: dict[str, Any] = json.loads(quarantine_row(Rejection(1, reasons, raw), SPEC, PII)["raw_data"])
    return row


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("id", "1000000002"),
        ("id", "1000000002.0"),
        ("order_id", "1000000002"),
        ("order_id", UUID),
        ("order_id", "ORD-2026-000123456"),
        ("order_id", "000012345678"),
        ("note", UUID),
        ("big", "285414600000156"),
        ("amount", "123456789.25"),
        ("amount", "105.50000000000001"),
        ("double", "0.1234567890123"),
        ("at", "2026-02-20 10:11:12.123456"),
        ("at", "20.02.2026 10:11:12"),
        ("note", "02/20/2026 10:11 PM"),
        ("code", "AB1234567890"),
    ],
)
def test_what_fits_its_column_stays_readable(column: str, text: str) -> None:
    assert kept({column: text}, ("duplicate", "id"))[column] == text


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("id", "01012345678"),
        ("id", "10123456789"),
        ("order_id", "01012345678"),
        ("order_id", "010-1234-5678"),
        ("order_id", "+201012345678"),
        ("order_id", "00201012345678"),
        ("order_id", "someone@mail.com"),
        ("double", "01012345678"),
        ("at", "2026-01-01 01012345678"),
        ("yes", "1012345678"),
        ("note", "call 010 1234 5678"),
        ("code", "01012345678"),
    ],
)
def test_what_looks_personal_and_does_not_fit_is_masked(column: str, text: str) -> None:
    assert kept({column: text})[column].startswith("sha256:")


def test_a_number_that_its_column_refuses_may_be_a_phone() -> None:
    assert kept({"double": "1012345678"}, ("at_most", "double"))["double"].startswith("sha256:")
    assert kept({"double": "1012345678"}, ("at_most", "amount"))["double"] == "1012345678"


def test_a_key_of_json_is_masked_whatever_it_begins_with() -> None:
    raw = {"id": "1", "_someone@mail.com": "x", "_01012345678": "y", "_line": "010 1234 5678"}
    row = kept(raw, ("unexpected_column", ""), stage=Stage.SCHEMA)
    assert "someone" not in json.dumps(row)
    assert "0101" not in json.dumps(row)
    assert "5678" not in json.dumps(row)
    assert kept(malformed_raw("1,2", 7), ("too_few_fields", ""), stage=Stage.SCHEMA)["_line"] == 7


# ---------------------------------------------------------------- any way of writing

PHONE, EMAIL = "01069123457", "canary.one@hidden-nest.com"
_BETWEEN = " \u00a0\u2007\u202f\t-\u2010\u2011\u2012\u2013\u2014\u2212/_()[]\u200b\u200d\u2060\ufeff\u00ad\u00b7*#"
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u00ad"


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


@st.composite
def disguised(draw: st.DrawFn, text: str, between: str) -> str:
    """`text` with some characters full-width, and characters of `between` at some places."""
    pieces = []
    for character in text:
        pieces.append(wide(character) if draw(st.integers(0, 4)) == 0 else character)
        pieces.append(draw(st.sampled_from(between)) if draw(st.integers(0, 2)) == 0 else "")
    return "".join(pieces)


PHONES, EMAILS = disguised(PHONE, _BETWEEN), disguised(EMAIL, _UNSEEN)


@given(
    st.one_of(PHONES, EMAILS),
    st.sampled_from([c.name for c in COLUMNS]),
    st.sampled_from(["", "x ", "tel:"]),
    st.sampled_from(["column", "name", "malformed"]),
)
@settings(max_examples=200, deadline=None)
def test_a_canary_in_any_writing_is_nowhere_in_quarantine(text: str, column: str, before: str, where: str) -> None:
    text = before + text
    raw: dict[str, Any] = {"column": {"id": "1", column: text}, "name": {"id": "1", f"_{text}": "x"}}.get(
        where, malformed_raw(f"1,{text}", 1)
    )
    row = json.dumps(kept(raw), ensure_ascii=False)
    bare = "".join(c for c in row if c.isalnum())
    assert text not in row
    assert PHONE[1:] not in bare
    assert "canary" not in bare


@given(PHONES, st.booleans())
@settings(max_examples=200, deadline=None)
def test_one_phone_hashes_the_same_however_it_is_written(text: str, float_like: bool) -> None:
    text = text.replace("*", "").replace("#", "")
    form = PhoneForm(region="EG", kind="mobile")
    assert canonical(text, PiiKind.PHONE, form) == PHONE
    assert canonical(PHONE[1:] + ".0" * float_like, PiiKind.PHONE, form) == PHONE


@given(st.one_of(PHONES, EMAILS, st.text(max_size=12), st.from_regex(r"[0-9]{1,16}\.0{1,2}", fullmatch=True)))
@settings(max_examples=150, deadline=None)
def test_a_whole_column_is_put_in_order_as_one_value_is(text: str) -> None:
    text = text.encode("utf-8", "replace").decode().strip()
    for kind in PiiKind:
        assert all_tidied(pa.array([text, None, "x"]), kind).to_pylist() == [tidied(text, kind), None, "x"]
        once = canonical(text, kind)
        assert canonical(once, kind) == once


@pytest.mark.parametrize("text", ["2026-02-20", "2026/02/20 10:11", "20.02.2026", UUID.upper(), "12345678"])
def test_dates_and_uuids_are_nobodys(text: str) -> None:
    assert not looks_personal(text)
