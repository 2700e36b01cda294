"""Times of 96 bits, as Spark, Hive and Impala wrote them, with all their digits.

Arrow reads INT96 as microseconds, and cuts what is finer; or as nanoseconds, which come out as another year's
where 64 bits don't hold them. Of both together all digits are known.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.parquet_text import is_nested

_NANOS = 1_000  # of a microsecond


class CutError(Exception):
    """Times within nested values are finer than microseconds."""


def finer_texts(micros: pa.Array, nanos: pa.Array) -> pa.Array | None:
    """Texts of the times that are finer than microseconds, in ISO 8601, else null; None where none are.

    Both arrays are of the same values; where they are of one type, these are no INT96. Raises CutError.
    """
    if micros.type == nanos.type:
        return None
    if is_nested(micros.type):
        _refuse_finer(micros, nanos)
        return None
    rest = _rest(micros, nanos)
    if not rest.any():
        return None
    digits = pc.utf8_lpad(pc.cast(pa.array(rest, mask=rest == 0), pa.string()), 3, "0")
    text = pc.binary_join_element_wise(pc.cast(micros, pa.string()), digits, "")
    return pc.utf8_rtrim(text, "0")


def _rest(micros: pa.Array, nanos: pa.Array) -> np.ndarray:
    """Nanoseconds beyond the microseconds, 0 for null."""
    counts = (pc.fill_null(pc.cast(one, pa.int64()), 0).to_numpy().view(np.uint64) for one in (micros, nanos))
    whole, all_of_it = counts
    rest: np.ndarray = all_of_it - whole * np.uint64(_NANOS)  # the bits that are lost above are lost in both
    return rest


def _refuse_finer(micros: pa.Array, nanos: pa.Array) -> None:
    if micros.type == nanos.type:
        return
    if pa.types.is_struct(micros.type):
        for position in range(micros.type.num_fields):
            _refuse_finer(micros.field(position), nanos.field(position))
    elif pa.types.is_map(micros.type):
        _refuse_finer(micros.keys, nanos.keys)
        _refuse_finer(micros.items, nanos.items)
    elif is_nested(micros.type):
        _refuse_finer(pc.list_flatten(micros), pc.list_flatten(nanos))
    elif _rest(micros, nanos).any():
        raise CutError
