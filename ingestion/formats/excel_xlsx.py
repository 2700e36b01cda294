"""What calamine does not tell of a sheet of an .xlsx: errors in cells, and how large it is.

It is a zip archive of XML (ECMA-376). Its cells are looked at as bytes: a parser would take longer than calamine.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from typing import IO
from xml.etree import ElementTree as ET

from config.errors import FileRejected

Errors = dict[int, dict[int, str]]  # by row, from 1, and column, from 0

BEGINNING_BYTES, PART_BYTES = 1 << 12, 1 << 19

_ROW_NUMBER = re.compile(rb"<(?:\w+:)?row\b[^>]*?\br=[\"'](\d{1,9})[\"']")
_COLUMN = re.compile(rb"[A-Z]{1,3}")
_DIMENSION = re.compile(rb"<(?:\w+:)?dimension ref=\"[A-Z]{1,3}\d+:([A-Z]{1,3})(\d{1,7})\"")
_ERROR_MARKS = (b't="e"', b"t='e'")
_CELL_WITH_ERROR = re.compile(rb"<(?:\w+:)?c\b([^>]*\bt=[\"']e[\"'][^>]*)>(.*?)</(?:\w+:)?c>", re.DOTALL)
_PLACE = re.compile(rb"\br=[\"']([A-Z]{1,3})(\d{1,7})[\"']")
_VALUE = re.compile(rb"<(?:\w+:)?v>(.*?)</(?:\w+:)?v>", re.DOTALL)


def part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    """The part of the archive that holds the sheet. Raises FileRejected."""
    try:
        workbook = ET.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314  (expat guards itself)
        relations = ET.fromstring(archive.read("xl/_rels/workbook.xml.rels"))  # noqa: S314
    except (ET.ParseError, KeyError):
        raise FileRejected("is not a whole workbook: the list of its sheets is damaged; save it anew") from None
    ids = {_attribute(one, "name"): _attribute(one, "id") for one in workbook.iter() if _local(one.tag) == "sheet"}
    targets = {one.get("Id"): one.get("Target", "") for one in relations.iter()}
    target = targets.get(ids.get(sheet)) or ""
    wanted = (target[1:] if target.startswith("/") else f"xl/{target}").lower()
    found = next((name for name in archive.namelist() if name.lower() == wanted), None)
    if found is None:
        raise FileRejected(f"is not a whole workbook: sheet {sheet!r} is missing in it; save it anew")
    return found


def _attribute(element: ET.Element, name: str) -> str | None:
    return next((value for key, value in element.items() if _local(key) == name), None)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def scanned(archive: zipfile.ZipFile, part: str, check: Callable[[int, int], None]) -> Errors:
    """The errors in the cells of a sheet; `check` is told its rows and columns as soon as they are known.

    Most writers say at its beginning how large a sheet is, and most sheets have no errors: then that is all.
    """
    with archive.open(part) as stream:
        beginning = stream.read(BEGINNING_BYTES)
        said = _DIMENSION.search(beginning)
        if said:
            check(int(said[2]), _position(said[1]) + 1)
        if said and not _has_errors(beginning, stream):
            return {}
    with archive.open(part) as stream:
        return _Scan(check).errors_in(stream)


def _has_errors(beginning: bytes, stream: IO[bytes]) -> bool:
    end, part, found = b"", beginning, False
    while part:  # to the end: what is cut off or damaged turns out there
        found = found or any(mark in part or mark in end + part[:8] for mark in _ERROR_MARKS)
        end, part = part[-8:], stream.read(PART_BYTES)
    return found


class _Scan:
    """Goes through the rows of a sheet one by one."""

    def __init__(self, check: Callable[[int, int], None]) -> None:
        self._check = check
        self._errors: Errors = {}
        self._rows = self._columns = 0

    def errors_in(self, stream: IO[bytes]) -> Errors:
        rest = b""
        while part := stream.read(PART_BYTES):
            text = rest + part
            cut = text.rfind(b"row>") + 4 if b"row>" in text else 0
            text, rest = text[:cut], text[cut:]
            self._measure(text)
            self._check(self._rows, self._columns)
            if any(mark in text for mark in _ERROR_MARKS):
                self._note_errors(text)
        return self._errors

    def _measure(self, text: bytes) -> None:
        rows = text.split(b"row>")[:-1]
        if rows:
            numbers = _ROW_NUMBER.findall(rows[-1])
            self._rows = max(self._rows, int(numbers[-1])) if numbers else self._rows + len(rows)
            self._columns = max(self._columns, _width(rows))

    def _note_errors(self, rows: bytes) -> None:
        for cell, body in _CELL_WITH_ERROR.findall(rows):
            place, value = _PLACE.search(cell), _VALUE.search(body)
            if place is None:
                raise FileRejected("has cells with errors, and not their places: save it anew with Excel")
            error = value[1].decode(errors="replace") if value else "#ERROR"
            self._errors.setdefault(int(place[2]), {})[_position(place[1])] = error


def _width(rows: list[bytes]) -> int:
    """The columns of the rows, by the place of the last cell of each, or by how many there are at most."""
    places = {row[(at := row.rfind(b' r="') + 4) : at + 3] for row in rows}
    columns = [found[0] for place in places if (found := _COLUMN.match(place))]
    return max(map(_position, columns)) + 1 if columns else max(row.count(b"<") for row in rows)


def _position(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1
