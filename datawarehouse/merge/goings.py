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
from datawarehouse.copying import copy_rows
from datawarehouse.file_order import FileOrder, FileTime
from datawarehouse.merge.gone_rows import GoneRows
from validation.batch import Batch


class Goings(GoneRows):
    """What a snapshot lacks, in the transaction `tx` that loads it."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig, file_id: int, job: FileJob) -> None:
        super().__init__(tx, spec, config, FileOrder(tx, spec, {file_id: job}))
        self._unreadable = 0
        self._of_file(file_id, str(FileTime.of(job).as_of))
        self._execute("create_held")

    def note(self, batch: Batch) -> None:
        """Note the keys of a batch's records, whatever became of them."""
        keys = self._keys_of(batch).append_column("is_good", pa.array(batch.good))
        is_read = np.ones(keys.num_rows, bool)
        for values in keys.columns[:-1]:
            is_read &= np.asarray(pc.is_valid(values))
        self._unreadable += len(batch.chunk.malformed) + int((~is_read).sum())
        copy_rows(self._tx, self._named("held"), {n: n for n in keys.column_names}, keys.filter(pa.array(is_read)))

    def finish(self, inserted: int) -> WentAway:
        """Take away what the file lacks, once all of it is loaded; `inserted` are the rows that it brought.

        Raises TooManyGone.
        """
        self._execute("by_hash")
        self._execute("remember", unreadable=sql.Literal(self._unreadable))
        if later := self._later():
            self._find_late(later)
        else:
            self._find(inserted)
        self._execute("by_index")
        gone, removed = self._apply()
        return WentAway(gone, removed, gone - removed if removed else 0, self._unreadable)

    def _of_file(self, file_id: int, as_of: str) -> None:
        self._file_id = file_id
        self._parts |= {"file_id": sql.Literal(file_id), "at": sql.Literal(as_of)}

    def _later(self) -> list[int]:
        return self._order.in_order(self._order.later_than([self._file_id]).get(self._file_id, ()))

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
