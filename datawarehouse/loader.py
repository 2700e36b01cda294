"""Rows → table: staged by COPY, then merged; the database counts. Generic over file specs."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError
from config.model import FileSpec, OnConflict, PipelineConfig
from datawarehouse.db_connection import translated
from datawarehouse.derivations import derived_column
from datawarehouse.queries import query
from datawarehouse.schema_init import grow_dates


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that PostgreSQL itself refused: its number in the file, and the error's name."""

    row: int
    error: str


@dataclass(slots=True)
class Loaded:
    """What became of the rows, as the database counts them.

    `duplicates` are the numbers of rows whose key an earlier chunk of the same file brought; `present_rows`, with
    `list_present`, of those whose key an earlier file brought.
    """

    inserted: int = 0
    updated: int = 0
    already_present: int = 0
    changed: int = 0
    duplicates: list[int] = field(default_factory=list)
    present_rows: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def add(self, other: Loaded) -> None:
        """Sum up."""
        self.inserted += other.inserted
        self.updated += other.updated
        self.already_present += other.already_present
        self.changed += other.changed
        self.duplicates += other.duplicates
        self.present_rows += other.present_rows
        self.refused += other.refused


class Loader:
    """Loads the chunks of one file within its transaction.

    The caller has proved every parent in this transaction, so the foreign keys' triggers are switched off for it
    where the role may do that (superuser, or GRANT SET ON PARAMETER session_replication_role).
    """

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig, *, list_present: bool = False) -> None:
        self._tx = tx
        self._spec = spec
        self._config = config
        self._list_present = list_present
        self._stage = sql.Identifier(f"stage_{spec.table}"[:63])
        self._key = sql.Identifier(spec.schema.key.target)
        self._seen = sql.Identifier(f"seen_{spec.table}"[:63])
        self._remembers = False
        self._years: set[int] = set()
        self._prepare()

    def load(self, rows: pa.Table, *, more: bool = False) -> Loaded:
        """Merge `rows`: `_row`, the schema's columns, and `_file_id` of the file they are from; keys are distinct.

        `more` says that other chunks of the file may follow: then the keys that an earlier file brought are
        remembered, so that a second row with such a key counts as the duplicate that it is.
        On a data error the chunk is halved until the guilty rows are alone; those come back as `refused`.
        """
        if rows.num_rows == 0:
            return Loaded()
        self._grow_calendar(rows)
        if more and not self._remembers:
            self._create_seen()
        self._tx.execute("SAVEPOINT chunk")
        try:
            with translated():
                loaded = self._copy_and_merge(rows)
        except DataError as error:
            self._tx.execute("ROLLBACK TO SAVEPOINT chunk")
            if rows.num_rows == 1:
                return Loaded(refused=[Refused(rows.column("_row")[0].as_py(), error.args[0])])
            half = rows.num_rows // 2
            loaded = self.load(rows.slice(0, half), more=True)
            loaded.add(self.load(rows.slice(half), more=True))
            return loaded
        self._tx.execute("RELEASE SAVEPOINT chunk")
        return loaded

    def _prepare(self) -> None:
        connection = self._tx.connection
        grantable = connection.server_version >= 150000
        may = "has_parameter_privilege('session_replication_role', 'SET')" if grantable else "false"
        self._tx.execute(
            "SELECT CASE WHEN current_setting('is_superuser')::boolean OR "
            f"{may} THEN set_config('session_replication_role', 'replica', true) END"
        )
        columns = [
            sql.SQL("{} {}").format(sql.Identifier(column.target), sql.SQL(str(column.sql)))
            for column in self._spec.schema.columns
        ]
        self._tx.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} (_row bigint, {}, _file_id bigint) ON COMMIT DROP").format(
                self._stage, sql.SQL(", ").join(columns)
            )
        )
        self._staged = False

    def _copy_and_merge(self, rows: pa.Table) -> Loaded:
        if self._staged:
            self._tx.execute(sql.SQL("TRUNCATE {}").format(self._stage))
        self._staged = True
        buffer = io.BytesIO()
        pacsv.write_csv(rows, buffer, pacsv.WriteOptions(include_header=False))
        buffer.seek(0)
        self._tx.copy_expert(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(self._stage), buffer)
        self._tx.execute(self._conflicts, {"list_present": self._list_present})
        changed, duplicates, present_rows = self._row()
        inserted, updated = self._merge()
        present = rows.num_rows - inserted - updated - len(duplicates or [])
        return Loaded(inserted, updated, present, changed - updated, duplicates or [], present_rows or [])

    def _merge(self) -> tuple[int, int]:
        """Insert what is not there, update what the configuration lets be; returns how many of each."""
        self._tx.execute(self._insert)
        if self._spec.on_conflict is OnConflict.NOTHING:
            return self._tx.rowcount, 0
        inserted, updated = self._row()
        return inserted, updated

    def _row(self) -> tuple[Any, ...]:
        row = self._tx.fetchone()
        assert row is not None  # noqa: S101  (an aggregate always gives a row)
        return row

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
            table=sql.Identifier(self._spec.table),
            stage=self._stage,
            key=self._key,
            changed=self._differ("t", "s"),
            seen_join=remembering(" LEFT JOIN {seen} AS k ON k.{key} = s.{key}"),
            or_seen=remembering(" OR k.{key} IS NOT NULL"),
            remember=remembering(query("loader", "remember")),
        )

    @cached_property
    def _insert(self) -> sql.Composed:
        spec = self._spec
        targets = [sql.Identifier(column.target) for column in spec.schema.columns]
        derived = {name: derived_column(name, d, spec, self._config) for name, d in spec.derive.items()}
        columns = [*targets, *map(sql.Identifier, derived), sql.Identifier("_file_id")]
        staged = [sql.SQL("s.{}").format(name) for name in targets]
        expressions = [*staged, *(d.expression for d in derived.values()), sql.SQL("s._file_id")]
        assignments = [sql.SQL("{0} = excluded.{0}").format(c) for c in columns if c != self._key]
        newer = spec.schema.by_name[spec.newer_by].target if spec.newer_by else ""
        name = "insert" if spec.on_conflict is OnConflict.NOTHING else "upsert"
        return sql.SQL(query("loader", name)).format(
            table=sql.Identifier(spec.table),
            stage=self._stage,
            key=self._key,
            columns=sql.SQL(", ").join(columns),
            expressions=sql.SQL(", ").join(expressions),
            joins=sql.SQL("").join([d.join for d in derived.values()]),
            assignments=sql.SQL(", ").join(assignments),
            newer=sql.Identifier(newer),
            differs=self._differ("t", "excluded"),
        )

    def _differ(self, one: str, other: str) -> sql.Composable:
        """Do the rows `one` and `other` differ in a source column other than the key?"""
        names = [sql.Identifier(c.target) for c in self._spec.schema.columns]

        def row(alias: str) -> sql.Composable:
            return sql.SQL(", ").join([sql.SQL("{}.{}").format(sql.SQL(alias), name) for name in names])

        return sql.SQL("ROW({}) IS DISTINCT FROM ROW({})").format(row(one), row(other))

    def _grow_calendar(self, rows: pa.Table) -> None:
        """Make sure that dim_date has the years of the rows' date keys."""
        for derivation in self._spec.derive.values():
            if derivation.date_key is None:
                continue
            bounds = pc.min_max(rows.column(derivation.date_key)).as_py()
            years = {value.year for value in bounds.values() if value is not None}
            if years - self._years:
                grow_dates(self._tx, min(years), max(years))
                self._years |= years
