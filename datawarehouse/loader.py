"""Rows → table: staged by COPY, merged in one statement that also counts; generic over file specs."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError
from config.model import FileSpec, OnConflict, PipelineConfig
from datawarehouse.db_connection import translated
from datawarehouse.derivations import derived_column
from datawarehouse.schema_init import grow_dates

_MERGE = """
WITH merged AS (
    INSERT INTO {table} AS t ({columns})
    SELECT {expressions} FROM {stage} AS s{joins}
    ON CONFLICT ({key}) DO {on_conflict}
    RETURNING {key}, {was_inserted} AS inserted
), rest AS (
    SELECT s._row, s.{key}, t._file_id = s._file_id{or_seen} AS in_this_file, {changed} AS changed
    FROM {stage} AS s
    LEFT JOIN {table} AS t ON t.{key} = s.{key}{seen_join}
    WHERE NOT EXISTS (SELECT FROM merged AS m WHERE m.{key} = s.{key})
){remember}
SELECT (SELECT count(*) FROM merged WHERE inserted),
       (SELECT count(*) FROM merged WHERE NOT inserted),
       count(*) FILTER (WHERE in_this_file IS NOT TRUE),
       count(*) FILTER (WHERE changed AND in_this_file IS NOT TRUE),
       array_agg(_row) FILTER (WHERE in_this_file),
       array_agg(_row) FILTER (WHERE in_this_file IS NOT TRUE AND %(list_present)s)
FROM rest
"""
_REMEMBER = """, remembered AS (
    INSERT INTO {seen} SELECT {key} FROM rest WHERE in_this_file IS NOT TRUE ON CONFLICT DO NOTHING
)"""


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
        self._tx.execute(self._merge, {"list_present": self._list_present})
        row = self._tx.fetchone()
        assert row is not None  # noqa: S101  (an aggregate always gives a row)
        inserted, updated, present, changed, duplicates, present_rows = row
        return Loaded(inserted, updated, present, changed, duplicates or [], present_rows or [])

    def _create_seen(self) -> None:
        key = self._spec.schema.key
        self._tx.execute(
            sql.SQL("CREATE TEMPORARY TABLE {} ({} {} PRIMARY KEY) ON COMMIT DROP").format(
                self._seen, sql.Identifier(key.target), sql.SQL(str(key.sql))
            )
        )
        self._remembers = True
        self.__dict__.pop("_merge", None)

    @cached_property
    def _merge(self) -> sql.Composed:
        spec = self._spec
        key = sql.Identifier(spec.schema.key.target)
        targets = [sql.Identifier(column.target) for column in spec.schema.columns]
        others = [
            i for i, c in zip(targets, spec.schema.columns, strict=True) if c.name != spec.schema.primary_key
        ]
        derived = {name: derived_column(name, d, spec, self._config) for name, d in spec.derive.items()}

        def row(alias: str) -> sql.Composable:
            fields = [sql.SQL("{}.{}").format(sql.SQL(alias), name) for name in others]
            return sql.SQL("ROW({})").format(sql.SQL(", ").join(fields))

        changed = sql.SQL("t.{} IS NOT NULL AND {} IS DISTINCT FROM {}").format(key, row("t"), row("s"))
        columns = [*targets, *map(sql.Identifier, derived), sql.Identifier("_file_id")]
        expressions = [
            *(sql.SQL("s.{}").format(name) for name in targets),
            *(d.expression for d in derived.values()),
            sql.SQL("s._file_id"),
        ]
        return sql.SQL(_MERGE).format(
            table=sql.Identifier(spec.table),
            stage=self._stage,
            key=key,
            seen_join=self._if_remembering(" LEFT JOIN {seen} AS k ON k.{key} = s.{key}"),
            or_seen=self._if_remembering(" OR k.{key} IS NOT NULL"),
            remember=self._if_remembering(_REMEMBER),
            columns=sql.SQL(", ").join(columns),
            expressions=sql.SQL(", ").join(expressions),
            joins=sql.SQL("").join([d.join for d in derived.values()]),
            on_conflict=self._on_conflict([*others, *map(sql.Identifier, derived)]),
            was_inserted=sql.SQL("(t.xmax = 0)" if spec.on_conflict is OnConflict.UPDATE_IF_NEWER else "true"),
            changed=changed,
        )

    def _if_remembering(self, text: str) -> sql.Composable:
        if not self._remembers:
            return sql.SQL("")
        key = sql.Identifier(self._spec.schema.key.target)
        return sql.SQL(text).format(seen=self._seen, key=key)

    def _on_conflict(self, columns: list[sql.Identifier]) -> sql.Composable:
        if self._spec.on_conflict is OnConflict.NOTHING:
            return sql.SQL("NOTHING")
        newer = sql.Identifier(self._spec.schema.by_name[self._spec.newer_by or ""].target)
        assignments = [sql.SQL("{0} = excluded.{0}").format(c) for c in [*columns, sql.Identifier("_file_id")]]
        return sql.SQL(
            "UPDATE SET {set}, _loaded_at = now() "
            "WHERE t._file_id <> excluded._file_id AND t.{newer} < excluded.{newer}"
        ).format(set=sql.SQL(", ").join(assignments), newer=newer)

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
