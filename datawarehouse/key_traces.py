"""Which keys a file told again, with nothing new: ranges of numbers in `file_keys`, not a word in the tables.

A file that comes late asks them: what lies before it may have been told again after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.schema import Column
from datawarehouse import key_sql
from datawarehouse.queries import query
from datawarehouse.schema.history_tables import time_of

_WHOLE = ("smallint", "integer", "bigint")
_HIGHEST = np.iinfo(np.int64).max


def key_number(columns: tuple[Column, ...], table: str, seed: sql.Composable | None = None) -> sql.Composable:
    """The number of a row's key: a whole number is its own; else, or with a `seed`, a hash of 64 bits.

    PostgreSQL's hashes stay the same between its versions: tables are partitioned by them.
    """
    if len(columns) == 1 and columns[0].sql.base in _WHOLE:
        number = sql.SQL("{}::bigint").format(sql.Identifier(table, columns[0].target))
        return sql.SQL("hashint8extended({}, {})").format(number, seed) if seed else number
    text = key_sql.text_of(columns, table)
    return sql.SQL("hashtextextended(({})::text, {})").format(text, seed or sql.SQL("0"))


def told_number(spec: FileSpec, table: str) -> sql.Composable:
    """The number of what a row tells of: its key; with `newer_by`, its key at its time."""
    key = spec.schema.key_columns
    if spec.version_by is None:
        return key_number(key, table)
    time = time_of(spec.schema.by_name[spec.version_by], table)
    return key_number(key, table, sql.SQL("coalesce(timestamp_hash_extended({}, 0), 0)").format(time))


def is_among(number: sql.Composable, bounds: str) -> sql.Composed:
    """Is `number` in one of the ranges that the array `bounds` holds?"""
    return sql.SQL("mod(width_bucket({}, {}), 2) = 1").format(number, sql.SQL(bounds))


def later_traces(later: Mapping[int, tuple[int, ...]]) -> sql.Composed:
    """A SELECT of what the files that are later than each of some told again; see FileOrder.later_than."""
    pairs = [(one, other) for one, others in later.items() for other in others]
    earlier, others = ([pair[side] for pair in pairs] for side in (0, 1))
    statement = sql.SQL(query("key_traces", "later_traces"))
    return statement.format(earlier=sql.Literal(earlier), later=sql.Literal(others))


def note(tx: Cursor, file_ids: np.ndarray, numbers: np.ndarray) -> None:
    """Remember the `numbers` of what files told again, of each the id of its file."""
    for file_id in np.unique(file_ids).tolist():
        bounds = ",".join(map(str, bounds_of(numbers[file_ids == file_id]).tolist()))
        tx.execute(query("key_traces", "note"), {"file_id": file_id, "bounds": f"{{{bounds}}}"})


def bounds_of(numbers: np.ndarray) -> np.ndarray:
    """Of whole numbers of 64 bits, at least one: where ranges of them begin, and where each has ended, by turns.

    A range that goes to the highest number has no end.
    """
    ordered = np.unique(numbers)
    last = np.append(ordered[1:] != ordered[:-1] + 1, True)
    first = np.append(True, last[:-1])
    ends = ordered[last]
    open_end = ends[-1] == _HIGHEST
    bounds = np.empty(2 * len(ends), np.int64)
    bounds[0::2] = ordered[first]
    bounds[1::2] = ends + (ends != _HIGHEST)
    return bounds[:-1] if open_end else bounds


def forget(tx: Cursor, file_id: int) -> None:
    """The file has told nothing: it is taken back."""
    tx.execute(query("key_traces", "forget"), {"file_id": file_id})


def forget_number(tx: Cursor, file_id: int, number: int) -> None:
    """The file has not told one of the numbers again."""
    tx.execute(query("key_traces", "of_number"), {"file_id": file_id, "number": number})
    for place, bounds in tx.fetchall():
        left = f"{{{','.join(map(str, without(bounds, number)))}}}"
        tx.execute(query("key_traces", "set_bounds"), {"place": place, "bounds": left})


def without(bounds: Sequence[int], number: int) -> list[int]:
    """The bounds of the same ranges without a number that is in one of them."""
    place = bisect_right(bounds, number)
    first, end = bounds[place - 1], bounds[place] if place < len(bounds) else None
    before = [] if first == number else [first, number]
    if end is None:
        after = [] if number == _HIGHEST else [number + 1]
    else:
        after = [] if end == number + 1 else [number + 1, end]
    return [*bounds[: place - 1], *before, *after, *bounds[place + 1 :]]


def forget_table(tx: Cursor, table: str) -> None:
    """The keys of the table have other values now."""
    tx.execute(query("key_traces", "forget_table"), {"table": table})


def held_number(columns: Sequence[Column], table: str) -> sql.Composed:
    """The number of a row's key, as a range can hold it: two keys may have one number, and hardly ever do."""
    return sql.SQL("least({}, 9223372036854775806)").format(key_number(tuple(columns), table))
