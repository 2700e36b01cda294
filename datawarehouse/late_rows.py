"""Rows that come after their file (orphans that heal, rows replayed from quarantine), each under its own id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from datawarehouse.loader import Loader, Refused

LOADED, ALREADY_PRESENT, DUPLICATE = "loaded", "already_present", "duplicate"  # quarantine.resolution
UPDATED = "updated"  # loaded too, in the place of an older row


def merge(
    loader: Loader, rows: pa.Table, file_ids: Sequence[int], key: str, *, more: bool = False
) -> tuple[dict[int, str], list[Refused]]:
    """Merge `rows` (`_row`: a position in `file_ids`, and the schema's columns); `loader` has list_present.

    Returns what became of each position, and those that PostgreSQL itself refused.
    """
    positions = rows.column("_row").to_pylist()
    resolutions: dict[int, str] = {}
    first: set[Any] = set()
    of_file: set[tuple[int, Any]] = set()
    for position, value in zip(positions, rows.column(key).to_pylist(), strict=True):
        here = (file_ids[position], value)
        if here in of_file:
            resolutions[position] = DUPLICATE
        elif value in first:
            resolutions[position] = ALREADY_PRESENT
        of_file.add(here)
        first.add(value)
    chosen = pa.array([position not in resolutions for position in positions], pa.bool_())
    own = pa.array([file_ids[position] for position in positions], pa.int64())
    distinct = rows.append_column("_file_id", own).filter(chosen)
    loaded = loader.load(distinct, more=more)
    resolutions |= dict.fromkeys(distinct.column("_row").to_pylist(), LOADED)
    resolutions |= dict.fromkeys(loaded.present_rows, ALREADY_PRESENT)
    resolutions |= dict.fromkeys(loaded.updated_rows, UPDATED)
    resolutions |= dict.fromkeys(loaded.duplicates, DUPLICATE)
    for refused in loaded.refused:
        del resolutions[refused.row]
    return resolutions, loaded.refused
