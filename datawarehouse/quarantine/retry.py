"""Orphans: loaded as soon as their parents are there, promoted to true_orphan when these don't come in time."""

from __future__ import annotations

import threading

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.model import Stage
from config.settings import PipelineConfig
from datawarehouse.added_columns import ColumnsToAdd, add_columns
from datawarehouse.db_connection import Warehouse
from datawarehouse.fk_checker import resolve_ref_table
from datawarehouse.quarantine.desk import lock
from datawarehouse.quarantine.related import RowId, pages, waited_for, with_related
from datawarehouse.quarantine.replay import replay_rows
from datawarehouse.quarantine.settlement import Settlement, is_duplicate
from datawarehouse.quarantine.waits import has_come
from datawarehouse.queries import query
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

CHUNK_ROWS = 10_000  # orphans retried in one transaction


class OrphanRetry:
    """Retries open orphans through the same steps that load a file. Values are masked already."""

    def __init__(self, warehouse: Warehouse, config: PipelineConfig, stop: threading.Event | None = None) -> None:
        """When `stop` is set, what is left is left to the next start."""
        self._stop = stop or threading.Event()
        self._warehouse = warehouse
        self._config = config

    def after(self, table: str) -> int:
        """Retry the orphans that wait on `table`, then those that wait on what this loaded, and so on.

        Returns how many were loaded.
        """
        total, parents = 0, [table]
        while parents:
            parent = parents.pop()
            for spec in self._children(parent):
                if count := self._retry(spec, parent):
                    total += count
                    parents.append(spec.table)
        return total

    def of_files(self, spec: FileSpec, file_ids: list[int]) -> int:
        """Retry the orphans of files, just committed: a parent may have come while they were being loaded.

        Who loaded that parent could not see these orphans yet. Returns how many were loaded, with what follows.
        """
        parents = sorted({resolve_ref_table(key.parent, self._config)[0] for key in spec.foreign_keys})
        count = sum(self._retry(spec, parent, file_ids) for parent in parents)
        count += self._retry_circles(spec, file_ids)
        return count + self.after(spec.table) if count else 0

    def everything(self) -> int:
        """Retry the orphans of every table; returns how many were loaded."""
        specs = list(self._config.by_logical_name.values())
        tables = {resolve_ref_table(k.parent, self._config)[0] for s in specs for k in s.foreign_keys}
        total = sum(self.after(table) for table in sorted(tables))
        for spec in specs:
            if count := self._retry_circles(spec, None):
                total += count + self.after(spec.table)
        return total

    def promote(self, older_than_hours: float) -> int:
        """Call the stored procedure that moves expired orphans to true_orphan; returns how many."""
        with self._warehouse.transaction() as tx:
            tx.execute(query("quarantine", "promote"), {"seconds": older_than_hours * 3600})
            count = int((tx.fetchone() or (0,))[0])
        if count:
            logger.warning(f"[orphans] {count} became true orphans", extra={"count": count})
        return count

    def _children(self, parent: str) -> list[FileSpec]:
        specs = self._config.by_logical_name.values()
        return [
            s for s in specs if any(resolve_ref_table(k.parent, self._config)[0] == parent for k in s.foreign_keys)
        ]

    def _retry(self, spec: FileSpec, parent: str, file_ids: list[int] | None = None) -> int:
        total, last = 0, (0, 0)
        while not self._stop.is_set():
            try:
                with self._warehouse.transaction() as tx:
                    found = self._satisfied(tx, spec, parent, file_ids, last)
                    related = with_related(tx, spec, self._config, found) if spec.self_references else []
                    rest = sorted({*found}.difference(*related))
                    loaded, unfit = self._heal(tx, spec, rest) if rest else (0, 0)
            except ColumnsToAdd as lacking:
                add_columns(self._warehouse, self._config, lacking)
                continue
            self._tell_of_unfit(spec, unfit)
            total += loaded + self._heal_families(spec, related)
            if len(found) < CHUNK_ROWS:
                break
            last = found[-1]  # each turn begins behind it: those that could not be healed are not asked again
        self._tell_of_healed(spec, total)
        return total

    def _retry_circles(self, spec: FileSpec, file_ids: list[int] | None) -> int:
        """Retry the orphans of `spec`, or of some files, that wait for each other and for nothing else."""
        if not spec.self_references:
            return 0
        with self._warehouse.transaction() as tx:
            related = with_related(tx, spec, self._config, waited_for(tx, spec, file_ids))
        total = self._heal_families(spec, related)
        self._tell_of_healed(spec, total)
        return total

    def _heal_families(self, spec: FileSpec, families: list[list[RowId]]) -> int:
        total = 0
        for page in pages(families, CHUNK_ROWS):
            if self._stop.is_set():
                break
            loaded, unfit = self._heal_page(spec, page)
            self._tell_of_unfit(spec, unfit)
            total += loaded
        return total

    def _heal_page(self, spec: FileSpec, page: list[RowId]) -> tuple[int, int]:
        """As _heal(), in a transaction of its own; columns that the table lacks are added before it."""
        while True:
            try:
                with self._warehouse.transaction() as tx:
                    return self._heal(tx, spec, page)
            except ColumnsToAdd as lacking:
                add_columns(self._warehouse, self._config, lacking)

    def _tell_of_unfit(self, spec: FileSpec, count: int) -> None:
        if count:
            message = f"{spec.table}: {count} orphans found their parents and were refused; see quarantine"
            logger.error(f"[orphans] {message}", extra={"table": spec.table, "count": count})
            send_alert(AlertKind.LOAD_ERROR, message, file_type=spec.name)

    def _tell_of_healed(self, spec: FileSpec, count: int) -> None:
        if count:
            message = f"[orphans] {count} rows of {spec.table} found their parents"
            logger.info(message, extra={"table": spec.table, "count": count})

    def _satisfied(
        self, tx: Cursor, spec: FileSpec, parent: str, file_ids: list[int] | None, last: RowId
    ) -> list[RowId]:
        """File id and row number of orphans of `spec`, or of some files, that waited on `parent`, which has come.

        They come in order, CHUNK_ROWS at most, from the one behind `last` on.
        """
        parent_spec = next(s for s in self._config.files if s.table == parent)
        statement = sql.SQL(query("quarantine", "satisfied")).format(
            has_come=has_come(tx, spec, parent_spec, self._config),
            child=sql.Literal(spec.table),
            parent_table=sql.Literal(parent),
            file_ids=sql.Literal(file_ids),
            after_file=sql.Literal(last[0]),
            after_row=sql.Literal(last[1]),
            limit=sql.Literal(CHUNK_ROWS),
        )
        tx.execute(statement)
        return [(file_id, number) for file_id, number in tx.fetchall()]

    def _heal(self, tx: Cursor, spec: FileSpec, found: list[RowId]) -> tuple[int, int]:
        """Judge and load the orphans `found`; those in other hands, or closed, are left out.

        Returns how many were loaded, and how many were refused for what no parent mends, duplicates aside.
        """
        file_ids, row_numbers = map(list, zip(*found, strict=True))
        tx.execute(query("settlement", "open_orphans"), {"file_ids": file_ids, "row_numbers": row_numbers})
        locked = lock(tx, [quarantine_id for (quarantine_id,) in tx.fetchall()])
        orphans = [row for row in locked if row.stage is Stage.ORPHAN and row.resolution is None]
        settlement = Settlement(tx, self._config)
        refused = replay_rows(tx, self._config, spec, orphans, settlement).values()
        settlement.move_books()
        unfit = [r for r in refused if r[0].stage is not Stage.ORPHAN and not is_duplicate(r)]
        return settlement.result.loaded.total(), len(unfit)
