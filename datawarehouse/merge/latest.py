"""The newest row of a key stays; one that is there gives way to a newer one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from datawarehouse.merge.merge import Merge

UNKNOWN = -(1 << 62)  # microseconds: before all times


class Latest(Merge):
    """`keep: latest`: the row with the greatest value of `newer_by`. Null is older than any."""

    name = "latest"

    def split(self, rows: pa.Table, keys: pa.Array) -> tuple[pa.Table, pa.Table]:
        """The newest row of each key, and the others."""
        codes = pc.dictionary_encode(keys).indices.to_numpy()
        if len(codes) == 0 or codes.max() + 1 == len(codes):  # all distinct
            return rows, rows.slice(0, 0)
        times = pc.fill_null(pc.cast(rows.column(self._spec.version_by), pa.int64()), UNKNOWN).to_numpy()
        order = np.lexsort((np.arange(len(codes)), -times, codes))
        newest = np.zeros(len(codes), bool)
        newest[order[np.unique(codes[order], return_index=True)[1]]] = True
        return rows.filter(pa.array(newest)), rows.filter(pa.array(~newest))
