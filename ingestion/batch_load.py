"""Judged rows → tables and quarantine, within a transaction; of one file or of several, whose books it keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.model import FileJob, FileOutcome, FileSpec, Stage, Status
from config.settings import PipelineConfig
from datawarehouse import quarantine_loader
from datawarehouse.erasure import read_erasures
from datawarehouse.fk_checker import parent_lookup
from datawarehouse.loader import Loaded, Loader
from datawarehouse.quarantine_loader import QuarantineText, RefusedRows
from utils import metrics
from validation.batch import Batch, Rejection
from validation.orphan_validator import KnownParents
from validation.pii_handler import PiiHandler
from validation.records_validator import readmit_twins
from validation.validation_runner import settle

MOST_TWINS = 10  # of a row that the database refuses, in its chunk: the next is tried; others are duplicates


@dataclass
class Books:
    """The figures of one file as they add up, chunk by chunk."""

    total: int = 0
    loaded: Loaded = field(default_factory=Loaded)
    by_stage: Counter[Stage] = field(default_factory=Counter)
    reasons: Counter[tuple[Stage, str, str]] = field(default_factory=Counter)
    duplicates: int = 0

    def add(self, rows: int, loaded: Loaded, rejections: Sequence[Rejection]) -> None:
        """Count `rows` records: those of `loaded` and those of `rejections`."""
        self.total += rows
        self.loaded.inserted += loaded.inserted
        self.loaded.updated += loaded.updated
        self.loaded.already_present += loaded.already_present
        self.loaded.changed += loaded.changed
        self.by_stage.update(rejection.stage for rejection in rejections)
        self.reasons.update((r.stage, r.rule, r.column) for row in rejections for r in row.reasons)
        self.duplicates += sum(rejection.reasons[0].rule == "duplicate" for rejection in rejections)

    def outcome(self, job: FileJob, file_id: int, seconds: float) -> FileOutcome:
        """The books as they are closed."""
        return FileOutcome(
            job,
            Status.SUCCESS,
            file_id=file_id,
            total=self.total,
            inserted=self.loaded.inserted,
            already_present=self.loaded.already_present,
            changed=self.loaded.changed,
            updated=self.loaded.updated,
            rejected_by_stage=dict(self.by_stage),
            duplicates=self.duplicates,
            reasons=dict(self.reasons),
            seconds=seconds,
        )


class BatchLoad:
    """Loads batches of one spec in transaction `tx`, for which the parents that were found are remembered.

    `of_many`: a batch holds rows of several files, and `Loaded` lists them.
    """

    def __init__(
        self,
        tx: Cursor,
        spec: FileSpec,
        config: PipelineConfig,
        pii: PiiHandler,
        *,
        of_many: bool = False,
    ) -> None:
        self._tx = tx
        self._spec = spec
        self._config = config
        self._pii = pii
        self._erased = read_erasures(tx, spec, config)
        self._loader = Loader(tx, spec, config, list_present=of_many)
        self._parents = KnownParents(parent_lookup(tx, config))

    def load(self, batch: Batch, file_ids: np.ndarray, *, more: bool = False) -> Loaded:
        """Judge what needs the warehouse, and load the good rows; then the batch has all of its rejections.

        `file_ids` has one for each row of the batch; `more` says that other batches of the file may follow.
        """
        with metrics.stage("lookup"):
            settle(batch, self._parents)
        loaded = part = self._load_rows(batch, batch.good, file_ids, more=more)
        for _ in range(MOST_TWINS):
            if not part.refused:
                break
            twins = readmit_twins(batch, np.isin(batch.chunk.numbers, [row.row for row in part.refused]))
            part = self._load_rows(batch, twins, file_ids, more=more)
            loaded.add(part)
        return loaded

    def _load_rows(self, batch: Batch, wanted: np.ndarray, file_ids: np.ndarray, *, more: bool) -> Loaded:
        """Load the `wanted` rows (boolean); those that the database refuses, or calls duplicates, are rejected."""
        with metrics.stage("mask"):
            rows = self._erased.blank_rows(self._pii.mask(self._spec, batch.rows(wanted)))
        own = pa.array(file_ids[wanted], pa.int64())
        with metrics.stage("load"):
            loaded = self._loader.load(rows.append_column("_file_id", own), more=more)
        numbers = batch.chunk.numbers
        if loaded.duplicates:
            key = self._spec.schema.primary_key
            batch.reject(np.isin(numbers, loaded.duplicates), Stage.RECORDS, "duplicate", key)
        for refused in loaded.refused:
            batch.reject(numbers == refused.row, Stage.LOAD, refused.error)
        return loaded

    def refused_text(self, batch: Batch, job: FileJob, file_id: int) -> tuple[list[Rejection], QuarantineText]:
        """The rejections of a batch that was loaded, of one file, and what is to be written of them."""
        rejections = batch.rejections()
        return rejections, self.quarantine_text(RefusedRows(job, file_id, rejections))

    def quarantine_text(self, *files: RefusedRows) -> QuarantineText:
        """Refused rows as they are to be written, without what is personal of the erased."""
        with metrics.stage("quarantine"):
            if self._erased:
                files = tuple(replace(file, rejections=self._blanked(file.rejections)) for file in files)
            return quarantine_loader.as_text(files, self._config, self._pii)

    def _blanked(self, rejections: Sequence[Rejection]) -> list[Rejection]:
        return [replace(rejection, raw=self._erased.blank_raw(rejection.raw)) for rejection in rejections]

    def quarantine(self, text: QuarantineText) -> None:
        """Write refused rows."""
        quarantine_loader.write(self._tx, text)
