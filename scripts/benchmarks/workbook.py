"""Writes orders as a workbook, as Excel does: its numbers are numbers, its times are days since 1899."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.excel_records import letters
from scripts.benchmarks.data import NUMBERS, TIMES, Expected, Orders

_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_PARTS = {  # ECMA-376, part 1: what a reader asks for
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_OFFICE}">'
    '<sheets><sheet name="Orders" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    f'<Relationship Id="rId3" Type="{_OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
    "xl/styles.xml": f'<styleSheet {_MAIN}><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs>'
    "</styleSheet>",
}
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_DAY_ZERO, _DAY = pa.scalar(dt.datetime(1899, 12, 30), pa.timestamp("s")), 86_400  # noqa: DTZ001
_TIME = r"^\d{4}-(0\d|1[0-2])-"


def write_xlsx(path: Path, parts: Iterable[Orders]) -> Expected:
    """Write the orders into one sheet; returns what it should yield."""
    expected = Expected()
    texts: dict[str, int] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in _PARTS.items():
            archive.writestr(name, _XML + content)
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as sheet:
            orders = list(parts)
            names = orders[0].rows.column_names
            count = sum(part.rows.num_rows for part in orders)
            size = f"A1:{letters(len(names) - 1)}{count + 1}"
            sheet.write(f'{_XML}<worksheet {_MAIN}><dimension ref="{size}"/><sheetData>'.encode())
            _write_rows(sheet, pa.table({name: [name] for name in names}), 1, texts)
            for part in orders:
                _write_rows(sheet, part.rows, expected.total + 2, texts)
                expected += part.expected
            sheet.write(b"</sheetData></worksheet>")
        items = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
        archive.writestr("xl/sharedStrings.xml", f"{_XML}<sst {_MAIN}>{items}</sst>")
    return expected


def _write_rows(sheet: IO[bytes], rows: pa.Table, first: int, texts: dict[str, int]) -> None:
    numbers = pa.array(np.arange(first, first + rows.num_rows)).cast(pa.string())
    places = enumerate(rows.column_names)
    cells = [_cells(rows.column(name), name, letters(place), numbers, texts) for place, name in places]
    lines = pc.binary_join_element_wise('<row r="', numbers, '">', *cells, "</row>", "")
    sheet.write("".join(lines.to_pylist()).encode())


def _cells(values: pa.ChunkedArray, name: str, column: str, numbers: pa.Array, texts: dict[str, int]) -> pa.Array:
    """The cells of a column as XML; none for what is empty."""
    text = values.combine_chunks()
    kind, told = pa.repeat(' t="s"', len(text)), text
    if name in NUMBERS:
        typed = pc.match_substring_regex(text, f"^{_NUMBER.pattern}$")
    elif name in TIMES:
        typed = pc.match_substring_regex(text, _TIME)
        times = pc.cast(pc.if_else(typed, text, None), pa.timestamp("s"))
        days = pc.divide(pc.cast(pc.cast(pc.subtract(times, _DAY_ZERO), pa.int64()), pa.float64()), _DAY)
        told = pc.coalesce(pc.cast(days, pa.string()), text)
        kind = pc.if_else(typed, ' s="1"', kind)
    else:
        typed = pa.repeat(False, len(text))
    kind = kind if name in TIMES else pc.if_else(typed, "", kind)
    shared = [str(texts.setdefault(one, len(texts))) for one in pc.if_else(typed, "", text).to_pylist()]
    told = pc.if_else(typed, told, pa.array(shared, pa.string()))
    cells = pc.binary_join_element_wise(f'<c r="{column}', numbers, '"', kind, "><v>", told, "</v></c>", "")
    return pc.if_else(pc.equal(text, ""), "", cells)
