"""What calamine does not tell of an .ods (OpenDocument 1.3, part 3): errors in cells, how large its sheets are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import IO
from xml.etree import ElementTree as ET
from xml.parsers import expat

PART_BYTES = 1 << 20
_IS_ERROR = b'value-type="error"'
_ROW = b"table-row>"
_REPEATED_ROWS = re.compile(rb'number-rows-repeated="(\d{1,9})"')
_REPEATED_CELLS = re.compile(
    rb"<table:table-cell\b(?=[^>]*\bvalue-type=)[^>]*number-columns-repeated=\"(\d{1,9})\""
)
_TABLE, _TABLE_ROW = "table", "table-row"
_CELLS = frozenset({"table-cell", "covered-table-cell"})


class Size:
    """Rows and columns that the sheets have at most, as far as they were gone through."""

    def __init__(self) -> None:
        self.rows = self.columns = 0
        self.has_errors = False

    def go_through(self, stream: IO[bytes], check: Callable[[int, int], None]) -> None:
        """Count, and tell `check` after every part. Raises ExpatError for what is no XML."""
        parser = expat.ParserCreate()  # calamine waits for ever for the end of a table that has none
        rest = b""
        while part := stream.read(PART_BYTES):
            parser.Parse(part, False)
            text = rest + part
            cut = text.rfind(_ROW) + len(_ROW) if _ROW in text else 0
            rest = text[cut:]
            self._count(text[:cut])
            check(self.rows, self.columns)
        parser.Parse(b"", True)

    def _count(self, text: bytes) -> None:
        self.has_errors = self.has_errors or _IS_ERROR in text
        rows = text.split(b"</table:table-row>")
        self.rows += len(rows)
        self.columns = max(self.columns, *(row.count(b"<table:table-cell") for row in rows))
        if repeated := _REPEATED_CELLS.findall(text):
            self.columns = max(self.columns, *map(int, repeated))
        for row in rows if _REPEATED_ROWS.search(text) else ():
            start = row.rfind(b"<table:table-row")
            found = _REPEATED_ROWS.search(row, max(start, 0))
            if found and b"value-type=" in row[max(start, 0) :]:
                self.rows += int(found[1])


def errors_of_sheet(stream: IO[bytes], sheet: str) -> dict[int, dict[int, str]]:
    """The errors of the sheet called so, by row, from 1, and column, from 0."""
    errors: dict[int, dict[int, str]] = {}
    for number, repeated, row in _rows(stream, sheet):
        if found := _errors_of_row(row):
            errors |= dict.fromkeys(range(number, number + repeated), found)
    return errors


def _rows(stream: IO[bytes], sheet: str) -> Iterator[tuple[int, int, ET.Element]]:
    """The sheet's rows: number, how often it is repeated, element."""
    number, inside = 1, False
    for event, element in ET.iterparse(stream, ("start", "end")):  # noqa: S314  (expat guards itself)
        name = _local(element.tag)
        if name == _TABLE:
            inside = event == "start" and _attribute(element, "name") == sheet
        elif name == _TABLE_ROW and event == "end":
            if inside:
                repeated = int(_attribute(element, "number-rows-repeated") or 1)
                yield number, repeated, element
                number += repeated
            element.clear()


def _errors_of_row(row: ET.Element) -> dict[int, str]:
    errors: dict[int, str] = {}
    position = 0
    for cell in row:
        if _local(cell.tag) not in _CELLS:
            continue
        repeated = int(_attribute(cell, "number-columns-repeated") or 1)
        if any(key.endswith("}value-type") and value == "error" for key, value in cell.items()):
            errors |= dict.fromkeys(range(position, position + repeated), "".join(cell.itertext()) or "#ERROR")
        position += repeated
    return errors


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _attribute(element: ET.Element, name: str) -> str | None:
    return next((value for key, value in element.items() if _local(key) == name), None)
