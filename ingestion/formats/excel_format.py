"""Workbooks → chunks of text columns, by calamine, which holds one sheet in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import IO, Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from config.errors import FileRejected
from config.model import Dtype
from config.schema import Column, Schema
from ingestion.formats.excel_book import Rows, Sheet, opened_sheet, shown_sheets
from ingestion.formats.excel_cells import as_text
from ingestion.formats.excel_kind import MOST_BYTES, looks_like_workbook
from ingestion.formats.excel_records import Records
from ingestion.formats.format import Format
from ingestion.formats.spool import seekable
from ingestion.formats.typed_text import TypedOptions
from validation.batch import Chunk
from validation.drift import match_columns
from validation.extra import extra_columns, gathered, left_out, new_names

LOOKED_AT = 20  # rows, for one that names the columns


def _sheet(value: str | int) -> str | int:
    if value == "" or (isinstance(value, int) and value < 1):
        raise ValueError("a sheet is told by its name or by its number, from 1 on")
    return value


class ExcelOptions(TypedOptions):
    """`sheet`: its name, or its number among those that are shown.

    `header: false`: the rows have the schema's columns in their order. `skip_lines`: rows of the sheet before the
    header; `skip_footer`: rows after the data.
    """

    sheet: Annotated[str | int, AfterValidator(_sheet)] = 1
    header: bool = True
    skip_lines: int = Field(0, ge=0)
    skip_footer: int = Field(0, ge=0)


_BY_DEFAULT = ExcelOptions().model_dump(exclude=set(TypedOptions.model_fields))


class ExcelFormat(Format):
    """Workbooks of Excel and LibreOffice."""

    name = "excel"
    extensions: ClassVar[tuple[str, ...]] = (".xlsx", ".xls", ".ods")
    Options = ExcelOptions
    longest_record = MOST_BYTES
    sniffed_bytes = MOST_BYTES

    def sniff(self, beginning: bytes, options: ExcelOptions) -> dict[str, Any] | None:
        """Its first bytes tell a workbook; the rest, on which sheet and in which row the columns are named."""
        if not looks_like_workbook(beginning):
            return None
        if options.model_dump(exclude=set(TypedOptions.model_fields)) != _BY_DEFAULT:
            return {}
        try:
            return _found_header(io.BytesIO(beginning))
        except FileRejected:
            return {}  # whoever reads it tells why

    def columns(self, raw: IO[bytes], rows: int, options: ExcelOptions) -> list[str]:
        """The names in the header; without one, as many as the sheet has."""
        del rows
        with opened_sheet(raw, options.sheet) as sheet:
            names = _FilledRows(sheet, options).names
            return names if options.header else [f"column_{n}" for n in range(1, sheet.width + 1)]

    def by_position(self, raw: IO[bytes], options: ExcelOptions) -> dict[str, Any] | None:
        """The header's row is skipped with all rows before it."""
        if not options.header:
            return {}
        with opened_sheet(raw, options.sheet) as sheet:
            return {"header": False, "skip_lines": _FilledRows(sheet, options).header}

    def remarks(self, raw: IO[bytes], options: ExcelOptions) -> list[str]:
        """The other sheets."""
        with seekable(raw) as file:
            names = shown_sheets(file)
        if len(names) < 2:
            return []
        read = names[options.sheet - 1] if isinstance(options.sheet, int) else options.sheet
        others = ", ".join(repr(name) for name in names if name != read)
        return [f"sheet {read!r} is read; there are also {others}: read: {{sheet: …}} says which"]

    def chunks(self, raw: IO[bytes], schema: Schema, chunk_rows: int, options: ExcelOptions) -> Iterator[Chunk]:
        """An empty cell is null; a row without any cell is no record."""
        with opened_sheet(raw, options.sheet) as sheet:
            rows = _FilledRows(sheet, options)
            if options.header:
                names, found = rows.names, _matched(sheet, rows, schema)
            else:
                names = [column.name for column in schema.columns]
                found = dict(enumerate(names))
            at = [found.get(p) if name else "" for p, name in enumerate(names)]
            extras = extra_columns(schema, names, at)
            new = tuple(left_out(place) for place in range(len(names)) if left_out(place).name in extras)
            wanted = [p for p in range(len(names)) if p in found or left_out(p) in new]
            columns = {found.get(p, left_out(p).name): p for p in wanted}
            records = Records(sheet, names, columns, schema.with_columns(schema.columns + new), options)
            while chunk := records.chunk(rows.take, chunk_rows):
                yield gathered(chunk, extras, new_names(names, at))


class _FilledRows:
    """The rows of a sheet that hold anything, behind those to be skipped and without the footer.

    `header` is the first of them, `names` are its cells as names.
    """

    def __init__(self, sheet: Sheet, options: ExcelOptions) -> None:
        self._sheet = sheet
        self._skip, self._footer = options.skip_lines, options.skip_footer
        self._read = 0
        self._held = Rows([], [])
        self._read_on(1)
        if not self._held.numbers:
            behind = f" behind {options.skip_lines} rows" if options.skip_lines else ""
            raise FileRejected(f"{sheet.place} is empty{behind}: not even a header row")
        self.header = self._held.numbers[0]
        self.names = header_names(self._held.cells[0])
        if options.header:
            self._use(1)

    def take(self, most: int) -> Rows:
        """The next rows, at most so many; none at the end."""
        self._read_on(most + self._footer)
        return self._use(max(0, min(most, len(self._held.numbers) - self._footer)))

    def _use(self, count: int) -> Rows:
        numbers, cells = self._held
        self._held = Rows(numbers[count:], cells[count:])
        return Rows(numbers[:count], cells[:count])

    def _read_on(self, wanted: int) -> None:
        """Hold as many rows as are wanted, if there are so many."""
        numbers, cells = self._held
        while len(numbers) < wanted and (rows := self._sheet.take(wanted - len(numbers))):
            first, self._read = self._read + 1, self._read + len(rows)
            if first > self._skip and all(map(any, rows)):  # the quick way, for most
                numbers += range(first, self._read + 1)
                cells += rows
                continue
            for number, row in enumerate(rows, first):
                if number > self._skip and (_is_filled(row) or number in self._sheet.errors):
                    numbers.append(number)
                    cells.append(row)


def _is_filled(row: list[Any]) -> bool:
    return any(cell != "" for cell in row)  # 0 is a value, and so is false


def header_names(cells: Sequence[Any]) -> list[str]:
    """The cells of a header as names, without empty ones at the end."""
    column = Column(name="header", dtype=Dtype.STR)
    texts = as_text(cells, column, TypedOptions()).text.to_pylist()
    names = [(text or "").strip() for text in texts]
    while names and not names[-1]:
        names.pop()
    return names


def _found_header(file: IO[bytes]) -> dict[str, Any]:
    """The keys of `read` that lead to the first sheet with rows, and to the row that names its columns."""
    for position, name in enumerate(shown_sheets(file)):
        with opened_sheet(file, name) as sheet:
            try:
                rows = _FilledRows(sheet, ExcelOptions(header=False)).take(LOOKED_AT)
            except FileRejected:  # an empty one
                continue
        if len(rows.numbers) > 1:
            found = {"sheet": name} if position else {}
            header = _header_among(rows)
            return found | ({"skip_lines": header - 1} if header > rows.numbers[0] else {})
    return {}


def _header_among(rows: Rows) -> int:
    """The number of the first row that has as many names as the widest row has cells."""
    counts = [sum(cell != "" for cell in cells) for cells in rows.cells]
    for number, cells in zip(rows.numbers, rows.cells, strict=True):
        names = [cell for cell in cells if isinstance(cell, str) and cell]
        if len(set(names)) == max(counts):
            return number
    return rows.numbers[0]


def _matched(sheet: Sheet, rows: _FilledRows, schema: Schema) -> dict[int, str]:
    """The schema's columns by their positions in the sheet.

    Raises FileRejected unless the header has them; if another row has them, that is why.
    """
    named = [(position, name) for position, name in enumerate(rows.names) if name]
    try:
        found = match_columns(schema, [name for _, name in named])
    except FileRejected as problem:
        known = set(schema.by_source)
        hits = max(len(known & set(rows.names)), len(known) // 2)
        for number, cells in zip(*rows.take(LOOKED_AT), strict=True):
            if len(known & set(header_names(cells))) > hits:
                raise FileRejected(
                    f"{sheet.place}: row {rows.header} is no header; row {number} looks like one: "
                    f"read: {{skip_lines: {number - 1}}}"
                ) from None
        told = FileRejected(f"{sheet.place}, row {rows.header}: {problem}")
        told.changes = problem.changes
        raise told from None
    return {position: name for (position, _), name in zip(named, found, strict=True) if name is not None}
