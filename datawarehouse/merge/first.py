"""The first row of a key stays; others find it there."""

from __future__ import annotations

import pyarrow as pa

from datawarehouse.merge.merge import Merge


class First(Merge):
    """`keep: first`: ON CONFLICT DO NOTHING."""

    name = "first"

    def split(self, rows: pa.Table, keys: pa.Array) -> tuple[pa.Table, pa.Table]:
        """All of them: duplicates have been refused, so that each key is there once."""
        del keys
        return rows, rows.slice(0, 0)
