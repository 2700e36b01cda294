"""Records that tell to delete: what was told is kept, and rows that are gone by it are marked or deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.jobs import FileJob, WentAway
from config.settings import PipelineConfig
from datawarehouse.file_order import FileOrder
from datawarehouse.fk_checker import keys_as_arrays
from datawarehouse.history_repair import HistoryRepair
from datawarehouse.key_traces import is_among, later_traces, told_number
from datawarehouse.merge.gone_rows import GoneRows
from datawarehouse.queries import query
from datawarehouse.schema.history_tables import own_time
from validation.batch import Batch
from validation.key_values import key_of


class Deletes(GoneRows):
    """What files of `spec` tell to delete, in the transaction `tx` that loads their rows."""

    def __init__(
        self, tx: Cursor, spec: FileSpec, config: PipelineConfig, in_hand: Mapping[int, FileJob] | None
    ) -> None:
        super().__init__(tx, spec, config, FileOrder(tx, spec, in_hand))
        self._file_ids: set[int] = set()

    def note(self, batch: Batch, wanted: np.ndarray, file_ids: np.ndarray) -> None:
        """Note what the `wanted` rows (boolean) tell; all rows of the batch are of `file_ids`."""
        self._file_ids.update(np.unique(file_ids).tolist())
        if not wanted.any():
            return
        self._tx.execute(self._of_rows("note", batch, wanted, file_ids))

    @property
    def has_begun(self) -> bool:
        """Was a batch noted before?"""
        return bool(self._file_ids)

    def repeats(
        self,
        batch: Batch,
        good: np.ndarray,
        deletes: np.ndarray,
        file_ids: np.ndarray,
        told: sql.Identifier | None,
    ) -> np.ndarray:
        """Which `good` rows repeat what an earlier batch of their file told of their key and time (all boolean).

        Of two that are both to be loaded the loader knows it: one of the two `deletes`. `told` is its table of
        what the file has brought, and the table does not show.
        """
        found = np.zeros(len(good), bool)
        if good.any():
            time = sql.SQL("t.version" if self._spec.newer_by else "w.at::timestamp")
            before: sql.Composable = sql.SQL("false")
            if told:
                before = self._statement_of("told_before", told=told, told_time=time)
            parts = {"is_delete": sql.Literal(deletes[good].tolist()), "told_before": before}
            self._tx.execute(self._of_rows("repeats", batch, good, file_ids, **parts))
            found[np.flatnonzero(good)[[position - 1 for (position,) in self._tx.fetchall()]]] = True
        return found

    def _of_rows(
        self, name: str, batch: Batch, rows: np.ndarray, file_ids: np.ndarray, **more: sql.Composable
    ) -> sql.Composed:
        """The query `name`, with the keys, times and files of `rows` (boolean)."""
        among = pa.array(rows)
        owners = file_ids[rows].tolist()
        if newer := self._spec.newer_by:
            times = pc.fill_null(pc.cast(batch.output[newer].filter(among), pa.string()), "-infinity").to_pylist()
        else:
            of_files = self._order.times(set(owners))
            times = [str(of_files[owner]) for owner in owners]
        return self._statement_of(
            name,
            wanted=keys_as_arrays(self._spec.schema.key_columns, key_of(batch).filter(among)),
            times=sql.Literal(times),
            file_ids=sql.Literal(owners),
            row_time=own_time(self._spec, "t") or sql.SQL("w.at::timestamp"),
            **more,
        )

    def _statement_of(self, name: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(query("deletes", name)).format(**self._parts, **more)

    def finish(self) -> WentAway:
        """Once all rows are loaded: those that are deleted since their time go."""
        names: dict[str, sql.Composable] = {
            "file_ids": sql.SQL("{}::bigint[]").format(sql.Literal(sorted(self._file_ids)))
        }
        names["row_time"] = own_time(self._spec, "t") or sql.SQL("tf.as_of")
        names |= {f"{alias}_file_time": self._order.lookup(alias) for alias in ("t", "d")}
        self._find(names)
        if self._spec.keeps_history:
            told = self._statement_of("told_to_delete", told=self._as_rows(), **names)
            HistoryRepair(self._tx, self._spec, self._order).spell_out(told, self._file_ids)
            self._tx.execute(self._statement_of("versions", **names))
        gone, removed = self._apply()
        return WentAway(gone, removed, gone - removed if removed else 0)

    def _find(self, names: dict[str, sql.Composable]) -> None:
        """Find the rows that are gone, or there again."""
        deleting = self._statement_of("concerned", what=sql.SQL("d._file_id"), **names)
        self._tx.execute(self._statement_of("deleting_files", concerned=deleting))
        later = self._order.later_than([file_id for (file_id,) in self._tx.fetchall()])
        what: sql.Composable = sql.SQL("min(d.gone_at) AS gone_at")
        if later:
            is_of_its_time = sql.SQL("d.gone_at = {}" if self._spec.newer_by else "true").format(names["row_time"])
            outlived = self._statement_of(
                "outlived",
                later_traces=later_traces(later),
                is_of_its_time=is_of_its_time,
                is_among=is_among(told_number(self._spec, "t"), "f.bounds"),
            )
            what = sql.SQL("min(d.gone_at) FILTER (WHERE NOT {}) AS gone_at").format(outlived)
        self._tx.execute(self._statement_of("find", concerned=self._statement_of("concerned", what=what, **names)))

    def _as_rows(self) -> sql.Composable:
        """What the deletes `d` tell, in the columns by which files tell rows apart."""
        columns: list[sql.Composable] = [sql.Identifier(c.target) for c in self._spec.schema.key_columns]
        if newer := self._spec.newer_by:
            target = sql.Identifier(self._spec.schema.by_name[newer].target)
            columns.append(sql.SQL("d.gone_at AS {}").format(target))
        return sql.SQL(", ").join([*columns, sql.Identifier("_file_id")])

    def taken_away(self, keys: pa.Array) -> set[Any]:
        """Those of `keys` that are not in the table, and that a file told to delete."""
        wanted = keys_as_arrays(self._spec.schema.key_columns, keys)
        self._tx.execute(self._statement_of("taken_away", wanted=wanted))
        return {value for (value,) in self._tx.fetchall()}

    def add_to_books(self, went: WentAway) -> None:
        """Of files that are in the log: to the books of the last of them."""
        self._add_to_books(max(self._file_ids, default=0), went.rows, went.removed)
