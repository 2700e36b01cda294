"""A value is read exactly, and its reading never depends on its neighbours."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.model import Dtype
from config.read_options import ReadOptions
from config.schema import Column
from validation.conversions import convert


def read(dtype: Dtype, *texts: str | None) -> list[Any]:
    """The values, with 'unreadable' where there is a text that the dtype can't hold."""
    column = Column(name="c", dtype=dtype)
    read = convert(column, pa.array(texts, pa.string()))
    pairs = zip(read.values.to_pylist(), read.unreadable.to_pylist(), strict=True)
    return ["unreadable" if unreadable else value for value, unreadable in pairs]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("370", 370),
        ("370.0", 370),
        ("370.000", 370),
        ("+5", 5),
        (" 12 ", 12),
        ("-0", 0),
        ("9007199254740993", 9007199254740993),
        ("9007199254740993.0", 9007199254740993),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("3.7", "unreadable"),
        ("9223372036854775808", "unreadable"),
        ("0x10", "unreadable"),
        ("1_000", "unreadable"),
        ("1e3", "unreadable"),
        ("abc", "unreadable"),
        ("١٢", "unreadable"),
        ("", None),
        (" \u00a0", None),
        (" N/A ", "unreadable"),
        ("NaN", "unreadable"),
        ("NULL", "unreadable"),
        (None, None),
    ],
)
def test_integers_are_exact(text: str | None, value: Any) -> None:
    assert read(Dtype.INT, text) == [value]
    assert read(Dtype.INT, "1", text, "2.0", None, "x") == [1, value, 2, None, "unreadable"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.50", 12.5),
        ("-3", -3.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e5", 1e5),
        ("+1.5E-2", 0.015),
        ("1012345678.0", 1012345678.0),
        ("inf", "unreadable"),
        ("-Infinity", "unreadable"),
        ("1,5", "unreadable"),
        ("0x1p3", "unreadable"),
        ("nan", "unreadable"),
        ("", None),
    ],
)
def test_floats_are_finite_numbers(text: str, value: Any) -> None:
    assert read(Dtype.FLOAT, text) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        ("FALSE", False),
        ("1", True),
        ("0.0", False),
        ("yes", True),
        ("n", False),
        ("2", "unreadable"),
        ("maybe", "unreadable"),
        ("", None),
    ],
)
def test_booleans_take_the_usual_spellings(text: str, value: Any) -> None:
    assert read(Dtype.BOOL, text) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-02-20", dt.datetime(2026, 2, 20)),
        ("2026-02-20 10:11", dt.datetime(2026, 2, 20, 10, 11)),
        ("2026-02-20T10:11:12", dt.datetime(2026, 2, 20, 10, 11, 12)),
        ("2026-02-20 10:11:12.5", dt.datetime(2026, 2, 20, 10, 11, 12, 500000)),
        ("2026-02-20 10:11:12.123456000", dt.datetime(2026, 2, 20, 10, 11, 12, 123456)),
        ("2026-02-20T10:11:12Z", dt.datetime(2026, 2, 20, 10, 11, 12)),
        ("2026-02-20T10:11:12+02:00", dt.datetime(2026, 2, 20, 8, 11, 12)),
        ("2026-02-20 10:11:12.25-0530", dt.datetime(2026, 2, 20, 15, 41, 12, 250000)),
        ("2026-02-20 00:30+02", dt.datetime(2026, 2, 19, 22, 30)),
        ("2024-02-29", dt.datetime(2024, 2, 29)),
        ("2026-02-29", "unreadable"),
        ("2026-13-01", "unreadable"),
        ("2026-02-20 25:00", "unreadable"),
        ("2026-02-20 10", "unreadable"),
        ("20260220", dt.datetime(2026, 2, 20)),
        ("20260220T101112Z", dt.datetime(2026, 2, 20, 10, 11, 12)),
        ("20260220 10:11", dt.datetime(2026, 2, 20, 10, 11)),
        ("2026/02/20", dt.datetime(2026, 2, 20)),
        ("2026-02-09 3:15:52", dt.datetime(2026, 2, 9, 3, 15, 52)),
        ("2026-2-9", "unreadable"),
        ("2026-02-20 10:11:12 UTC", dt.datetime(2026, 2, 20, 10, 11, 12)),
        ("2026-02-20 10:11:12 gmt", dt.datetime(2026, 2, 20, 10, 11, 12)),
        ("2026-02-20 10:11:12 +0200", dt.datetime(2026, 2, 20, 8, 11, 12)),
        ("2026/02-20", "unreadable"),
        ("2026022", "unreadable"),
        ("202602200", "unreadable"),
        ("2026-02-20 UTC", "unreadable"),
        ("2026-02-20 10:11 EST", "unreadable"),
        ("20/02/2026", "unreadable"),
        ("invalid", "unreadable"),
        ("N/A", "unreadable"),
        (" ", None),
    ],
)
def test_dates_are_iso_8601_and_utc(text: str, value: Any) -> None:
    assert read(Dtype.DATETIME, text) == [value]
    assert read(Dtype.DATETIME, "2026-01-01", text, "2026-01-01T01:00+01") == [
        dt.datetime(2026, 1, 1),
        value,
        dt.datetime(2026, 1, 1),
    ]


texts = st.one_of(
    st.none(),
    st.from_regex(r"[ ]?[+-]?[0-9]{0,20}(\.[0-9]{0,3})?(e[0-9]{1,3})?", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,9})?)?)?", fullmatch=True
    ),
    st.from_regex(r"20[0-9]{2}-0[1-9]-[0-3][0-9]T1[0-9]:[0-5][0-9](Z|[+-]0[0-9](:?[0-5][0-9])?)", fullmatch=True),
    st.sampled_from(["", "nan", "N/A", "true", "No", "x", "inf", " 7 ", "0x1"]),
    st.text(max_size=8),
)


@given(st.lists(texts, max_size=12), st.sampled_from(list(Dtype)))
def test_a_reading_never_depends_on_its_neighbours(values: list[str | None], dtype: Dtype) -> None:
    values = [value if value is None else value.encode("utf-8", "replace").decode() for value in values]
    assert read(dtype, *values) == [read(dtype, value)[0] for value in values]


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["", ".0", ".000"]))
def test_every_64_bit_integer_survives(number: int, tail: str) -> None:
    assert read(Dtype.INT, f"{number}{tail}", None, "1.0") == [number, None, 1]


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4))
def test_numeric_columns_keep_every_digit(number: Decimal) -> None:
    column = Column(name="c", dtype=Dtype.FLOAT, sql_type="numeric(20,4)")
    assert Decimal(convert(column, pa.array([str(number)])).text[0].as_py()) == number


@pytest.mark.parametrize("text", ["", " ", "nan", "-", "2026-02-30"])
@pytest.mark.parametrize("dtype", [Dtype.INT, Dtype.FLOAT, Dtype.DATETIME])
@pytest.mark.parametrize("sql", [None, "numeric(10,2)"])
def test_a_word_for_null_is_null_among_values_that_are_plain(dtype: Dtype, text: str, sql: str | None) -> None:
    """The empty text looks like a number with no digits."""
    column = Column(name="c", dtype=dtype, sql_type=sql if dtype is Dtype.FLOAT else None)
    options = ReadOptions(null_values=("", "nan"))
    plain = {Dtype.INT: "1", Dtype.FLOAT: "1.5", Dtype.DATETIME: "2026-02-20"}[dtype]
    alone, among = (convert(column, pa.array(texts), options) for texts in ([text], [plain, text, plain]))
    assert among.unreadable[1] == alone.unreadable[0]
    assert among.values[1].as_py() == alone.values[0].as_py()
    assert alone.unreadable[0].as_py() is (text.strip() not in {"", "nan"})
