"""What calamine does not tell of a sheet, from the workbook's own parts: errors in cells, and how large it is.

An .xlsx is a zip archive of XML (ECMA-376). Its cells are looked at in bytes: a parser would take longer than
calamine does. What is found there by its few marks is rare.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from typing import IO
from xml.etree import ElementTree as ET

from config.errors import FileRejected

MOST_CELLS = 30_000_000  # calamine holds 24 bytes or more of each, empty ones too
PART_BYTES = 1 << 20
MOST_COLUMNS = 16_384

Errors = dict[int, dict[int, str]]

_ROW_END = re.compile(rb"</(?:\w+:)?row>")
_ROW_NUMBER = re.compile(rb"<(?:\w+:)?row\b[^>]*?\br=[\"'](\d{1,9})[\"']")
_IS_ERROR = (b't="e"', b"t='e'")
_ERROR = re.compile(
    rb"<(?:\w+:)?c\b(?=[^>]*\bt=[\"']e[\"'])[^>]*\br=[\"']([A-Z]{1,3})(\d{1,7})[\"'][^>]*>(.*?)</(?:\w+:)?c>", re.DOTALL
)
_ERROR_VALUE = re.compile(rb"<(?:\w+:)?v>(.*?)</(?:\w+:)?v>", re.DOTALL)
_WIDE = tuple(re.compile(rb"\br=[\"']([A-Z]{%d})\d" % count) for count in (3, 2))
_NO_PLACE = re.compile(rb"<(?:\w+:)?c(?![^>]*\br=)[ >/]")


def scanned(file: IO[bytes], sheet: str, place: str) -> Errors:
    """The errors of the sheet called so, by row, from 1, and column, from 0.

    Raises FileRejected for a sheet that would not fit into memory. Leaves the file at its beginning.
    """
    try:
        if file.read(4) != b"PK\x03\x04":
            return {}
        archive = zipfile.ZipFile(file)
        if "xl/workbook.xml" not in archive.namelist():
            return {}
        part = _part_of(archive, sheet)
        with archive.open(part) as stream:
            return _Scan(place).errors(iter(lambda: stream.read(PART_BYTES), b""))
    except ET.ParseError:
        raise FileRejected("is not a whole workbook: the list of its sheets is damaged; save it anew") from None
    finally:
        file.seek(0)


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    """The part of the archive that holds the sheet."""
    ids = {
        _attribute(one, "name"): _attribute(one, "id")
        for one in ET.fromstring(archive.read("xl/workbook.xml")).iter()  # noqa: S314  (expat guards itself)
        if one.tag.rpartition("}")[2] == "sheet"
    }
    relations = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    targets = {one.get("Id"): one.get("Target", "") for one in relations.iter()}
    target = targets.get(ids.get(sheet), "")
    wanted = (target[1:] if target.startswith("/") else f"xl/{target}").lower()
    for name in archive.namelist():
        if name.lower() == wanted:
            return name
    raise FileRejected(f"is not a whole workbook: sheet {sheet!r} is missing in it; save it anew")


def _attribute(element: ET.Element, name: str) -> str | None:
    return next((value for key, value in element.items() if key.rpartition("}")[2] == name), None)


class _Scan:
    """Goes through the XML of a sheet."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._errors: Errors = {}
        self._rows, self._columns = 0, 26

    def errors(self, parts: Iterator[bytes]) -> Errors:
        rest = b""
        for part in parts:
            text = rest + part
            ends = text.rfind(b"row>")
            cut = ends + 4 if ends >= 0 else 0
            rest = text[cut:]
            self._look_at(text[:cut])
        self._look_at(rest)
        return self._errors

    def _look_at(self, rows: bytes) -> None:
        numbers = _ROW_NUMBER.findall(rows)
        self._rows = max(self._rows + rows.count(b"row>"), max(map(int, numbers), default=0))
        self._columns = max(self._columns, _width(rows))
        if self._rows * self._columns > MOST_CELLS:
            size = f"{self._rows:,} rows and up to {self._columns:,} columns"
            raise FileRejected(f"{self._place} has {size}, too many to hold: export it as CSV or Parquet")
        if any(mark in rows for mark in _IS_ERROR):
            for found in _ERROR.finditer(rows):
                value = _ERROR_VALUE.search(found[3])
                row = self._errors.setdefault(int(found[2]), {})
                row[_position(found[1])] = value[1].decode(errors="replace") if value else "#ERROR"


def _width(rows: bytes) -> int:
    """How many columns the rows have, at most; 26 for all with few."""
    for wide in _WIDE:
        if wide.search(rows):
            return max(map(_position, set(wide.findall(rows)))) + 1
    return 26


def _position(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1
