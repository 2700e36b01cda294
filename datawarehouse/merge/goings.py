"""Rows that are gone: those that a snapshot lacks are marked or deleted, and their versions end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import TooManyGone
from config.file_spec import FileSpec
from config.jobs import FileJob, WentAway
from config.model import Gone
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.copying import copy_rows
from datawarehouse.file_order import FileOrder, FileTime
from datawarehouse.history_repair import HistoryRepair
from datawarehouse.placeholders import has_placeholders
from datawarehouse.queries import query
from datawarehouse.references import children, refers
from datawarehouse.versions import MovedVersions
from validation.batch import Batch

_COMMA = sql.SQL(", ")


class Goings:
    """What a snapshot lacks, in the transaction `tx` that loads it."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig, file_id: int, job: FileJob) -> None:
        self._tx = tx
        self._spec = spec
        self._config = config
        self._file_id = file_id
        self._order = FileOrder(tx, spec, {file_id: job})
        self._time = FileTime.of(job)
        self._unreadable = 0
        self._parts = self._identifiers()
        tx.execute(query("gone", "take_turns"), {"table": spec.table})
        self._execute("create")

    def note(self, batch: Batch) -> None:
        """Note the keys of a batch's records, whatever became of them."""
        columns = self._spec.schema.key_columns
        keys = pa.table({f"k{number}": batch.output[column.name] for number, column in enumerate(columns)})
        keys = keys.append_column("is_good", pa.array(batch.good))
        is_read = np.ones(keys.num_rows, bool)
        for values in keys.columns[:-1]:
            is_read &= np.asarray(pc.is_valid(values))
        self._unreadable += len(batch.chunk.malformed) + int((~is_read).sum())
        copy_rows(self._tx, self._named("held"), {n: n for n in keys.column_names}, keys.filter(pa.array(is_read)))

    def finish(self, inserted: int) -> WentAway:
        """Take away what the file lacks, once all of it is loaded; `inserted` are the rows that it brought.

        Raises TooManyGone.
        """
        later = self._order.in_order(self._order.later_than([self._file_id]).get(self._file_id, ()))
        self._execute("by_hash")
        self._execute("remember")
        if later:
            self._find_late(later)
        else:
            self._find(inserted)
        self._execute("by_index")
        self._execute("count_gone")
        gone = self._number()
        removed = self._remove() if self._spec.gone is Gone.DELETE else 0
        self._execute("mark")
        if self._spec.keeps_history:
            self._end_versions()
        return WentAway(gone, removed, gone - removed if removed else 0, self._unreadable)

    def _find(self, inserted: int) -> None:
        """What the last of the files lacks, and what it has again."""
        if not self._unreadable:
            self._execute("find")
            if gone := self._tx.rowcount:
                self._execute("count_alive")
                self._insist_on_share(gone, self._number() - inserted)
        if self._spec.keeps_history:
            self._execute("end_versions")
            if self._spec.gone is Gone.DELETE:
                self._execute("begun_again")
        self._execute("find_back")

    def _find_late(self, later: Sequence[int]) -> None:
        """The same of a file after which others are loaded: what these say stands."""
        names: dict[str, sql.Composable] = {"later_ids": sql.SQL("{}::bigint[]").format(sql.Literal([*later]))}
        names["takes"] = sql.SQL("false" if self._unreadable else "true")
        self._execute("create_asked")
        self._execute("create_later", **names)
        self._execute("ask_of_rows", **names)
        if self._spec.keeps_history:
            if not self._unreadable:
                self._execute("count_alive_then")
                before, gone = self._tx.fetchone() or (0, 0)
                self._insist_on_share(gone, before)
            self._execute("ask_of_versions", **names)
        for file_id in later:
            self._execute("ask", next=sql.Literal(file_id))
        self._execute("find_late")
        if self._spec.keeps_history:
            self._execute("by_index")
            self._execute("repeat_next", file_time=self._order.lookup("v"))
            self._execute("end_late_versions")

    def _insist_on_share(self, gone: int, before: int) -> None:
        """Raise TooManyGone where the file lacks more of the rows that were there `before` than it may."""
        if gone * 100 > self._spec.gone_at_most_pct * before:
            raise TooManyGone(
                f"too many rows would be gone: it lacks {gone:,} of the {before:,} rows that the table has, "
                f"{100 * gone / max(before, 1):.1f} %; at most {self._spec.gone_at_most_pct:g} % may be gone at "
                "once, and nothing of it is loaded. If it is whole, accept it: `reprocess` with the file's number "
                f"and --accept-gone, or a greater gone_at_most_pct for {self._spec.pattern}"
            )

    def _remove(self) -> int:
        """Delete the rows to which no others refer; returns how many there were."""
        self._execute("lock")
        self._find_referred()
        self._execute("delete")
        removed = self._number()
        if self._spec.partition_by:
            self._execute("delete_keys")
        return removed

    def _find_referred(self) -> None:
        self._execute("by_hash")
        found = [
            self._statement("referred", child=sql.Identifier(child.table), refers=refers(child, key, self._spec))
            for child, key in children(self._config, self._spec)
        ] or [sql.SQL("SELECT {} FROM {} WHERE false").format(self._parts["key"], self._parts["going"])]
        self._execute("create_staying", referred=sql.SQL(" UNION ").join(found))
        self._execute("by_index")

    def _end_versions(self) -> None:
        repair = HistoryRepair(self._tx, self._spec, self._order)
        moved = MovedVersions(self._tx, self._spec, self._config)
        moved.make_room()
        moved.note(repair.end(self._named("absent")))
        moved.rebind()

    def _number(self) -> int:
        return int((self._tx.fetchone() or (0,))[0])

    def _named(self, what: str) -> sql.Identifier:
        """A temporary table's name: a blank is in no name of a user's table."""
        return sql.Identifier(f"{what} of {self._spec.table}"[:63])

    def _execute(self, name: str, **more: sql.Composable) -> None:
        self._tx.execute(self._statement(name, **more))

    def _statement(self, name: str, **more: sql.Composable) -> sql.Composed:
        unreadable = sql.Literal(self._unreadable)
        return sql.SQL(query("gone", name)).format(**self._parts, **more, unreadable=unreadable)

    def _identifiers(self) -> dict[str, sql.Composable]:
        spec, key = self._spec, self._spec.schema.key_columns
        held_columns = [
            sql.SQL("{} {}").format(sql.Identifier(f"k{number}"), sql.SQL(key_sql.compared_as(column)))
            for number, column in enumerate(key)
        ]
        is_real = "NOT t._placeholder" if has_placeholders(self._tx, spec) else "true"
        own = [*(column.target for column in spec.stored), *spec.derive]
        columns = [*own, "_file_id"]
        temporary = ("held", "going", "absent", "asked", "later", "staying")
        return {
            **{what: self._named(what) for what in temporary},
            "table": sql.Identifier(spec.table),
            "keys": sql.Identifier(spec.key_table),
            "history": sql.Identifier(spec.history_table),
            "seen": sql.Identifier(spec.seen_table),
            "held_columns": _COMMA.join(held_columns),
            "key": key_sql.listed(key),
            **{f"{alias}_key": key_sql.listed(key, alias) for alias in ("t", "s", "b")},
            **{f"{alias}_number": key_sql.number_of(key, alias) for alias in ("t", "s")},
            "h_number": key_sql.number_of(key, "h", numbered=True),
            "h_numbers": key_sql.numbered(key, "h"),
            "h_is_t": key_sql.is_numbered(key, "h", "t"),
            "t_is_g": key_sql.matching(key, "t", "g"),
            "t_is_a": key_sql.matching(key, "t", "a"),
            "s_is_g": key_sql.matching(key, "s", "g"),
            "o_is_b": key_sql.matching(key, "o", "b"),
            "t_found_by_g": key_sql.found_by_index(key, "t", "g"),
            "columns": _COMMA.join(map(sql.Identifier, columns)),
            "v_columns": _COMMA.join(
                [*(sql.Identifier("v", name) for name in own), sql.Identifier("a", "next_file")]
            ),
            "is_real": sql.SQL(is_real),
            "file_id": sql.Literal(self._file_id),
            "at": sql.Literal(str(self._time.as_of)),
        }
