"""What is in the file is in the table, or told: nulls, blanks and decimals are as they were written."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config.file_spec import FileSpec
from config.key import ForeignKey
from config.model import Dtype, Feed, PiiKind
from config.read_options import ReadOptions
from config.schema import Column, Schema
from validation.batch import Batch, Chunk
from validation.rejudge import Refused, judge_again, value_problem
from validation.validation_runner import validate

DATES = (dt.date(2000, 1, 1), dt.date(2100, 12, 31))
SHIPPED = ReadOptions(null_values=("", "nan", "null", "none", "na", "n/a"), trim=True)
KEY = Column(name="id", dtype=Dtype.STR, nullable=False)


def spec_of(*columns: Column, read: ReadOptions | None = None, foreign_keys: tuple[str, ...] = ()) -> FileSpec:
    schema = Schema(name="things", primary_key="id", columns=(KEY, *columns))
    keys = tuple(ForeignKey.of(name, "parents") for name in foreign_keys)
    return FileSpec("things", Feed.BATCH, "things.csv", "dim_thing", schema, keys, read=read or ReadOptions())


def judge(spec: FileSpec, column: str, *texts: str | None) -> Batch:
    columns = {c.name: pa.nulls(len(texts), pa.string()) for c in spec.schema.columns}
    columns |= {
        "id": pa.array([f"k{n}" for n in range(len(texts))], pa.string()),
        column: pa.array(texts, pa.string()),
    }
    return validate(Chunk(np.arange(len(texts)), columns), spec, DATES)


def stored(spec: FileSpec, column: str, *texts: str | None) -> list[Any]:
    """What each text becomes: the value that is loaded, or (rules,) where it is refused."""
    batch = judge(spec, column, *texts)
    refused = {r.number: tuple(reason.rule for reason in r.reasons) for r in batch.rejections()}
    return [refused.get(n, value) for n, value in enumerate(batch.output[column].to_pylist())]


# ---------------------------------------------------------------- null


WORDS = ("NA", "None", "null", "n/a", "NaN", " nan ")


def test_words_are_text_unless_the_yaml_says_that_they_mean_null() -> None:
    column = Column(name="c", dtype=Dtype.STR)
    assert stored(spec_of(column), "c", *WORDS, "", None) == [*WORDS, "", None]
    assert stored(spec_of(column, read=SHIPPED), "c", *WORDS, "", "  ", None, "Nan Smith") == [
        *[None] * 9,
        "Nan Smith",
    ]
    named = spec_of(column, read=ReadOptions(null_values=("\\N", "-")))
    assert stored(named, "c", "\\n", " - ", "--", "NA", "") == [None, None, "--", "NA", ""]


@pytest.mark.parametrize("dtype", [Dtype.INT, Dtype.FLOAT, Dtype.BOOL, Dtype.DATETIME])
def test_a_word_in_a_column_of_numbers_or_dates_is_refused_unless_it_is_named(dtype: Dtype) -> None:
    column = Column(name="c", dtype=dtype)
    assert stored(spec_of(column), "c", *WORDS) == [("dtype",)] * len(WORDS)
    assert stored(spec_of(column), "c", None, "", "  ") == [None] * 3
    assert stored(spec_of(column, read=SHIPPED), "c", *WORDS) == [None] * len(WORDS)


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (Dtype.INT, "-999"),
        (Dtype.FLOAT, "-999"),
        (Dtype.STR, "-999"),
        (Dtype.DATETIME, "1970-01-01"),
        (Dtype.BOOL, "0"),
    ],
)
def test_a_number_or_a_date_may_be_a_word_for_null(dtype: Dtype, text: str) -> None:
    spec = spec_of(Column(name="c", dtype=dtype), read=ReadOptions(null_values=("-999", "1970-01-01", "0")))
    assert stored(spec, "c", text) == [None]


def test_a_required_column_refuses_what_means_null_and_what_is_blank() -> None:
    column = Column(name="c", dtype=Dtype.STR, uses={"required": True})
    texts = ("x", "NA", "", "  ", None)
    assert stored(spec_of(column), "c", *texts) == ["x", "NA", *[("required",)] * 3]
    assert stored(spec_of(column, read=SHIPPED), "c", *texts) == ["x", *[("required",)] * 4]


def test_namibia_is_a_key() -> None:
    """And a blank key is none."""
    batch = validate(Chunk(np.arange(4), {"id": pa.array(["NA", "US", "", None])}), spec_of(), DATES)
    assert batch.output["id"].to_pylist() == ["NA", "US", None, None]
    assert [(r.number, r.reasons[0].rule) for r in batch.rejections()] == [(2, "not_null"), (3, "not_null")]


def test_a_word_that_yaml_reads_as_something_else_has_to_be_quoted() -> None:
    assert ReadOptions.model_validate({"null_values": ["x", -1, 0.5]}).words == {"x", "-1", "0.5"}
    for value in (None, True):
        with pytest.raises(ValidationError, match="quotes"):
            ReadOptions.model_validate({"null_values": [value]})


# ---------------------------------------------------------------- blanks


BLANK = "\u00a0"


def test_blanks_around_text_stay_unless_they_are_to_be_cut() -> None:
    texts = ("Rocky VI (1986) ", " lead", f"{BLANK}x\t", "a b")
    column = Column(name="c", dtype=Dtype.STR)
    assert stored(spec_of(column), "c", *texts) == list(texts)
    assert stored(spec_of(column, read=ReadOptions(trim=True)), "c", *texts) == [t.strip() for t in texts]


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        (Dtype.INT, " 7 ", 7),
        (Dtype.FLOAT, f"{BLANK}7.5", 7.5),
        (Dtype.BOOL, "yes ", True),
        (Dtype.DATETIME, " 2026-02-20 ", dt.datetime(2026, 2, 20)),
    ],
)
def test_numbers_and_dates_are_read_without_blanks(dtype: Dtype, text: str, value: Any) -> None:
    assert stored(spec_of(Column(name="c", dtype=dtype)), "c", text) == [value]


def test_keys_are_read_without_blanks() -> None:
    spec = spec_of(Column(name="parent", dtype=Dtype.STR), foreign_keys=("parent",))
    assert stored(spec, "parent", " a ", "b", " ", "NA") == ["a", "b", None, "NA"]
    batch = validate(Chunk(np.arange(2), {"id": pa.array([" x", "x "])}), spec_of(), DATES)
    assert batch.output["id"].to_pylist() == ["x", "x"]


def test_rules_judge_the_value_that_is_stored() -> None:
    listed = Column(name="c", dtype=Dtype.STR, allowed_values=("a",), sql_type="varchar(2)")
    assert stored(spec_of(listed), "c", "a", " a ") == ["a", ("allowed_values", "too_long")]
    assert stored(spec_of(listed, read=ReadOptions(trim=True)), "c", "a", " a ") == ["a", "a"]


def test_a_row_is_judged_again_as_it_was_read() -> None:
    column = Column(name="c", dtype=Dtype.STR, allowed_values=("a",))
    for read, expected in ((ReadOptions(), ["NA", " a"]), (SHIPPED, [None, "a"])):
        rows = [Refused({"id": "1", "c": "NA"}, ()), Refused({"id": "2", "c": " a"}, ())]
        batch, _ = judge_again(spec_of(column, read=read), rows, DATES)
        assert batch.output["c"].to_pylist() == expected


# ---------------------------------------------------------------- decimals


def money(*, rounds: bool, sql_type: str = "numeric(10,2)") -> FileSpec:
    return spec_of(Column(name="c", dtype=Dtype.FLOAT, sql_type=sql_type, round=rounds))


REFUSED = ("out_of_range",)


@pytest.mark.parametrize(
    ("text", "refused_or", "rounded"),
    [
        ("10.5", "10.5", "10.5"),
        ("10.500000", "10.5", "10.5"),
        ("10.", "10", "10"),
        (".5", "0.5", "0.5"),
        ("+1.25", "1.25", "1.25"),
        ("1e2", "100", "100"),
        ("1.05e1", "10.5", "10.5"),
        ("1.005e1", "10.05", "10.05"),
        ("1.0005e1", REFUSED, "10.01"),
        ("0.0e-999999999", "0", "0"),
        ("10.005", REFUSED, "10.01"),
        ("-10.005", REFUSED, "-10.01"),
        ("10.00499999999999999999999999999", REFUSED, "10.00"),
        ("105.50000000000001", REFUSED, "105.50"),
        ("1e-3", REFUSED, "0.00"),
        ("5e-3", REFUSED, "0.01"),
        ("-1e-400", REFUSED, "0"),
        ("99999999.99", "99999999.99", "99999999.99"),
        ("99999999.994999", REFUSED, "99999999.99"),
        ("99999999.995", REFUSED, REFUSED),
        ("9.9999999995e7", REFUSED, REFUSED),
        ("100000000", REFUSED, REFUSED),
        ("1e999", REFUSED, REFUSED),
        ("1e99999999999999999999", REFUSED, REFUSED),
        ("0" * 90 + "7.126", REFUSED, "7.13"),
        ("9" * 90, REFUSED, REFUSED),
    ],
)
def test_decimals_beyond_the_column_are_refused_or_rounded_half_up(
    text: str, refused_or: Any, rounded: Any
) -> None:
    for rounds, expected in ((False, refused_or), (True, rounded)):
        for texts in ((text,), ("1.00", text, None, "2.345e0")):
            found = stored(money(rounds=rounds), "c", *texts)[texts.index(text)]
            if expected is REFUSED:
                assert found == expected
            else:
                assert Decimal(found) == Decimal(expected)


@given(
    st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-2000, max_value=2000)),
    st.sampled_from([(5, 2), (4, 0), (3, 3), (38, 4), (80, 5), (76, 2)]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_number_is_stored_as_postgresql_would_or_refused(
    numbers: list[Decimal], type_: tuple[int, int], rounds: bool
) -> None:
    precision, scale = type_
    context = Context(prec=200, rounding=ROUND_HALF_UP)
    spec = money(rounds=rounds, sql_type=f"numeric({precision},{scale})")
    for number, found in zip(numbers, stored(spec, "c", *map(str, numbers)), strict=True):
        nearest = number.quantize(Decimal((0, (1,), -scale)), context=context)
        fits = abs(nearest) < 10 ** (precision - scale) and (rounds or nearest == number)
        assert (Decimal(found) == nearest) if fits else (found == REFUSED)


def test_rules_judge_the_rounded_number() -> None:
    column = Column(
        name="c", dtype=Dtype.FLOAT, sql_type="numeric(4,2)", round=True, uses={"at_most": 5, "at_least": 0}
    )
    assert stored(spec_of(column), "c", "5.004", "-0.004", "5.006") == ["5.00", "0.00", ("at_most",)]


def test_a_whole_number_that_a_double_would_change_is_refused() -> None:
    spec = spec_of(Column(name="c", dtype=Dtype.FLOAT))
    kept = ("9007199254740992", "1e22", "123456789012345680000", "-9007199254740994.0", "0.1000000000000000055")
    assert stored(spec, "c", *kept) == [float(text) for text in kept]
    changed = ("9007199254740993", "-12345678901234567890", "1" * 400)
    assert stored(spec, "c", *changed) == [REFUSED] * 3


def test_a_time_below_a_microsecond_is_refused_or_rounded() -> None:
    texts = ("2026-01-01 00:00:00.123456000", "2026-01-01T00:00:00.1234565Z", "2026-12-31 23:59:59.999999500")
    whole = dt.datetime(2026, 1, 1, 0, 0, 0, 123456)
    assert stored(spec_of(Column(name="c", dtype=Dtype.DATETIME)), "c", *texts) == [whole, REFUSED, REFUSED]
    rounding = spec_of(Column(name="c", dtype=Dtype.DATETIME, round=True))
    assert stored(rounding, "c", *texts) == [whole, whole.replace(microsecond=123457), dt.datetime(2027, 1, 1)]


# ---------------------------------------------------------------- sensitive values

MOBILE = {"phone": {"region": "EG", "kind": "mobile"}}


@pytest.mark.parametrize(
    ("pii", "rules", "texts", "good"),
    [
        (
            PiiKind.TEXT,
            {"length": 15},
            ["285414600000156", "285414600000156.0", " 285414600000156.00 "],
            True,
        ),
        (PiiKind.TEXT, {"length": 15}, ["28541460000015.6", "285414600000156.1"], False),
        (
            PiiKind.PHONE,
            MOBILE,
            ["010 1234 5678", "010\u20111234\u20115678", "010/1234/5678", "010_1234_5678", "1012345678.0"],
            True,
        ),
        (
            PiiKind.PHONE,
            MOBILE,
            ["\uff10\uff11\uff10 12345678", "010\u200b12345678"],
            True,
        ),
        (
            PiiKind.PHONE,
            MOBILE,
            ["+201012345678", "01012345678 ext", "call 01012345678"],
            False,
        ),
        (PiiKind.EMAIL, {"email": True}, ["a\uff20b.com", " A@b.com", "a\u200b@b.com"], True),
    ],
)
def test_a_sensitive_value_is_judged_however_it_is_written(
    pii: PiiKind, rules: dict[str, Any], texts: list[str], good: bool
) -> None:
    column = Column(name="c", dtype=Dtype.STR, pii=pii, uses=rules)
    spec = spec_of(column)
    assert judge(spec, "c", *texts).good.tolist() == [good] * len(texts)
    assert [value_problem(spec, column, text) is None for text in texts] == [good] * len(texts)


def test_a_whole_number_in_a_text_column_keeps_its_decimal() -> None:
    column = Column(name="c", dtype=Dtype.STR)
    assert stored(spec_of(column), "c", "12.0", "285414600000156.0") == ["12.0", "285414600000156.0"]
