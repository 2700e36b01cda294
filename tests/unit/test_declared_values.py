"""Numbers, dates and times are read as the YAML declares them, and what is written otherwise is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.model import Dtype
from config.read_options import ReadOptions
from config.schema import Column
from config.sql_types import SqlType
from validation.arrays import as_arrays
from validation.conversions import Converted, convert

GERMAN = {"decimal": ",", "thousands": "."}


def reading(text: str | None, dtype: Dtype, read: dict[str, Any] | None = None, **column: Any) -> Converted:
    one = Column(name="c", dtype=dtype, **column)
    return convert(one, pa.array([text], pa.string()), ReadOptions(**(read or {})))


def value_of(found: Converted) -> Any:
    """The value; the rule that refuses it."""
    for rule, mask in (("dtype", found.unreadable), ("range", found.beyond), ("ambiguous", found.ambiguous)):
        if mask is not None and mask[0].as_py():
            return rule
    return found.values[0].as_py()


@pytest.mark.parametrize(
    ("read", "text", "plain"),
    [
        (GERMAN, "-2,56", "-2.56"),
        (GERMAN, "1.250,00", "1250.00"),
        (GERMAN, "1.234.567,8", "1234567.8"),
        (GERMAN, "1250,00", "1250.00"),
        (GERMAN, "1250", "1250"),
        (GERMAN, ",5", ".5"),
        (GERMAN, "1,5e3", "1500.00"),
        (GERMAN, "12.50", None),  # grouped wrong: it is written with a point
        (GERMAN, "1.25,0", None),
        (GERMAN, "1,250.00", None),
        (GERMAN, "1..250", None),
        (GERMAN, ".250", None),
        ({"decimal": ","}, "1.250,00", None),  # nothing is said of groups
        ({"decimal": ","}, "12.5", None),
        ({"thousands": ","}, "1,234.5", "1234.5"),
        ({"thousands": ","}, "12,34,567", "1234567"),  # as India groups
        ({"thousands": ","}, "1,25", None),
        ({"thousands": " ", "decimal": ","}, "1 250,5", "1250.5"),
        ({"thousands": " ", "decimal": ","}, "1\u202f250,5", "1250.5"),
        ({"thousands": "'"}, "1\u2019250.5", "1250.5"),
        ({"currency": True}, "$90,000", None),
        ({"currency": True, "thousands": ","}, "$90,000 ", "90000"),
        ({"currency": True}, "-$5.20", "-5.20"),
        ({"currency": True}, "$-5.20", "-5.20"),
        ({"currency": True}, "5%", "5"),
        ({"currency": True}, "5 %", "5"),
        ({"currency": True}, "12.50 EUR", "12.50"),
        ({"currency": True}, "EGP 12.50", "12.50"),
        ({"currency": True}, "(12.50)", "-12.50"),
        ({"currency": True}, "12.50 per month", None),
        ({"currency": True, **GERMAN}, "1.250,00 €", "1250.00"),
        ({"currency": True}, "\u22125", "-5"),
        ({"currency": True}, "$", None),
    ],
)
def test_a_number_is_read_as_it_is_declared(read: dict[str, Any], text: str, plain: str | None) -> None:
    found = reading(text, Dtype.FLOAT, read, sql_type="numeric(12,2)")
    assert (found.text[0].as_py() if value_of(found) != "dtype" else None) == plain


@given(st.decimals(-(10**9), 10**9, places=2), st.sampled_from([(",", "."), (".", ","), (",", " "), (".", "'")]))
def test_what_is_written_with_declared_signs_is_what_was_meant(number: Decimal, signs: tuple[str, str]) -> None:
    decimal, thousands = signs
    written = f"{number:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    found = reading(written, Dtype.FLOAT, {"decimal": decimal, "thousands": thousands}, sql_type="numeric(12,2)")
    assert Decimal(found.text[0].as_py()) == number


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (GERMAN, "1.250", 1250),
        (GERMAN, "1.250,0", 1250),
        (GERMAN, "1.250,5", "dtype"),
        (GERMAN, "12.50", "dtype"),
        ({"thousands": ","}, "-1,000", -1000),
    ],
)
def test_whole_numbers_take_the_declared_signs_too(read: dict[str, Any], text: str, value: Any) -> None:
    assert value_of(reading(text, Dtype.INT, read, sql_type="bigint")) == value


@pytest.mark.parametrize(
    ("dates", "text", "value"),
    [
        ("%d.%m.%Y", "31.12.2026", dt.datetime(2026, 12, 31)),
        ("%d.%m.%Y", "1.2.2026", dt.datetime(2026, 2, 1)),
        ("%d.%m.%Y", "31.02.2026", "dtype"),
        ("%d.%m.%Y", "2026-12-31", "dtype"),
        (["%d.%m.%Y", "iso"], "2026-12-31", dt.datetime(2026, 12, 31)),
        ("%m/%d/%Y %H:%M", "12/31/2026 9:05", dt.datetime(2026, 12, 31, 9, 5)),
        ("%d/%m/%y", "31/12/26", dt.datetime(2026, 12, 31)),
        ("%d %b %Y", "05 Mar 2026", dt.datetime(2026, 3, 5)),
        ("%B %d, %Y %I:%M %p", "March 5, 2026 09:30 PM", dt.datetime(2026, 3, 5, 21, 30)),
        ("%Y%m%d%H%M%S", "20260305213000", dt.datetime(2026, 3, 5, 21, 30)),
        ("%d/%m/%Y %H:%M:%S %z", "05/03/2026 09:30:00 +0200", dt.datetime(2026, 3, 5, 7, 30)),
        (["%d/%m/%Y", "%m/%d/%Y"], "25/12/2026", dt.datetime(2026, 12, 25)),
        (["%d/%m/%Y", "%m/%d/%Y"], "12/12/2026", dt.datetime(2026, 12, 12)),
        (["%d/%m/%Y", "%m/%d/%Y"], "01/02/2026", "dtype"),  # which of them?
        ("epoch", "1767225600", dt.datetime(2026, 1, 1)),
        ("epoch", "1767225600.25", dt.datetime(2026, 1, 1, 0, 0, 0, 250000)),
        ("epoch_ms", "1767225600123", dt.datetime(2026, 1, 1, 0, 0, 0, 123000)),
        ("epoch_ms", "1767225600123.4560", dt.datetime(2026, 1, 1, 0, 0, 0, 123456)),
        ("epoch_ms", "1767225600123.4567", "dtype"),  # a digit would be lost
        ("epoch", "1767225600.1234567", "range"),
        ("epoch", "-1", dt.datetime(1969, 12, 31, 23, 59, 59)),
        ("epoch", "1e9", "dtype"),
    ],
)
def test_a_date_is_read_as_it_is_declared(dates: Any, text: str, value: Any) -> None:
    assert value_of(reading(text, Dtype.DATETIME, {"dates": dates})) == value
    assert value_of(reading(text, Dtype.DATETIME, format=dates)) == value, "for one column"


@given(
    st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9999, 12, 31)).map(lambda time: time.replace(microsecond=0)),
    st.sampled_from(["%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%d %b %Y %I:%M:%S %p", "%S %M %H %d %m %Y", "%c"]),
)
def test_what_strptime_reads_is_read_so(time: dt.datetime, form: str) -> None:
    assert value_of(reading(time.strftime(form), Dtype.DATETIME, {"dates": form})) == time


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-01 12:00", dt.datetime(2026, 1, 1, 11)),
        ("2026-07-01 12:00", dt.datetime(2026, 7, 1, 10)),
        ("2026-07-01T12:00Z", dt.datetime(2026, 7, 1, 12)),
        ("2026-10-25 02:30", "ambiguous"),  # the clocks show it twice
        ("2026-03-29 02:30", "ambiguous"),  # and skip this one
    ],
)
def test_a_time_without_an_offset_is_of_the_declared_zone(text: str, value: Any) -> None:
    assert value_of(reading(text, Dtype.DATETIME, {"timezone": "Europe/Berlin"})) == value


@given(st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2035, 1, 1), timezones=st.just(ZoneInfo("Africa/Cairo"))))
def test_the_zone_is_the_one_that_python_knows(time: dt.datetime) -> None:
    found = value_of(reading(time.strftime("%Y-%m-%d %H:%M:%S.%f"), Dtype.DATETIME, {"timezone": "Africa/Cairo"}))
    again = time.astimezone(dt.UTC).astimezone(time.tzinfo)
    if found == "ambiguous":
        assert (
            again.replace(fold=0) != time.replace(fold=0)
            or time.replace(fold=0).utcoffset() != time.replace(fold=1).utcoffset()
        )
    else:
        assert found == time.astimezone(dt.UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        (Dtype.DATE, "2026-02-20", dt.date(2026, 2, 20)),
        (Dtype.DATE, "20260220", dt.date(2026, 2, 20)),
        (Dtype.DATE, "2026-02-20 00:00:00", dt.date(2026, 2, 20)),
        (Dtype.DATE, "2026-02-20 10:00", "dtype"),  # the hour would be lost
        (Dtype.DATE, "2026-02-30", "dtype"),
        (Dtype.DATE, " ", None),
        (Dtype.TIME, "09:05", dt.time(9, 5)),
        (Dtype.TIME, "9:05:01.25", dt.time(9, 5, 1, 250000)),
        (Dtype.TIME, "23:59:59.9999999", "range"),
        (Dtype.TIME, "25:10:00", "dtype"),
        (Dtype.TIME, "9", "dtype"),
        (Dtype.UUID, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (Dtype.UUID, "{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (Dtype.UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "dtype"),
    ],
)
def test_days_times_of_the_day_and_uuids(dtype: Dtype, text: str, value: Any) -> None:
    assert value_of(reading(text, dtype)) == value


def test_a_time_of_the_day_has_its_own_format() -> None:
    assert value_of(reading("09.30 PM", Dtype.TIME, format="%I.%M %p")) == dt.time(21, 30)
    assert value_of(reading("23:59:59.9999994", Dtype.TIME, round=True)) == dt.time(23, 59, 59, 999999)
    assert value_of(reading("23:59:59.9999996", Dtype.TIME, round=True)) == "range", "24:00 is no time of the day"


@pytest.mark.parametrize(
    ("sql", "text", "literal"),
    [
        ("text[]", '["a", "b\\"c", null, "x,y"]', '{"a","b\\"c",NULL,"x,y"}'),
        ("text[]", '[1.50, true, "1e3"]', '{"1.50","true","1e3"}'),
        ("text[]", "[]", "{}"),
        ("text[]", '"a"', "not_an_array"),
        ("text[]", '[["a"]]', "array_item"),
        ("text[]", '["\\u0000"]', "nul_character"),
        ("integer[]", "[1, -2, null]", "{1,-2,NULL}"),
        ("integer[]", "[2147483648]", "out_of_range"),
        ("bigint[]", "[2147483648]", "{2147483648}"),
        ("integer[]", "[1.0]", "array_item"),
        ("integer[]", '["1"]', "array_item"),
    ],
)
def test_an_array_holds_each_item_as_it_is(sql: str, text: str, literal: str) -> None:
    found, unfit = as_arrays(pa.array([text]), SqlType.parse(sql))
    assert [literal] == (list(unfit) or found.to_pylist())


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ({"decimal": ";"}, "','"),
        ({"thousands": "x"}, "grouped by one of"),
        ({"decimal": ",", "thousands": ","}, "give each its own"),
        ({"dates": "dd.mm.yyyy"}, "is no format as in %d.%m.%Y"),
        ({"dates": "%d.%m"}, "does not give year, month and day"),
        ({"dates": "%d.%m.%Y %I:%M"}, "with %I also %p"),
        ({"dates": "%d.%m.%Y %Q"}, "is no format that strptime knows"),
        ({"timezone": "Berlin"}, "as in Europe/Berlin"),
    ],
)
def test_a_declaration_that_can_not_be_meant_is_refused(read: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ReadOptions(**read)
