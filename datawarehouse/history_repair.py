"""What repairs do where history is kept: versions are made anew of what is left, or of what is masked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.model import GONE_COLUMN, Gone
from datawarehouse import key_sql
from datawarehouse.file_order import FileOrder
from datawarehouse.load_sql import comparable
from datawarehouse.merge.timeline import Timeline
from datawarehouse.queries import query
from datawarehouse.schema.history_tables import own_time

_COMMA = sql.SQL(", ")


def tables_beside(tx: Cursor, spec: FileSpec) -> dict[str, list[str]]:
    """The tables with versions of the rows of `spec`, each with its columns.

    They are there also when history was kept once, and is no more.
    """
    tx.execute(query("history_repair", "tables"), {"names": [spec.history_table, spec.seen_table]})
    return dict(tx.fetchall())


class HistoryRepair:
    """Of rows of `spec`, in transaction `tx`. Their table has a history."""

    def __init__(self, tx: Cursor, spec: FileSpec, order: FileOrder | None = None) -> None:
        self._tx = tx
        self._spec = spec
        tx.execute(query("history_repair", "columns"), {"name": spec.history_table})
        columns = [name for (name,) in tx]
        self._order = order or FileOrder(tx, spec)
        self._timeline = Timeline(tx, spec, self._order, {name: name for name in columns})
        self._parts = self._identifiers(columns)

    def withdraw(self, file_id: int, key: tuple[Any, ...] | None = None) -> dict[int, int]:
        """Take back what a file said: of all its keys, or of one.

        A row of the file's is again the newest that others say of it, and is theirs: returns how many, by file.
        Rows of which nothing is left stay as they are.
        """
        of_file = sql.Literal(file_id)
        self._execute("create")
        if key is None:
            self._execute("keys_of_file", file_id=of_file)
            if self._spec.loses_rows:
                by_time_of_file = self._spec.takes_away and self._spec.goes_by_file
                name = "keys_of_its_time" if by_time_of_file else "keys_of_lives"
                self._execute(name, file_id=of_file)
        else:
            self._execute("one_key", values=_COMMA.join(map(sql.Literal, key)))
        self._execute("lock")
        told = sql.SQL(query("key_traces", "rows_withdrawn")).format(**self._parts, file_id=of_file)
        self.spell_out(told, [file_id])
        self._execute("withdraw", file_id=of_file)
        self._make_anew(from_scratch=True)
        return self._put_in_force(of_file)

    def spell_out(self, told: sql.Composable, file_ids: Iterable[int]) -> None:
        """Make rows of what files later than `file_ids` told again of the rows `told`, see Timeline.spell_out."""
        self._timeline.spell_out(told, self._order.later_than(file_ids))

    def put_newest_in_force(self, file_id: int) -> None:
        """Rows of the file that were gone from the table came back: where others know newer ones, these it is."""
        self._execute("create")
        self._execute("keys_in_table", file_id=sql.Literal(file_id))
        self._execute("lock")
        self._make_anew()
        self._put_in_force(sql.Literal(file_id))

    def _put_in_force(self, of_file: sql.Composable) -> dict[int, int]:
        self._execute("find_former", file_id=of_file, timeline=self.timeline, file_time=self._order.lookup("a"))
        if self._spec.partition_by:
            self._execute("move_keys", file_id=of_file)
        self._execute("restore", file_id=of_file)
        return dict(self._tx.fetchall())

    def end(self, absent: sql.Identifier) -> None:
        """Make the versions of the keys in the table `absent` anew, which file `_ended_by` lacks at `valid_to`."""
        self._timeline.make_room()
        self._timeline.end(absent)

    def has_said(self, file_id: int, key: tuple[Any, ...]) -> bool:
        """Is there anything that the file said of the key?"""
        columns = self._spec.schema.key_columns
        pairs = zip((sql.Identifier("t", column.target) for column in columns), map(sql.Literal, key), strict=True)
        self._execute("has_said", file_id=sql.Literal(file_id), is_key=key_sql.pairs(pairs))
        return self._tx.fetchone() == (True,)

    def compress(self, condition: sql.Composable) -> None:
        """Values of versions for which `condition` holds were masked or blanked: one is left of those alike."""
        self._execute("create")
        self._execute("keys_of", condition=condition)
        self._make_anew()

    def _make_anew(self, *, from_scratch: bool = False) -> None:
        self._timeline.make_room()
        self._timeline.make_anew(self.affected, from_scratch=from_scratch)

    @property
    def timeline(self) -> sql.Composable:
        """The temporary table with all that was seen of the keys that were made anew last."""
        return self._timeline.table

    @property
    def affected(self) -> sql.Identifier:
        """The temporary table of the keys that are made anew."""
        return sql.Identifier(f"affected of {self._spec.table}"[:63])

    def _execute(self, name: str, **more: sql.Composable) -> None:
        self._tx.execute(sql.SQL(query("history_repair", name)).format(**self._parts, **more))

    def _values(self, alias: str, columns: list[str]) -> sql.Composed:
        stored = [comparable(alias, column) for column in self._spec.stored if column.target in columns]
        return sql.SQL("ROW({})").format(_COMMA.join(stored))

    def _identifiers(self, columns: list[str]) -> dict[str, sql.Composable]:
        spec, key = self._spec, self._spec.schema.key_columns
        own = {column.target for column in key}
        assigned = [sql.Identifier(name) for name in columns if name not in own]
        return {
            "table": sql.Identifier(spec.table),
            "keys": sql.Identifier(spec.key_table),
            "history": sql.Identifier(spec.history_table),
            "seen": sql.Identifier(spec.seen_table),
            "affected": self.affected,
            "former": sql.Identifier(f"former of {spec.table}"[:63]),
            "by": sql.Identifier(spec.partition_column or ""),
            "columns": _COMMA.join(map(sql.Identifier, columns)),
            "h_columns": _COMMA.join([sql.Identifier("h", name) for name in columns]),
            "a_columns": _COMMA.join([sql.Identifier("a", name) for name in columns]),
            "assignments": _COMMA.join([sql.SQL("{0} = n.{0}").format(name) for name in assigned]),
            "differs": sql.SQL("({}) IS DISTINCT FROM ({})").format(
                *(self._values(alias, columns) for alias in "tn")
            ),
            "stays_gone": sql.SQL("false" if spec.gone is Gone.MARK else "true"),
            "gone_at": sql.SQL(f", {GONE_COLUMN} = nullif(n.ended_at, 'infinity')" if spec.loses_rows else ""),
            "key": key_sql.listed(key),
            "a_key": key_sql.listed(key, "a"),
            **{f"{alias}_is_a": key_sql.matching(key, alias, "a") for alias in ("k", "h", "v")},
            **{f"{alias}_is_n": key_sql.matching(key, alias, "n") for alias in ("k", "t")},
            "k_is_h": key_sql.matching(key, "k", "h"),
            "own_time": own_time(spec, "h") or sql.SQL("h.valid_from"),
        }
