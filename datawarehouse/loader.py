"""Rows → table: which rows first; new keys by COPY, known ones through a merge. Generic over file specs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.copying import copy_rows
from datawarehouse.derivations import DerivedColumns
from datawarehouse.file_order import FileOrder
from datawarehouse.fk_checker import rows_by_key
from datawarehouse.key_traces import note
from datawarehouse.load_sql import LoadSql
from datawarehouse.loaded import Loaded
from datawarehouse.merge.registry import merge_of
from datawarehouse.merge.timeline import Timeline
from datawarehouse.queries import query
from datawarehouse.related import rows_without_parent
from datawarehouse.schema.tables import self_reference
from datawarehouse.schema.user_triggers import of_load
from datawarehouse.staged_merge import LEFT_OUT, LeftOut, StagedMerge, within_savepoint
from validation.batch import FILE_ID, MAY_REPEAT, ROW
from validation.key_values import key_of_rows

MOST_TRIES = 10  # of one key, when the database refuses the row that comes first, the next, and so on


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
        self._spec = spec
        self._list_present = list_present
        self._merging = merge_of(spec)
        self._sql = LoadSql(spec, list(self._names.values()), self._merging, self.kind(spec, config))
        self._timeline = (
            Timeline(tx, spec, order, self._names, self._sql.stage, self._sql.row) if spec.keeps_history else None
        )
        self._merge = StagedMerge(
            tx, spec, config, self._sql, self._names, order, self._timeline, list_present=list_present
        )
        self._file_ids: set[int] = set()
        self._asks_for_all: bool | None = None  # the first chunk shows it
        self._all_were_known = False  # of the chunk before: then this one is merged without a question
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
        first, last, *_ = self._tx.fetchone() or ()
        for key in self._spec.self_references:  # in the end every row has its parent, if not at each step
            name = sql.Identifier(self_reference(self._spec, key))
            self._tx.execute(sql.SQL("SET CONSTRAINTS {} DEFERRED").format(name))
        return first, last

    @property
    def told(self) -> sql.Identifier | None:
        """The temporary table of what a file of several chunks has brought, and its table does not show."""
        return self._sql.seen if self._merge.remembers else None

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
            loaded.add(self._merge.merge(others, more=more))
        for file_ids, numbers in loaded.traces:
            note(self._tx, np.frombuffer(file_ids, ">i8"), np.frombuffer(numbers, ">i8"))
        return loaded

    def finish(self) -> None:
        """Once all rows are loaded: bind them, and those of others, to the versions that there are now."""
        self._derived.finish(self._file_ids)
        self._merge.finish()

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
        self._merge.make_room(more=more)  # what is made in a savepoint is gone with it
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
        if self._all_were_known:
            loaded = self._merge.merge(rows, more=more)
            self._all_were_known = not loaded.inserted
            return loaded
        known = self._known(rows)
        if known is None:
            return self._add(rows, more=more)
        loaded = self._add(rows.filter(pc.invert(known)), more=more)
        loaded.add(self._merge.merge(rows.filter(known), more=more))
        self._all_were_known = not self._list_present and not loaded.inserted
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
            return within_savepoint(self._tx, lambda: self._add_all(rows))
        except DataError:
            self._asks_for_all = True
            return self._merge.merge(rows, more=more)

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
