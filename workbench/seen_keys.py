"""The keys of a file's earlier chunks, where there is no table to ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from config.file_spec import FileSpec
from config.model import Stage
from validation.batch import Batch
from validation.key_values import key_of

REMEMBERED_KEYS = 2_000_000  # of one file, to tell duplicates in other chunks: some 200 MB


class SeenKeys:
    """The keys of a file's earlier chunks: in the warehouse's place, it tells the duplicates among chunks."""

    def __init__(self, spec: FileSpec) -> None:
        self._key = spec.schema.primary_key
        self._keys: set[Any] = set()
        self.full = False

    def reject(self, batch: Batch) -> None:
        """Reject the good rows whose key an earlier chunk had, and remember the others."""
        good = np.flatnonzero(batch.good)
        keys = key_of(batch).take(pa.array(good)).to_pylist()
        again = [position for position, key in zip(good.tolist(), keys, strict=True) if key in self._keys]
        if again:
            mask = np.zeros(len(batch.chunk.numbers), dtype=bool)
            mask[again] = True
            batch.reject(mask, Stage.RECORDS, "duplicate", str(self._key))
        if len(self._keys) + len(keys) > REMEMBERED_KEYS:
            self.full = True
        else:
            self._keys.update(keys)
