"""Text columns → typed columns, exactly, row by row: a value's reading never depends on its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import Column, Dtype
from validation.json_values import is_json

PLACEHOLDERS = frozenset({"", "nan", "null", "none", "na", "n/a"})
_LONGEST_PLACEHOLDER = 4

_INT_PLAIN = r"^-?[0-9]{1,18}$"
_INT = r"^[+-]?[0-9]+(\.0+)?$"
_FLOAT_PLAIN = r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"
_FLOAT = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_OFFSET = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_DATETIME_PLAIN = rf"^{_DATE}([ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?)?$"
_DATETIME_LOCAL = rf"^{_DATE}({_TIME})?$"
_DATETIME_OFFSET = rf"^{_DATE}{_TIME}{_OFFSET}$"
_TRUE = ["true", "t", "yes", "y", "1", "1.0"]
_FALSE = ["false", "f", "no", "n", "0", "0.0"]
TIMESTAMP = pa.timestamp("us")


class Converted(NamedTuple):
    """A column's reading: `values` typed, null where empty or unreadable; `text` is the trimmed text with
    placeholders as null; `unreadable` is true where there is a text that the dtype can't hold."""

    values: pa.Array
    text: pa.Array
    unreadable: pa.Array


def convert(column: Column, raw: pa.Array) -> Converted:
    """Read `raw` (Arrow strings) as the column's dtype."""
    return _READERS[column.dtype](raw)


@cache
def _placeholders() -> pa.Array:
    return pa.array(sorted(PLACEHOLDERS))  # not at import: the first pa.array of a process imports pandas, 0.2 s


def clean(raw: pa.Array) -> pa.Array:
    """Trim surrounding white space; placeholders ("", nan, null, none, na, n/a in any case) become null."""
    text = pc.utf8_trim_whitespace(raw)
    short = pc.less_equal(pc.binary_length(text), _LONGEST_PLACEHOLDER)
    if not pc.any(short).as_py():
        return text
    placeholder = pc.is_in(pc.utf8_lower(text), value_set=_placeholders())
    return pc.if_else(placeholder, pa.scalar(None, pa.string()), text)


def _all_match(raw: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(raw, pattern)).as_py() is not False


def _nothing(raw: pa.Array) -> pa.Array:
    return pa.repeat(pa.scalar(value=False), len(raw))


def _only(text: pa.Array, wanted: pa.Array) -> pa.Array:
    """`text` where `wanted`, else null."""
    return pc.if_else(wanted, text, pa.scalar(None, text.type))


def _unreadable(text: pa.Array, values: pa.Array) -> pa.Array:
    return pc.and_(pc.is_valid(text), pc.is_null(values))


def _read_str(raw: pa.Array) -> Converted:
    text = clean(raw)
    return Converted(text, text, _nothing(raw))


def _read_int(raw: pa.Array) -> Converted:
    """Exact 64-bit integers; `370.0` is 370 and `3.7` is unreadable."""
    if _all_match(raw, _INT_PLAIN):
        return Converted(pc.cast(raw, pa.int64()), raw, _nothing(raw))
    text = clean(raw)
    digits = _only(text, pc.match_substring_regex(text, _INT))
    digits = pc.replace_substring_regex(digits, r"^\+|\.0+$", "")
    values = _cast_each(digits, pa.int64())
    return Converted(values, text, _unreadable(text, values))


def _read_float(raw: pa.Array) -> Converted:
    """Finite numbers, in decimal or exponent notation. `text` keeps every digit for numeric columns."""
    if _all_match(raw, _FLOAT_PLAIN):
        return Converted(pc.cast(raw, pa.float64()), raw, _nothing(raw))
    text = clean(raw)
    readable = _only(text, pc.match_substring_regex(text, _FLOAT))
    values = _cast_each(pc.replace_substring_regex(readable, r"^\+", ""), pa.float64())
    return Converted(values, text, _unreadable(text, values))


def _read_bool(raw: pa.Array) -> Converted:
    text = clean(raw)
    index = pc.index_in(pc.utf8_lower(text), value_set=pa.array(_TRUE + _FALSE))
    values = pc.less(index, len(_TRUE))
    return Converted(values, text, _unreadable(text, values))


def _read_datetime(raw: pa.Array) -> Converted:
    """ISO 8601 → microseconds UTC. Without an offset the time is taken as UTC; digits past six are cut."""
    if _all_match(raw, _DATETIME_PLAIN):
        try:
            return Converted(pc.cast(raw, TIMESTAMP), raw, _nothing(raw))
        except pa.ArrowInvalid:
            pass  # a day that the calendar doesn't have: find it below
    text = clean(raw)
    short = pc.replace_substring_regex(text, r"(\.[0-9]{6})[0-9]{1,3}", r"\1")
    local = _cast_each(_only(short, pc.match_substring_regex(text, _DATETIME_LOCAL)), TIMESTAMP)
    offset = _only(short, pc.match_substring_regex(text, _DATETIME_OFFSET))
    if offset.null_count < len(offset):
        shifted = pc.cast(_cast_each(offset, pa.timestamp("us", "UTC")), TIMESTAMP)
        local = pc.coalesce(local, shifted)
    return Converted(local, text, _unreadable(text, local))


def _read_json(raw: pa.Array) -> Converted:
    """Texts that are JSON, as they are written."""
    text = clean(raw)
    readable = pa.array([value is not None and is_json(value) for value in text.to_pylist()], pa.bool_())
    values = _only(text, readable)
    return Converted(values, text, _unreadable(text, values))


def _cast_each(text: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast, with null for every value that can't be: halve the distinct values until the bad ones are alone."""
    try:
        return pc.cast(text, to)
    except pa.ArrowInvalid:
        distinct = pc.dictionary_encode(text)
        return pc.take(_cast_halving(distinct.dictionary, to), distinct.indices)


def _cast_halving(text: pa.Array, to: pa.DataType) -> pa.Array:
    try:
        return pc.cast(text, to)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, to)
        half = len(text) // 2
        return pa.concat_arrays([_cast_halving(text.slice(0, half), to), _cast_halving(text.slice(half), to)])


_READERS: dict[Dtype, Callable[[pa.Array], Converted]] = {
    Dtype.STR: _read_str,
    Dtype.INT: _read_int,
    Dtype.FLOAT: _read_float,
    Dtype.BOOL: _read_bool,
    Dtype.DATETIME: _read_datetime,
    Dtype.JSON: _read_json,
}


def as_mask(broken: pa.Array) -> np.ndarray:
    """A boolean Arrow array as a numpy mask; null counts as false."""
    mask: np.ndarray = pc.fill_null(broken, fill_value=False).to_numpy(zero_copy_only=False)
    return mask
