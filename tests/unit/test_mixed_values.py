"""A value is read the same, whatever other values stand beside it in its column."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.model import Dtype
from config.read_options import ReadOptions
from config.schema import Column
from validation.conversions import convert

COLUMNS = {
    "int": (Column(name="c", dtype=Dtype.INT), ["1", "370.0", "-5", "3.7", "x", " 2 ", "9" * 19, "9" * 25, ""]),
    "money": (
        Column(name="c", dtype=Dtype.FLOAT, sql_type="numeric(10,2)"),
        ["10.50", "10.005", "1e3", "12345678901.00", "abc", "", "-0.5", "+1", "-", ".", "-.", "5.", " "],
    ),
    "rounded": (
        Column(name="c", dtype=Dtype.FLOAT, sql_type="numeric(10,2)", round=True),
        ["10.50", "10.005", "105.50000000000001", "99999999.999", "nan", "7"],
    ),
    "double": (Column(name="c", dtype=Dtype.FLOAT), ["1.5", "1e999", "9007199254740993", "x", "1e3"]),
    "time": (
        Column(name="c", dtype=Dtype.DATETIME),
        [
            "2026-01-01 10:00:00",
            "2026-13-45 00:00:00",
            "2026-02-30 00:00:00",
            "2026-01-01T10:00:00+02:00",
            "2026-01-01 10:00:00.123456789",
            "soon",
            "",
        ],
    ),
    "rounded time": (
        Column(name="c", dtype=Dtype.DATETIME, round=True),
        ["2026-01-01 10:00:00", "2026-01-01 10:00:00.123456789", "2026-13-45 00:00:00"],
    ),
}
READS = [ReadOptions(), ReadOptions(null_values=("", "nan"), trim=True)]


def each(column: Column, values: list[str | None], read: ReadOptions) -> list[tuple[Any, ...]]:
    found = convert(column, pa.array(values, pa.string()), read)
    beyond = found.beyond if found.beyond is not None else pa.array([False] * len(values))
    columns = (found.values, found.text, found.unreadable, beyond)
    return [(a, b, bool(c), bool(d)) for a, b, c, d in zip(*(c.to_pylist() for c in columns), strict=True)]


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("read", READS, ids=["as written", "trimmed"])
@settings(deadline=None)
@given(data=st.data())
def test_a_value_is_read_alike_alone_and_among_others(kind: str, read: ReadOptions, data: st.DataObject) -> None:
    column, values = COLUMNS[kind]
    plain = st.just(values[0])
    drawn = data.draw(
        st.lists(st.one_of(plain, plain, plain, plain, st.none(), st.sampled_from(values)), max_size=9)
    )
    judged = [(value, *rest) for value, _, *rest in each(column, drawn, read)]
    odd = ["@"] * 9  # among these it is read the long way
    alone = [each(column, [value, *odd], read)[0] for value in drawn]
    assert judged == [(value, *rest) for value, _, *rest in alone]
    texts = [text for _, text, *_ in each(column, drawn, read)]
    good = [not unreadable and not beyond for _, _, unreadable, beyond in alone]
    assert [t for t, ok in zip(texts, good, strict=True) if ok] == [
        a[1] for a, ok in zip(alone, good, strict=True) if ok
    ]
