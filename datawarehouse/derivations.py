"""Derived columns, worked out for a chunk at a time; `derive` in the YAML names them."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Derivation, Lookup

# The column `lookup.take` of the parents whose keys are given, in the order of the keys; null where there is none.
TakeFromParents = Callable[[Lookup, pa.Array], pa.Array]

_MICROSECONDS_A_CENTIMINUTE = 600_000


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
