"""Cells of a workbook, as calamine gives them → columns of text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.schema import Column
from ingestion.formats.typed_text import (
    MOST_EXACT,
    TypedOptions,
    doubles_as_text,
    nulls_where_empty,
    numbers_as_declared,
    times_as_text,
)
from validation.columns import Part, TypedColumn, text_of

EMPTY = ""  # as calamine gives a cell without a value
_DIGITS_MATTER = frozenset({Dtype.INT, Dtype.STR})


class Cells(NamedTuple):
    """A column's cells, typed where all are of one kind, else as text; null where they are empty.

    `lost` (boolean, one a cell): where a cell holds a number with more digits than a workbook keeps, in a column
    that needs them all.
    """

    part: Part
    lost: np.ndarray | None = None

    @property
    def text(self) -> pa.Array:
        return text_of(self.part)


class CellColumn:
    """The cells of `column`, block by block; their text is made of all of them at once, which is quicker."""

    def __init__(self, column: Column, options: TypedOptions) -> None:
        self._column, self._options = column, options
        self._by_kind: dict[type, list[pa.Array]] = {}  # the blocks' arrays, null where a cell is of another kind
        self._count = 0
        self._were_texts = True

    def add(self, values: Sequence[Any]) -> None:
        """The cells of the next rows."""
        found = self._typed(values)
        for kind, arrays in self._by_kind.items():
            array = found.pop(kind, None)
            arrays.append(pa.nulls(len(values), arrays[0].type) if array is None else array)
        for kind, array in found.items():
            self._by_kind[kind] = [pa.nulls(self._count, array.type), array]
        self._count += len(values)

    def taken(self) -> Cells:
        """All cells since the last time. Whole numbers have no decimals: 42.0 is 42; others have few digits."""
        found = {kind: pa.concat_arrays(arrays) for kind, arrays in self._by_kind.items()}
        nothing = pa.nulls(self._count, pa.string())
        self._by_kind, self._count = {}, 0
        lost = None
        if float in found and self._column.dtype in _DIGITS_MATTER:
            lost = _beyond_exact(found[float])
        if not pc.any(pc.greater(pc.binary_length(found.get(str, nothing)), 0)).as_py():
            found.pop(str, None)
        if len(found) == 1 and _TYPED.issuperset(found):
            ((kind, values),) = found.items()
            return Cells(TypedColumn(values, partial(self._text, kind)), lost)
        parts = [self._text(kind, values) for kind, values in found.items()] or [nothing]
        return Cells(pc.coalesce(*parts) if len(parts) > 1 else parts[0], lost)

    def _typed(self, values: Sequence[Any]) -> dict[type, pa.Array]:
        """The values by their kinds, null where they are of another one."""
        if self._were_texts:
            try:  # Arrow takes nothing else for text; numbers it would take for times
                return {str: pa.array(values, pa.string())}
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                self._were_texts = False
        kinds = set(map(type, values))
        if len(kinds) == 1:
            (kind,) = kinds
            self._were_texts = kind is str
            return {kind: _ARRAYS[kind](values)}
        if len(kinds) == 2 and str in kinds:
            (kind,) = kinds - {str}
            try:
                return {kind: _ARRAYS[kind]([None if value is EMPTY else value for value in values])}
            except _NO_SUCH_VALUES:
                pass  # a text that is not empty
        return {
            kind: _ARRAYS[kind]([value if type(value) is kind else None for value in values]) for kind in kinds
        }

    def _text(self, kind: type, values: pa.Array) -> pa.Array:
        if kind is float:
            return numbers_as_declared(doubles_as_text(values), self._column, self._options)
        if kind in _TIMES:
            return times_as_text(values, self._column, self._options)
        return nulls_where_empty(values) if kind in _TEXTS else pc.cast(values, pa.string())


def as_text(values: Sequence[Any], column: Column, options: TypedOptions) -> Cells:
    """The cells of `column`."""
    cells = CellColumn(column, options)
    cells.add(values)
    return cells.taken()


def _beyond_exact(numbers: pa.Array) -> np.ndarray | None:
    mask = np.abs(numbers.to_numpy(zero_copy_only=False)) > MOST_EXACT
    return mask if mask.any() else None


def _length_of_time(values: Sequence[dt.timedelta | None]) -> pa.Array:
    return pa.array([None if value is None else _clock(value) for value in values], pa.string())


def _clock(length: dt.timedelta) -> str:
    """As a cell shows it: the hours go on beyond 24."""
    micros = abs(length) // dt.timedelta(microseconds=1)
    seconds, micros = divmod(micros, 1_000_000)
    fraction = f".{micros:06d}".rstrip("0") if micros else ""
    sign = "-" if length < dt.timedelta() else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def _arrays_of(kind: pa.DataType) -> Callable[[Sequence[Any]], pa.Array]:
    return lambda values: pa.array(values, kind)


_TIMES = frozenset({dt.datetime, dt.date, dt.time})
_TYPED = frozenset({float, int, *_TIMES})
_TEXTS = frozenset({str, dt.timedelta})
_ARRAYS: dict[type, Callable[[Sequence[Any]], pa.Array]] = {
    str: _arrays_of(pa.string()),
    float: _arrays_of(pa.float64()),
    int: _arrays_of(pa.int64()),
    bool: _arrays_of(pa.bool_()),
    dt.datetime: _arrays_of(pa.timestamp("us")),
    dt.date: _arrays_of(pa.date32()),
    dt.time: _arrays_of(pa.time64("us")),
    dt.timedelta: _length_of_time,
}
_NO_SUCH_VALUES = (pa.ArrowInvalid, pa.ArrowTypeError, TypeError)
