"""Rows → table: new keys by COPY, known ones staged and merged; the database counts. Generic over file specs."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError
from config.model import FileSpec, Lookup
from config.settings import PipelineConfig
from datawarehouse.db_errors import translated
from datawarehouse.derivations import derive
from datawarehouse.fk_checker import rows_by_key
from datawarehouse.load_sql import LoadSql
from datawarehouse.merge.versions import MOST_TRIES, newest_first, of_keys
from datawarehouse.queries import query
from datawarehouse.schema.tables import self_reference
from datawarehouse.schema.user_triggers import of_table
from datawarehouse.schema_init import grow_dates
from validation.batch import FILE_ID, MAY_REPEAT, ROW
from validation.key_values import joined, key_of_rows
from validation.relations import Links, without_parent

COPY_ROWS = 4_000  # written as CSV at a time, while the server works on those before
LEFT_OUT = "not_inserted: a trigger or rule of the table left the row out"


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that PostgreSQL itself refused: its number in the file, and the error's name."""

    row: int
    error: str


@dataclass(slots=True)
class Loaded:
    """What became of the rows, as the database counts them.

    `duplicates` are the numbers of rows that tell nothing newer than what the same file brought before. A row
    counts as already present as well when its file has a newer one of its key, or had an older one that it takes
    the place of: so the counts are the same whatever the order. With `list_present`, `updated_rows` are of those
    that replaced a row of an earlier file, `present_rows` of those that did not, and `changed_rows` of those among
    these that differ from an earlier file's row. `related` were not loaded, since a row was refused to which they
    refer, in a table that refers to itself.
    """

    inserted: int = 0
    updated: int = 0
    already_present: int = 0
    changed: int = 0
    duplicates: list[int] = field(default_factory=list)
    present_rows: list[int] = field(default_factory=list)
    updated_rows: list[int] = field(default_factory=list)
    changed_rows: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    related: list[int] = field(default_factory=list)

    def add(self, other: Loaded) -> None:
        """Sum up."""
        self.inserted += other.inserted
        self.updated += other.updated
        self.already_present += other.already_present
        self.changed += other.changed
        self.duplicates += other.duplicates
        self.present_rows += other.present_rows
        self.updated_rows += other.updated_rows
        self.changed_rows += other.changed_rows
        self.refused += other.refused
        self.related += other.related


def _derived(name: str) -> str:
    """The name of a derived column among those of the file, which may have it too."""
    return f"\0derived {name}"


class _Overtaken(DataError):
    """Another transaction brought or took keys between the look at the table and the merge: look again."""


class _LeftOut(DataError):
    """Rows were to be written, and are not there: a trigger or a rule of the table's own has left them out."""


class _CsvText:
    """What COPY reads: `rows` as CSV, a few at a time."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._next = 0

    def read(self, _size: int = -1) -> bytes:
        """The next rows as CSV, whatever the size asked for; nothing at the end."""
        part = self._rows.slice(self._next, COPY_ROWS)
        self._next += COPY_ROWS
        text = io.BytesIO()
        if part.num_rows:
            pacsv.write_csv(part, text, pacsv.WriteOptions(include_header=False))
        return text.getvalue()


class Loader:
    """Loads the chunks of one file within its transaction.

    Rows whose key is new go into the table by COPY; the others by way of a temporary table, where the database
    says what is a duplicate, already present, changed or newer. The caller has proved every parent in this
    transaction, so the foreign keys' triggers are switched off for it where the role may do that (superuser, or
    GRANT SET ON PARAMETER session_replication_role).
    """

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig, *, list_present: bool = False) -> None:
        self._tx = tx
        self._spec = spec
        self._config = config
        self._list_present = list_present
        self._sql = LoadSql(spec, list(self._names.values()), distributed=config.database.distributed)
        self._has_stage = False
        self._remembers = False
        self._asks_for_all: bool | None = None  # the first chunk shows it
        may = "has_parameter_privilege('session_replication_role', 'SET')"
        grantable = tx.connection.server_version >= 150000
        settings = sql.SQL(query("loader", "settings"))
        # Children by another column than the key, which an update may change: the triggers see to them
        triggers = sql.SQL("SELECT 1") if spec.version_by and spec.unique else of_table(spec)
        tx.execute(settings.format(may=sql.SQL(may if grantable else "false"), triggers=triggers))
        first, last, *_ = self._fetch_row()
        for key in spec.self_references:  # in the end every row has its parent, if not at each step
            tx.execute(sql.SQL("SET CONSTRAINTS {} DEFERRED").format(sql.Identifier(self_reference(spec, key))))
        self._calendar = range(first, last + 1)

    def load(self, rows: pa.Table, *, more: bool = False) -> Loaded:
        """Load `rows`: ROW, the schema's columns, FILE_ID, their file, and FILE_ROW if that is of their key.

        Their keys are distinct; where newer rows replace older ones, key and `newer_by` are, and the newest row of
        each key is loaded. `more` says that other chunks of the file may follow: then the keys that an earlier
        file brought are remembered, so that a second row with such a key counts as the duplicate that it is.
        MAY_REPEAT is false in rows whose key no earlier chunk has; without it, every key is asked for.
        A row that PostgreSQL refuses is found by halving the chunk, and comes back in `refused`.
        """
        if rows.num_rows == 0:
            return Loaded()
        self._grow_calendar(rows)
        rows = self._with_derived(rows)
        if version := self._spec.version_by:
            return self._load_newest(rows, version, more=more)
        return self._load(rows, more=more)

    def _load_newest(self, rows: pa.Table, version: str, *, more: bool) -> Loaded:
        """Load the newest row of each key; where PostgreSQL refuses it, the next. The others find a newer one."""
        tries = 0
        first, older = newest_first(rows, self._keys_of(rows), version)
        loaded = part = self._load(first, more=more)
        while part.refused and older.num_rows and tries < MOST_TRIES:
            tries += 1
            older = self._without_related(older, rows, part, loaded)
            waiting, older = of_keys(older, rows, self._keys_of, [row.row for row in part.refused])
            first, rest = newest_first(waiting, self._keys_of(waiting), version)
            older = pa.concat_tables([older, rest])
            part = self._load(first, more=more)
            loaded.add(part)
        older = self._without_related(older, rows, part, loaded)
        if part.refused and older.num_rows:
            untried, older = of_keys(older, rows, self._keys_of, [row.row for row in part.refused])
            loaded.duplicates += untried.column(ROW).to_pylist()
        if older.num_rows:
            loaded.add(self._merge(older, more=more))
        return loaded

    def _without_related(self, older: pa.Table, rows: pa.Table, part: Loaded, loaded: Loaded) -> pa.Table:
        """`older` without the versions of rows that wait for a parent, which wait with them."""
        if not (part.related and older.num_rows):
            return older
        waiting, older = of_keys(older, rows, self._keys_of, part.related)
        loaded.related += waiting.column(ROW).to_pylist()
        return older

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
            lost = self._lost(rows, guilty)
            if not lost:
                self._tx.execute("RELEASE SAVEPOINT related")
                result.add(part)
                return result
            self._tx.execute("ROLLBACK TO SAVEPOINT related")
            result.add(Loaded(refused=part.refused, related=lost))
            gone = pc.is_in(rows.column(ROW), value_set=pa.array([*guilty, *lost], pa.int64()))
            rows = rows.filter(pc.invert(gone))

    def _lost(self, rows: pa.Table, refused: list[int]) -> list[int]:
        """The rows that refer, by way of others or not, to rows that were `refused` and are not in the table."""
        if not refused:
            return []
        numbers = rows.column(ROW).to_numpy()
        columns = {key: (key.key, key.to or self._spec.schema.primary_key) for key in self._spec.self_references}
        links = []
        for key, (own, to) in columns.items():
            referred, named = (joined([rows.column(name) for name in names]) for names in (to, own))
            asked = pc.unique(referred.filter(pa.array(np.isin(numbers, refused))).drop_null())
            there = [row[0] for row in rows_by_key(self._tx, self._spec, asked, to=key.to)] if len(asked) else []
            found_there = pa.array(there, asked.type)
            asks = pc.and_not(pc.is_in(named, value_set=referred), pc.is_in(named, value_set=found_there))
            links.append(Links.of(named, referred, np.asarray(pc.and_(pc.is_valid(named), asks))))
        left = ~np.isin(numbers, refused)
        found: np.ndarray = np.logical_or.reduce(without_parent(links, left)) & left
        lost: list[int] = numbers[found].tolist()
        return lost

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

    # ------------------------------------------------------------ what is there, what is derived

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

    def _with_derived(self, rows: pa.Table) -> pa.Table:
        for name, derivation in self._spec.derive.items():
            rows = rows.append_column(_derived(name), derive(derivation, rows, self._take))
        return rows

    def _take(self, lookup: Lookup, keys: pa.ChunkedArray) -> pa.Array:
        """A column of the parents, for each of `keys`, as text."""
        source = self._config.by_logical_name[lookup.source]
        found = rows_by_key(self._tx, source, pc.unique(keys.drop_null()), lookup.take)
        parents = pa.array((row[0] for row in found), keys.type)
        taken = pa.array((None if row[1] is None else str(row[1]) for row in found), pa.string())
        return taken.take(pc.index_in(keys, value_set=parents))

    def _grow_calendar(self, rows: pa.Table) -> None:
        """Make sure that dim_date has the years of the rows' date keys."""
        for derivation in self._spec.derive.values():
            if derivation.date_key is None:
                continue
            bounds = pc.min_max(rows.column(derivation.date_key)).as_py()
            years = [value.year for value in bounds.values() if value is not None]
            if any(year not in self._calendar for year in years):
                grow_dates(self._tx, min(years), max(years))
                self._calendar = range(min(*years, self._calendar.start), max(*years, self._calendar.stop - 1) + 1)

    # ------------------------------------------------------------ new rows

    def _add(self, rows: pa.Table, *, more: bool) -> Loaded:
        """COPY rows with new keys. If that is refused, the stage tells bad rows from keys that came meanwhile."""
        if rows.num_rows == 0:
            return Loaded()
        try:
            return self._within_savepoint(lambda: self._copy_new(rows))
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

    def _copy_new(self, rows: pa.Table) -> Loaded:
        if self._spec.partition_by:
            columns = [column.name for column in self._spec.schema.key_columns]
            names = {name: self._names[name] for name in (*columns, self._spec.partition_by.column)}
            self._copy(self._sql.keys, names, rows)
        inserted = self._copy(self._sql.table, self._names, rows)
        if inserted != rows.num_rows:
            raise _LeftOut(LEFT_OUT)
        return Loaded(inserted=inserted)

    def _copy(self, table: sql.Identifier, names: dict[str, str], rows: pa.Table) -> int:
        """COPY the columns `names` (of the rows → of the table); returns the number of rows."""
        columns = sql.SQL(", ").join(map(sql.Identifier, names.values()))
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(table, columns)
        text: Any = _CsvText(rows.select(list(names)))  # the stubs ask for more than the driver calls
        self._tx.copy_expert(statement, text)
        return int(self._tx.rowcount)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Column of the rows → column of the table."""
        stored = {column.name: column.target for column in self._spec.schema.columns}
        names = stored | {_derived(name): name for name in self._spec.derive} | {FILE_ID: "_file_id"}
        return names | {column.name: column.target for column in self._spec.schema.key_columns}

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
        self._tx.execute(self._sql.statement("empty_stage"))
        self._copy(self._sql.stage, {ROW: self._sql.row.string} | self._names, rows)
        if self._spec.version_by and self._spec.partition_by:
            self._tx.execute(self._sql.statement("lock_keys"))
        self._tx.execute(self._sql.look(remembers=self._remembers, list_rows=self._list_present))
        known, changed, duplicates, newer, present_rows, updated_rows, changed_rows, replaced = self._fetch_row()
        inserted = self._insert_new(rows.num_rows - known - len(duplicates))
        if newer:
            self._update(newer)
        updated = len(newer) - replaced
        return Loaded(
            inserted=inserted,
            updated=updated,
            already_present=known - updated,
            changed=changed,
            duplicates=duplicates,
            present_rows=present_rows,
            updated_rows=updated_rows,
            changed_rows=changed_rows,
        )

    def _insert_new(self, wanted: int) -> int:
        """Insert the staged rows whose keys are not there, which are `wanted`; returns how many."""
        if wanted == 0:
            return 0
        self._tx.execute(self._sql.statement(f"insert{self._sql.kind}"))
        inserted = len(self._tx.fetchall()) if self._tx.description else int(self._tx.rowcount)
        if inserted != wanted:
            self._explain_missing()
        return inserted

    def _update(self, numbers: list[int]) -> None:
        """Put the staged rows `numbers` in the places of the older ones with their keys."""
        self._tx.execute(self._sql.statement(f"update{self._sql.kind}", numbers=sql.Literal(numbers)))
        if self._fetch_row()[0] != len(numbers):
            self._explain_missing()

    def _explain_missing(self) -> NoReturn:
        """Fewer rows were written than were to be: raise what became of the others."""
        self._tx.execute(self._sql.statement("left_out"))
        raise _LeftOut(LEFT_OUT) if self._fetch_row()[0] else _Overtaken

    def _fetch_row(self) -> tuple[Any, ...]:
        row = self._tx.fetchone()
        assert row is not None  # noqa: S101  (an aggregate always gives a row)
        return row

    def _make_room(self, *, more: bool) -> None:
        """The temporary tables that a merge needs."""
        if not self._has_stage:
            self._create_stage()
        if more and not self._remembers:
            self._create_seen()

    def _create_stage(self) -> None:
        """A temporary table with the table's own column types, for this transaction."""
        self._tx.execute(self._sql.statement("create_stage"))
        self._has_stage = True

    def _create_seen(self) -> None:
        self._tx.execute(self._sql.statement(f"create_seen{self._sql.manner}"))
        self._remembers = True
