"""Workbooks: every cell as it is, what can't be told costs its row, and a wrong file is told with the way out."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import FileRejected
from config.model import Dtype
from config.schema import Column, Schema
from ingestion.formats.excel_format import ExcelFormat, ExcelOptions
from ingestion.formats.excel_records import letters
from tests.workbooks import CellError, ods, ods_of, parquet, xls, xlsx, zipped

BOOKS = {"xlsx": xlsx, "xls": xls, "ods": ods}
HEADER = ["id", "a", "b"]


def schema(dtype: str = "str", names: tuple[str, ...] = ("id", "a", "b"), **how: Any) -> Schema:
    columns = tuple(Column(name=n, dtype=Dtype.STR if n == "id" else Dtype(dtype), **how) for n in names)
    return Schema(name="things", primary_key=names[0], columns=columns)


def read(
    data: bytes, of: Schema | None = None, chunk_rows: int = 3, **options: Any
) -> tuple[list[Any], list[Any]]:
    """(number, values) of the rows, and (number, rules by column) of the malformed ones."""
    rows, malformed = [], []
    for chunk in ExcelFormat().chunks(io.BytesIO(data), of or schema(), chunk_rows, ExcelOptions(**options)):
        values = zip(*(column.to_pylist() for column in chunk.columns.values()), strict=True)
        rows += list(zip(chunk.numbers.tolist(), map(list, values), strict=True))
        malformed += [(m.number, [(r.rule, r.column) for r in m.reasons], m.raw) for m in chunk.malformed]
    return rows, malformed


@pytest.mark.parametrize("book", BOOKS)
def test_a_cell_is_its_text(book: str) -> None:
    rows, malformed = read(
        BOOKS[book](
            [
                HEADER,
                [1, 42, 0.1],
                [2, True, False],
                [3, dt.datetime(2024, 1, 2, 3, 4, 5), dt.date(2024, 1, 2)],
                [4, dt.time(3, 4, 5), None],
                [None, None, None],
                ["5", " x ", "007"],
                [6, 0, -1.5],
            ]
        )
    )
    assert malformed == []
    assert rows == [
        (1, ["1", "42", "0.1"]),
        (2, ["2", "true", "false"]),
        (3, ["3", "2024-01-02 03:04:05", "2024-01-02"]),
        (4, ["4", "03:04:05", None]),
        (5, ["5", " x ", "007"]),
        (6, ["6", "0", "-1.5"]),
    ]


@pytest.mark.parametrize("book", BOOKS)
def test_an_error_in_a_cell_costs_its_row_alone(book: str) -> None:
    rows, malformed = read(BOOKS[book]([HEADER, [1, "x", "y"], [2, CellError("#N/A"), 5], [3, None, None]]))
    assert rows == [(1, ["1", "x", "y"]), (3, ["3", None, None])]
    assert malformed == [(2, [("error_value", "a")], {"id": "2", "a": "#N/A", "b": "5"})]


def test_a_row_of_nothing_but_an_error_is_a_record() -> None:
    assert read(xlsx([HEADER, [None, CellError("#REF!"), None]]))[1][0][:2] == (1, [("error_value", "a")])


def test_merged_cells_cost_their_rows() -> None:
    rows, malformed = read(xlsx([HEADER, [1, "x", "y"], [2, None, "z"], [3, "w", "v"]], merged=["B2:B3"]))
    assert [number for number, _ in rows] == [1, 3]
    assert malformed == [(2, [("merged_cell", "a")], {"id": "2", "a": None, "b": "z"})]


@pytest.mark.parametrize(("dtype", "is_lost"), [("int", True), ("str", True), ("float", False)])
def test_a_number_that_lost_digits_is_no_id(dtype: str, is_lost: bool) -> None:
    rows, malformed = read(xlsx([HEADER, [1, 2**53, 2**53 + 2], [2, 1, 1]]), schema(dtype))
    assert [number for number, _ in rows] == ([2] if is_lost else [1, 2])
    assert [m[1] for m in malformed] == ([[("digits_lost", "b")]] if is_lost else [])


@pytest.mark.parametrize(
    ("dtype", "options", "texts"),
    [
        ("float", {"decimal": ","}, ["12,5", "1,5"]),
        ("str", {"decimal": ","}, ["12.5", "1,5"]),
        ("datetime", {"dates": ("%d.%m.%Y",)}, ["02.01.2024", "03.01.2024"]),
        ("datetime", {"dates": ("epoch",)}, ["1704153600", "1704240000"]),
        ("str", {"dates": ("%d.%m.%Y",)}, ["2024-01-02", "03.01.2024"]),
    ],
)
def test_a_typed_cell_is_written_as_texts_of_its_column_are(
    dtype: str, options: dict[str, Any], texts: list[str]
) -> None:
    typed = 12.5 if "decimal" in options else dt.date(2024, 1, 2)
    rows, _ = read(xlsx([HEADER, [1, typed, texts[1]]]), schema(dtype), **options)
    assert rows == [(1, ["1", *texts])]


def test_the_sheet_is_chosen_by_name_or_number() -> None:
    data = xlsx([["x"]], title="Notes", more={"Data": [HEADER, [1, 2, 3]], "Empty": []})
    for wanted in ("Data", 2):
        assert read(data, sheet=wanted)[0] == [(1, ["1", "2", "3"])]
    with pytest.raises(
        FileRejected, match=r"no sheet 'data'; its sheets are 'Notes', 'Data', 'Empty'; did you mean"
    ):
        read(data, sheet="data")
    with pytest.raises(FileRejected, match="no sheet number 4"):
        read(data, sheet=4)
    with pytest.raises(FileRejected, match="sheet 'Empty' is empty"):
        read(data, sheet="Empty")


def test_a_hidden_sheet_is_not_the_first() -> None:
    book = openpyxl.load_workbook(io.BytesIO(xlsx([["hidden"]], title="Old", more={"Data": [HEADER, [1, 2, 3]]})))
    book["Old"].sheet_state = "hidden"
    out = io.BytesIO()
    book.save(out)
    assert read(out.getvalue())[0] == [(1, ["1", "2", "3"])]
    with pytest.raises(FileRejected, match="sheet 'Old', row 1"):
        read(out.getvalue(), sheet="Old")


def test_rows_before_the_header_and_after_the_data_are_skipped() -> None:
    lines: list[list[Any]] = [["Report"], [], HEADER, [1, 2, 3], [4, 5, 6], [], ["Sum", 7, 9]]
    assert read(xlsx(lines), skip_lines=2, skip_footer=1)[0] == [(1, ["1", "2", "3"]), (2, ["4", "5", "6"])]
    assert read(xlsx(lines[3:5]), header=False)[0] == [(1, ["1", "2", "3"]), (2, ["4", "5", "6"])]
    with pytest.raises(FileRejected, match=r"sheet 'Data': row 1 is no header; row 3 .*skip_lines: 2"):
        read(xlsx(lines))


def test_a_value_in_a_column_without_a_name_is_not_dropped() -> None:
    rows, malformed = read(xlsx([[*HEADER, None], [1, 2, 3, None], [2, 2, 3, "note"]]))
    assert [number for number, _ in rows] == [1]
    assert malformed[0][:2] == (2, [("too_many_fields", "")])
    with pytest.raises(FileRejected, match="column A: has values and no name"):
        read(xlsx([[None, *HEADER], [0, 1, 2, 3], [1, 2, 2, 3]]))


def test_places_are_right_where_the_first_columns_are_empty() -> None:
    lines: list[list[Any]] = [
        [],
        [None, *HEADER],
        [None, 1, CellError("#N/A"), "x"],
        [None, 2, "y", None],
        [None, 3, "z", "w"],
    ]
    rows, malformed = read(xlsx(lines, merged=["C4:D4"]))
    assert rows == [(3, ["3", "z", "w"])]
    assert [m[:2] for m in malformed] == [(1, [("error_value", "a")]), (2, [("merged_cell", "b")])]


@pytest.mark.parametrize("book", BOOKS)
def test_columns_may_come_in_any_order_behind_empty_ones(book: str) -> None:
    assert read(BOOKS[book]([[], [None, "b", "id", "a"], [None, 1, 2, 3]]))[0] == [(1, ["2", "3", "1"])]


HTML = b"<html><table><tr><td>id</td></tr></table></html>"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WHOLE = xlsx([HEADER, [1, 2, 3]])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is empty"),
        (HTML, "looks like HTML.*save it as .xlsx"),
        (b"\xef\xbb\xbf  " + HTML, "looks like HTML"),
        (b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>', "Excel 2003"),
        (b"id;a;b\n1;2;3\n", "looks like CSV, separated by ';'.*format: csv"),
        (b"id\ta\tb\n", "separated by tab"),
        (b'[{"id": 1}]', "looks like JSON"),
        (parquet({"id": [1]}), "looks like Parquet"),
        (b"\x00\x01\x02", "can't be told"),
        (OLE + bytes(600) + "EncryptedPackage".encode("utf-16-le") + bytes(600), "password"),
        (OLE + bytes(2000), "not a whole workbook"),
        (xls([HEADER])[:1500], "not a whole workbook"),
        (WHOLE[:-100], "cut off or damaged"),
        (WHOLE[:200], "cut off or damaged"),
        (zipped({"id.csv": b"id,a,b\n"}), "zip archive, and no workbook"),
        (zipped({"xl/workbook.bin": b""}), r"\.xlsb"),
        (zipped({"xl/workbook.xml": b"<a/>", "[Content_Types].xml": b""}), "not a whole workbook"),
        (ods_of("<table:table table:name='x'>").replace(b"</table", b""), "not a whole workbook"),
        (xlsx([["id", "a", "c"]]), "sheet 'Data', row 1: .*missing: b; unexpected: c"),
        (xlsx([["id", "a", "b", "b"]]), "given twice: b"),
    ],
)
def test_a_file_that_can_not_be_read_is_told_with_the_way_out(data: bytes, told: str) -> None:
    with pytest.raises(FileRejected, match=told):
        read(data)


def with_cell(place: str) -> bytes:
    """A workbook whose one cell is at a place far off, and which does not say how large it is."""
    source = zipfile.ZipFile(io.BytesIO(xlsx([HEADER])))
    parts = {name: source.read(name) for name in source.namelist()}
    row = "".join(c for c in place if c.isdigit())
    rows = f'<row r="1"><c r="A1"><v>1</v></c></row><row r="{row}"><c r="{place}"><v>1</v></c></row>'
    parts["xl/worksheets/sheet1.xml"] = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        f"{rows}</sheetData></worksheet>"
    ).encode()
    return zipped(parts)


def test_a_sheet_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(FileRejected, match="1,048,576 rows and up to 16,384 columns, too many to hold"):
        read(with_cell("XFD1048576"))
    row = '<table:table-row table:number-rows-repeated="1000000">'
    cell = '<table:table-cell table:number-columns-repeated="99" '
    tables = (
        f'<table:table table:name="x">{row}{cell}office:value-type="float" office:value="1"/></table:table-row>'
    )
    with pytest.raises(FileRejected, match="too many to hold"):
        read(ods_of(tables + "</table:table>"))


def test_columns_have_the_letters_of_a_sheet() -> None:
    assert [letters(n) for n in (0, 25, 26, 701, 702, 16383)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False)
    .map(lambda f: float(f"{f:.15g}"))
    .filter(lambda f: abs(f) < 2**53),
    st.datetimes(dt.datetime(1950, 1, 1), dt.datetime(2199, 1, 1)).map(lambda t: t.replace(microsecond=0)),
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=20).filter(
        str.strip  # the reader of workbooks gives nothing but blanks as an empty cell
    ),
)


def as_openpyxl_reads(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d}" if value.time() == dt.time() else f"{value:%Y-%m-%d %H:%M:%S}"
    return value


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=12))
def test_any_cells_come_as_an_independent_reader_has_them(cells: list[tuple[Any, Any]]) -> None:
    data = xlsx([HEADER, *([n, *pair] for n, pair in enumerate(cells))])
    sheet = openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]
    rows, malformed = read(data)
    assert malformed == []
    for (_, values), line in zip(rows, sheet.iter_rows(min_row=2, values_only=True), strict=True):
        for found, expected in zip(values[1:], map(as_openpyxl_reads, line[1:]), strict=True):
            if isinstance(expected, int | float) and not isinstance(expected, bool):
                assert float(found) == expected
                assert found == str(int(expected)) or not float(expected).is_integer()
            else:
                assert found == expected
