"""Cells come block by block, of kinds that change from row to row, and none is taken for what it is not."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.model import Dtype
from config.schema import Column, Schema
from ingestion.formats.excel_cells import CellColumn, as_text
from ingestion.formats.excel_format import ExcelFormat, ExcelOptions
from ingestion.formats.typed_text import TypedOptions
from tests.workbooks import xls, xlsx

TEXT = Column(name="any", dtype=Dtype.STR)
MOST_EXACT = 2**53

WHOLE = st.integers(-MOST_EXACT, MOST_EXACT)
CELLS = st.one_of(
    st.just(""),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.sampled_from(["1.5", "7", "true", "2026-01-05", "12:30:00"]),  # texts that look like other kinds
    WHOLE.map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(9999, 1, 1)),
    st.dates(dt.date(1900, 1, 1), dt.date(9999, 1, 1)),
    st.times(),
    st.timedeltas(dt.timedelta(0), dt.timedelta(days=400)),
)


KINDS = [2.5, 2, False, "", "b", dt.datetime(2026, 1, 6, 1), dt.date(2026, 1, 6), dt.time(2), dt.timedelta(1)]


def is_told(cell: Any, text: str | None) -> bool:
    """Is this the text of the cell? Said in another way than the reader's."""
    if text is None or (isinstance(cell, str) and not cell):
        return text is None and cell == ""
    if isinstance(cell, bool):
        return text == ("true" if cell else "false")
    if isinstance(cell, float):
        is_short = text == str(int(cell)) if cell.is_integer() and abs(cell) <= MOST_EXACT else True
        return float(text) == cell and is_short
    if isinstance(cell, dt.timedelta):
        hours, minutes, seconds = text.split(":")
        whole, _, fraction = seconds.partition(".")
        micros = int(fraction.ljust(6, "0"))
        told = dt.timedelta(hours=int(hours), minutes=int(minutes), seconds=int(whole), microseconds=micros)
        return told == cell
    if isinstance(cell, dt.datetime | dt.time) and cell.microsecond:
        return text == str(cell).rstrip("0")
    return text == str(cell)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=6), min_size=1, max_size=6))
def test_a_cell_has_its_text_whatever_cells_are_around_it(blocks: list[list[Any]]) -> None:
    column = CellColumn(TEXT, TypedOptions())
    for _ in range(2):  # nothing of the first time is left for the second
        for block in blocks:
            column.add(tuple(block))
        texts = column.taken().text.to_pylist()
        cells = [cell for block in blocks for cell in block]
        assert len(texts) == len(cells)
        assert [cell for text, cell in zip(texts, cells, strict=True) if not is_told(cell, text)] == []


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("then", KINDS)
def test_two_kinds_in_one_column_are_both_told_as_they_are(first: Any, then: Any) -> None:
    texts = as_text([first, then, first], TEXT, TypedOptions()).text.to_pylist()
    assert texts == [as_text([cell], TEXT, TypedOptions()).text[0].as_py() for cell in (first, then, first)]


def test_a_cell_without_value_is_null_among_cells_of_every_kind() -> None:
    for cell in filter(lambda kind: kind != "", KINDS):
        assert as_text(["", cell, ""], TEXT, TypedOptions()).text.is_null().to_pylist() == [True, False, True]


@pytest.mark.parametrize("write", [xlsx, xls])
def test_a_column_may_change_its_kind_anywhere_in_a_long_sheet(write: Any) -> None:
    values: list[Any] = [float(n) for n in range(700)]
    values[300], values[511], values[512], values[600] = "n/a", dt.datetime(2026, 1, 5, 8), None, True
    raw = io.BytesIO(write([["id", "any"], *([n, value] for n, value in enumerate(values))]))
    schema = Schema(name="things", primary_key="id", columns=(Column(name="id", dtype=Dtype.INT), TEXT))
    chunks = list(ExcelFormat().chunks(raw, schema, 400, ExcelOptions()))
    found = [text for chunk in chunks for text in chunk.columns["any"].to_pylist()]
    wanted: list[Any] = [str(n) for n in range(700)]
    wanted[300], wanted[511], wanted[512], wanted[600] = "n/a", "2026-01-05 08:00:00", None, "true"
    assert found == wanted
    assert [len(chunk.numbers) for chunk in chunks] == [400, 300]
    assert [n for chunk in chunks for n in chunk.numbers.tolist()] == list(range(1, 701))
