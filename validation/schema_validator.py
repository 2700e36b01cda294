"""Stage schema: dtypes, nulls, allowed values, and the limits of the columns' SQL types."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype, Stage
from config.schema import Column
from config.sql_types import INT_LIMITS
from validation.arrays import as_arrays
from validation.batch import Batch
from validation.columns import TypedColumn, parts_of
from validation.conversions import Converted, as_mask, convert, read_typed
from validation.defaults import filled
from validation.json_values import jsonb_masks


def validate_schema(batch: Batch) -> None:
    """Read every column as its dtype into `batch.values` and `batch.output`; reject what can't be."""
    parts = parts_of(batch.chunk.columns)
    for column in batch.spec.schema.columns:
        part, options = parts[column.name], batch.spec.read_as(column)
        typed = read_typed(column, part, options) if isinstance(part, TypedColumn) else None
        read = typed or filled(column, convert(column, batch.chunk.columns[column.name], options))
        batch.values[column.name] = read.values
        batch.output[column.name] = _output(batch, column, read)
        _check_column(batch, column, read)


def _check_column(batch: Batch, column: Column, read: Converted) -> None:
    def reject(broken: pa.Array, rule: str) -> None:
        if pc.any(broken).as_py():
            batch.reject(as_mask(broken), Stage.SCHEMA, rule, column.name)

    reject(read.unreadable, "dtype")
    if not column.nullable:
        missing = pc.and_not(pc.is_null(read.values), read.unreadable)
        reject(missing if read.ambiguous is None else pc.and_not(missing, read.ambiguous), "not_null")
    if column.allowed_values is not None:
        allowed = pc.is_in(read.values, value_set=pa.array(column.allowed_values))
        reject(pc.and_not(pc.is_valid(read.values), allowed), "allowed_values")
    if column.dtype is Dtype.STR:
        if _may_hold_nul(read.text):
            reject(pc.match_substring(read.text, "\0"), "nul_character")
        if column.sql.length is not None and column.pii is None:
            reject(_longer_than(read.text, column.sql.length), "too_long")
    elif column.dtype is Dtype.INT:
        reject(_out_of_range(column, read.values), "out_of_range")
    elif column.sql.base == "jsonb":
        for rule, mask in jsonb_masks(read.values).items():
            batch.reject(mask, Stage.SCHEMA, rule, column.name)
    if read.beyond is not None:
        reject(read.beyond, "out_of_range")
    if read.ambiguous is not None:
        reject(read.ambiguous, "ambiguous_time")


def _output(batch: Batch, column: Column, read: Converted) -> pa.Array:
    """What is loaded: the exact text for numeric columns, a literal for arrays, else the typed value."""
    if column.dtype is Dtype.FLOAT and column.sql.base == "numeric":
        return read.text
    if column.sql.base.endswith("[]"):
        literals, unfit = as_arrays(read.values, column.sql)
        for rule, mask in unfit.items():
            batch.reject(mask, Stage.SCHEMA, rule, column.name)
        return literals
    return read.values


def _longer_than(text: pa.Array, length: int) -> pa.Array:
    if (pc.max(pc.binary_length(text)).as_py() or 0) <= length:  # bytes bound characters
        return pa.repeat(pa.scalar(value=False), len(text))
    return pc.greater(pc.utf8_length(text), length)


def _out_of_range(column: Column, values: pa.Array) -> pa.Array:
    limit = INT_LIMITS[column.sql.base]
    return pc.or_(pc.greater(values, limit), pc.less(values, -limit - 1))


def _may_hold_nul(text: pa.Array) -> bool:
    """A quick look at the array's bytes; a neighbouring slice's NUL is a harmless false alarm."""
    data = text.buffers()[2]
    return data is not None and not np.frombuffer(data, np.uint8).all()
