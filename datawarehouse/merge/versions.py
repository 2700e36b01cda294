"""Several rows of one key, of which the newest is to be loaded: which one that is, and which come next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from validation.batch import ROW

KeysOf = Callable[[pa.Table], pa.Array]

UNKNOWN = -(1 << 62)  # microseconds: before all times
MOST_TRIES = 10  # of one key, when the database refuses its newest row, the next, and so on


def newest_first(rows: pa.Table, keys: pa.Array, time: str) -> tuple[pa.Table, pa.Table]:
    """Split `rows`, whose keys are `keys`, into the newest of each key, by column `time`, and the others.

    Null is older than any time.
    """
    codes = pc.dictionary_encode(keys).indices.to_numpy()
    if len(codes) == 0 or codes.max() + 1 == len(codes):  # all distinct
        return rows, rows.slice(0, 0)
    times = pc.fill_null(pc.cast(rows.column(time), pa.int64()), UNKNOWN).to_numpy()
    order = np.lexsort((np.arange(len(codes)), -times, codes))
    newest = np.zeros(len(codes), bool)
    newest[order[np.unique(codes[order], return_index=True)[1]]] = True
    return rows.filter(pa.array(newest)), rows.filter(pa.array(~newest))


def of_keys(rows: pa.Table, every: pa.Table, keys_of: KeysOf, numbers: Sequence[int]) -> tuple[pa.Table, pa.Table]:
    """Split `rows` into those with the key of one of the rows `numbers` of `every`, and the others."""
    named = keys_of(every.filter(pc.is_in(every.column(ROW), value_set=pa.array(numbers, pa.int64()))))
    mask = pc.is_in(keys_of(rows), value_set=named)
    return rows.filter(mask), rows.filter(pc.invert(mask))
