"""Rows of a sheet → chunks of text columns; what can't be taken as it is costs its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from config.errors import FileRejected
from config.model import Stage
from config.schema import Schema
from ingestion.formats.csv_records import TOO_MANY
from ingestion.formats.excel_book import Rows, Sheet
from ingestion.formats.excel_cells import EMPTY, CellColumn
from ingestion.formats.typed_text import TypedOptions
from validation.batch import Chunk, Reason, Rejection
from validation.columns import Columns, Part, changed, rows_of

ERROR, MERGED, LOST = "error_value", "merged_cell", "digits_lost"
BLOCK_ROWS = 512  # the cells of so many are objects at a time: as many as a processor's cache holds
Against = dict[int, list[Reason]]  # by row of a chunk


class Records:
    """The rows of `sheet`, whose columns are called `names`; those of the `schema` have the `positions`."""

    def __init__(
        self,
        sheet: Sheet,
        names: Sequence[str],
        positions: dict[str, int],
        schema: Schema,
        options: TypedOptions,
    ) -> None:
        self._sheet = sheet
        self._positions = positions
        self._unnamed = [p for p in range(sheet.width) if p >= len(names) or not names[p]]
        self._columns = {
            column.name: CellColumn(column, options) for column in schema.columns if column.name in positions
        }
        self._count = 0

    def chunk(self, take: Callable[[int], Rows], most: int) -> Chunk | None:
        """The next records that `take` gives, at most so many; None at the end."""
        rows: list[int] = []
        unnamed: dict[int, list[int]] = {position: [] for position in self._unnamed}
        while (found := take(min(most - len(rows), BLOCK_ROWS))).numbers:
            cells = list(zip(*found.cells, strict=True))
            for name, column in self._columns.items():
                position = self._positions[name]
                column.add(cells[position] if position < len(cells) else (EMPTY,) * len(found.numbers))
            for position, filled in unnamed.items():
                filled += [row for row, cell in enumerate(cells[position], len(rows)) if cell != EMPTY]
            rows += found.numbers
        return self._judged(rows, unnamed) if rows else None

    def _judged(self, rows: list[int], unnamed: dict[int, list[int]]) -> Chunk:
        against: Against = {}
        parts: dict[str, Part] = {}
        for name, column in self._columns.items():
            parts[name], lost = column.taken()
            if lost is not None:
                for row in np.flatnonzero(lost).tolist():
                    against.setdefault(row, []).append(Reason(Stage.SCHEMA, LOST, name))
        self._note_unnamed(unnamed, len(rows), against)
        self._note_merged(rows, against)
        errors = self._note_errors(rows, against)
        numbers = np.arange(self._count + 1, self._count + len(rows) + 1, dtype=np.int64)
        self._count += len(rows)
        if not against:
            return Chunk(numbers, Columns(parts))
        bad = sorted(against)
        raws = rows_of(Columns(parts), bad)
        malformed = tuple(
            Rejection(int(numbers[row]), tuple(against[row]), {**raw, **errors.get(row, {})})
            for row, raw in zip(bad, raws, strict=True)
        )
        good = np.ones(len(rows), dtype=bool)
        good[bad] = False
        mask = pa.array(good)
        return Chunk(numbers[good], changed(parts, lambda values: values.filter(mask)), malformed)

    def _note_unnamed(self, unnamed: dict[int, list[int]], count: int, against: Against) -> None:
        """Values in columns without a name: such a column is no part of the table, and yet it is not empty."""
        for position, filled in unnamed.items():
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
        """Cells with an error in the place of a value; the errors' names by row of the chunk and by column."""
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
