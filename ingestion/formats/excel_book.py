"""Opens a workbook and one sheet of it, or says what the file is instead."""

from __future__ import annotations

import difflib
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from config.errors import FileRejected
from ingestion.formats.excel_scan import scanned
from ingestion.formats.spool import seekable, size_of

MOST_BYTES = 256 << 20  # of a workbook as it is packed: it is read as a whole
MOST_UNPACKED = 2 << 30
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_HTML = re.compile(rb"\s*<(?:!doctype html|html|head|body|table|meta)\b", re.IGNORECASE)
_ODS = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"

_Range = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Sheet:
    """A sheet: its `rows`, from the first on, each of `width` cells. `errors`: by row, from 1, and column, from 0,
    the errors that cells hold in the place of a value. `merged`: the first and last cells of merged ranges."""

    place: str
    rows: Iterator[list[Any]]
    width: int
    errors: dict[int, dict[int, str]]
    merged: list[_Range]


def looks_like_workbook(beginning: bytes) -> bool:
    """Do the first bytes of a file tell that it is one?"""
    if beginning.startswith(_OLE):
        return True
    parts = (b"[Content_Types].xml", b"xl/", b"docProps/", b"_rels/.rels")
    return beginning.startswith(_ZIP) and (_ODS in beginning[:100] or any(beginning[30:].startswith(p) for p in parts))


@contextmanager
def opened_sheet(raw: IO[bytes], wanted: str | int) -> Iterator[Sheet]:
    """The sheet of a workbook that has this name or number. Raises FileRejected where there is no such thing."""
    import python_calamine as calamine  # here alone: most commands need no workbook

    with seekable(raw) as file:
        if size_of(file) > MOST_BYTES:
            raise FileRejected(f"is a workbook of more than {MOST_BYTES >> 20} MB: export it as CSV or Parquet")
        _insist_on_workbook(file)
        try:
            with calamine.load_workbook(file) as book:
                name = _chosen(book, wanted)
                place = f"sheet {name!r}"
                errors = scanned(file, name, place)
                sheet = book.get_sheet_by_name(name)
                merged = sheet.merged_cell_ranges or []
                yield Sheet(place, sheet.iter_rows(), sheet.total_width, errors, merged)
        except calamine.PasswordError:
            raise FileRejected("is protected by a password: save it without one") from None
        except (calamine.CalamineError, zipfile.BadZipFile) as error:
            raise FileRejected(f"is not a whole workbook ({type(error).__name__}): save it anew") from None


def _chosen(book: Any, wanted: str | int) -> str:
    """The name of the sheet that is meant."""
    import python_calamine as calamine

    sheets = [sheet for sheet in book.sheets_metadata if sheet.typ == calamine.SheetTypeEnum.WorkSheet]
    shown = [sheet.name for sheet in sheets if sheet.visible == calamine.SheetVisibleEnum.Visible]
    if isinstance(wanted, int):
        if wanted <= len(shown):
            return str(shown[wanted - 1])
        raise FileRejected(f"has no sheet number {wanted}; its sheets are {_told(shown)}")
    names = [sheet.name for sheet in sheets]
    if wanted in names:
        return wanted
    close = difflib.get_close_matches(wanted, names, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    raise FileRejected(f"has no sheet {wanted!r}; its sheets are {_told(names)}{meant}")


def _told(names: list[str]) -> str:
    most = 20
    told = ", ".join(map(repr, names[:most])) or "none that are shown"
    return told + (f" and {len(names) - most} more" if len(names) > most else "")


def _insist_on_workbook(file: IO[bytes]) -> None:
    """Raise FileRejected with what the file looks like, unless it is a workbook."""
    beginning = file.read(4096)
    file.seek(0)
    if beginning.startswith(_OLE):
        if _ENCRYPTED in file.read():
            raise FileRejected("is protected by a password: save it without one")
        file.seek(0)
        return
    if beginning.startswith(_ZIP):
        try:
            parts = zipfile.ZipFile(file).infolist()
        except zipfile.BadZipFile:
            raise FileRejected("is not a whole workbook: it is cut off or damaged; fetch or save it anew") from None
        file.seek(0)
        names = {part.filename for part in parts}
        if "xl/workbook.bin" in names:
            raise FileRejected("is a binary workbook (.xlsb): save it as .xlsx")
        if not names & {"xl/workbook.xml", "content.xml"}:
            raise FileRejected("is a zip archive, and no workbook in it: is it a packed file? Then name it so")
        if sum(part.file_size for part in parts) > MOST_UNPACKED:
            raise FileRejected(f"unpacks to more than {MOST_UNPACKED >> 30} GB: export it as CSV or Parquet")
        return
    raise FileRejected(f"is no workbook: {_looks(beginning)}")


def _looks(beginning: bytes) -> str:
    if not beginning:
        return "it is empty"
    if b"urn:schemas-microsoft-com:office:spreadsheet" in beginning:
        return "it looks like an XML spreadsheet of Excel 2003; open it in Excel and save it as .xlsx"
    plain = beginning.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(plain) or b"<table" in plain.lower():
        return "it looks like HTML, as web exports write it; open it in Excel and save it as .xlsx"
    if plain.startswith(b"PAR1"):
        return "it looks like Parquet; read: {format: parquet}"
    if plain.lstrip().startswith((b"{", b"[")):
        return "it looks like JSON; read: {format: json}"
    if plain.lstrip().startswith(b"<?xml"):
        return "it looks like XML; save it as .xlsx"
    if plain.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it looks like text in UTF-16; read: {format: csv} once it is UTF-8"
    if b"\0" in plain:
        return "what it is can't be told"
    line = plain.splitlines()[0]
    separators = {b"\t": "tab", b";": "';'", b",": "','", b"|": "'|'"}
    found = max(separators, key=line.count)
    told = f"separated by {separators[found]}" if found in line else "text"
    return f"it looks like CSV ({told}); read: {{format: csv}}"
