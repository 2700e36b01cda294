"""CSV is read by RFC 4180, strictly; a record that breaks it costs its first line, and none of its neighbours."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import FileRejected
from config.model import Dtype
from config.schema import Column, Schema
from ingestion.formats import csv_blocks
from ingestion.formats.csv_format import read_csv
from ingestion.formats.csv_options import CsvOptions
from tests.acceptance.oracle_csv import Values, csv_records

Row = tuple[int, str | None, str | None, str | None]
Bad = tuple[int, str, int, str]


def schema(*dtypes: Dtype) -> Schema:
    """Columns a, b, c, of which the first is the key."""
    columns = (Column(name=name, dtype=dtype) for name, dtype in zip("abcdefgh", dtypes, strict=False))
    return Schema(name="things", primary_key="a", columns=tuple(columns))


TYPED = schema(Dtype.INT, Dtype.STR, Dtype.STR)
TEXTS = schema(Dtype.STR, Dtype.STR, Dtype.STR)


def read(text: str | bytes, of: Schema = TYPED, options: CsvOptions | None = None) -> tuple[list[Any], list[Any]]:
    """The rows (number, values) and the malformed records (number, rule, line, text)."""
    data = text.encode() if isinstance(text, str) else text
    rows: list[Any] = []
    malformed: list[Any] = []
    for chunk in read_csv(io.BytesIO(data), of, 3, options or CsvOptions()):
        values = (chunk.columns[column.name].to_pylist() for column in of.columns)
        rows += zip(chunk.numbers.tolist(), *values, strict=True)
        malformed += [(m.number, m.reasons[0].rule, m.raw["_line"], m.raw["_malformed"]) for m in chunk.malformed]
    return rows, malformed


@pytest.mark.parametrize(
    ("body", "rows", "malformed"),
    [
        # An empty field is null, a quoted one an empty text; blanks are kept.
        ('1,,""\n2," x ", y \n', [(1, "1", None, ""), (2, "2", " x ", " y ")], []),
        # A quote within an unquoted value is text, also in the last row and in the last value.
        ('1,12" pizza,"x"\n2,y,5"\n', [(1, "1", '12" pizza', "x"), (2, "2", "y", '5"')], []),
        ('1, "x, y",z\n2,b,c\n', [(2, "2", "b", "c")], [(1, "too_many_fields", 2, '1, "x, y",z')]),
        # Text behind a closing quote, with a delimiter in it and without.
        ('1,"a "b" c,d"\n2,b,c\n', [(2, "2", "b", "c")], [(1, "bad_quotes", 2, '1,"a "b" c,d"')]),
        ('1,"a" ,c\n2,b,c\n', [(2, "2", "b", "c")], [(1, "bad_quotes", 2, '1,"a" ,c')]),
        ('1,""a,c\n2,b,c\n', [(2, "2", "b", "c")], [(1, "bad_quotes", 2, '1,""a,c')]),
        ('1,"a \\"b\\" c",d\n2,b,c\n', [(2, "2", "b", "c")], [(1, "bad_quotes", 2, '1,"a \\"b\\" c",d')]),
        # A quote that is opened and never closed costs its own line; so does each of several.
        ('1,"a,c\n2,b,c\n3,b,c', [(2, "2", "b", "c"), (3, "3", "b", "c")], [(1, "bad_quotes", 2, '1,"a,c')]),
        ('1,b,c\n2,"cut', [(1, "1", "b", "c")], [(2, "bad_quotes", 3, '2,"cut')]),
        ('1,"a,c\r\n2,"b,c\r\n3,b,c\r\n', [(3, "3", "b", "c")], [
            (1, "bad_quotes", 2, '1,"a,c'), (2, "bad_quotes", 3, '2,"b,c'),
        ]),
        # Two stray quotes: what is between them is given back, be there text behind the second or not.
        ('1,"a,c\n2,b,c\n3,"b,c\n4,b,"c"\n', [(2, "2", "b", "c"), (4, "4", "b", "c")], [
            (1, "bad_quotes", 2, '1,"a,c'), (3, "bad_quotes", 4, '3,"b,c'),
        ]),
        ('1,"a,c\n2,b,c\n3,b",c\n4,b,c\n', [(2, "2", "b", "c"), (3, "3", 'b"', "c"), (4, "4", "b", "c")], [
            (1, "bad_quotes", 2, '1,"a,c'),
        ]),
        # A record that spans lines and has too few fields gives them back, too.
        ('1,"a\nb"\n2,b,c\n', [(3, "2", "b", "c")], [
            (1, "too_few_fields", 2, '1,"a'), (2, "too_few_fields", 3, 'b"'),
        ]),
        ('1,"a\n2,b,c\n",d,e\n', [(2, "2", "b", "c")], [
            (1, "too_many_fields", 2, '1,"a'), (3, "bad_quotes", 4, '",d,e'),
        ]),
        # Lines are counted as an editor does, empty ones and those within values included.
        ('1,"p\nq",c\n\n2,b\n"3","b","c"\r\n', [(1, "1", "p\nq", "c"), (3, "3", "b", "c")], [
            (2, "too_few_fields", 5, "2,b"),
        ]),
        # A byte order mark in the middle, of files that were put together, is text.
        ("1,b,c\n\ufeff2,b,c\n", [(1, "1", "b", "c"), (2, "\ufeff2", "b", "c")], []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("block", [1, 5, 1 << 22])
def test_what_breaks_the_rules_is_refused_alone(
    monkeypatch: pytest.MonkeyPatch, body: str, rows: list[Row], malformed: list[Bad], block: int
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block)
    assert read("a,b,c\n" + body) == (rows, malformed)


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (TYPED, "\n".join(f"line {n} of ten, as people write" for n in range(10))),
        (TYPED, "\n".join("a,b,c" for _ in range(10))),  # no row: its key is a number
        (TEXTS, "\n".join(f"{n}, then {n}, and {n}" for n in range(10))),  # blanks follow commas: prose
        (TEXTS, "\n".join(f"<li>{n}</li>" for n in range(10))),
        (TYPED, "5\n6\n7"),
        (TYPED, "costs\n3,50"),
        (schema(Dtype.INT, Dtype.STR), "costs\n3,50"),  # one line that could be a row may be chance
        (schema(Dtype.STR, Dtype.STR), "Main Street 5\nCairo,Egypt"),
        (schema(Dtype.STR), "1\n2\n3"),
    ],
)
def test_lines_in_quotes_that_are_one_record_stay_one_record(of: Schema, value: str) -> None:
    for fields in (
        ["1", *["x"] * (len(of.columns) - 2), value][-len(of.columns) :],
        ["1", value, "x"][: len(of.columns)],
    ):
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows([[column.name for column in of.columns], fields, fields])
        rows, malformed = read(text.getvalue(), of)
        assert [row[1:] for row in rows] == [tuple(fields)] * 2
        assert malformed == []


@pytest.mark.parametrize(
    ("of", "lines"),
    [
        (TYPED, ['1,"a,x', "2,b,x", '3,c",x']),
        (TYPED, ['1,"a,x', '2,b",x']),
        (TYPED, ['1,a,"x', "2,b,x", '3,c,x"']),
        (TYPED, ['1,"a,x', *(f"{n},b,x" for n in range(2, 800)), "not a number,b,x", '3,c",x']),
        (TEXTS, ['1,"a,x', "2,b,x", '3,c",x']),
        (schema(Dtype.INT, Dtype.FLOAT, Dtype.STR), ['1,2.5,"x', '2,2.5,y"']),
    ],
)  # fmt: skip
def test_a_record_that_spans_records_is_malformed(of: Schema, lines: list[str]) -> None:
    """Strict readers take it for one record; but each of its lines is one."""
    rows, malformed = read("\n".join([",".join(column.name for column in of.columns), *lines, ""]), of)
    assert malformed == [(1, "bad_quotes", 2, lines[0])]
    assert [row[0] for row in rows] == list(range(2, len(lines) + 1))
    assert rows[-1][1:] == tuple(lines[-1].split(","))


def test_eight_hundred_rows_between_two_stray_quotes_are_loaded() -> None:
    lines = [f"{n},name {n},x" for n in range(1, 1001)]
    lines[99], lines[899] = '100,"quoted badly,x', '900,"again,x'
    rows, malformed = read("a,b,c\n" + "\n".join(lines))
    assert [row[0] for row in rows] == [n for n in range(1, 1001) if n not in {100, 900}]
    assert [(number, line) for number, _, line, _ in malformed] == [(100, 101), (900, 901)]


# ---------------------------------------------------------------- against the oracle


def typed(of: Schema) -> Callable[[list[str]], Callable[[Values], int | None]]:
    """What the oracle asks: how many values of a row are numbers; None for what can't be a row."""

    def fits_of(names: list[str]) -> Callable[[Values], int | None]:
        def fits(values: Values) -> int | None:
            by_name = dict(zip(names, values, strict=True))
            numbers = [by_name[c.name] for c in of.columns if c.dtype is Dtype.INT and by_name[c.name]]
            readable = all(number and number.strip().isdigit() for number in numbers)
            return len(numbers) if by_name["a"] and readable else None

        return fits

    return fits_of


PIECES = ["1", "x", ",", '"', "\n", "\r\n", "\r", '""', ",,", '1,"', 'x"\n', "1,x,x\n", "1,1,1\r\n", " "]


@given(
    dtypes=st.lists(st.sampled_from([Dtype.STR, Dtype.INT]), min_size=1, max_size=4),
    pieces=st.lists(st.sampled_from(PIECES), max_size=30),
    block=st.integers(1, 60),
)
def test_any_text_is_read_as_the_oracle_reads_it(dtypes: list[Dtype], pieces: list[str], block: int) -> None:
    of = schema(*dtypes)
    text = ",".join(column.name for column in of.columns) + "\n" + "".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        rows, malformed = read(text, of)
    expected = list(csv_records(text, typed(of)))[1:]
    assert rows == [(n, *values) for n, values in enumerate(expected, 1) if values is not None]
    assert [bad[0] for bad in malformed] == [n for n, values in enumerate(expected, 1) if values is None]


_TEXTS = st.text(st.sampled_from('xyé,;"\n\r\t '), max_size=8)
_QUOTINGS = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
# Python's writer leaves a lone CR unquoted where lines don't end with one.
_STYLES = [
    (csv.QUOTE_MINIMAL, "\r\n"),
    *((q, e) for q in (csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC) for e in ("\n", "\r\n", "\r")),
]


@given(
    table=st.lists(st.tuples(st.integers(), _TEXTS, _TEXTS), max_size=12),
    style=st.sampled_from(_STYLES),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    block=st.integers(1, 80),
)
def test_what_a_writer_wrote_is_read_again(
    table: list[tuple[int, str, str]], style: tuple[Any, str], delimiter: str, block: int
) -> None:
    quoting, end = style
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting, delimiter=delimiter, lineterminator=end)
    writer.writerows([("a", "b", "c"), *table])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        rows, malformed = read(text.getvalue(), TYPED, CsvOptions(delimiter=delimiter))
    assert [(row[1], row[2] or "", row[3] or "") for row in rows] == [(str(a), b, c) for a, b, c in table]
    assert malformed == []


_WORDS = st.one_of(st.just(""), st.from_regex(r'\A[xy]{1,2}[xy,"\n]{0,4}[xy]{2}\Z'))


@given(
    table=st.lists(st.tuples(_WORDS, _WORDS), min_size=1, max_size=8),
    quoting=_QUOTINGS,
    place=st.floats(0, 1),
    change=st.sampled_from(["", '"', ",", "\n", "\r", "x", "\\", " ", "\0"]),
    cut=st.integers(0, 1),
)
def test_one_wrong_character_costs_no_row_that_it_is_not_in(
    table: list[tuple[str, str]], quoting: Any, place: float, change: str, cut: int
) -> None:
    lines = []
    for number, (b, c) in enumerate(table, 1):
        written = io.StringIO(newline="")
        csv.writer(written, quoting=quoting, lineterminator="\n").writerow((number, b, c))
        lines.append(written.getvalue())
    body = "".join(lines)
    at = int(place * len(body))
    rows, _ = read("a,b,c\n" + body[:at] + change + body[at + cut :])
    begin = 0
    for number, (line, values) in enumerate(zip(lines, table, strict=True), 1):
        end = begin + len(line)
        if end < at or begin > at + cut:
            assert (str(number), *values) in [(row[1], row[2] or "", row[3] or "") for row in rows]
        begin = end


# ---------------------------------------------------------------- large files


def test_a_stray_quote_on_every_line_takes_no_longer_a_line() -> None:
    """The work for 200,000 of them would take hours if it grew with their square."""
    lines = b"".join(b'%d,"x,y\n' % number for number in range(200_000))
    told = sum(len(c.malformed) for c in read_csv(io.BytesIO(b"a,b,c\n" + lines), TYPED, 25_000, CsvOptions()))
    assert told == 200_000


@pytest.mark.parametrize(
    "line",
    [
        b'x","x\n',
        b'1,""\n',
        b'1,"\n',
        b'1,"x""\n',
        b'"\n',
        b'""\n',
        b',"""\n',
        b'1,"x"\n',
        b'1,"x\n2,y",z\n',
        b'"a\n"b\n',
    ],
)
def test_lines_of_quotes_of_all_kinds_take_no_longer_a_line(line: bytes) -> None:
    data = b'a,b,c\n1,"x\n' + line * 100_000
    records = sum(
        len(c.malformed) + len(c.numbers) for c in read_csv(io.BytesIO(data), TYPED, 25_000, CsvOptions())
    )
    assert records >= 50_000


def test_a_stray_quote_near_the_start_of_a_large_file_costs_a_line_and_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(csv_blocks, "MAX_LINE_BYTES", 1 << 18)
    data = b'a,b,c\n1,"x,y\n' + b"2,some text,more text\n" * 1_000_000
    tracemalloc.start()
    try:
        rows = bad = 0
        for chunk in read_csv(io.BytesIO(data), TYPED, 5_000, CsvOptions()):
            rows, bad = rows + len(chunk.numbers), bad + len(chunk.malformed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (rows, bad) == (1_000_000, 1)
    assert peak < len(data) / 2


def test_a_value_in_quotes_may_go_on_over_blocks_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(csv_blocks, "MAX_LINE_BYTES", 1_000)
    value = "line\n" * 150
    rows, malformed = read(f'a,b,c\n1,"{value}",x\n2,b,c\n')
    assert (rows, malformed) == ([(1, "1", value, "x"), (2, "2", "b", "c")], [])
    rows, malformed = read(f'a,b,c\n1,"{value * 3}",x\n2,b,c\n')
    assert rows == [(452, "2", "b", "c")]
    assert {rule for _, rule, _, _ in malformed[1:-1]} == {"too_few_fields"}
    assert malformed[0] == (1, "bad_quotes", 2, '1,"line')


def test_a_line_without_an_end_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(csv_blocks, "MAX_LINE_BYTES", 1_000)
    with pytest.raises(FileRejected, match="line 3 is longer than"):
        read("a,b,c\n1,b,c\n2," + "x" * 2_000 + ",c\n")
