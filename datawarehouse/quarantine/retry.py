"""Orphans: loaded as soon as their parents are there, promoted to true_orphan when these don't come in time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.model import FileSpec
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.fk_checker import resolve_ref_table
from datawarehouse.quarantine import loader as quarantine_loader
from datawarehouse.quarantine.waits import has_come
from datawarehouse.queries import query
from datawarehouse.row_load import ALREADY_PRESENT, DUPLICATE, LOADED, UPDATED, RowLoad, late_verdicts
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger
from validation.batch import Batch, Chunk, Rejection
from validation.fault_handler import reason_fields
from validation.schema_validator import validate_schema

logger = get_logger(__name__)

CHUNK_ROWS = 10_000  # orphans retried in one transaction


@dataclass(frozen=True, slots=True)
class _Orphans:
    """Open orphans of one table, in hand: file ids and row numbers by position, and their raw text."""

    file_ids: list[int]
    row_numbers: list[int]
    raw: list[dict[str, Any]]

    def keys(self, positions: Iterable[int]) -> dict[str, list[int]]:
        """Parameters that name the orphans at `positions`."""
        chosen = list(positions)
        return {
            "file_ids": [self.file_ids[p] for p in chosen],
            "row_numbers": [self.row_numbers[p] for p in chosen],
        }


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
        return count + self.after(spec.table) if count else 0

    def everything(self) -> int:
        """Retry the orphans of every table; returns how many were loaded."""
        tables = {resolve_ref_table(k.parent, self._config)[0] for s in self._config.files for k in s.foreign_keys}
        return sum(self.after(table) for table in sorted(tables))

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
            with self._warehouse.transaction() as tx:
                found = self._satisfied(tx, spec, parent, file_ids, last)
                orphans = self._lock(tx, found)
                loaded, unfit = self._load(tx, spec, orphans) if orphans.raw else (0, 0)
            total += loaded
            if unfit:
                message = f"{spec.table}: {unfit} orphans found their parents and were refused; see quarantine"
                logger.error(f"[orphans] {message}", extra={"table": spec.table, "count": unfit})
                send_alert(AlertKind.LOAD_ERROR, message, file_type=spec.name)
            if len(found) < CHUNK_ROWS:
                break
            last = found[-1]  # each turn begins behind it: those that could not be healed are not asked again
        if total:
            logger.info(
                f"[orphans] {total} rows of {spec.table} found their parents",
                extra={"table": spec.table, "count": total},
            )
        return total

    def _satisfied(
        self, tx: Cursor, spec: FileSpec, parent: str, file_ids: list[int] | None, last: tuple[int, int]
    ) -> list[tuple[int, int]]:
        """File id and row number of orphans of `spec`, or of some files, that waited on `parent`, which has come.

        They come in order, CHUNK_ROWS at most, from the one behind `last` on.
        """
        parent_spec = next(s for s in self._config.files if s.table == parent)
        statement = sql.SQL(query("quarantine", "satisfied")).format(
            has_come=has_come(spec, parent_spec, self._config),
            child=sql.Literal(spec.table),
            parent_table=sql.Literal(parent),
            file_ids=sql.Literal(file_ids),
            after_file=sql.Literal(last[0]),
            after_row=sql.Literal(last[1]),
            limit=sql.Literal(CHUNK_ROWS),
        )
        tx.execute(statement)
        return [(file_id, number) for file_id, number in tx.fetchall()]

    def _lock(self, tx: Cursor, found: list[tuple[int, int]]) -> _Orphans:
        """Lock and read the orphans; those in other hands, or closed, are left out."""
        if not found:
            return _Orphans([], [], [])
        file_ids, row_numbers = map(list, zip(*found, strict=True))
        tx.execute(query("repair", "share_erasures"))  # before the rows, as whoever erases locks them
        tx.execute(query("quarantine", "lock_orphans"), {"file_ids": file_ids, "row_numbers": row_numbers})
        rows = tx.fetchall()
        return _Orphans([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])

    def _load(self, tx: Cursor, spec: FileSpec, orphans: _Orphans) -> tuple[int, int]:
        """Load those whose parents are all there, note anew what the others wait for.

        Returns how many were loaded, and how many were refused for another reason.
        """
        columns = {
            column.name: pa.array([raw.get(column.name) for raw in orphans.raw], pa.string())
            for column in spec.schema.columns
        }
        batch = Batch(spec, Chunk(np.arange(len(orphans.raw)), columns))
        batch.file_rows = np.array(orphans.row_numbers, np.int64)
        validate_schema(batch)
        road = RowLoad(tx, spec, self._config, None, list_rows=True)
        road.find_parents(batch)
        everyone = orphans.keys(range(len(orphans.raw)))
        tx.execute(query("quarantine", "clear_waits"), everyone)

        waiting = [r for r in batch.rejections() if r.missing]
        if waiting:
            keys = orphans.keys(r.number for r in waiting)
            tx.execute(query("quarantine", "retried"), keys)
            again = zip(keys["file_ids"], keys["row_numbers"], (r.missing for r in waiting), strict=True)
            quarantine_loader.write_waits(tx, spec, again, self._config)
        resolutions = late_verdicts(batch, road.load_late(batch, np.array(orphans.file_ids, np.int64)))
        self._resolve(tx, orphans, resolutions)
        unfit = [r for r in batch.rejections() if not r.missing and r.number not in resolutions]
        self._judge_anew(tx, orphans, unfit)
        return sum(resolution in {LOADED, UPDATED} for resolution in resolutions.values()), len(unfit)

    def _judge_anew(self, tx: Cursor, orphans: _Orphans, unfit: list[Rejection]) -> None:
        """Orphans that are refused although their parents are there wait for nobody: they are orphans no more."""
        if not unfit:
            return
        fields = [reason_fields(rejection.reasons) for rejection in unfit]
        keys = orphans.keys(rejection.number for rejection in unfit)
        verdicts = {
            "stages": [f["rejection_stage"] for f in fields],
            "texts": [f["rejection_reason"] for f in fields],
            "reasons": [f["reasons"] for f in fields],
        }
        tx.execute(query("quarantine", "judged_anew"), {**keys, **verdicts})
        for file_id, count in sorted(Counter(keys["file_ids"]).items()):
            tx.execute(query("file_log", "judged_anew"), {"file_id": file_id, "orphans": -count, "duplicates": 0})

    def _resolve(self, tx: Cursor, orphans: _Orphans, resolutions: dict[int, str]) -> None:
        """Close the orphans, and move their files' books: they are no longer refused, their keys are there."""
        if not resolutions:
            return
        keys = orphans.keys(resolutions)
        stored = [LOADED if how == UPDATED else how for how in resolutions.values()]
        tx.execute(query("quarantine", "resolve"), {**keys, "resolutions": stored})
        by_file = Counter(zip(keys["file_ids"], resolutions.values(), strict=True))
        for file_id in sorted(set(keys["file_ids"])):
            resolved = sum(by_file[file_id, how] for how in (LOADED, UPDATED, ALREADY_PRESENT, DUPLICATE))
            counts = {"inserted": by_file[file_id, LOADED], "updated": by_file[file_id, UPDATED]}
            tx.execute(query("file_log", "heal"), {"file_id": file_id, "resolved": resolved, **counts})
