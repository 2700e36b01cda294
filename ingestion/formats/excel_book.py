"""Opens a workbook and one sheet of it."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any
from xml.etree import ElementTree as ET

from config.errors import FileRejected
from ingestion.formats import excel_ods, excel_xls, excel_xlsx
from ingestion.formats.excel_kind import MOST_BYTES, ODS_PART, PROTECTED, Kind, kind_of
from ingestion.formats.excel_xlsx import Errors
from ingestion.formats.spool import seekable, size_of

MOST_CELLS = 30_000_000  # calamine takes some 32 bytes for each, empty ones too

_Range = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Sheet:
    """A sheet: its `rows`, from the first on, each of `width` cells. `errors`: by row, from 1, and column, from 0,
    the errors that cells hold in the place of a value. `merged`: the first and last cells of merged ranges."""

    place: str
    rows: Iterator[list[Any]]
    width: int
    errors: Errors
    merged: list[_Range]


@contextmanager
def opened_sheet(raw: IO[bytes], wanted: str | int) -> Iterator[Sheet]:
    """The sheet of a workbook that has this name or number. Raises FileRejected where there is no such thing."""
    import python_calamine as calamine  # here alone: most commands need no workbook

    with seekable(raw) as file:
        if size_of(file) > MOST_BYTES:
            raise FileRejected(f"is a workbook of more than {MOST_BYTES >> 20} MB: export it as CSV or Parquet")
        kind = kind_of(file)
        try:
            if kind is Kind.ODS:
                has_errors = _measured_ods(file)
            with calamine.load_workbook(file) as book:
                name = _chosen(book, wanted)
                if kind is Kind.XLSX:
                    errors = _scanned_xlsx(file, name)
                elif kind is Kind.XLS:
                    errors = excel_xls.errors_of_sheet(_whole(file), book.sheet_names.index(name))
                else:
                    errors = _errors_of_ods(file, name) if has_errors else {}
                sheet = book.get_sheet_by_name(name)
                merged = sheet.merged_cell_ranges or []
                yield Sheet(f"sheet {name!r}", sheet.iter_rows(), sheet.total_width, errors, merged)
        except calamine.PasswordError:
            raise FileRejected(PROTECTED) from None
        except (calamine.CalamineError, zipfile.BadZipFile, zlib.error, EOFError, ET.ParseError) as error:
            raise FileRejected(f"is not a whole workbook ({type(error).__name__}): save it anew") from None


def shown_sheets(file: IO[bytes]) -> list[str]:
    """The names of the sheets that are shown. Raises FileRejected."""
    import python_calamine as calamine

    kind_of(file)
    try:
        with calamine.load_workbook(file) as book:
            return [name for name, is_shown in _sheets(book) if is_shown]
    except calamine.CalamineError:
        raise FileRejected("is not a whole workbook") from None
    finally:
        file.seek(0)


def _sheets(book: Any) -> list[tuple[str, bool]]:
    """The names of the sheets with cells, each with: is it shown?"""
    import python_calamine as calamine

    kind, visible = calamine.SheetTypeEnum.WorkSheet, calamine.SheetVisibleEnum.Visible
    return [(sheet.name, sheet.visible == visible) for sheet in book.sheets_metadata if sheet.typ == kind]


def _scanned_xlsx(file: IO[bytes], sheet: str) -> Errors:
    def check(rows: int, columns: int) -> None:
        _check_size(f"sheet {sheet!r}", rows, columns)

    file.seek(0)
    archive = zipfile.ZipFile(file)
    return excel_xlsx.scanned(archive, excel_xlsx.part_of(archive, sheet), check)


def _measured_ods(file: IO[bytes]) -> bool:
    """Refuse sheets that are too large; has any of them errors in cells?"""
    size = excel_ods.Size()
    with zipfile.ZipFile(file).open(ODS_PART) as stream:
        size.go_through(stream, lambda rows, columns: _check_size("one of its sheets", rows, columns))
    file.seek(0)
    return size.has_errors


def _errors_of_ods(file: IO[bytes], sheet: str) -> Errors:
    file.seek(0)
    with zipfile.ZipFile(file).open(ODS_PART) as stream:
        return excel_ods.errors_of_sheet(stream, sheet)


def _check_size(place: str, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        size = f"{rows:,} rows and up to {columns:,} columns"
        raise FileRejected(f"{place} has {size}, too many to hold: export it as CSV or Parquet")


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _chosen(book: Any, wanted: str | int) -> str:
    """The name of the sheet that is meant."""
    sheets = _sheets(book)
    shown = [name for name, is_shown in sheets if is_shown]
    if isinstance(wanted, int):
        if wanted <= len(shown):
            return shown[wanted - 1]
        raise FileRejected(f"has no sheet number {wanted}; its sheets are {_told(shown)}")
    names = [name for name, _ in sheets]
    if wanted in names:
        return wanted
    close = difflib.get_close_matches(wanted, names, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    raise FileRejected(f"has no sheet {wanted!r}; its sheets are {_told(names)}{meant}")


def _told(names: list[str]) -> str:
    most = 20
    told = ", ".join(map(repr, names[:most])) or "none that are shown"
    return told + (f" and {len(names) - most} more" if len(names) > most else "")
