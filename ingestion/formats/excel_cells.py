"""Cells of a workbook, as calamine gives them → columns of text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
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

_DIGITS_MATTER = frozenset({Dtype.INT, Dtype.STR})


class Cells(NamedTuple):
    """A column's cells as text, null where they are empty.

    `lost` (boolean, one a cell): where a cell holds a number with more digits than a workbook keeps, in a column
    that needs them all.
    """

    text: pa.Array
    lost: np.ndarray | None = None


def as_text(values: Sequence[Any], column: Column, options: TypedOptions) -> Cells:
    """The cells of `column`. Whole numbers have no decimals: 42.0 is 42; others have as few as tell them apart."""
    kinds = set(map(type, values))
    parts = []
    lost = None
    for kind in kinds:
        part = values if len(kinds) == 1 else [value if type(value) is kind else None for value in values]
        if kind is float:
            numbers = pa.array(part, pa.float64())
            parts.append(numbers_as_declared(doubles_as_text(numbers), column, options))
            if column.dtype in _DIGITS_MATTER:
                lost = _beyond_exact(numbers)
        elif kind in _KINDS:
            parts.append(times_as_text(pa.array(part, _KINDS[kind]), column, options))
        else:
            parts.append(_OTHERS[kind](part))
    if not parts:
        return Cells(pa.nulls(len(values), pa.string()))
    return Cells(pc.coalesce(*parts) if len(parts) > 1 else parts[0], lost)


def _beyond_exact(numbers: pa.Array) -> np.ndarray | None:
    mask = np.abs(numbers.to_numpy(zero_copy_only=False)) > MOST_EXACT
    return mask if mask.any() else None


def _texts(values: Sequence[Any]) -> pa.Array:
    return nulls_where_empty(pa.array(values, pa.string()))


def _length_of_time(values: Sequence[Any]) -> pa.Array:
    return pa.array([None if value is None else _clock(value) for value in values], pa.string())


def _clock(length: dt.timedelta) -> str:
    """As a cell shows it: the hours go on beyond 24."""
    micros = abs(length) // dt.timedelta(microseconds=1)
    seconds, micros = divmod(micros, 1_000_000)
    fraction = f".{micros:06d}".rstrip("0") if micros else ""
    sign = "-" if length < dt.timedelta() else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def _as_they_are(kind: pa.DataType) -> Callable[[Sequence[Any]], pa.Array]:
    return lambda values: pc.cast(pa.array(values, kind), pa.string())


_KINDS = {dt.datetime: pa.timestamp("us"), dt.date: pa.date32(), dt.time: pa.time64("us")}
_OTHERS: dict[type, Callable[[Sequence[Any]], pa.Array]] = {
    str: _texts,
    bool: _as_they_are(pa.bool_()),
    int: _as_they_are(pa.int64()),
    dt.timedelta: _length_of_time,
}
