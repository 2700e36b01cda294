"""Quarantined rows once more through the stages; those that pass are loaded under the id of their own file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.model import FileSpec, Stage
from config.settings import PipelineConfig
from datawarehouse.quarantine import loader as quarantine_loader
from datawarehouse.quarantine.desk import (
    REPLAYED,
    TRUE_ORPHAN,
    Row,
    clear_waits,
    lock,
    note,
    spec_of,
)
from datawarehouse.queries import query
from datawarehouse.row_load import ALREADY_PRESENT, LOADED, UPDATED, RowLoad, late_verdicts
from validation.batch import Reason
from validation.fault_handler import reason_fields
from validation.rejudge import judge_again

CHUNK_ROWS = 10_000

Missing = tuple[tuple[str, str], ...]


@dataclass
class Replayed:
    """What became of the rows: how many, by outcome and by table; `skipped` are in other hands or closed."""

    loaded: Counter[str] = field(default_factory=Counter)
    already_present: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    skipped: int = 0


def replay(tx: Cursor, config: PipelineConfig, ids: Sequence[int], who: str) -> Replayed:
    """Replay the quarantined rows `ids`, parents before children."""
    result = Replayed()
    settled = Settlement(tx, config, who, result)
    rows: list[Row] = []
    for start in range(0, len(ids), CHUNK_ROWS):
        rows += lock(tx, ids[start : start + CHUNK_ROWS])
    result.skipped = len(ids) - len(rows)
    specs = {(row.table, row.feed): spec_of(row, config) for row in rows}
    by_table: dict[str, tuple[FileSpec, list[Row]]] = {}
    for row in rows:
        by_table.setdefault(row.table, (specs[row.table, row.feed], []))[1].append(row)
    for spec, of_table in sorted(by_table.values(), key=lambda pair: (pair[0].level, pair[0].table)):
        replay_table(tx, config, spec, of_table, settled)
    settled.close_books()
    return result


def replay_table(
    tx: Cursor, config: PipelineConfig, spec: FileSpec, rows: Sequence[Row], settled: Settlement
) -> None:
    """Judge locked rows of one table as they are stored, load those that pass, and settle all of them."""
    road = RowLoad(tx, spec, config, None, list_rows=True)
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = rows[start : start + CHUNK_ROWS]
        batch, unsplit = judge_again(spec, [row.refused for row in chunk], config.validation.dates)
        batch.file_rows = np.array([chunk[n].number for n in batch.chunk.numbers.tolist()], np.int64)
        road.find_parents(batch)
        file_ids = np.array([chunk[n].file_id for n in batch.chunk.numbers.tolist()], np.int64)
        done = late_verdicts(batch, road.load_late(batch, file_ids))
        settled.resolve((chunk[position], how) for position, how in done.items())
        still: dict[Row, tuple[tuple[Reason, ...], Missing]] = {
            chunk[position]: (reasons, ()) for position, reasons in unsplit.items()
        }
        still |= {chunk[r.number]: (r.reasons, r.missing) for r in batch.rejections() if r.number not in done}
        settled.refuse(spec, still)


class Settlement:
    """Writes what became of quarantined rows, and moves the books of their files with them."""

    def __init__(self, tx: Cursor, config: PipelineConfig, who: str, result: Replayed) -> None:
        self._tx = tx
        self._config = config
        self._who = who
        self._result = result
        self._resolved: Counter[tuple[int, str]] = Counter()  # by file and what is counted
        self._moved: Counter[tuple[int, str]] = Counter()

    def resolve(self, rows: Iterable[tuple[Row, str]]) -> None:
        """Close rows that passed; for each, LOADED, UPDATED or whatever else says that its key is there."""
        rows = list(rows)
        outcomes = [(row, REPLAYED if how in {LOADED, UPDATED} else ALREADY_PRESENT) for row, how in rows]
        ids = [row.quarantine_id for row, _ in outcomes]
        parameters = {"ids": ids, "resolutions": [how for _, how in outcomes], "tries": 1}
        self._tx.execute(query("repair", "resolve"), parameters)
        self._tx.execute(query("repair", "drop_true_orphans"), {"ids": ids})
        clear_waits(self._tx, [row for row, _ in outcomes])
        note(self._tx, "replay", self._who, {row.quarantine_id: how for row, how in outcomes})
        for row, how in outcomes:
            self._resolved[row.file_id, "resolved"] += 1
            self._resolved[row.file_id, "orphans"] += row.stage is Stage.ORPHAN
            (self._result.loaded if how == REPLAYED else self._result.already_present)[row.table] += 1
        for row, how in rows:
            self._resolved[row.file_id, "inserted"] += how == LOADED
            self._resolved[row.file_id, "updated"] += how == UPDATED

    def refuse(self, spec: FileSpec, rows: Mapping[Row, tuple[tuple[Reason, ...], Missing]]) -> None:
        """Give rows that failed again their reasons of today. A true orphan stays one, as it was."""
        fields = {row: reason_fields(reasons) for row, (reasons, _) in rows.items()}
        outcomes = {row.quarantine_id: f"refused: {f['rejection_reason']}" for row, f in fields.items()}
        note(self._tx, "replay", self._who, outcomes)
        open_rows = [row for row in rows if row.resolution != TRUE_ORPHAN]
        chosen = [fields[row] for row in open_rows]
        parameters = {
            "ids": [row.quarantine_id for row in open_rows],
            "stages": [f["rejection_stage"] for f in chosen],
            "texts": [f["rejection_reason"] for f in chosen],
            "reasons": [f["reasons"] for f in chosen],
        }
        self._tx.execute(query("repair", "set_reasons"), parameters)
        clear_waits(self._tx, open_rows)
        waits = [(row.file_id, row.number, rows[row][1]) for row in open_rows if rows[row][1]]
        quarantine_loader.write_waits(self._tx, spec, waits, self._config)
        for row in open_rows:
            reasons = rows[row][0]
            if reasons != row.refused.reasons:
                self._moved[row.file_id, "any"] += 1
            self._moved[row.file_id, "orphans"] += (reasons[0].stage is Stage.ORPHAN) - (row.stage is Stage.ORPHAN)
            self._moved[row.file_id, "duplicates"] += _is_duplicate(reasons) - _is_duplicate(row.refused.reasons)
        self._result.refused.update(row.table for row in rows)

    def moved(self, file_id: int) -> tuple[int, int, bool]:
        """Of a file, so far: how many rows were inserted, how many replaced older ones; have any other reasons?"""
        inserted, updated = self._resolved[file_id, "inserted"], self._resolved[file_id, "updated"]
        return inserted, updated, self._moved[file_id, "any"] > 0

    def close_books(self) -> None:
        """Move the books, file by file in the order of their ids."""
        for file_id in sorted({file_id for file_id, _ in self._moved}):
            if self._moved[file_id, "any"]:
                kinds = ("orphans", "duplicates")
                moved = {kind: self._moved[file_id, kind] for kind in kinds}
                self._tx.execute(query("file_log", "judged_anew"), {"file_id": file_id, **moved})
        for file_id in sorted({file_id for file_id, _ in self._resolved}):
            counts = {
                kind: self._resolved[file_id, kind] for kind in ("resolved", "inserted", "updated", "orphans")
            }
            self._tx.execute(query("file_log", "replay"), {"file_id": file_id, **counts})


def _is_duplicate(reasons: Sequence[Reason]) -> bool:
    return reasons[0].rule == "duplicate"
