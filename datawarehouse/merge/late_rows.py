"""Rows of snapshots that come after their files, out of quarantine: later snapshots may lack them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.copying import copy_rows
from datawarehouse.file_order import FileOrder
from datawarehouse.fk_checker import keys_as_arrays
from datawarehouse.merge.goings import Goings
from datawarehouse.merge.gone_rows import GoneRows
from validation.batch import Batch


class LateRows(Goings):
    """Rows of `spec` that pass after all, in transaction `tx`: their files hold these keys from now on."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig) -> None:
        GoneRows.__init__(self, tx, spec, config, FileOrder(tx, spec))
        self._unreadable = 1  # what the files lack was taken away when they came
        self._file_ids: set[int] = set()
        self._execute("create_held")
        self._execute("create_came")

    def note_late(self, batch: Batch, rows: np.ndarray, file_ids: np.ndarray) -> None:
        """Note the `rows` (boolean) that passed; `file_ids` has one for each row of the batch."""
        if not rows.any():
            return
        self._file_ids.update(np.unique(file_ids[rows]).tolist())
        keys = self._keys_of(batch).append_column("_file_id", pa.array(file_ids, pa.int64()))
        names = {name: name for name in keys.column_names}
        copy_rows(self._tx, self._named("came"), names, keys.filter(pa.array(rows)))

    def taken_away(self, keys: pa.Array, file_id: int) -> set[Any]:
        """Those of `keys`, which the file holds, that are not in the table, since later files lack them."""
        self._of_file(file_id, "-infinity")
        self._execute("create_asked")
        self._execute("ask_of_missing", wanted=keys_as_arrays(self._spec.schema.key_columns, keys))
        if self._tx.rowcount:
            for later in self._later():
                self._execute("ask", next=sql.Literal(later))
        self._execute("taken_away")
        return {value for (value,) in self._tx.fetchall()}

    def finish_late(self) -> None:
        """Once all rows are loaded: those that later files lack are gone, and so the books of their files say."""
        for file_id, as_of in sorted(self._order.times(self._file_ids).items()):
            self._of_file(file_id, str(as_of))
            self._execute("by_hash")
            self._execute("of_came")
            self._execute("hold")
            if later := self._later():
                self._find_late(later)
            else:
                self._find(0)
            self._execute("by_index")
            self._add_to_books(file_id, *self._apply())
