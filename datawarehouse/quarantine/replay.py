"""Quarantined rows once more through the stages; those that pass are loaded under the id of their own file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.quarantine.desk import Row, lock, spec_of
from datawarehouse.quarantine.settlement import MissingParents, Settled, Settlement
from datawarehouse.row_load import RowLoad, verdicts
from validation.batch import Reason
from validation.findings import of_files
from validation.rejudge import judge_again

CHUNK_ROWS = 10_000


def replay(tx: Cursor, config: PipelineConfig, ids: Sequence[int], who: str) -> Settled:
    """Replay the quarantined rows `ids`, parents before children."""
    settlement = Settlement(tx, config, who)
    rows: list[Row] = []
    for start in range(0, len(ids), CHUNK_ROWS):
        rows += lock(tx, ids[start : start + CHUNK_ROWS])
    specs = {(row.table, row.feed): spec_of(row, config) for row in rows}
    by_table: dict[str, tuple[FileSpec, list[Row]]] = {}
    for row in rows:
        by_table.setdefault(row.table, (specs[row.table, row.feed], []))[1].append(row)
    for spec, of_table in sorted(by_table.values(), key=lambda pair: (pair[0].level, pair[0].table)):
        replay_rows(tx, config, spec, of_table, settlement)
    settlement.move_books()
    settlement.result.skipped = len(ids) - len(rows)
    return settlement.result


def replay_rows(
    tx: Cursor, config: PipelineConfig, spec: FileSpec, rows: Sequence[Row], settlement: Settlement
) -> dict[Row, Sequence[Reason]]:
    """Judge locked rows of one table as they are stored, load those that pass, and settle all of them.

    Returns those that are refused again, and why.
    """
    road = RowLoad(tx, spec, config, None, list_rows=True)
    in_order = sorted(rows, key=lambda row: (row.file_id, row.number))
    refused: dict[Row, Sequence[Reason]] = {}
    for start in range(0, len(in_order), CHUNK_ROWS):
        chunk = in_order[start : start + CHUNK_ROWS]
        batch, unsplit = judge_again(spec, [row.refused for row in chunk], config.validation.dates)
        batch.file_rows = np.array([chunk[n].number for n in batch.chunk.numbers.tolist()], np.int64)
        road.find_parents(batch)
        file_ids = np.array([chunk[position].file_id for position in batch.chunk.numbers.tolist()], np.int64)
        passed = verdicts(batch, road.load_late(batch, file_ids))
        settlement.close((chunk[position], how) for position, how in passed.items())
        settlement.warn(of_files(batch.findings, batch.numbers_in_file, batch.good, file_ids))
        again: dict[Row, tuple[Sequence[Reason], MissingParents]] = {
            chunk[position]: (reasons, ()) for position, reasons in unsplit.items()
        }
        again |= {chunk[r.number]: (r.reasons, r.missing) for r in batch.rejections()}
        settlement.refuse(spec, again)
        refused |= {row: reasons for row, (reasons, _) in again.items()}
    road.finish()
    return refused
