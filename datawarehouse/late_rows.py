"""Rows that come after their file (orphans that heal, rows replayed from quarantine), each under its own id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from datawarehouse.loader import Loaded, Loader, Refused

LOADED, ALREADY_PRESENT, DUPLICATE = "loaded", "already_present", "duplicate"  # quarantine.resolution
UPDATED = "updated"  # loaded too, in the place of an older row


def merge(
    loader: Loader, rows: pa.Table, file_ids: Sequence[int], key: str
) -> tuple[dict[int, str], list[Refused]]:
    """Merge `rows` (`_row`: a position in `file_ids`, and the schema's columns); `loader` has list_present.

    Rows with one key take turns, in their order: a later one may be newer, or good where one before it is not.
    Returns what became of each position, and those that PostgreSQL itself refused.
    """
    resolutions: dict[int, str] = {}
    refused: list[Refused] = []
    done: set[tuple[int, Any]] = set()  # file and key
    while rows.num_rows:
        turn: dict[Any, int] = {}  # the next position of each key
        for position, value in zip(rows.column("_row").to_pylist(), rows.column(key).to_pylist(), strict=True):
            if (file_ids[position], value) in done:
                resolutions[position] = DUPLICATE
            else:
                turn.setdefault(value, position)
        loaded = _load(loader, _only(rows, set(turn.values())), file_ids)
        out = {row.row for row in loaded.refused}
        resolutions |= {position: LOADED for position in turn.values() if position not in out}
        resolutions |= dict.fromkeys(loaded.present_rows, ALREADY_PRESENT)
        resolutions |= dict.fromkeys(loaded.updated_rows, UPDATED)
        resolutions |= dict.fromkeys(loaded.duplicates, DUPLICATE)
        refused += loaded.refused
        done |= {(file_ids[position], value) for value, position in turn.items() if position not in out}
        rows = _only(rows, set(rows.column("_row").to_pylist()) - out - resolutions.keys())
    return resolutions, refused


def _load(loader: Loader, rows: pa.Table, file_ids: Sequence[int]) -> Loaded:
    own = pa.array([file_ids[position] for position in rows.column("_row").to_pylist()], pa.int64())
    return loader.load(rows.append_column("_file_id", own))


def _only(rows: pa.Table, positions: set[int]) -> pa.Table:
    return rows.filter(pa.array([p in positions for p in rows.column("_row").to_pylist()], pa.bool_()))
