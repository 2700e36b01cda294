"""Rows whose keys are known: staged, compared with what is there, and merged; the database counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.copying import copy_rows
from datawarehouse.db_errors import translated
from datawarehouse.file_order import FileOrder
from datawarehouse.key_sql import row_numbers
from datawarehouse.load_sql import LoadSql
from datawarehouse.loaded import Loaded, Refused
from datawarehouse.merge.timeline import Timeline
from datawarehouse.placeholder_lookups import Filled
from datawarehouse.placeholders import has_placeholders
from datawarehouse.versions import MovedVersions
from validation.batch import FILE_ID, ROW

LEFT_OUT = "not_inserted: a trigger or rule of the table left the row out"


class _Overtaken(DataError):
    """Another transaction brought or took keys between the look at the table and the merge: look again."""


class LeftOut(DataError):
    """Rows were to be written, and are not there: a trigger or a rule of the table's own has left them out."""


class _Looked(NamedTuple):
    """What `look` of sql/loader.sql says of the staged rows. Lists are of row numbers."""

    known: int  # keys that are in the table, or that the file brought before
    changed: int  # of them, those with other values than an earlier file's row, which stays
    duplicates: list[int]  # the file has brought the same before
    newer: list[int]  # than the row that is there
    present_rows: list[int]  # that find their key there; this and the next two only where rows are listed
    updated_rows: list[int]  # that take the place of an earlier file's row
    changed_rows: list[int]
    replaced: int  # of `newer`, those that take the place of an older row of the same file
    stale: int  # older than the row that is there, or than one that the file has itself
    stale_rows: list[int]
    settled: list[int]  # that say nothing new to history
    # Of rows that tell again what is there: their files, and what they tell of, each as a number of 8 bytes
    files_of_traces: memoryview | None
    traces: memoryview | None


def within_savepoint(tx: Cursor, step: Callable[[], Loaded]) -> Loaded:
    """What `step` returns; if it raises DataError, nothing of it is left."""
    tx.execute("SAVEPOINT chunk")
    try:
        with translated():
            loaded = step()
    except DataError:
        tx.execute("ROLLBACK TO SAVEPOINT chunk")
        raise
    tx.execute("RELEASE SAVEPOINT chunk")
    return loaded


class StagedMerge:
    """Merges rows of one kind of file with those of the table, in transaction `tx`.

    `names` are the columns of rows and what the table calls them; `timeline` is that of the table's history, if it
    has one. With `list_present` the rows are listed in what is returned.
    """

    def __init__(
        self,
        tx: Cursor,
        spec: FileSpec,
        config: PipelineConfig,
        statements: LoadSql,
        names: dict[str, str],
        order: FileOrder,
        timeline: Timeline | None,
        *,
        list_present: bool,
    ) -> None:
        self._tx = tx
        self._spec = spec
        self._sql = statements
        self._names = names
        self._order = order
        self._timeline = timeline
        self._list_present = list_present
        self._moved = MovedVersions(tx, spec, config)
        self._filled = Filled(tx, spec, config)
        self._has_stage = False
        self.remembers = False

    def finish(self) -> None:
        """Once all rows are merged: bind rows of others to the versions that there are now."""
        self._moved.rebind()
        self._filled.finish()

    def merge(self, rows: pa.Table, *, more: bool) -> Loaded:
        """Merge rows by way of the stage; halve them on a data error until the guilty ones are alone."""
        if rows.num_rows == 0:
            return Loaded()
        self.make_room(more=more)
        try:
            return within_savepoint(self._tx, lambda: self._stage_and_merge(rows))
        except _Overtaken:
            return self.merge(rows, more=more)
        except DataError as error:
            if rows.num_rows == 1:
                return Loaded(refused=[Refused(rows.column(ROW)[0].as_py(), error.args[0])])
        half = rows.num_rows // 2
        loaded = self.merge(rows.slice(0, half), more=more)
        loaded.add(self.merge(rows.slice(half), more=more))
        return loaded

    def _stage_and_merge(self, rows: pa.Table) -> Loaded:
        self._stage(rows)
        file_ids: list[int] = pc.unique(rows.column(FILE_ID)).to_pylist()
        filled = self._fill_placeholders(file_ids) if self._has_placeholders else []
        later = self._know_later(file_ids)
        told_again = self._mark_told_again() if later else False
        self._tx.execute(self._sql.look(remembers=self.remembers, list_rows=self._list_present))
        looked = _Looked(*self._fetch_row())
        placed = self._to_place(rows, [*looked.settled, *filled])
        if self._timeline and placed:
            self._timeline.lock(placed)
        inserted = len(filled)
        inserted += self._insert_new(rows.num_rows - len(filled) - looked.known - len(looked.duplicates))
        if looked.newer:
            self._update(looked.newer)
        if (looked.newer or placed) and self._know_later(file_ids) != later:  # while its rows were waited for
            raise _Overtaken
        if self._timeline and placed:
            if told_again:
                self._timeline.spell_out(self._sql.rows_told_again(), later)
            self._timeline.place(placed, file_ids)
            self._moved.note(self._timeline.table)
        updated = len(looked.newer) - looked.replaced
        return Loaded(
            inserted=inserted,
            updated=updated,
            already_present=looked.known - updated,
            changed=looked.changed,
            duplicates=looked.duplicates,
            present_rows=looked.present_rows,
            updated_rows=looked.updated_rows,
            changed_rows=looked.changed_rows,
            stale=looked.stale,
            stale_rows=looked.stale_rows,
            traces=[(looked.files_of_traces, looked.traces)] if looked.files_of_traces and looked.traces else [],
        )

    def _mark_told_again(self) -> bool:
        self._tx.execute(self._sql.mark_told_again())
        return bool(self._tx.rowcount)

    @cached_property
    def _has_placeholders(self) -> bool:
        return has_placeholders(self._tx, self._spec)

    def _fill_placeholders(self, file_ids: list[int]) -> list[int]:
        """Put staged rows in the places of placeholders and out of the stage; returns their numbers."""
        find = self._sql.statement("placeholders", there=self._sql.of_kind("there"))
        self._tx.execute(find)
        found = [number for (number,) in self._tx.fetchall()]
        if not found:
            return []
        numbers = row_numbers(found)
        self._tx.execute(self._sql.of_kind("fill", numbers=numbers))
        if len(self._tx.fetchall()) != len(found):
            self._tx.execute(find)
            raise LeftOut(LEFT_OUT) if self._tx.fetchall() else _Overtaken
        if self._timeline:
            self._timeline.lock(found)
            self._timeline.place(found, file_ids)
            self._moved.note(self._timeline.table, filled=True)
        self._filled.note(self._sql.stage, self._sql.row, found)
        self._tx.execute(self._sql.statement("unstage", numbers=numbers))
        return found

    def _to_place(self, rows: pa.Table, settled: Sequence[int]) -> list[int]:
        """The numbers of the staged rows that say something new to history."""
        if self._timeline is None:
            return []
        is_settled = pc.is_in(rows.column(ROW), pa.array(settled, pa.int64()))
        numbers: list[int] = rows.column(ROW).filter(pc.invert(is_settled)).to_pylist()
        return numbers

    def _know_later(self, file_ids: list[int]) -> dict[int, tuple[int, ...]]:
        """Which files are later than `file_ids`, as far as they are loaded by now."""
        if not self._spec.keep.replaces:
            return {}
        later = self._order.later_than(file_ids)
        self._sql.know_later(later)
        return later

    def _stage(self, rows: pa.Table) -> None:
        self._tx.execute(self._sql.statement("empty_stage"))
        copy_rows(self._tx, self._sql.stage, {ROW: self._sql.row.string} | self._names, rows)
        if self._spec.partition_by and (self._spec.keep.replaces or self._has_placeholders):
            self._tx.execute(self._sql.statement("lock_keys"))

    def _insert_new(self, wanted: int) -> int:
        """Insert the staged rows whose keys are not there, which are `wanted`; returns how many."""
        if wanted == 0:
            return 0
        self._tx.execute(self._sql.of_kind("insert"))
        inserted = len(self._tx.fetchall()) if self._tx.description else int(self._tx.rowcount)
        if inserted != wanted:
            self._explain_missing()
        return inserted

    def _update(self, numbers: list[int]) -> None:
        """Put the staged rows `numbers` in the places of the older ones with their keys."""
        self._tx.execute(self._sql.of_kind("update", numbers=row_numbers(numbers)))
        if self._fetch_row()[0] != len(numbers):
            self._explain_missing()

    def _explain_missing(self) -> NoReturn:
        """Fewer rows were written than were to be: raise what became of the others."""
        self._tx.execute(self._sql.statement("left_out"))
        raise LeftOut(LEFT_OUT) if self._fetch_row()[0] else _Overtaken

    def _fetch_row(self) -> tuple[Any, ...]:
        row = self._tx.fetchone()
        assert row is not None  # noqa: S101  (an aggregate always gives a row)
        return row

    def make_room(self, *, more: bool) -> None:
        """The temporary tables that a merge needs, with the table's own column types, for this transaction."""
        if not self._has_stage:
            self._tx.execute(self._sql.statement("create_stage"))
            self._filled.make_room()
            if self._timeline:
                self._timeline.make_room()
                self._moved.make_room()
            self._has_stage = True
        if more and not self.remembers:
            self._tx.execute(self._sql.create_seen())
            self.remembers = True
