"""Writes refused rows to the quarantine table, and notes what its orphans wait for."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.model import FileJob, FileSpec, PipelineConfig
from datawarehouse.file_log import storable
from datawarehouse.queries import query
from validation.batch import Rejection
from validation.fault_handler import quarantine_row
from validation.pii_handler import PiiHandler


@dataclass(frozen=True, slots=True)
class RefusedRows:
    """The refused rows of one file."""

    job: FileJob
    file_id: int
    rejections: Sequence[Rejection]


def write(tx: Cursor, files: Sequence[RefusedRows], config: PipelineConfig, pii: PiiHandler) -> int:
    """Write the refused rows of `files`, all of one spec; returns how many rows the database took."""
    files = [file for file in files if file.rejections]
    if not files:
        return 0
    spec = files[0].job.spec
    lines = (
        (
            file.file_id,
            row["row_number"],
            source_file,
            spec.table,
            spec.feed.value,
            row["rejection_stage"],
            row["rejection_reason"],
            row["reasons"],
            row["raw_data"],
        )
        for file in files
        for source_file in [storable(file.job.path.name)]
        for row in (quarantine_row(rejection, spec, pii) for rejection in file.rejections)
    )
    written = copy_csv(tx, query("quarantine", "copy_quarantine"), lines)
    waits = ((file.file_id, r.number, r.missing) for file in files for r in file.rejections if r.missing)
    write_waits(tx, spec, waits, config)
    return written


def write_waits(
    tx: Cursor,
    spec: FileSpec,
    orphans: Iterable[tuple[int, int, Sequence[tuple[str, str]]]],
    config: PipelineConfig,
) -> None:
    """Note for each orphan (file id, row number, missing parents) which parents it waits for."""
    parents = {key.column: config.by_logical_name[key.parent].table for key in spec.foreign_keys}
    lines = [
        (file_id, number, column, spec.table, parents[column], key)
        for file_id, number, missing in orphans
        for column, key in missing
    ]
    if lines:
        copy_csv(tx, query("quarantine", "copy_orphan_wait"), lines)


def copy_csv(tx: Cursor, statement: str, lines: Iterable[Sequence[Any]]) -> int:
    """COPY `lines` by `statement` (FORMAT csv); returns the number of rows that the database took."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(lines)
    buffer.seek(0)
    tx.copy_expert(statement, buffer)
    return int(tx.rowcount)
