"""Rows that are gone: those that a snapshot lacks are marked or deleted, and their versions end."""

from __future__ import annotations

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
        copy_rows(self._tx, self._held, {n: n for n in keys.column_names}, keys.filter(pa.array(is_read)))

    def finish(self, inserted: int) -> WentAway:
        """Take away what the file lacks, once all of it is loaded; `inserted` are the rows that it brought.

        Raises TooManyGone.
        """
        gone = 0
        self._execute("by_hash")
        if not self._unreadable:
            self._execute("find")
            gone = int(self._tx.rowcount)
            self._insist_on_share(gone, inserted)
        self._execute("find_back")
        self._execute("by_index")
        kept = self._apply()
        if self._spec.keeps_history:
            self._end_versions()
        return WentAway(gone, gone - kept if self._spec.gone is Gone.DELETE else 0, kept, self._unreadable)

    def _insist_on_share(self, gone: int, inserted: int) -> None:
        """Raise TooManyGone where the file lacks more of the rows that were there than it may."""
        if not gone:
            return
        self._execute("count_alive")
        before = self._number() - inserted
        if gone * 100 > self._spec.gone_at_most_pct * before:
            raise TooManyGone(
                f"too many rows would be gone: it lacks {gone:,} of the {before:,} rows that the table has, "
                f"{100 * gone / before:.1f} %; at most {self._spec.gone_at_most_pct:g} % may be gone at once, and "
                "nothing of it is loaded. If it is whole, accept it: `reprocess` with the file's number and "
                f"--accept-gone, or a greater gone_at_most_pct for {self._spec.pattern}"
            )

    def _apply(self) -> int:
        """Mark or delete; returns how many rows are marked that were to be deleted."""
        kept = 0
        if self._spec.gone is Gone.DELETE:
            self._execute("lock")
            self._find_referred()
            self._execute("delete")
            if self._spec.partition_by:
                self._execute("delete_keys")
        self._execute("mark")
        if self._spec.gone is Gone.DELETE:
            kept = self._number()
        return kept

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
        moved.note(repair.end(self._going, self._file_id))
        moved.rebind()

    def _number(self) -> int:
        return int((self._tx.fetchone() or (0,))[0])

    @property
    def _held(self) -> sql.Identifier:
        return sql.Identifier(f"held of {self._spec.table}"[:63])

    @property
    def _going(self) -> sql.Identifier:
        return sql.Identifier(f"going of {self._spec.table}"[:63])

    def _execute(self, name: str, **more: sql.Composable) -> None:
        self._tx.execute(self._statement(name, **more))

    def _statement(self, name: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(query("gone", name)).format(**self._parts, **more)

    def _identifiers(self) -> dict[str, sql.Composable]:
        spec, key = self._spec, self._spec.schema.key_columns
        held_columns = [
            sql.SQL("{} {}").format(sql.Identifier(f"k{number}"), sql.SQL(key_sql.compared_as(column)))
            for number, column in enumerate(key)
        ]
        is_real = "NOT t._placeholder" if has_placeholders(self._tx, spec) else "true"
        return {
            "table": sql.Identifier(spec.table),
            "keys": sql.Identifier(spec.key_table),
            "held": self._held,
            "going": self._going,
            "staying": sql.Identifier(f"staying of {spec.table}"[:63]),
            "held_columns": sql.SQL(", ").join(held_columns),
            "key": key_sql.listed(key),
            "t_key": key_sql.listed(key, "t"),
            "h_is_t": key_sql.is_numbered(key, "h", "t"),
            "t_is_g": key_sql.matching(key, "t", "g"),
            "s_is_g": key_sql.matching(key, "s", "g"),
            "t_found_by_g": key_sql.found_by_index(key, "t", "g"),
            "is_real": sql.SQL(is_real),
            "at": sql.Literal(str(self._time.as_of)),
        }
