"""What a file took away is there again once the file is taken back, unless later ones take it away too."""

from __future__ import annotations

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.file_spec import FileSpec
from config.model import Gone
from config.settings import PipelineConfig
from datawarehouse.file_order import FileOrder
from datawarehouse.history_repair import HistoryRepair
from datawarehouse.merge.gone_rows import GoneRows


class Returns(GoneRows):
    """Of the rows that file `file_id` took away, in transaction `tx` that takes the file back."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig, file_id: int) -> None:
        super().__init__(tx, spec, config, FileOrder(tx, spec))
        self._file_id = file_id
        self._parts["file_id"] = sql.Literal(file_id)

    def insist_on_kept_rows(self) -> None:
        """Raise ConfigError where rows were deleted, and what they held is not kept."""
        self._execute("removed_by")
        if (removed := self._number()) and not self._spec.keeps_history:
            raise ConfigError(
                f"file {self._file_id} deleted {removed} rows (gone: delete), and what they held is not kept, so "
                "it can't be undone. A later file that has them brings them back; with `keep: history` or "
                "`gone: mark` deleted rows are kept from then on"
            )

    def withdraw(self, repair: HistoryRepair) -> dict[int, int]:
        """Take back what the file said to history, and bring the table to what is left of it.

        Returns how many rows are again as other files have them, by file.
        """
        if self._spec.operation:
            self._execute("take_back_deletes")
        self._execute("forget_held")
        restored = repair.withdraw(self._file_id)
        self._bring_back(repair)
        return restored

    def _bring_back(self, repair: HistoryRepair) -> None:
        """The table has a row where a version is in force, and one that is gone where none is."""
        affected = repair.affected
        if self._spec.gone is Gone.DELETE:
            if self._spec.partition_by:
                self._execute("bring_back_keys", affected=affected)
            self._execute("bring_back", affected=affected)
        self._execute("gone_by_versions", timeline=repair.timeline)
        gone, removed = self._apply(versions=False)
        if gone:
            self._execute("add_to_last", gone=sql.Literal(gone), removed=sql.Literal(removed))

    def unmark(self) -> None:
        """Without history: rows that are marked by the file alone are there again."""
        self._execute("create_asked")
        if self._spec.operation:
            self._execute("undelete")
            return
        self._execute("ask_of_marked")
        later = self._order.later_than([self._file_id]).get(self._file_id, ())
        for file_id in self._order.in_order(later):
            self._execute("ask", next=sql.Literal(file_id))
        self._execute("unmark")
        self._execute("mark")
