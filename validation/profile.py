"""What the columns of a file hold, in figures: how many values, how many different ones, the bounds, the mean."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from config.file_spec import FileSpec
from config.model import Dtype
from config.schema import EXTRA, Column
from validation.batch import Batch
from validation.sketch import Distinct, hashed_numbers, hashed_texts

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  (as Arrow's times have none)


class Profile(NamedTuple):
    """The figures of a column in the good rows of a file.

    `distinct` is nearly right. The bounds, as text, are those of numbers, dates, times and truth values; the mean
    is that of numbers, and of truth values the share of the true ones. Of columns that are pii or personal there
    are counts alone.
    """

    column: str
    rows: int
    null_share: float
    distinct: int
    low: str | None
    high: str | None
    mean: float | None


class Profiles:
    """The profiles of files of one spec, as they add up over their chunks."""

    def __init__(self, spec: FileSpec) -> None:
        columns = spec.schema.columns if spec.is_profiled else ()
        self._columns = [column for column in columns if column.name != EXTRA]
        key = spec.schema.key_columns[0]
        is_unique = len(spec.schema.primary_key) == 1 and spec.version_by is None
        self._unique = key.name if is_unique else None
        self._counted = key.name if is_unique and key.dtype in {Dtype.STR, Dtype.UUID} else None
        self._files: dict[int, list[_Figures]] = {}

    def note(self, batch: Batch, good: np.ndarray, file_ids: np.ndarray) -> None:
        """Add the rows of a batch that are `good` (boolean) and don't tell to delete; each has a file id."""
        brought = good if batch.deletes is None else good & ~batch.deletes
        if not self._columns or not brought.any():
            return
        nothing = pa.nulls(len(good))  # of the key only the rows are counted, where it has no bounds
        columns = [nothing if c.name == self._counted else batch.values[c.name] for c in self._columns]
        if not brought.all():
            mask = pa.array(brought)
            columns, file_ids = [values.filter(mask) for values in columns], file_ids[brought]
        for file_id, own in _by_file(columns, file_ids):
            for figures, values in zip(self._of(file_id), own, strict=True):
                figures.add(values)

    def of(self, file_id: int) -> list[Profile]:
        """A profile for each column; none where the file brought no good row."""
        return [figures.profile() for figures in self._files.get(file_id, ())]

    def _of(self, file_id: int) -> list[_Figures]:
        if file_id not in self._files:
            self._files[file_id] = [
                _Figures(c, is_unique=c.name == self._unique, is_counted=c.name == self._counted)
                for c in self._columns
            ]
        return self._files[file_id]


def _by_file(columns: list[pa.Array], file_ids: np.ndarray) -> Iterator[tuple[int, list[pa.Array]]]:
    """The columns of each file."""
    if (file_ids == file_ids[0]).all():
        yield int(file_ids[0]), columns
        return
    order = np.argsort(file_ids, kind="stable")
    columns, file_ids = [values.take(pa.array(order)) for values in columns], file_ids[order]
    starts = np.flatnonzero(np.diff(file_ids, prepend=file_ids[0] - 1))
    for start, end in zip(starts, [*starts[1:], len(file_ids)], strict=True):
        yield int(file_ids[start]), [values.slice(start, end - start) for values in columns]


@dataclass(slots=True)
class _Figures:
    """Of one column, so far. The bounds are whole numbers or doubles, whatever they stand for."""

    column: Column
    is_unique: bool
    is_counted: bool
    rows: int = 0
    nulls: int = 0
    total: float = 0.0
    low: Any = None
    high: Any = None
    kind: pa.DataType | None = None
    distinct: Distinct | None = None

    def add(self, values: pa.Array) -> None:
        """Count values of the next chunk."""
        self.rows += len(values)
        if self.is_counted:
            return
        self.nulls += values.null_count
        if values.null_count:
            values = values.drop_null()
        if not len(values):
            return
        numbers = _as_numbers(values)
        if not self.is_unique:
            self.distinct = self.distinct or Distinct()
            hashes = hashed_texts(values.cast(pa.string())) if numbers is None else hashed_numbers(numbers)
            self.distinct.add(hashes)
        if numbers is not None and not self.column.pii and not self.column.personal:
            self.kind = values.type
            low, high = numbers.min(), numbers.max()
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)
            self.total += float(numbers.sum(dtype=np.float64))

    def profile(self) -> Profile:
        """The figures as they are kept."""
        count = self.rows - self.nulls
        distinct = count if self.is_unique else self.distinct.count if self.distinct else 0
        low = high = mean = None
        if self.kind is not None:
            low, high = _as_text(self.low, self.kind), _as_text(self.high, self.kind)
            mean = self.total / count if _has_mean(self.kind) else None
        return Profile(self.column.name, self.rows, self.nulls / self.rows, min(distinct, count), low, high, mean)


def _as_numbers(values: pa.Array) -> np.ndarray | None:
    """Numbers, dates and times without nulls as int64 or float64; None where the values are something else."""
    kind = values.type
    numbers: np.ndarray | None = None
    if pa.types.is_floating(kind):
        numbers = values.to_numpy()
    elif pa.types.is_boolean(kind):
        numbers = values.to_numpy(zero_copy_only=False).astype(np.int64)
    elif pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        whole = values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
        numbers = whole.to_numpy().astype(np.int64, copy=False)
    return numbers


def _has_mean(kind: pa.DataType) -> bool:
    return not pa.types.is_temporal(kind)


def _as_text(number: Any, kind: pa.DataType) -> str:
    """A bound, as PostgreSQL reads it."""
    if pa.types.is_floating(kind):
        return repr(float(number))
    if pa.types.is_boolean(kind):
        return "true" if number else "false"
    if pa.types.is_date(kind):
        return str(_EPOCH.date() + dt.timedelta(int(number)))
    if pa.types.is_temporal(kind):  # in microseconds
        at = _EPOCH + dt.timedelta(microseconds=int(number))
        return str(at.time() if pa.types.is_time(kind) else at)
    return str(number)
