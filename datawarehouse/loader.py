"""Rows → table: new keys by COPY, known ones staged and merged; the database counts. Generic over file specs."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError
from config.model import Column, FileSpec, Lookup, OnConflict
from config.settings import PipelineConfig
from datawarehouse.db_errors import translated
from datawarehouse.derivations import derive
from datawarehouse.fk_checker import rows_by_key
from datawarehouse.queries import query
from datawarehouse.schema_init import grow_dates

COPY_ROWS = 4_000  # written as CSV at a time, while the server works on those before


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that PostgreSQL itself refused: its number in the file, and the error's name."""

    row: int
    error: str


@dataclass(slots=True)
class Loaded:
    """What became of the rows, as the database counts them.

    `duplicates` are the numbers of rows whose key an earlier chunk of the same file brought. With `list_present`,
    `updated_rows` are of those that replaced a row of an earlier file, `present_rows` of those that did not, and
    `changed_rows` of those among these that have other values.
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


class _Overtaken(DataError):
    """Another transaction brought or took keys between the look at the table and the merge: look again."""


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
        self._table = sql.Identifier(spec.table)
        self._stage = sql.Identifier(f"stage_{spec.table}"[:63])
        self._keys = sql.Identifier(spec.key_table)
        self._key = sql.Identifier(spec.schema.key.target)
        self._by = sql.Identifier(spec.partition_column or "")
        self._seen = sql.Identifier(f"seen_{spec.table}"[:63])
        self._has_stage = False
        self._remembers = False
        self._asks_for_all: bool | None = None  # the first chunk shows it
        may = "has_parameter_privilege('session_replication_role', 'SET')"
        grantable = tx.connection.server_version >= 150000
        tx.execute(query("loader", "settings").format(may=may if grantable else "false"))
        first, last, *_ = self._row()
        self._calendar = range(first, last + 1)

    def load(self, rows: pa.Table, *, more: bool = False) -> Loaded:
        """Load `rows`: `_row`, the schema's columns, and `_file_id` of the file they are from; keys are distinct.

        `more` says that other chunks of the file may follow: then the keys that an earlier file brought are
        remembered, so that a second row with such a key counts as the duplicate that it is. `_may_repeat` is false
        in rows whose key no earlier chunk has; without it, every key is asked for.
        A row that PostgreSQL refuses is found by halving the chunk, and comes back in `refused`.
        """
        if rows.num_rows == 0:
            return Loaded()
        self._grow_calendar(rows)
        rows = self._with_derived(rows)
        known = self._known(rows)
        if known is None:
            return self._add(rows, more=more)
        loaded = self._add(rows.filter(pc.invert(known)), more=more)
        loaded.add(self._merge(rows.filter(known), more=more))
        return loaded

    # ------------------------------------------------------------ what is there, what is derived

    def _known(self, rows: pa.Table) -> pa.ChunkedArray | None:
        """Which of the rows have a key that the table has, boolean, one a row; None when none has.

        The first chunk asks the table for all of its keys. If none was there, the file is taken to be new: further
        chunks ask only for keys that may be of an earlier chunk, and leave it to COPY to find the others. With
        `list_present` rows are of many files, and each chunk asks for all.
        """
        keys = rows.column(self._spec.schema.primary_key)
        if self._asks_for_all is False and "_may_repeat" in rows.column_names:
            keys_asked = keys.filter(rows.column("_may_repeat"))
        else:
            keys_asked = keys
        there = rows_by_key(self._tx, self._spec, keys_asked) if len(keys_asked) else []
        if self._asks_for_all is None and not self._list_present:
            self._asks_for_all = bool(there)
        return pc.is_in(keys, value_set=pa.array((row[0] for row in there), keys.type)) if there else None

    def _with_derived(self, rows: pa.Table) -> pa.Table:
        for name, derivation in self._spec.derive.items():
            rows = rows.append_column(name, derive(derivation, rows, self._take))
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
            columns = (self._spec.schema.primary_key, self._spec.partition_by.column)
            self._copy(self._keys, {name: self._names[name] for name in columns}, rows)
        return Loaded(inserted=self._copy(self._table, self._names, rows))

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
        return stored | {name: name for name in (*self._spec.derive, "_file_id")}

    # ------------------------------------------------------------ rows with known keys

    def _merge(self, rows: pa.Table, *, more: bool) -> Loaded:
        """Merge rows by way of the stage; halve them on a data error until the guilty ones are alone."""
        if not self._has_stage:
            self._create_stage()
        if more and not self._remembers:
            self._create_seen()
        try:
            return self._within_savepoint(lambda: self._stage_and_merge(rows))
        except _Overtaken:
            return self._merge(rows, more=more)
        except DataError as error:
            if rows.num_rows == 1:
                return Loaded(refused=[Refused(rows.column("_row")[0].as_py(), error.args[0])])
        half = rows.num_rows // 2
        loaded = self._merge(rows.slice(0, half), more=more)
        loaded.add(self._merge(rows.slice(half), more=more))
        return loaded

    def _stage_and_merge(self, rows: pa.Table) -> Loaded:
        self._tx.execute(sql.SQL("TRUNCATE {}").format(self._stage))
        self._copy(self._stage, {"_row": "_row"} | self._names, rows)
        self._tx.execute(self._conflicts, {"list_present": self._list_present})
        known, changed, duplicates, present_rows, changed_rows = self._row()
        if duplicates and not self._ignores_known:  # the first row of a file with a key is the one that counts
            statement = sql.SQL("DELETE FROM {} WHERE _row = ANY (%s)").format(self._stage)
            self._tx.execute(statement, (duplicates,))
        self._tx.execute(self._insert, {"list_present": self._list_present})
        inserted, updated, updated_rows = (self._count(), 0, None) if self._ignores_known else self._row()
        present = rows.num_rows - inserted - updated - len(duplicates or [])
        if present + updated != known:
            raise _Overtaken
        replaced = {*(updated_rows or [])}
        return Loaded(
            inserted=inserted,
            updated=updated,
            already_present=present,
            changed=changed - updated,
            duplicates=duplicates or [],
            present_rows=sorted({*(present_rows or [])} - replaced),
            updated_rows=updated_rows or [],
            changed_rows=sorted({*(changed_rows or [])} - replaced),
        )

    def _count(self) -> int:
        """How many rows the last INSERT brought."""
        return len(self._tx.fetchall()) if self._tx.description else int(self._tx.rowcount)

    @property
    def _ignores_known(self) -> bool:
        return self._spec.on_conflict is OnConflict.NOTHING

    def _row(self) -> tuple[Any, ...]:
        row = self._tx.fetchone()
        assert row is not None  # noqa: S101  (an aggregate always gives a row)
        return row

    def _create_stage(self) -> None:
        """A temporary table with the table's own column types, for this transaction."""
        columns = sql.SQL(", ").join(map(sql.Identifier, self._names.values()))
        form = "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT 0::bigint AS _row, {} FROM {} WITH NO DATA"
        self._tx.execute(sql.SQL(form).format(self._stage, columns, self._table))
        self._has_stage = True

    def _create_seen(self) -> None:
        key = self._spec.schema.key
        self._tx.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ({} {} PRIMARY KEY) ON COMMIT DROP").format(
                self._seen, self._key, sql.SQL(str(key.sql))
            )
        )
        self._remembers = True
        self.__dict__.pop("_conflicts", None)

    @cached_property
    def _conflicts(self) -> sql.Composed:
        def remembering(text: str) -> sql.Composable:
            return sql.SQL(text if self._remembers else "").format(seen=self._seen, key=self._key)

        return sql.SQL(query("loader", "conflicts")).format(
            table=self._table,
            stage=self._stage,
            key=self._key,
            changed=self._differ("t", "s"),
            there=self._there,
            seen_join=remembering(" LEFT JOIN {seen} AS k ON k.{key} = s.{key}"),
            or_seen=remembering(" OR k.{key} IS NOT NULL"),
            remember=remembering(query("loader", "remember")),
        )

    @cached_property
    def _insert(self) -> sql.Composed:
        spec = self._spec
        columns = [sql.Identifier(name) for name in self._names.values()]
        form = "insert" if self._ignores_known else "upsert"
        assignment = sql.SQL("{0} = n.{0}" if spec.partition_by else "{0} = excluded.{0}")
        assignments = [assignment.format(c) for c in columns if c != self._key]
        newer = spec.schema.by_name[spec.newer_by].target if spec.newer_by else ""
        return sql.SQL(query("loader", form + self._kind)).format(
            table=self._table,
            stage=self._stage,
            key=self._key,
            columns=sql.SQL(", ").join(columns),
            assignments=sql.SQL(", ").join(assignments),
            newer=sql.Identifier(newer),
            differs=self._differ("t", "s" if spec.partition_by else "excluded"),
            keys=self._keys,
            by=self._by,
            there=self._there,
        )

    @property
    def _there(self) -> sql.Composed:
        """What joins staged rows `s` with the rows `t` that have their keys."""
        names = {"table": self._table, "keys": self._keys, "key": self._key, "by": self._by}
        return sql.SQL(query("loader", "there" + self._kind)).format(**names)

    @property
    def _kind(self) -> str:
        """The end of the names of the statements for this kind of table."""
        if self._spec.partition_by:
            return "_partitioned"
        return "_distributed" if self._config.database.distributed and self._spec.is_fact else ""

    def _differ(self, one: str, other: str) -> sql.Composable:
        """Do the rows `one` and `other` differ in a source column other than the key?"""
        columns = self._spec.schema.columns

        def row(alias: str) -> sql.Composable:
            return sql.SQL(", ").join([_comparable(alias, column) for column in columns])

        return sql.SQL("ROW({}) IS DISTINCT FROM ROW({})").format(row(one), row(other))


def _comparable(alias: str, column: Column) -> sql.Composable:
    """What tells two values of the column apart; json, which keeps its text, has no = of its own."""
    form = "{}.{}::text" if column.sql.base == "json" else "{}.{}"
    return sql.SQL(form).format(sql.SQL(alias), sql.Identifier(column.target))
