"""Rules that hold a row against the earlier rows of its file.

They are judged last, and see only rows that nothing was held against before: no bad row costs a good one. Values
come in the order of the file, without nulls.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rbloom import Bloom

from config.model import Dtype
from validation.rules.registry import DAYS, NUMBERS, Memory, none, rule

EXPECTED, FALSE_ALARMS = 1_000_000, 0.01  # of the values of one column of a file


@rule(*(dtype for dtype in Dtype if dtype is not Dtype.JSON), of_file=True)
def unique(values: pa.Array, wanted: bool, memory: Memory) -> pa.Array:
    """A value that an earlier row has breaks it."""
    if not wanted or not len(values):
        return none(values)
    codes = pc.dictionary_encode(values).indices.to_numpy()
    first = np.zeros(len(codes), dtype=bool)
    first[np.unique(codes, return_index=True)[1]] = True
    earlier: list[pa.Array] = memory.setdefault("earlier", [])
    suspects = _maybe_earlier(values, earlier, memory)
    known = [part.filter(pc.is_in(part, value_set=suspects)) for part in earlier] if len(suspects) else []
    seen = pc.is_in(values, value_set=pa.concat_arrays(known)) if known else none(values)
    earlier.append(values.filter(pa.array(first)))
    return pc.or_(seen, pa.array(~first))


def _maybe_earlier(values: pa.Array, earlier: list[pa.Array], memory: Memory) -> pa.Array:
    """Those of the values that an earlier chunk may have: most need not be looked for."""
    if not earlier:
        return values.slice(0, 0)
    if "bloom" not in memory:
        memory["bloom"] = Bloom(EXPECTED, FALSE_ALARMS)
    bloom: Bloom = memory["bloom"]
    bloom.update(earlier[-1].to_pylist())  # earlier ones are in it
    return values.filter(pa.array([value in bloom for value in values.to_pylist()], pa.bool_()))


@rule(*NUMBERS, *DAYS, Dtype.TIME, of_file=True)
def increasing(values: pa.Array, how: bool | Literal["strictly"], memory: Memory) -> pa.Array:
    """A value below that of an earlier row breaks it; `strictly`: also the same value."""
    if how is False or not len(values):
        return none(values)
    before = memory.get("greatest")
    known = pa.concat_arrays([pa.array([before.as_py()], values.type), values]) if before else values
    greatest = pc.cumulative_max(known)
    memory["greatest"] = greatest[-1]
    passed = (
        greatest.slice(0, len(values)) if before else pa.concat_arrays([pa.nulls(1, values.type), greatest[:-1]])
    )
    broken = pc.less_equal(values, passed) if how == "strictly" else pc.less(values, passed)
    return pc.fill_null(broken, fill_value=False)
