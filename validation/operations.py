"""Records that say what is to be done: which of them delete, and which say a word that nobody knows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import Stage
from validation.batch import Batch
from validation.conversions import as_mask


def judge_operations(batch: Batch) -> None:
    """Refuse unknown words, and hold nothing against records that delete but what is wrong with key and time."""
    operation = batch.spec.operation
    if operation is None:
        return
    words = pc.utf8_lower(pc.utf8_trim_whitespace(batch.values[operation.column]))
    known = pc.is_in(words, value_set=pa.array([*operation.delete, *operation.load]))
    batch.reject(~as_mask(known), Stage.RECORDS, "unknown_operation", operation.column)
    batch.deletes = as_mask(pc.is_in(words, value_set=pa.array(operation.delete)))
    needed = {*batch.spec.schema.primary_key, operation.column, batch.spec.newer_by or ""}
    batch.exempt(batch.deletes, needed)


def loads(batch: Batch) -> np.ndarray:
    """Boolean, one a row: those that bring a row, good or not."""
    if batch.deletes is None:
        return np.ones(len(batch.chunk.numbers), bool)
    return ~batch.deletes
