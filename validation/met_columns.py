"""What is met of columns in one file that its schema doesn't have, or that the file lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pyarrow as pa

from config.drift import Change, ChangeKind
from config.file_spec import FileSpec
from config.model import Dtype
from config.schema import EXTRA, Column
from validation.batch import Chunk
from validation.conversions import convert
from validation.drift import likely_renames
from validation.extra import counted, texts_of

MOST_CHANGES = 100  # of a file: names without an end are values
SAMPLE_ROWS, LEAST_VALUES = 1_000, 3  # looked at to tell what a column may be; how many it takes
_OF_POLICY = {"keep": ChangeKind.KEPT, "add": ChangeKind.ADDED, "ignore": ChangeKind.IGNORED}
_OF_POLICY["fail"] = ChangeKind.IGNORED  # such are within objects of which columns take other keys


class MetColumns:
    """Told of each chunk of a file. `hidden` gives what stands for a name that looks personal, else None."""

    def __init__(self, spec: FileSpec, hidden: Callable[[str], str | None]) -> None:
        self._spec = spec
        self._hidden = hidden
        self._new: dict[str, None] = {}
        self._lacks: tuple[str, ...] = ()
        self._no_array = False
        self._rows: Counter[str] = Counter()
        self._sample: list[dict[str, str]] | None = None

    def note(self, chunk: Chunk) -> None:
        """Of chunks of one file, each tells what the file has had so far."""
        self._new |= dict.fromkeys(chunk.new)
        self._lacks = chunk.lacks
        self._no_array = chunk.no_array
        if chunk.new and EXTRA in chunk.columns:
            extras = chunk.columns[EXTRA]
            self._rows += counted(extras)
            if self._sample is None:
                self._sample = [texts_of(extra) for extra in extras[:SAMPLE_ROWS].to_pylist() if extra]

    def changes(self) -> tuple[Change, ...]:
        """What was met, new columns first."""
        return tuple(self._changes())

    def _changes(self) -> Iterator[Change]:
        kind = _OF_POLICY[self._spec.schema.drift.new_columns]
        new = list(dict.fromkeys([*self._new, *self._rows]))[:MOST_CHANGES]
        missing = [self._spec.schema.by_name[name] for name in self._lacks]
        missing = [column for column in missing if not column.optional]
        looks_like = {name: column.name for column, name in likely_renames(missing, new)}
        left = [column for column in missing if column.name not in looks_like.values()]
        looks_like |= self._alike_in_values(left, [name for name in new if name not in looks_like])
        for name in new:
            yield Change(kind, self._hidden(name) or name, self._rows[name], looks_like.get(name))
        yield from (Change(ChangeKind.NULL, column.name) for column in missing)
        if self._no_array and (within := self._spec.schema.within):
            yield Change(ChangeKind.NO_ARRAY, within.path)

    def _alike_in_values(self, missing: list[Column], new: list[str]) -> dict[str, str]:
        """New names by whose values may be those of one missing column, and of no other."""
        fits = {name: [column.name for column in missing if self._holds(column, name)] for name in new}
        found = Counter(columns[0] for columns in fits.values() if len(columns) == 1)
        return {name: of[0] for name, of in fits.items() if len(of) == 1 and found[of[0]] == 1}

    def _holds(self, column: Column, name: str) -> bool:
        """Are the values under `name` such as the column has, which any text is not?"""
        if column.dtype is Dtype.STR and column.allowed_values is None:
            return False
        texts = [row[name] for row in self._sample or () if name in row]
        if len(texts) < LEAST_VALUES:
            return False
        read = convert(column, pa.array(texts, pa.string()), self._spec.read_as(column))
        if column.allowed_values is not None:
            return set(read.values.to_pylist()) <= {*column.allowed_values, None}
        return not any(read.unreadable.to_pylist())
