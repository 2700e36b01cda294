"""Which of two files is the later one: by the time that it tells of, not by when it came."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_names import storable
from config.file_spec import FileSpec
from config.jobs import FileJob
from config.origins import folder_of
from datawarehouse.queries import query

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  (all of these are UTC, and stored without a zone)


class FileTime(NamedTuple):
    """A file's place in the order of its table's files: `as_of`, the time that its rows are of, then what tells
    files of one hour apart. Times are UTC, without a zone."""

    as_of: dt.datetime
    modified_at: dt.datetime
    name: str
    md5: str

    @classmethod
    def of(cls, job: FileJob) -> FileTime:
        """Date and hour of the file's folder; else its time of change; where it has none, when it was found."""
        changed = _EPOCH + dt.timedelta(microseconds=job.mtime_ns // 1000)
        if not job.ctime_ns:  # no time, but what tells versions apart: see Stamp
            changed = job.discovered_at.astimezone(dt.UTC).replace(tzinfo=None)
        day, hour = folder_of(str(job.path))
        as_of = changed if day is None else dt.datetime.combine(day, dt.time(hour or 0))
        return cls(as_of, changed, storable(job.path.name), job.md5)


def told_apart_by(job: FileJob) -> dt.datetime | None:
    """Where files of one content are told apart by their time, that time; None where they are one file.

    A file that is newer because it is later says something new, and be it what an earlier one had said. A time
    that is only that of its finding is another one at each finding, and tells nothing.
    """
    if not job.spec.is_told_apart_by_time:
        return None
    has_time = job.ctime_ns or folder_of(str(job.path)).day
    return FileTime.of(job).as_of if has_time else None


class FileOrder:
    """The order of the files that a table's rows are of, in transaction `tx`.

    `in_hand` have no row in the file log yet.
    """

    def __init__(self, tx: Cursor, spec: FileSpec, in_hand: Mapping[int, FileJob] | None = None) -> None:
        self._tx = tx
        self._table = spec.table
        self._times = {file_id: FileTime.of(job) for file_id, job in (in_hand or {}).items()}

    def later_than(self, file_ids: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """The files, as loaded by now, that are later than each of `file_ids`; those with none are left out."""
        wanted = [*file_ids]
        times = {file_id: self._times[file_id] for file_id in wanted if file_id in self._times}
        parameters = {"table": self._table, "logged": [i for i in wanted if i not in times], "ids": [*times]}
        for number, name in enumerate(FileTime._fields):
            parameters[name] = [time[number] for time in times.values()]
        self._tx.execute(query("file_log", "later_than"), parameters)
        return {file_id: tuple(later) for file_id, later in self._tx.fetchall()}

    def in_order(self, file_ids: Iterable[int]) -> list[int]:
        """Files of the log, the earliest first."""
        self._tx.execute(query("file_log", "in_order"), {"ids": [*file_ids]})
        return [file_id for (file_id,) in self._tx.fetchall()]

    def times(self, file_ids: Iterable[int]) -> dict[int, dt.datetime | str]:
        """`as_of` of each of the files; '-infinity' where it is not known."""
        wanted = [*file_ids]
        self._tx.execute(query("file_log", "times"), {"ids": [i for i in wanted if i not in self._times]})
        logged = dict(self._tx.fetchall())
        return {i: self._times[i].as_of if i in self._times else logged.get(i, "-infinity") for i in wanted}

    def lookup(self, alias: str) -> sql.Composable:
        """A SELECT of the place in the order of the file `_file_id` of the row `alias`, as a FileTime has it."""
        statement = sql.SQL(query("file_log", "time_of_row"))
        values: list[sql.Composable] = [
            sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Literal, (file_id, *time))))
            for file_id, time in self._times.items()
        ] or [sql.SQL("(NULL::bigint, NULL::timestamp, NULL::timestamp, NULL, NULL)")]
        return statement.format(row=sql.Identifier(alias), in_hand=sql.SQL(", ").join(values))
