"""The newest row of a key stays; one that is there gives way to a newer one: by a time, or by its file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.file_spec import FileSpec
from datawarehouse.merge.merge import Merge

UNKNOWN = -(1 << 62)  # microseconds: before all times


class Latest(Merge):
    """`keep: latest`: the row with the greatest `newer_by`, null being the least; or that of the latest file."""

    def __init__(self, spec: FileSpec) -> None:
        super().__init__(spec)
        self.name = "latest" if spec.newer_by else "latest_file"

    def split(self, rows: pa.Table, keys: pa.Array) -> tuple[pa.Table, pa.Table]:
        """The newest row of each key, and the others."""
        if self._spec.version_by is None:  # each key is there once
            return rows, rows.slice(0, 0)
        codes = pc.dictionary_encode(keys).indices.to_numpy()
        if len(codes) == 0 or codes.max() + 1 == len(codes):  # all distinct
            return rows, rows.slice(0, 0)
        times = pc.fill_null(as_numbers(rows.column(self._spec.version_by)), UNKNOWN).to_numpy()
        order = np.lexsort((np.arange(len(codes)), -times, codes))
        newest = np.zeros(len(codes), bool)
        newest[order[np.unique(codes[order], return_index=True)[1]]] = True
        return rows.filter(pa.array(newest)), rows.filter(pa.array(~newest))


def as_numbers(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times or dates as whole numbers in their order."""
    numbers = pc.cast(times, pa.int32()) if pa.types.is_date32(times.type) else times
    return pc.cast(numbers, pa.int64())
