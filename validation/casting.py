"""What the readers of columns share: texts left out, and texts cast, each by itself."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def only(values: pa.Array, wanted: pa.Array) -> pa.Array:
    """`values` where `wanted` (boolean), else null."""
    return pc.if_else(wanted, values, pa.scalar(None, values.type))


def cast_each(text: pa.Array, to: pa.DataType) -> pa.Array:
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
