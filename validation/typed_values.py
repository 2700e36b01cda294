"""Values that have a type in their file, for columns of the same: what their texts would be read as, unread.

Only where that is sure. Whatever else a value is, its text is judged as any other.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.schema import Column
from config.sql_types import SqlType
from validation.casting import only
from validation.times import TIMESTAMP

_EXACT = 2**53  # a double holds every whole number up to here
# Beyond them a double's text has an exponent.
_LEAST, _MOST = 1e-4, 1e10
_DECIMALS_OF_LEAST = 4
_MOST_SCALE = 22  # a double holds the powers of ten up to here
_MOST_DIGITS = 18  # of a power of ten in 64 bits, which is more than _EXACT
_FIRST_DAY, _LAST_DAY = dt.date(1, 1, 1), dt.date(9999, 12, 31)
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_800  # since 1970, of the years 1 and 10000
_MICROS = 1_000_000
_PER_SECOND = {"s": 1, "ms": 1_000, "us": _MICROS, "ns": 1_000_000_000}


def surely_read(column: Column, values: pa.Array) -> pa.Array | None:
    """`values` as the reading of `column`, null where their texts are to be read; None where all are.

    Numbers are written in plain notation, times in ISO 8601, without a zone in UTC; none of them means null.
    """
    kind = values.type
    read: pa.Array | None = None
    match column.dtype:
        case Dtype.INT if pa.types.is_integer(kind):
            read = _whole(values)
        case Dtype.INT if pa.types.is_float64(kind):
            read = pc.cast(only(values, _are_whole(values)), pa.int64())
        case Dtype.FLOAT if pa.types.is_integer(kind) or pa.types.is_float64(kind):
            read = _numbers(values, column.sql)
        case Dtype.FLOAT if pa.types.is_decimal128(kind) and 0 <= kind.scale <= _MOST_SCALE:
            read = _decimals(values, column.sql)
        case Dtype.DATETIME if pa.types.is_timestamp(kind):
            read = _times(values)
        case Dtype.DATE if pa.types.is_date32(kind):
            read = only(values, pc.and_(pc.greater_equal(values, _FIRST_DAY), pc.less_equal(values, _LAST_DAY)))
    return read


def _whole(values: pa.Array) -> pa.Array:
    if pa.types.is_uint64(values.type):
        values = only(values, pc.less(values, pa.scalar(2**63, pa.uint64())))
    return pc.cast(values, pa.int64())


def _are_whole(values: pa.Array) -> pa.Array:
    return pc.and_(pc.less_equal(pc.abs(values), float(_EXACT)), pc.equal(values, pc.floor(values)))


def _numbers(values: pa.Array, sql: SqlType) -> pa.Array:
    if pa.types.is_integer(values.type):
        values = _whole(values)
        exact = pc.and_(pc.less_equal(values, _EXACT), pc.greater_equal(values, -_EXACT))
        values = pc.cast(only(values, exact), pa.float64())
    values = pc.add(values, 0.0)  # -0.0 is 0
    if sql.precision is None:
        return only(values, pc.is_finite(values))
    return only(values, pa.array(_fit(values.to_numpy(zero_copy_only=False), sql)))


def _fit(numbers: np.ndarray, sql: SqlType) -> np.ndarray:
    """Where a double's shortest text has no more digits than numeric(p,s) holds.

    A whole number, divided by a power of ten, is rounded once: the result is the double nearest to that decimal.
    """
    size: np.ndarray = np.abs(numbers)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(numbers * 10.0**sql.scale)
        fits: np.ndarray = (np.abs(scaled) <= _EXACT) & (scaled / 10.0**sql.scale == numbers)
    fits &= size < min(_MOST, 10.0 ** ((sql.precision or 0) - sql.scale))
    if sql.scale > _DECIMALS_OF_LEAST:
        fits &= (size >= _LEAST) | (size == 0)
    return fits


def _decimals(values: pa.Array, sql: SqlType) -> pa.Array:
    scale = values.type.scale
    low, high = np.frombuffer(values.buffers()[1], np.int64).reshape(-1, 2)[values.offset :][: len(values)].T
    fits = (high == low >> 63) & (low <= _EXACT) & (low >= -_EXACT)
    if sql.precision is not None:
        fits &= np.abs(low) < 10.0 ** (sql.precision - sql.scale + scale)
        if scale > sql.scale:
            fits &= low % 10 ** min(scale - sql.scale, _MOST_DIGITS) == 0
    return only(pa.array(low / 10.0**scale), pc.and_(pa.array(fits), pc.is_valid(values)))


def _times(values: pa.Array) -> pa.Array:
    """In microseconds; without those that are finer, and those in years that have not four digits."""
    count, second = pc.cast(values, pa.int64()), _PER_SECOND[values.type.unit]
    if second > _MICROS:
        micros = pc.divide(count, second // _MICROS)
        return pc.cast(only(micros, pc.equal(pc.multiply(micros, second // _MICROS), count)), TIMESTAMP)
    sure = pc.and_(pc.greater_equal(count, _FIRST_SECOND * second), pc.less(count, _LAST_SECOND * second))
    return pc.cast(pc.multiply(only(count, sure), _MICROS // second), TIMESTAMP)
