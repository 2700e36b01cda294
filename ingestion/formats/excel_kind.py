"""What a file is that should be a workbook: which kind of one, or what it looks like instead."""

from __future__ import annotations

import re
import zipfile
from enum import Enum
from typing import IO

from config.errors import FileRejected

MOST_BYTES = 256 << 20  # of a workbook as it is packed: it is read as a whole
MOST_UNPACKED = 2 << 30
PROTECTED = "is protected by a password: save it without one"
XLSX_PART, XLSB_PART, ODS_PART = "xl/workbook.xml", "xl/workbook.bin", "content.xml"
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FIRST_PARTS = (b"[Content_Types].xml", b"xl/", b"docProps/", b"_rels/")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_ODS = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet"
_HTML = re.compile(rb"\s*<(?:!doctype html|html|head|body|table|meta)\b", re.IGNORECASE)
_SEPARATORS = {b"\t": "tab", b";": "';'", b",": "','", b"|": "'|'"}


class Kind(Enum):
    XLSX = "xlsx"
    XLS = "xls"
    ODS = "ods"


def looks_like_workbook(beginning: bytes) -> bool:
    """Do the first bytes of a file tell that it is one?"""
    if beginning.startswith(_OLE):
        return True
    return beginning.startswith(_ZIP) and (_ODS in beginning[:100] or beginning[30:].startswith(_FIRST_PARTS))


def kind_of(file: IO[bytes]) -> Kind:
    """The kind of the workbook, whatever its name says. Raises FileRejected with what the file looks like."""
    beginning = file.read(4096)
    file.seek(0)
    if beginning.startswith(_OLE):
        if _ENCRYPTED in file.read():
            raise FileRejected(PROTECTED)
        file.seek(0)
        return Kind.XLS
    if not beginning.startswith(_ZIP):
        raise FileRejected(f"is no workbook: {_looks(beginning)}")
    try:
        parts = {part.filename: part.file_size for part in zipfile.ZipFile(file).infolist()}
    except (zipfile.BadZipFile, NotImplementedError):
        raise FileRejected("is not a whole workbook: it is cut off or damaged; fetch or save it anew") from None
    file.seek(0)
    if XLSB_PART in parts:
        raise FileRejected("is a binary workbook (.xlsb): save it as .xlsx")
    if not parts.keys() & {XLSX_PART, ODS_PART}:
        raise FileRejected("is a zip archive, and no workbook: a packed file is named so, as in visits.xlsx.zip")
    if sum(parts.values()) > MOST_UNPACKED:
        raise FileRejected(f"unpacks to more than {MOST_UNPACKED >> 30} GB: export it as CSV or Parquet")
    return Kind.XLSX if XLSX_PART in parts else Kind.ODS


def _looks(beginning: bytes) -> str:
    if not beginning:
        return "it is empty"
    text = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    found = "XML" if text.startswith(b"<?xml") else ""
    if b"urn:schemas-microsoft-com:office:spreadsheet" in text:
        found = "an XML spreadsheet of Excel 2003"
    elif _HTML.match(text) or b"<table" in text.lower():
        found = "HTML, as web exports write it"
    if found:
        return f"it looks like {found}; open it in Excel and save it as .xlsx"
    for sign, kind in ((b"PAR1", "Parquet"), (b"{", "JSON"), (b"[", "JSON")):
        if text.startswith(sign):
            return f"it looks like {kind}; if that is meant: read: {{format: {kind.lower()}}}"
    if b"\0" in text:
        return "what it is can't be told"
    return f"it looks like CSV{_separated(text)}; if that is meant: read: {{format: csv}}"


def _separated(text: bytes) -> str:
    line = text.splitlines()[0] if text else b""
    found = max(_SEPARATORS, key=line.count)
    return f", separated by {_SEPARATORS[found]}" if found in line else ""
