"""Workbooks → chunks of text columns, by calamine, which holds one sheet in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO, Annotated, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field

from config.errors import FileRejected
from config.model import Dtype, Stage
from config.schema import Column, Schema
from ingestion.formats.csv_records import TOO_MANY
from ingestion.formats.excel_book import Sheet, opened_sheet, shown_sheets
from ingestion.formats.excel_cells import as_text
from ingestion.formats.excel_kind import MOST_BYTES, looks_like_workbook
from ingestion.formats.format import Format
from ingestion.formats.spool import seekable
from ingestion.formats.typed_text import TypedOptions
from validation.batch import Chunk, Reason, Rejection
from validation.drift import match_columns
from validation.extra import extra_columns, gathered, left_out, new_names

ERROR, MERGED, LOST = "error_value", "merged_cell", "digits_lost"
LOOKED_AT = 20  # rows, for one that names the columns
BLOCK_ROWS = 2500  # the cells of so many are objects at a time
Against = dict[int, list[Reason]]  # by row of a part


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
            records = _Records(sheet, names, columns, schema.with_columns(schema.columns + new), options)
            while chunk := records.chunk(rows, chunk_rows):
                yield gathered(chunk, extras, new_names(names, at))


class _Rows(NamedTuple):
    """Rows of a sheet: their cells, and their numbers in it, from 1."""

    numbers: list[int]
    cells: list[list[Any]]


class _FilledRows:
    """The rows of a sheet that hold anything, behind those to be skipped and without the footer.

    `header` is the first of them, `names` are its cells as names.
    """

    def __init__(self, sheet: Sheet, options: ExcelOptions) -> None:
        self._sheet = sheet
        self._skip, self._footer = options.skip_lines, options.skip_footer
        self._read = 0
        self._held = _Rows([], [])
        self._read_on(1)
        if not self._held.numbers:
            behind = f" behind {options.skip_lines} rows" if options.skip_lines else ""
            raise FileRejected(f"{sheet.place} is empty{behind}: not even a header row")
        self.header = self._held.numbers[0]
        self.names = header_names(self._held.cells[0])
        if options.header:
            self._use(1)

    def take(self, most: int) -> _Rows:
        """The next rows, at most so many; none at the end."""
        self._read_on(most + self._footer)
        return self._use(max(0, min(most, len(self._held.numbers) - self._footer)))

    def _use(self, count: int) -> _Rows:
        numbers, cells = self._held
        self._held = _Rows(numbers[count:], cells[count:])
        return _Rows(numbers[:count], cells[:count])

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


def _header_among(rows: _Rows) -> int:
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


class _Records:
    """Rows of a sheet → chunks; what can't be taken as it is costs its row."""

    def __init__(
        self, sheet: Sheet, names: list[str], columns: dict[str, int], schema: Schema, options: ExcelOptions
    ) -> None:
        self._sheet = sheet
        self._positions = columns
        self._unnamed = [p for p in range(sheet.width) if p >= len(names) or not names[p]]
        self._schema = schema
        self._options = options
        self._count = 0

    def chunk(self, rows: _FilledRows, most: int) -> Chunk | None:
        """The next records, at most so many; None at the end."""
        parts = []
        while most and (found := rows.take(min(most, BLOCK_ROWS))).numbers:
            parts.append(self._part(found))
            most -= len(found.numbers)
        if len(parts) < 2:
            return parts[0] if parts else None
        columns = {name: pa.concat_arrays([part.columns[name] for part in parts]) for name in parts[0].columns}
        malformed = tuple(chain.from_iterable(part.malformed for part in parts))
        return Chunk(np.concatenate([part.numbers for part in parts]), columns, malformed)

    def _part(self, rows: _Rows) -> Chunk:
        count = len(rows.numbers)
        columns = list(zip(*rows.cells, strict=True))
        against: Against = {}
        texts: dict[str, pa.Array] = {}
        for column in self._schema.columns:
            if (position := self._positions.get(column.name)) is None:
                continue
            cells = columns[position] if position < len(columns) else ("",) * count
            texts[column.name], lost = as_text(cells, column, self._options)
            if lost is not None:
                for row in np.flatnonzero(lost).tolist():
                    against.setdefault(row, []).append(Reason(Stage.SCHEMA, LOST, column.name))
        self._note_unnamed(columns, count, against)
        self._note_merged(rows.numbers, against)
        errors = self._note_errors(rows.numbers, against)
        numbers = np.arange(self._count + 1, self._count + count + 1, dtype=np.int64)
        self._count += count
        if not against:
            return Chunk(numbers, texts)
        bad = sorted(against)
        raws = pa.table(texts).take(pa.array(bad, pa.int64())).to_pylist()
        malformed = tuple(
            Rejection(int(numbers[row]), tuple(against[row]), {**raw, **errors.get(row, {})})
            for row, raw in zip(bad, raws, strict=True)
        )
        good = np.ones(count, dtype=bool)
        good[bad] = False
        mask = pa.array(good)
        return Chunk(numbers[good], {name: text.filter(mask) for name, text in texts.items()}, malformed)

    def _note_unnamed(self, columns: list[Any], count: int, against: Against) -> None:
        """Values in columns without a name: such a column is no part of the table, and yet it is not empty."""
        for position in self._unnamed:
            filled = [row for row, cell in enumerate(columns[position]) if cell != ""]
            if len(filled) == count and not self._count:
                place = f"{self._sheet.place}, column {letters(position + self._sheet.first_column)}"
                raise FileRejected(f"{place}: has values and no name in the header; name it, or leave it out")
            for row in filled:
                reasons = against.setdefault(row, [])
                if not any(reason.rule == TOO_MANY for reason in reasons):
                    reasons.append(Reason(Stage.SCHEMA, TOO_MANY, ""))

    def _note_merged(self, numbers: list[int], against: Against) -> None:
        """Cells that are merged with another one, which has their value."""
        for (top, left), (bottom, right) in self._sheet.merged:
            if bottom + 1 < numbers[0] or top + 1 > numbers[-1]:
                continue
            places = [(name, position + self._sheet.first_column) for name, position in self._positions.items()]
            names = [(name, position) for name, position in places if left <= position <= right]
            for row, number in enumerate(numbers):
                if top < number <= bottom + 1:
                    for name, position in names:
                        if (number - 1, position) != (top, left):
                            against.setdefault(row, []).append(Reason(Stage.SCHEMA, MERGED, name))

    def _note_errors(self, numbers: list[int], against: Against) -> dict[int, dict[str, str]]:
        """Cells with an error in the place of a value; the errors' names by row of the part and by column."""
        found: dict[int, dict[str, str]] = {}
        if not self._sheet.errors:
            return found
        names = {position: name for name, position in self._positions.items()}
        for row, number in enumerate(numbers):
            for position, text in self._sheet.errors.get(number, {}).items():
                if name := names.get(position - self._sheet.first_column):
                    against.setdefault(row, []).append(Reason(Stage.SCHEMA, ERROR, name))
                    found.setdefault(row, {})[name] = text
        return found


def letters(position: int) -> str:
    """The name of a column as a sheet shows it: 0 is A, 26 is AA."""
    name = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
