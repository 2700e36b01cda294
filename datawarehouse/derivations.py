"""Derived columns, worked out for a chunk at a time; `derive` in the YAML names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.expected_file import Derivation, Lookup
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.fk_checker import rows_by_key
from datawarehouse.placeholder_lookups import TakenLater
from datawarehouse.schema.calendar import grow_dates
from datawarehouse.versions import BoundVersions

# The column `lookup.take` of the parents whose keys are given, in the order of the keys; null where there is none.
TakeFromParents = Callable[[Lookup, pa.Array], pa.Array]

_MICROSECONDS_A_CENTIMINUTE = 600_000


class DerivedColumns:
    """The derived columns of one kind of file, in transaction `tx`. dim_date has the years of `calendar`."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig, calendar: range) -> None:
        self._tx = tx
        self._spec = spec
        self._config = config
        self._calendar = calendar
        self._versions = BoundVersions(tx, spec, config)
        self._later = TakenLater(tx, spec, config)

    @staticmethod
    def name(column: str) -> str:
        """The name of a derived column among those of the file, which may have it too."""
        return f"\0derived {column}"

    def append(self, rows: pa.Table) -> pa.Table:
        """`rows` with their derived columns, for whose dates the calendar has days."""
        self._grow_calendar(rows)
        self._versions.look_up(rows)
        for column, derivation in self._spec.derive.items():
            if derivation.version_of:
                values = self._versions.of(column, rows)
            else:
                values = derive(derivation, rows, self._take)
            rows = rows.append_column(self.name(column), values)
        return rows

    def finish(self, file_ids: Iterable[int]) -> None:
        """The same for the rows of files, of what has changed since they were loaded."""
        self._versions.finish(file_ids)
        self._later.finish(file_ids)

    def _take(self, lookup: Lookup, keys: pa.ChunkedArray) -> pa.Array:
        """A column of the parents, for each of `keys`, as text."""
        source = self._config.by_logical_name[lookup.source]
        found = rows_by_key(self._tx, source, pc.unique(keys.drop_null()), lookup.take)
        parents = pa.array((row[0] for row in found), keys.type)
        taken = pa.array((None if row[1] is None else str(row[1]) for row in found), pa.string())
        return taken.take(pc.index_in(keys, value_set=parents))

    def _grow_calendar(self, rows: pa.Table) -> None:
        for derivation in self._spec.derive.values():
            if derivation.date_key is None:
                continue
            bounds = pc.min_max(rows.column(derivation.date_key)).as_py()
            years = [value.year for value in bounds.values() if value is not None]
            if any(year not in self._calendar for year in years):
                grow_dates(self._tx, min(years), max(years))
                self._calendar = range(min(*years, self._calendar.start), max(*years, self._calendar.stop - 1) + 1)


def derive(derivation: Derivation, rows: pa.Table, take: TakeFromParents) -> pa.ChunkedArray:
    """The derived column for `rows`, whose columns are named as in the source file; times are timestamps.

    A value that depends on a null is null: not known yet.
    """
    if derivation.date_key:  # YYYYMMDD
        time = rows.column(derivation.date_key)
        month_and_day = pc.add(pc.multiply(pc.month(time), 100), pc.day(time))
        return pc.add(pc.multiply(pc.year(time), 10_000), month_and_day)
    if derivation.time_key:  # HHMM
        time = rows.column(derivation.time_key)
        return pc.add(pc.multiply(pc.hour(time), 100), pc.minute(time))
    if derivation.minutes_between:
        start, end = map(rows.column, derivation.minutes_between)
        return minutes_between(start, end)
    if derivation.later_than:
        actual, due = map(rows.column, derivation.later_than)
        return pc.greater(actual, due)
    if derivation.equals:
        column, value = derivation.equals
        return pc.equal(rows.column(column), value)
    if derivation.lookup:
        keys = rows.column(derivation.lookup.by)
        return take(derivation.lookup, keys)
    raise ValueError("a derivation without a form")


def minutes_between(start: pa.ChunkedArray, end: pa.ChunkedArray) -> pa.ChunkedArray:
    """Minutes from `start` to `end` (timestamps, us), to two decimals, halves away from zero; float64."""
    elapsed = pc.cast(pc.subtract(end, start), pa.int64())
    size = pc.divide(pc.add(pc.abs(elapsed), _MICROSECONDS_A_CENTIMINUTE // 2), _MICROSECONDS_A_CENTIMINUTE)
    return pc.divide(pc.cast(pc.multiply(pc.sign(elapsed), size), pa.float64()), 100.0)
