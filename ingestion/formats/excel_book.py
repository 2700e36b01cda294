"""Opens a workbook and one sheet of it."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, NamedTuple

from config.errors import FileRejected
from ingestion.formats import excel_ods, excel_xls, excel_xlsx
from ingestion.formats.excel_kind import MOST_BYTES, ODS_PART, PROTECTED, Kind, kind_of
from ingestion.formats.excel_xlsx import Errors
from ingestion.formats.spool import seekable, size_of

MOST_CELLS = 30_000_000  # calamine takes some 32 bytes for each, empty ones too

_Range = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Sheet:
    """A sheet, whose rows have `width` cells, from column `first_column` on (A is 0).

    `errors`: by row, from 1, and column, from 0, the errors that cells hold in the place of a value. `merged`: the
    first and last cells of merged ranges, both from 0.
    """

    place: str
    first_column: int
    width: int
    errors: Errors
    merged: list[_Range]
    _rows: Iterator[list[Any]]

    def take(self, most: int) -> list[list[Any]]:
        """The next rows of the sheet, at most so many; none at its end."""
        with _damage_told():
            return list(islice(self._rows, most))


class Rows(NamedTuple):
    """Rows of a sheet: their numbers in it, from 1, and their cells."""

    numbers: list[int]
    cells: list[list[Any]]


@contextmanager
def opened_sheet(raw: IO[bytes], wanted: str | int) -> Iterator[Sheet]:
    """The sheet of a workbook that has this name or number. Raises FileRejected where there is no such thing."""
    with seekable(raw) as file, ExitStack() as stack:
        if size_of(file) > MOST_BYTES:
            raise FileRejected(f"is a workbook of more than {MOST_BYTES >> 20} MB: export it as CSV or Parquet")
        kind = kind_of(file)
        with _damage_told():
            read_errors = _ERRORS_OF[kind](file, stack)
            book = stack.enter_context(_loaded(file))
            name = _chosen(book, wanted)
            errors = read_errors(name, book.sheet_names.index(name))
            sheet = book.get_sheet_by_name(name)
            merged = sheet.merged_cell_ranges or []
            first = sheet.start[1] if sheet.start else 0  # its rows come without the empty columns before that
        yield Sheet(f"sheet {name!r}", first, sheet.width, errors, merged, sheet.iter_rows())


def shown_sheets(file: IO[bytes]) -> list[str]:
    """The names of the sheets that are shown. Raises FileRejected."""
    kind_of(file)
    with _damage_told(), _loaded(file) as book:
        return [name for name, is_shown in _sheets(book) if is_shown]


def _loaded(file: IO[bytes]) -> Any:
    import python_calamine as calamine  # here alone: most commands need no workbook

    file.seek(0)
    return calamine.load_workbook(file)


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turn whatever a damaged workbook makes of those who read it into FileRejected."""
    try:
        yield
    except (FileRejected, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:  # the disk's
            raise
        raise _damaged(error) from None
    except BaseException as error:
        # calamine panics where others raise; and a panic is no Exception
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise _damaged(error) from None
        raise


def _damaged(error: BaseException) -> FileRejected:
    if type(error).__name__ == "PasswordError":
        return FileRejected(PROTECTED)
    return FileRejected(f"is not a whole workbook ({type(error).__name__}): save it anew")


def _sheets(book: Any) -> list[tuple[str, bool]]:
    """The names of the sheets with cells, each with: is it shown?"""
    import python_calamine as calamine

    kind, visible = calamine.SheetTypeEnum.WorkSheet, calamine.SheetVisibleEnum.Visible
    return [(sheet.name, sheet.visible == visible) for sheet in book.sheets_metadata if sheet.typ == kind]


_ErrorsOf = Callable[[str, int], Errors]  # of a sheet, by its name or its position


def _errors_of_xlsx(file: IO[bytes], stack: ExitStack) -> _ErrorsOf:
    archive = stack.enter_context(zipfile.ZipFile(file))

    def errors_of(sheet: str, _position: int) -> Errors:
        def check(rows: int, columns: int) -> None:
            _check_size(f"sheet {sheet!r}", rows, columns)

        return excel_xlsx.scanned(archive, excel_xlsx.part_of(archive, sheet), check)

    return errors_of


def _errors_of_xls(file: IO[bytes], _stack: ExitStack) -> _ErrorsOf:
    file.seek(0)
    by_position = excel_xls.errors_by_sheet(file.read())
    return lambda _sheet, position: by_position(position)


def _errors_of_ods(file: IO[bytes], stack: ExitStack) -> _ErrorsOf:
    """All of its sheets are read at once: so they are measured before that."""
    archive = stack.enter_context(zipfile.ZipFile(file))
    size = excel_ods.Size()
    with archive.open(ODS_PART) as stream:
        size.go_through(stream, lambda rows, columns: _check_size("one of its sheets", rows, columns))

    def errors_of(sheet: str, _position: int) -> Errors:
        if not size.has_errors:
            return {}
        with archive.open(ODS_PART) as stream:
            return excel_ods.errors_of_sheet(stream, sheet)

    return errors_of


_ERRORS_OF = {Kind.XLSX: _errors_of_xlsx, Kind.XLS: _errors_of_xls, Kind.ODS: _errors_of_ods}


def _check_size(place: str, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        size = f"{rows:,} rows and up to {columns:,} columns"
        raise FileRejected(f"{place} has {size}, too many to hold: export it as CSV or Parquet")


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
