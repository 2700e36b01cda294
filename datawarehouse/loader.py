"""Rows → table: new keys by COPY, known ones staged and merged; the database counts. Generic over file specs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.copying import copy_rows
from datawarehouse.db_errors import translated
from datawarehouse.derivations import DerivedColumns
from datawarehouse.file_order import FileOrder
from datawarehouse.fk_checker import rows_by_key
from datawarehouse.load_sql import LoadSql
from datawarehouse.loaded import Loaded, Refused
from datawarehouse.merge.registry import merge_of
from datawarehouse.merge.timeline import Timeline
from datawarehouse.placeholder_lookups import Filled
from datawarehouse.placeholders import has_placeholders
from datawarehouse.queries import query
from datawarehouse.related import rows_without_parent
from datawarehouse.schema.tables import self_reference
from datawarehouse.schema.user_triggers import of_load
from datawarehouse.versions import MovedVersions
from validation.batch import FILE_ID, MAY_REPEAT, ROW
from validation.key_values import key_of_rows

MOST_TRIES = 10  # of one key, when the database refuses the row that comes first, the next, and so on
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


class Loader(ABC):
    """Loads the chunks of one file within its transaction.

    Rows whose key is new go into the table by COPY; the others by way of a temporary table, where the database
    says what is a duplicate, already present, changed or newer. The caller has proved every parent in this
    transaction, so the foreign keys' triggers are switched off for it where the role may do that (superuser, or
    GRANT SET ON PARAMETER session_replication_role).
    """

    def __init__(
        self,
        tx: Cursor,
        spec: FileSpec,
        config: PipelineConfig,
        order: FileOrder,
        *,
        list_present: bool = False,
    ) -> None:
        self._tx = tx
        self._order = order
        self._spec = spec
        self._list_present = list_present
        self._merging = merge_of(spec)
        self._sql = LoadSql(spec, list(self._names.values()), self._merging, self.kind(spec, config))
        self._timeline = (
            Timeline(tx, spec, order, self._names, self._sql.stage, self._sql.row) if spec.keeps_history else None
        )
        self._moved = MovedVersions(tx, spec, config)
        self._filled = Filled(tx, spec, config)
        self._file_ids: set[int] = set()
        self._has_stage = False
        self._remembers = False
        self._asks_for_all: bool | None = None  # the first chunk shows it
        first, last = self._settle_constraints(config)
        self._derived = DerivedColumns(tx, spec, config, range(first, last + 1))

    @staticmethod
    @abstractmethod
    def kind(spec: FileSpec, config: PipelineConfig) -> str:
        """The end of the names of the statements for such a table."""

    @abstractmethod
    def _copy_new(self, rows: pa.Table) -> int:
        """COPY rows whose keys are new; returns how many the database counted."""

    def _settle_constraints(self, config: PipelineConfig) -> tuple[int, int]:
        """What is checked when, in this transaction. Returns the first and the last year of the calendar."""
        may = "has_parameter_privilege('session_replication_role', 'SET')"
        grantable = self._tx.connection.server_version >= 150000
        # Children by another column than the key, which an update may change: the triggers see to them
        own = of_load(self._spec, config)
        triggers = sql.SQL("SELECT 1") if self._spec.keep.replaces and self._spec.unique else own
        settings = sql.SQL(query("loader", "settings"))
        self._tx.execute(settings.format(may=sql.SQL(may if grantable else "false"), triggers=triggers))
        first, last, *_ = self._fetch_row()
        for key in self._spec.self_references:  # in the end every row has its parent, if not at each step
            name = sql.Identifier(self_reference(self._spec, key))
            self._tx.execute(sql.SQL("SET CONSTRAINTS {} DEFERRED").format(name))
        return first, last

    # ------------------------------------------------------------ which rows first

    def load(self, rows: pa.Table, *, more: bool = False) -> Loaded:
        """Load `rows`: ROW, the schema's columns, FILE_ID, their file, and FILE_ROW if that is of their key.

        Where newer rows replace older ones, their keys and `newer_by` are distinct, else their keys. `more` says
        that other chunks of the file may follow: then the keys that an earlier file brought are remembered, so
        that a second row with such a key counts as the duplicate that it is.
        MAY_REPEAT is false in rows whose key no earlier chunk has; without it, every key is asked for.
        A row that PostgreSQL refuses is found by halving the chunk, and comes back in `refused`.
        """
        if rows.num_rows == 0:
            return Loaded()
        rows = self._derived.append(rows)
        self._file_ids.update(pc.unique(rows.column(FILE_ID)).to_pylist())
        tries = 0
        first, others = self._merging.split(rows, self._keys_of(rows))
        loaded = part = self._load(first, more=more)
        while part.refused and others.num_rows and tries < MOST_TRIES:
            tries += 1
            others = self._without_related(others, rows, part, loaded)
            waiting, others = self._of_keys(others, rows, [row.row for row in part.refused])
            first, rest = self._merging.split(waiting, self._keys_of(waiting))
            others = pa.concat_tables([others, rest])
            part = self._load(first, more=more)
            loaded.add(part)
        others = self._without_related(others, rows, part, loaded)
        if part.refused and others.num_rows:
            untried, others = self._of_keys(others, rows, [row.row for row in part.refused])
            loaded.duplicates += untried.column(ROW).to_pylist()
        if others.num_rows:  # they find what was loaded
            loaded.add(self._merge(others, more=more))
        return loaded

    def finish(self) -> None:
        """Once all rows are loaded: bind them, and those of others, to the versions that there are now."""
        self._derived.finish(self._file_ids)
        self._moved.rebind()
        self._filled.finish()

    def _without_related(self, others: pa.Table, rows: pa.Table, part: Loaded, loaded: Loaded) -> pa.Table:
        """`others` without rows of the keys that wait for a parent, which wait with them."""
        if not (part.related and others.num_rows):
            return others
        waiting, others = self._of_keys(others, rows, part.related)
        loaded.related += waiting.column(ROW).to_pylist()
        return others

    def _of_keys(self, rows: pa.Table, every: pa.Table, numbers: Sequence[int]) -> tuple[pa.Table, pa.Table]:
        """Split `rows` into those with the key of one of the rows `numbers` of `every`, and the others."""
        named = self._keys_of(every.filter(pc.is_in(every.column(ROW), value_set=pa.array(numbers, pa.int64()))))
        mask = pc.is_in(self._keys_of(rows), value_set=named)
        return rows.filter(mask), rows.filter(pc.invert(mask))

    def _load(self, rows: pa.Table, *, more: bool) -> Loaded:
        """Load rows of distinct keys."""
        if not self._spec.self_references:
            return self._load_in_parts(rows, more=more)
        self._make_room(more=more)  # what is made in a savepoint is gone with it
        result = Loaded()
        while True:
            self._tx.execute("SAVEPOINT related")
            part = self._load_in_parts(rows, more=more)
            guilty = [row.row for row in part.refused]
            lost = rows_without_parent(self._tx, self._spec, rows, guilty)
            if not lost:
                self._tx.execute("RELEASE SAVEPOINT related")
                result.add(part)
                return result
            self._tx.execute("ROLLBACK TO SAVEPOINT related")
            result.add(Loaded(refused=part.refused, related=lost))
            gone = pc.is_in(rows.column(ROW), value_set=pa.array([*guilty, *lost], pa.int64()))
            rows = rows.filter(pc.invert(gone))

    def _load_in_parts(self, rows: pa.Table, *, more: bool) -> Loaded:
        """Load rows of distinct keys; those that PostgreSQL refuses are found by halving."""
        if rows.num_rows == 0:
            return Loaded()
        known = self._known(rows)
        if known is None:
            return self._add(rows, more=more)
        loaded = self._add(rows.filter(pc.invert(known)), more=more)
        loaded.add(self._merge(rows.filter(known), more=more))
        return loaded

    def _keys_of(self, rows: pa.Table) -> pa.Array:
        return key_of_rows(rows, self._spec)

    def _known(self, rows: pa.Table) -> pa.Array | None:
        """Which of the rows have a key that the table has, boolean, one a row; None when none has.

        The first chunk asks the table for all of its keys. If none was there, the file is taken to be new: further
        chunks ask only for keys that may be of an earlier chunk, and leave it to COPY to find the others. With
        `list_present` rows are of many files, and each chunk asks for all.
        """
        if self._spec.schema.primary_key.is_row and not self._list_present:
            return None  # no earlier file has rows of this one
        asked = rows
        if self._asks_for_all is False and MAY_REPEAT in rows.column_names:
            asked = rows.filter(rows.column(MAY_REPEAT))
        there = rows_by_key(self._tx, self._spec, self._keys_of(asked)) if asked.num_rows else []
        if self._asks_for_all is None and not self._list_present:
            self._asks_for_all = bool(there)
        if not there:
            return None
        keys = self._keys_of(rows)
        return pc.is_in(keys, value_set=pa.array((row[0] for row in there), keys.type))

    # ------------------------------------------------------------ new rows

    def _add(self, rows: pa.Table, *, more: bool) -> Loaded:
        """COPY rows with new keys. If that is refused, the stage tells bad rows from keys that came meanwhile."""
        if rows.num_rows == 0:
            return Loaded()
        try:
            return self._within_savepoint(lambda: self._add_all(rows))
        except DataError:
            self._asks_for_all = True
            return self._merge(rows, more=more)

    def _within_savepoint(self, step: Callable[[], Loaded]) -> Loaded:
        """What `step` returns; if it raises DataError, nothing of it is left."""
        self._tx.execute("SAVEPOINT chunk")
        try:
            with translated():
                loaded = step()
        except DataError:
            self._tx.execute("ROLLBACK TO SAVEPOINT chunk")
            raise
        self._tx.execute("RELEASE SAVEPOINT chunk")
        return loaded

    def _add_all(self, rows: pa.Table) -> Loaded:
        inserted = self._copy_new(rows)
        if inserted != rows.num_rows:
            raise LeftOut(LEFT_OUT)
        if self._timeline:
            self._timeline.begin(rows)
        return Loaded(inserted=inserted)

    def _copy(self, table: sql.Identifier, rows: pa.Table, names: dict[str, str] | None = None) -> int:
        return copy_rows(self._tx, table, names or self._names, rows)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Column of the rows → column of the table."""
        stored = {column.name: column.target for column in self._spec.stored}
        derived = {DerivedColumns.name(name): name for name in self._spec.derive}
        own = {column.name: column.target for column in self._spec.schema.key_columns}
        return stored | derived | {FILE_ID: "_file_id"} | own

    # ------------------------------------------------------------ rows with known keys

    def _merge(self, rows: pa.Table, *, more: bool) -> Loaded:
        """Merge rows by way of the stage; halve them on a data error until the guilty ones are alone."""
        if rows.num_rows == 0:
            return Loaded()
        self._make_room(more=more)
        try:
            return self._within_savepoint(lambda: self._stage_and_merge(rows))
        except _Overtaken:
            return self._merge(rows, more=more)
        except DataError as error:
            if rows.num_rows == 1:
                return Loaded(refused=[Refused(rows.column(ROW)[0].as_py(), error.args[0])])
        half = rows.num_rows // 2
        loaded = self._merge(rows.slice(0, half), more=more)
        loaded.add(self._merge(rows.slice(half), more=more))
        return loaded

    def _stage_and_merge(self, rows: pa.Table) -> Loaded:
        self._stage(rows)
        file_ids: list[int] = pc.unique(rows.column(FILE_ID)).to_pylist()
        filled = self._fill_placeholders(file_ids) if self._has_placeholders else []
        later = self._know_later(file_ids)
        self._tx.execute(self._sql.look(remembers=self._remembers, list_rows=self._list_present))
        looked = _Looked(*self._fetch_row())
        placed = self._to_place(rows, [*looked.settled, *filled])
        if self._timeline and placed:
            self._timeline.lock(placed)
        inserted = len(filled)
        inserted += self._insert_new(rows.num_rows - len(filled) - looked.known - len(looked.duplicates))
        if looked.newer:
            self._update(looked.newer)
            if self._know_later(file_ids) != later:  # while its rows were waited for
                raise _Overtaken
        if self._timeline and placed:
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
        )

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
        numbers = sql.Literal(found)
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
        self._copy(self._sql.stage, rows, {ROW: self._sql.row.string} | self._names)

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
        self._tx.execute(self._sql.of_kind("update", numbers=sql.Literal(numbers)))
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

    def _make_room(self, *, more: bool) -> None:
        """The temporary tables that a merge needs, with the table's own column types, for this transaction."""
        if not self._has_stage:
            self._tx.execute(self._sql.statement("create_stage"))
            self._filled.make_room()
            if self._timeline:
                self._timeline.make_room()
                self._moved.make_room()
            self._has_stage = True
        if more and not self._remembers:
            self._tx.execute(self._sql.create_seen())
            self._remembers = True
