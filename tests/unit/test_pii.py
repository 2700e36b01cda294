"""Sensitive values leave as hashes only, and one person hashes the same in every export."""

from __future__ import annotations

import hashlib
import hmac

import pyarrow as pa
import pytest

from config.model import Dtype, PiiKind
from config.schema import Column
from tests.specs import spec_of
from validation.canonical import canonical
from validation.fault_handler import defused, to_json
from validation.phones import PhoneForm
from validation.pii_handler import PiiHandler

MOBILE = {"region": "EG", "kind": "mobile"}
SPEC = spec_of(
    "people",
    "dim_person",
    Column(name="email", dtype=Dtype.STR, pii=PiiKind.EMAIL),
    Column(name="phone", dtype=Dtype.STR, pii=PiiKind.PHONE, uses={"phone": MOBILE}),
)


@pytest.mark.parametrize(
    ("text", "kind", "form"),
    [
        (" Ahmed@Mail.COM ", PiiKind.EMAIL, "ahmed@mail.com"),
        ("01012345678", PiiKind.PHONE, "01012345678"),
        ("1012345678", PiiKind.PHONE, "01012345678"),
        ("1012345678.0", PiiKind.PHONE, "01012345678"),
        ("+201012345678", PiiKind.PHONE, "01012345678"),
        ("0020 101 234 5678", PiiKind.PHONE, "01012345678"),
        ("123", PiiKind.PHONE, "123"),
        (" 29001011234567 ", PiiKind.TEXT, "29001011234567"),
    ],
)
def test_one_person_has_one_spelling(text: str, kind: PiiKind, form: str) -> None:
    assert canonical(text, kind, PhoneForm(**MOBILE)) == form


def test_the_hash_is_sha256_or_hmac_sha256_under_the_key() -> None:
    assert PiiHandler(None).hash_text("x") == hashlib.sha256(b"x").hexdigest()
    assert PiiHandler("k" * 16).hash_text("x") == hmac.new(b"k" * 16, b"x", "sha256").hexdigest()
    assert PiiHandler(None).key_id is None
    assert PiiHandler("k" * 16).key_id != PiiHandler("l" * 16).key_id


def test_loaded_and_refused_rows_hash_alike_and_nulls_stay() -> None:
    pii = PiiHandler("k" * 16)
    rows = pa.table({"id": [1, 2], "email": ["A@b.com", None], "phone": ["1012345678.0", "01012345678"]})
    masked = pii.mask(SPEC, rows).to_pylist()
    assert masked[0]["phone"] == masked[1]["phone"]
    assert masked[1]["email"] is None
    raw = pii.mask_raw(SPEC, {"id": "1", "email": " a@B.com", "phone": " "})
    assert raw == {"id": "1", "email": masked[0]["email"], "phone": " "}


def test_what_can_not_be_told_apart_is_hashed_whole() -> None:
    raw = PiiHandler(None).mask_raw(SPEC, {"_malformed": "1,ahmed@mail.com", "_line": 7, "01012345678": "x@y.com"})
    text = to_json(raw)
    assert "ahmed" not in text
    assert "0101" not in text
    assert "x@y" not in text
    assert raw["_line"] == 7


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(cell: str) -> None:
    assert defused(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "x", "a=b", '{"a": "=1"}', "2026-01-01"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert defused(cell) == cell


def test_json_for_the_database_holds_no_nul_and_no_lone_surrogate() -> None:
    assert to_json({"a": "x\0y", "b": "\ud800", "c": "😀"}) == r'{"a":"x\\u0000y","b":"\\ud800","c":"😀"}'
