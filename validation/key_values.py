"""The keys of rows as one Arrow array, whatever the number of columns, so that keys are compared as one value.

A key of one column is that column. Of several it is their JSON array, written as PostgreSQL's json_build_array()
writes it, with dates and times as texts (key_text): it is compared with what comes from there, and waits so in
orphan_wait.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.file_spec import FileSpec
from config.key import Key
from validation.batch import Batch

_TO_ESCAPE = np.array([byte < 0x20 or byte in b'"\\' for byte in range(256)])


def joined(parts: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
    """One value a row out of the columns of its key; null where one of them is."""
    arrays = [part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part for part in parts]
    if len(arrays) == 1:
        return arrays[0]
    pieces: list[Any] = []
    before = "["  # what is between two values is one piece: each costs a pass over the rows
    for array in arrays:
        text, quote = _as_json(array)
        pieces += [before + quote, text]
        before = quote + ", "
    return pc.binary_join_element_wise(*pieces, before.removesuffix(", ") + "]", "")


def _as_json(values: pa.Array) -> tuple[pa.Array, str]:
    """The values in JSON, and the quotes that are to be put around them."""
    if pa.types.is_integer(values.type):
        return pc.cast(values, pa.string()), ""
    if pa.types.is_temporal(values.type):
        values = pc.cast(values, pa.string())
    if _has_any_to_escape(values):
        texts = (None if v is None else json.dumps(v, ensure_ascii=False) for v in values.to_pylist())
        return pa.array(texts, pa.string()), ""
    return values, '"'


def _has_any_to_escape(texts: pa.Array) -> bool:
    """By the bytes of all texts at once."""
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return False
    first, last = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    return bool(_TO_ESCAPE[np.frombuffer(data, np.uint8)[first:last]].any())


def joined_value(parts: Sequence[Any]) -> Any:
    """The same of one row's values; None where one of them is."""
    if any(part is None for part in parts):
        return None
    return parts[0] if len(parts) == 1 else json.dumps(list(parts), ensure_ascii=False, default=key_text)


def key_text(value: Any) -> str:
    """One key as it waits in orphan_wait and is kept of the erased; times in UTC, with their microseconds."""
    if not isinstance(value, dt.datetime):
        return str(value)
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    text: str = value.isoformat(" ", "microseconds")
    return text


def parted(keys: pa.Array | pa.ChunkedArray, types: Sequence[pa.DataType]) -> list[pa.Array]:
    """The columns of `keys` (no nulls) that joined() has made one of."""
    if len(types) == 1:
        return [keys]
    rows = [json.loads(key) for key in keys.to_pylist()]
    return [pa.array([row[n] for row in rows], kind) for n, kind in enumerate(types)]


def key_of(batch: Batch) -> pa.Array:
    """The key of each row of the batch; the row's number where rows have no other key."""
    key = batch.spec.schema.primary_key
    if key.is_row:
        return pa.array(batch.chunk.numbers)
    if batch.key is None:
        batch.key = joined([batch.output[name] for name in key])
    return batch.key


def stored_keys(batch: Batch, file_ids: np.ndarray) -> pa.Array:
    """The same as they are found in the table, where rows without a key have file and number."""
    if batch.spec.schema.primary_key.is_row:
        return joined([pa.array(file_ids), pa.array(batch.numbers_in_file)])
    return key_of(batch)


def key_of_rows(rows: pa.Table, spec: FileSpec) -> pa.Array:
    """The key of each of `rows`, named as in the file, with FILE_ID and FILE_ROW where these are the key."""
    return joined([rows.column(column.name) for column in spec.schema.key_columns])


def values_of(batch: Batch, key: Key) -> pa.Array:
    """What the rows of the batch have in the columns of `key`, typed."""
    return joined([batch.values[name] for name in key])
