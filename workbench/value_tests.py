"""What the values of a column look like: how many read as a type, or fit a form."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.read_options import ReadOptions
from config.schema import Column
from validation.conversions import AS_WRITTEN, convert

FEW = 0.05  # this share of the values may be bad: exports have bad rows
MOST = 0.8  # this share of the values must be of a kind that is told by content


def blanked(raw: pa.Array) -> pa.Array:
    """Text without blanks around it; what is empty is null."""
    text = pc.utf8_trim_whitespace(raw)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def is_readable(dtype: Dtype, values: pa.Array, read: ReadOptions = AS_WRITTEN) -> bool:
    """Can each of `values` be read as `dtype`?"""
    return count_unfit(dtype, values, read) == 0


def reads(dtype: Dtype, values: pa.Array, read: ReadOptions) -> bool:
    """The same for dates and times, quick where the first of them are none."""
    return count_unfit(dtype, values.slice(0, 20), read) == 0 and count_unfit(dtype, values, read) == 0


def count_unfit(dtype: Dtype, values: pa.Array, read: ReadOptions = AS_WRITTEN) -> int:
    """How many of `values` can't be read as `dtype`."""
    column = Column(name="x", dtype=dtype, sql_type="numeric" if dtype is Dtype.FLOAT else None)
    found = convert(column, values, read)
    bad = found.unreadable
    for mask in (found.beyond, found.ambiguous):
        bad = pc.or_(bad, pc.fill_null(mask, fill_value=False)) if mask is not None else bad
    return int(pc.sum(bad).as_py() or 0)


def mostly(dtype: Dtype, values: pa.Array) -> bool:
    """Can `values` be read as `dtype`, but for a few?"""
    return count_unfit(dtype, values) <= FEW * len(values)


def any_like(values: pa.Array, form: str) -> bool:
    """Has any of `values` a part that fits the regular expression `form`?"""
    return bool(pc.any(pc.match_substring_regex(values, form)).as_py())


def all_like(values: pa.Array, form: str) -> bool:
    """Has each of `values` a part that fits the regular expression `form`?"""
    return bool(pc.all(pc.match_substring_regex(values, form)).as_py())


def share(values: pa.Array, mask: pa.Array) -> float:
    """Of how many of `values`, which are some, `mask` is true: between 0 and 1."""
    return float(pc.sum(mask).as_py() or 0) / len(values)
