"""Can a fact be partitioned as the YAML asks for? And its partitions' bounds."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator

from config.expected_file import PartitionBy
from config.file_spec import FileSpec
from config.model import Dtype

# How many partitions there are to be beside the present one, for times to come.
AHEAD = {"day": 14, "week": 8, "month": 3, "year": 1}
_LONGEST_TABLE_NAME = 50  # its partitions' names are longer, and PostgreSQL cuts names at 63 bytes


def partition_problems(spec: FileSpec, by: PartitionBy, specs: Iterable[FileSpec]) -> Iterator[str]:
    """What is wrong with `partition_by` of a file, each with the rest of the key's path."""
    column = spec.schema.by_name.get(by.column)
    if not spec.is_fact:
        yield f": {spec.table} is no fact table; only these can be partitioned"
    elif len(spec.table) > _LONGEST_TABLE_NAME:
        yield f".interval: a partition's name would be too long; {_LONGEST_TABLE_NAME} characters for the table's"
    if column is None:
        yield f".column: {by.column!r} is not a column of schemas.{spec.name}"
    elif column.dtype is not Dtype.DATETIME:
        yield f".column: {by.column!r} is {column.dtype.value}, not datetime"
    elif column.nullable and not column.refuses_null:
        yield f".column: {by.column!r} may be null; give it nullable: false, or the rule required: true"
    elif column.personal:
        yield f".column: {by.column!r} is personal: it would be blanked, and its row would belong nowhere"
    own = re.compile(rf"{spec.table}_(key|default|p\d{{8}})")
    yield from (f": {other.table} would be a table of it too" for other in specs if own.fullmatch(other.table))


def bounds(interval: str, day: dt.date) -> tuple[dt.date, dt.date]:
    """The first day of the interval with `day` in it, and that of the next one. Weeks begin on Monday."""
    if interval == "day":
        return day, day + dt.timedelta(days=1)
    if interval == "week":
        monday = day - dt.timedelta(days=day.weekday())
        return monday, monday + dt.timedelta(days=7)
    if interval == "month":
        first = day.replace(day=1)
        return first, (first + dt.timedelta(days=32)).replace(day=1)
    return dt.date(day.year, 1, 1), dt.date(day.year + 1, 1, 1)


def intervals(by: PartitionBy, today: dt.date) -> list[tuple[dt.date, dt.date]]:
    """All that there are to be, from `since` (or `today`) to some ahead."""
    first, end = bounds(by.interval, min(by.since or today, today))
    found = [(first, end)]
    ahead = 0
    while ahead < AHEAD[by.interval]:
        found.append(bounds(by.interval, found[-1][1]))
        ahead += found[-1][0] > today
    return found
