"""Writes workbooks of all three kinds, Parquet and packed files, for tests."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import xlwt

Rows = Sequence[Sequence[Any]]
_NAMESPACES = " ".join(
    f'xmlns:{prefix}="urn:{name}"'
    for prefix, name in (
        ("office", "oasis:names:tc:opendocument:xmlns:office:1.0"),
        ("table", "oasis:names:tc:opendocument:xmlns:table:1.0"),
        ("text", "oasis:names:tc:opendocument:xmlns:text:1.0"),
        ("calcext", "org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"),
    )
)


class CellError(str):
    """An error in a cell, by its name: `#N/A`."""

    __slots__ = ()


def xlsx(
    rows: Rows, *, merged: Sequence[str] = (), title: str = "Data", more: Mapping[str, Rows] | None = None
) -> bytes:
    """A workbook as Excel writes it; `more` sheets come behind."""
    book = openpyxl.Workbook()
    book.remove(book.active)  # type: ignore[arg-type]
    for name, lines in {title: rows, **(more or {})}.items():
        sheet = book.create_sheet(name)
        for row, values in enumerate(lines, 1):
            for column, value in enumerate(values, 1):
                cell = sheet.cell(row, column)
                cell.value = str(value) if isinstance(value, CellError) else value
                if isinstance(value, CellError):
                    cell.data_type = "e"
        for cells in merged if name == title else ():
            sheet.merge_cells(cells)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def xls(rows: Rows) -> bytes:
    """A workbook as Excel 97 writes it."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("Data")
    styles = {
        dt.datetime: xlwt.easyxf(num_format_str="yyyy-mm-dd hh:mm:ss"),
        dt.date: xlwt.easyxf(num_format_str="yyyy-mm-dd"),
        dt.time: xlwt.easyxf(num_format_str="hh:mm:ss"),
    }
    codes = {"#N/A": 42, "#DIV/0!": 7}
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            if isinstance(value, CellError):
                sheet.row(row).set_cell_error(column, codes[value])
            elif value is not None:
                sheet.write(row, column, value, styles.get(type(value), xlwt.Style.default_style))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def ods(rows: Rows) -> bytes:
    """A workbook as LibreOffice writes it, with the many empty rows at its end."""
    lines = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
    rest = '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/>'
    return ods_of(f'<table:table table:name="Data">{lines}{rest}</table:table-row></table:table>')


def ods_of(tables: str) -> bytes:
    """A workbook with this XML of tables."""
    body = f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>"
    content = f'<office:document-content {_NAMESPACES} office:version="1.3">{body}</office:document-content>'
    manifest = '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", '<?xml version="1.0" encoding="UTF-8"?>' + content)
        archive.writestr("META-INF/manifest.xml", '<?xml version="1.0" encoding="UTF-8"?>' + manifest)
    return out.getvalue()


def _ods_cell(value: Any) -> str:  # noqa: PLR0911
    def cell(kind: str, attribute: str = "", shown: str = "") -> str:
        return (
            f'<table:table-cell office:value-type="{kind}" {attribute}><text:p>{shown}</text:p></table:table-cell>'
        )

    match value:
        case None:
            return "<table:table-cell/>"
        case CellError():
            return cell("string", 'office:string-value="" calcext:value-type="error"', escape(value))
        case bool():
            return cell("boolean", f'office:boolean-value="{str(value).lower()}"')
        case int() | float():
            return cell("float", f'office:value="{value!r}"')
        case dt.time():
            return cell("time", f'office:time-value="PT{value:%HH%MM%SS}"')
        case dt.date():  # datetime among them
            return cell("date", f'office:date-value="{value.isoformat()}"')
    return cell("string", "", escape(value))


def parquet(columns: Mapping[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), out, **options)
    return out.getvalue()


def packed(data: bytes, ending: str, member: str = "member") -> bytes:
    """`data` as a file whose name ends so holds it."""
    match ending:
        case ".gz":
            return gzip.compress(data, mtime=0)
        case ".zst":
            done: bytes = pa.compress(data, "zstd", asbytes=True)
            return done
        case ".zip":
            return zipped({member: data})
    return data


def zipped(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()
