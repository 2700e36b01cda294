"""Writes refused rows to the quarantine table, and notes what its orphans wait for."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import PipelineError
from config.file_names import storable
from config.file_spec import FileSpec
from config.jobs import FileJob
from config.settings import PipelineConfig
from datawarehouse.queries import query
from validation.batch import MissingParent, Rejection
from validation.fault_handler import quarantine_row
from validation.pii_handler import PiiHandler

Orphan = tuple[int, int, Sequence[MissingParent]]  # file id, row number


@dataclass(frozen=True, slots=True)
class RefusedRows:
    """The refused rows of one file."""

    job: FileJob
    file_id: int
    rejections: Sequence[Rejection]


@dataclass(frozen=True, slots=True)
class QuarantineText:
    """Refused rows as COPY takes them: for the quarantine table, and what its orphans wait for."""

    count: int
    rows: str
    waits: str


def as_text(files: Sequence[RefusedRows], config: PipelineConfig, pii: PiiHandler) -> QuarantineText:
    """The refused rows of `files`, all of one spec, masked."""
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
    waits = ((file.file_id, r.number, r.missing) for file in files for r in file.rejections if r.missing)
    count = sum(len(file.rejections) for file in files)
    return QuarantineText(count, csv_text(lines), _waits_text(spec, waits, config))


def write(tx: Cursor, text: QuarantineText) -> None:
    """Write refused rows. Raises PipelineError when the database did not take them all."""
    if not text.count:
        return
    written = _copy(tx, "copy_quarantine", text.rows)
    if written != text.count:
        raise PipelineError(f"quarantine took {written} rows of {text.count}")
    _copy(tx, "copy_orphan_wait", text.waits)


def write_waits(tx: Cursor, spec: FileSpec, orphans: Iterable[Orphan], config: PipelineConfig) -> None:
    """Note for each orphan (file id, row number, missing parents) which parents it waits for."""
    _copy(tx, "copy_orphan_wait", _waits_text(spec, orphans, config))


def _waits_text(spec: FileSpec, orphans: Iterable[Orphan], config: PipelineConfig) -> str:
    parents = {key.label: config.by_logical_name[key.parent].table for key in spec.foreign_keys}
    return csv_text(
        (
            *(file_id, number, parent.column, spec.table, parents[parent.column], parent.key),
            json.dumps(parent.own) if parent.own else None,
        )
        for file_id, number, missing in orphans
        for parent in missing
    )


def csv_text(lines: Iterable[Sequence[Any]]) -> str:
    """`lines` for a COPY of FORMAT csv."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(lines)
    return buffer.getvalue()


def _copy(tx: Cursor, name: str, text: str) -> int:
    """COPY `text` by the statement `name`; returns the number of rows that the database took."""
    if not text:
        return 0
    tx.copy_expert(query("quarantine", name), io.StringIO(text))
    return int(tx.rowcount)
