"""Quarantined rows as a spreadsheet, CSV or XLSX, and back."""

from __future__ import annotations

import csv
import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from validation.fault_handler import defused, fused

ID, REASON = "quarantine_id", "reason"
MAX_CELL = 32_767  # characters that a cell of a spreadsheet holds


def write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` (quarantine_id, rejection_reason, raw_data) to a new .csv or .xlsx for its owner alone to read.

    A cell that a spreadsheet would run as a formula gets a leading apostrophe. Raises ConfigError.
    """
    lines = [[ID, REASON, *columns]]
    for row in rows:
        values = [row["raw_data"].get(name) for name in columns]
        cells = ["" if value is None else defused(str(value)) for value in values]
        lines.append([str(row["quarantine_id"]), row["rejection_reason"], *cells])
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}") from None
    if _is_xlsx(path):
        os.close(descriptor)
        _write_xlsx(path, lines)
    else:
        with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)


def read(path: Path) -> dict[int, dict[str, str]]:
    """The columns of each row by quarantine_id, as they are in the file; its reasons are left out.

    Raises ConfigError when it can't be read, or a row has no quarantine_id, or one comes twice.
    """
    try:
        lines = list(_read_xlsx(path) if _is_xlsx(path) else _read_csv(path))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from None
    names = lines[0] if lines else []
    if ID not in names or len(set(names)) != len(names):
        raise ConfigError(f"{path}: the first line must name each column once, {ID} among them")
    found: dict[int, dict[str, str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not any(line):
            continue
        cells = dict(zip(names, [*line, *[""] * (len(names) - len(line))], strict=False))
        key, _ = cells.pop(ID), cells.pop(REASON, None)
        if len(line) > len(names) or not (key.isascii() and key.isdigit()):
            raise ConfigError(f"{path}, line {number}: no {ID}, or more cells than columns")
        if int(key) in found:
            raise ConfigError(f"{path}, line {number}: {ID} {key} comes twice")
        found[int(key)] = cells
    return found


def changed(cells: Mapping[str, str], raw: Mapping[str, Any]) -> dict[str, str]:
    """The cells that are no longer as `write` had written the row `raw`, with their values."""
    shown = {name: "" if raw.get(name) is None else defused(str(raw[name])) for name in cells}
    return {name: fused(cell) for name, cell in cells.items() if cell != shown[name]}


def _is_xlsx(path: Path) -> bool:
    if path.suffix.lower() not in {".csv", ".xlsx"}:
        raise ConfigError(f"{path}: the name must end with .csv or .xlsx")
    return path.suffix.lower() == ".xlsx"


def _read_csv(path: Path) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = ";" if first.count(";") > first.count(",") else ","  # as some spreadsheets save it
        yield from csv.reader(file, delimiter=delimiter)


def _write_xlsx(path: Path, lines: list[list[str]]) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.utils.exceptions import IllegalCharacterError

    book = Workbook(write_only=True)
    sheet = book.create_sheet("quarantine")

    def as_text(text: str) -> Any:
        cell = WriteOnlyCell(sheet, value=text)
        cell.data_type, cell.number_format = "s", "@"
        return cell

    too_long = any(len(text) > MAX_CELL for line in lines for text in line)
    try:
        for line in [] if too_long else lines:
            sheet.append([as_text(text) for text in line])
        book.save(path)
    except IllegalCharacterError:
        path.unlink()
        raise ConfigError("a value holds a control character, which XLSX can't hold; export as CSV") from None
    if too_long:
        path.unlink()
        raise ConfigError(f"a value has more than {MAX_CELL} characters, which XLSX can't hold; export as CSV")


def _read_xlsx(path: Path) -> Iterator[list[str]]:
    from zipfile import BadZipFile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, ValueError):
        raise ConfigError(f"{path} is no XLSX workbook") from None
    try:
        for line in book.worksheets[0].iter_rows(values_only=True):
            cells = [_cell_text(value) for value in line]
            while cells and not cells[-1]:
                cells.pop()
            yield cells
    finally:
        book.close()


def _cell_text(value: object) -> str:
    """A cell as text: a number that a spreadsheet made of an id is that id again."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    return str(value)
