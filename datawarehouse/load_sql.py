"""The statements of loads (sql/loader.sql, with the parts of a way of merging) for one kind of file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from psycopg2 import sql

from config.file_spec import FileSpec
from config.model import GONE_COLUMN
from config.schema import Column
from datawarehouse import key_sql
from datawarehouse.key_traces import is_among, later_traces, told_number
from datawarehouse.merge.merge import Merge
from datawarehouse.queries import query

_NOTHING, _FALSE = sql.SQL(""), sql.SQL("false")


class LoadSql:
    """What loader.sql says, with the names of a file's table and its `columns` as they are in the table.

    A name may hold any character, a % too: so the statements are run without parameters.
    """

    def __init__(self, spec: FileSpec, columns: Sequence[str], merge: Merge, kind: str = "") -> None:
        """`kind` is the end of the names of the statements for this kind of table: see Loader.kind."""
        self._spec = spec
        self._columns = columns
        self._merge = merge
        self._kind = f"_{kind}" if kind else ""
        self.table = sql.Identifier(spec.table)
        self.keys = sql.Identifier(spec.key_table)
        # A blank is in no table's name: what a transaction makes for itself hides no table.
        self.stage = sql.Identifier(f"stage of {spec.table}"[:63])
        self.seen = sql.Identifier(f"seen of {spec.table}"[:63])
        self.row = self._free_name("_row")  # of the stage: the row's number
        self.told_again = self._free_name("_told_again")  # of the stage: by a later file, as it was before the row
        self._looks: dict[tuple[bool, bool], sql.Composed] = {}
        self._later: dict[int, tuple[int, ...]] = {}

    def know_later(self, later: dict[int, tuple[int, ...]]) -> None:
        """Of the files whose rows are loaded next, those that are later in the order of the table's files."""
        if later != self._later:
            self._later = later
            self._looks.clear()

    def statement(self, name: str, **more: sql.Composable) -> sql.Composed:
        """The block `name`, with `more` put in."""
        text = query("loader", name)
        if "{is_newer}" in text:
            more["is_newer"] = self._part("newer")
        return sql.SQL(text).format(**self._identifiers, **more)

    def of_kind(self, name: str, **more: sql.Composable) -> sql.Composed:
        """The block `name` for this kind of table."""
        return self.statement(f"{name}{self._kind}", **more)

    def create_seen(self) -> sql.Composed:
        """A temporary table of what the file has brought and the table does not show."""
        return self._part("create_seen")

    def look(self, *, remembers: bool, list_rows: bool) -> sql.Composed:
        """Which staged rows have keys that are there already, and what is to become of them."""
        if (remembers, list_rows) not in self._looks:
            self._looks[remembers, list_rows] = self._look(remembers, list_rows)
        return self._looks[remembers, list_rows]

    def _look(self, remembers: bool, list_rows: bool) -> sql.Composed:
        joins = remembers and self._kind == "_distributed"
        seen = self.statement("or_seen_distributed") if joins else self._part("or_seen")
        return self.statement(
            "look",
            repeats=self._part("repeats"),
            or_seen=seen if remembers else _NOTHING,
            seen_join=self.statement("seen_join_distributed") if joins else _NOTHING,
            newer_than_there=self._part("newer"),
            older=self._part("older"),
            time=self._part("time"),
            there=self.of_kind("there"),
            remember=self._part("remember") if remembers else _NOTHING,
            list_rows=sql.SQL("true" if list_rows else "false"),
            list_settled=sql.SQL("true" if self._spec.keeps_history else "false"),
            tells_nothing=self._part("tells_nothing"),
            trace=self.statement("trace") if self._spec.keep.replaces else _NOTHING,
            traces=self.statement("traces") if self._spec.keep.replaces else sql.SQL("NULL, NULL"),
        )

    def _part(self, name: str) -> sql.Composed:
        """A part that the way of merging has of its own."""
        is_gone = sql.SQL(f"(t.{GONE_COLUMN} IS NOT NULL)")
        away = sql.SQL(f"(t.{GONE_COLUMN} IS NOT NULL AND t._file_id <> s._file_id)")
        is_late = bool(self._later)
        by_file = self._spec.takes_away or (self._spec.loses_rows and not self._spec.newer_by)
        parts = {
            "is_later": self._is_later(),
            # A late file's rows were perhaps gone since: that is seen when all of it is loaded
            "came_back": away if by_file and not is_late else _FALSE,
            # A row that is unchanged may begin a version where there is none
            "may_begin": self._follows_end(is_gone, is_late=is_late) if by_file else _FALSE,
        }
        return sql.SQL(self._merge.part(name)).format(**self._identifiers, **parts)

    def _follows_end(self, is_gone: sql.Composable, *, is_late: bool) -> sql.Composable:
        """May there be no version at the time of a staged row? For a late file's, in the past too."""
        if not (is_late and self._spec.keeps_history):
            return is_gone
        ended = sql.SQL("EXISTS (SELECT FROM {} AS h WHERE {} AND h._ended_by IS NOT NULL OFFSET 0)").format(
            sql.Identifier(self._spec.history_table), key_sql.matching(self._spec.schema.key_columns, "h", "s")
        )
        return sql.SQL("({} OR {})").format(is_gone, ended)

    def _is_later(self) -> sql.Composable:
        """Is the file of the staged row later than that of the row `t` that is there?"""
        files = {
            file_id: sql.SQL("t._file_id <> ALL ({}::bigint[])").format(sql.Literal(list(later)))
            for file_id, later in self._later.items()
        }
        if not files:
            return sql.SQL("true")
        cases = [sql.SQL("WHEN {} THEN {}").format(sql.Literal(file_id), test) for file_id, test in files.items()]
        is_later = sql.SQL("(CASE s._file_id {} ELSE true END AND s.{} IS NULL)")
        return is_later.format(sql.SQL(" ").join(cases), self.told_again)

    def mark_told_again(self) -> sql.Composed:
        """Mark the staged rows of which a later file has said that nothing had changed before it."""
        return sql.SQL(query("key_traces", "mark_told_again")).format(
            stage=self.stage,
            told_again=self.told_again,
            later_traces=later_traces(self._later),
            is_among=is_among(told_number(self._spec, "s"), "f.bounds"),
        )

    def rows_told_again(self) -> sql.Composed:
        """A SELECT of the rows that are marked."""
        return sql.SQL(query("key_traces", "rows_staged")).format(stage=self.stage, told_again=self.told_again)

    @cached_property
    def _identifiers(self) -> dict[str, sql.Composable]:
        columns = [sql.Identifier(name) for name in self._columns]
        key, version = self._spec.schema.key_columns, self._spec.version_by
        own = {column.target for column in key}
        assignments = [sql.SQL("{0} = s.{0}").format(c) for c in columns if c.string not in own]
        return {
            "table": self.table,
            "keys": self.keys,
            "stage": self.stage,
            "seen": self.seen,
            "row": self.row,
            "told_again": self.told_again,
            "told_number": told_number(self._spec, "s") if self._spec.keep.replaces else _NOTHING,
            "before": self._free_name("_before"),
            "key": key_sql.listed(key),
            **{f"{alias}_key": key_sql.listed(key, alias) for alias in ("s", "t", "n")},
            **{f"{alias}_is_s": key_sql.matching(key, alias, "s") for alias in ("t", "k", "o")},
            "t_found_by_s": key_sql.found_by_index(key, "t", "s"),
            "k_found_by_u": key_sql.found_by_index(key, "k", "u"),
            "seen_columns": key_sql.definitions(key),
            "seen_key": key_sql.numbered(key),
            "seen_is_s": key_sql.is_numbered(key, "k", "s"),
            "staged_key": key_sql.as_numbered(key, "s"),
            "by": sql.Identifier(self._spec.partition_column or ""),
            "newer": sql.Identifier(self._spec.schema.by_name[version].target if version else ""),
            "newer_type": sql.SQL(str(self._spec.schema.by_name[version].sql) if version else "text"),
            "changed": self._differ("t", "s"),
            "columns": sql.SQL(", ").join(columns),
            "assignments": sql.SQL(", ").join(assignments),
        }

    def _free_name(self, wanted: str) -> sql.Identifier:
        """`wanted`, or a name like it that no column of the table has."""
        while wanted in self._columns:
            wanted += "_"
        return sql.Identifier(wanted)

    def _differ(self, one: str, other: str) -> sql.Composable:
        """Do the rows `one` and `other` differ in a source column?"""

        def row(alias: str) -> sql.Composable:
            return sql.SQL(", ").join([comparable(alias, column) for column in self._spec.stored])

        return sql.SQL("ROW({}) IS DISTINCT FROM ROW({})").format(row(one), row(other))


def comparable(alias: str | None, column: Column) -> sql.Composable:
    """What tells two values of the column apart; json, which keeps its text, has no = of its own."""
    form = "{}::text" if column.sql.base == "json" else "{}"
    return sql.SQL(form).format(sql.Identifier(*([alias] if alias else []), column.target))
