"""RFC 8259 knows no NaN and no Infinity: null where the YAML says that the word means null, else refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.model import Dtype, Stage
from config.schema import Column, Schema
from ingestion.formats import json_window
from ingestion.formats.json_format import JsonOptions, read_json
from validation.batch import Reason

COLUMNS = ("text", "number", "doc")
SCHEMA = Schema(
    name="things",
    primary_key="id",
    columns=(
        Column(name="id", dtype=Dtype.INT, nullable=False),
        Column(name="text", dtype=Dtype.STR),
        Column(name="number", dtype=Dtype.FLOAT),
        Column(name="doc", dtype=Dtype.JSON),
    ),
)
AS_WRITTEN, WITH_WORDS = JsonOptions(), JsonOptions(null_values=("NaN", "-infinity"))


def record(number: int, /, **values: str) -> str:
    known = {"text": '"a"', "number": "1.50", "doc": '{"n": 1}', **values}
    return f'{{"id": {number}, ' + ", ".join(f'"{name}": {value}' for name, value in known.items()) + "}"


def read(records: list[str], options: JsonOptions, *, lines: bool) -> tuple[list[Any], list[Any]]:
    """The rows, and the refused records: number, reasons and text."""
    text = "\n".join(records) if lines else f"[{', '.join(records)}]"
    rows: list[Any] = []
    refused: list[Any] = []
    for chunk in read_json(io.BytesIO(text.encode()), SCHEMA, 100, options):
        values = (chunk.columns[name].to_pylist() for name in COLUMNS)
        rows += zip(chunk.numbers.tolist(), *values, strict=True)
        refused += [(one.number, one.reasons, one.raw) for one in chunk.malformed]
    return rows, refused


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("bare", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_bare_nan_is_refused_by_its_column_and_costs_no_other_row(column: str, bare: str, lines: bool) -> None:
    records = [record(1), record(2, **{column: bare}), record(3)]
    rows, [(number, reasons, raw)] = read(records, AS_WRITTEN, lines=lines)
    assert [row[0] for row in rows] == [1, 3]
    assert (number, reasons) == (2, (Reason(Stage.SCHEMA, "not_json", column),))
    assert raw[column] == bare


@pytest.mark.parametrize("lines", [False, True])
def test_each_column_that_holds_one_is_named(lines: bool) -> None:
    rows, [(_, reasons, _)] = read([record(1, text="NaN", number="Infinity")], AS_WRITTEN, lines=lines)
    assert not rows
    assert [reason.column for reason in reasons] == ["text", "number"]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("bare", ["NaN", "-Infinity"])
def test_where_the_yaml_says_that_the_word_means_null_it_is_null(bare: str, lines: bool) -> None:
    records = [record(1, text=bare), record(2, number=bare), record(3, doc=bare), record(4, text="null")]
    rows, refused = read(records, WITH_WORDS, lines=lines)
    assert not refused
    assert [row[1:] for row in rows] == [
        (None, "1.50", '{"n": 1}'),
        ("a", None, '{"n": 1}'),
        ("a", "1.50", None),
        (None, "1.50", '{"n": 1}'),
    ]
    _, refused = read([record(1, text="Infinity")], WITH_WORDS, lines=lines)
    assert len(refused) == 1


def test_the_word_in_quotes_is_text() -> None:
    assert read([record(1, text='"NaN"')], AS_WRITTEN, lines=True) == ([(1, "NaN", "1.50", '{"n": 1}')], [])


_BARE = st.sampled_from(["NaN", "Infinity", "-Infinity", '"NaN"', "null", "1.50", '"a"'])


@settings(max_examples=100)
@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, _BARE)), min_size=1, max_size=6),
    st.sampled_from([AS_WRITTEN, WITH_WORDS]),
    st.sampled_from([16, 64, 1 << 19]),
)
def test_lines_arrays_and_windows_of_any_size_say_the_same(
    values: list[dict[str, str]], options: JsonOptions, window: int
) -> None:
    records = [record(number, **known) for number, known in enumerate(values, start=1)]
    expected = [read([one], options, lines=True)[1] != [] for one in records]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_window, "WINDOW_BYTES", window)
        array, lines = (read(records, options, lines=lines) for lines in (False, True))
    assert array == lines
    assert [number for number, *_ in array[1]] == [n for n, refused in enumerate(expected, start=1) if refused]
