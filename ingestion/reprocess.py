"""A file that was dealt with before, read again and judged by today's rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, FileChanged, FileRejected
from config.model import FileJob, FileSpec, Stage
from config.settings import PipelineConfig
from datawarehouse.erasure import read_erasures
from datawarehouse.fk_checker import parent_lookup
from datawarehouse.late_rows import ALREADY_PRESENT, LOADED, UPDATED
from datawarehouse.loader import Loader
from datawarehouse.quarantine_desk import TRUE_ORPHAN, Row, lock
from datawarehouse.quarantine_replay import Missing, Replayed, Settlement
from datawarehouse.queries import query
from ingestion.file_reader import OpenFile, opened, read_chunks
from ingestion.open_writers import stamp_of
from validation.batch import Batch, Reason, Rejection
from validation.orphan_validator import KnownParents, reject_orphans
from validation.personal import ErasedPersons
from validation.pii_handler import PiiHandler
from validation.validation_runner import validate

_OPEN = (None, TRUE_ORPHAN)


@dataclass
class Reprocessed:
    """What became of the rows: of those in quarantine, of those that are missing in the table, and of the rest."""

    replayed: Replayed = field(default_factory=Replayed)
    restored: int = 0  # passed at the time, were not in the table any more, and were inserted
    edited: int = 0  # quarantined rows that were edited since, left to `quarantine replay`
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)  # loaded rows, by (column, rule) of today


def job_of(config: PipelineConfig, file: Mapping[str, Any]) -> FileJob:
    """The file of a row of pipeline_file_log, if it is still there with the same content; else ConfigError."""
    path = Path(file["file_path"])
    spec = next(
        (s for s in config.files if (s.name, s.feed) == (file["logical_name"], file["file_type"])),
        config.by_logical_name.get(file["logical_name"]),
    )
    if spec is None:
        raise ConfigError(f"the configuration has no file type {file['logical_name']} any more")
    try:
        with opened(path) as handle:
            found = FileJob.of(path, spec, stamp_of(path, handle.stat)).evolve(md5=handle.md5())
    except (FileChanged, FileRejected) as problem:
        reason = problem if isinstance(problem, FileRejected) else "it is not there any more"
        raise ConfigError(f"{path} can't be read again: {reason}; put it back first") from None
    if (found.md5, found.size) != (file["file_hash"], file["file_size"]):
        raise ConfigError(
            f"{path} has other content by now than file {file['file_id']} had; it is loaded as a file of its own. "
            "To reprocess the former content, put it back first"
        )
    return found


def reprocess(
    tx: Cursor, config: PipelineConfig, pii: PiiHandler, job: FileJob, file_id: int, who: str
) -> Reprocessed:
    """Judge a loaded file's rows again, and load those that pass and are not in its table.

    Quarantined rows that pass now are loaded, the others get today's reasons; discarded and edited ones stay.
    Rows that were loaded and break a rule of today are counted, not removed. Raises FileRejected or FileChanged.
    """
    turn = _Turn(tx, config, pii, job, file_id, who)
    with opened(job.path) as file:
        if file.md5() != job.md5:
            raise FileRejected(f"{job.path.name} changed meanwhile")
        turn.run(file)
        file.verify_unchanged(job.path)
    return turn.result


class _Turn:
    """One file once more, chunk by chunk."""

    def __init__(
        self, tx: Cursor, config: PipelineConfig, pii: PiiHandler, job: FileJob, file_id: int, who: str
    ) -> None:
        self._tx = tx
        self._config = config
        self._pii = pii
        self._spec: FileSpec = job.spec
        self._name = job.path.name
        self._file_id = file_id
        self.result = Reprocessed()
        self._settled = Settlement(tx, config, who, self.result.replayed)
        self._erased: ErasedPersons = read_erasures(tx, self._spec, config)
        self._loader = Loader(tx, self._spec, config, list_present=True)
        self._parents = KnownParents(parent_lookup(tx, config))
        self._updated = 0  # rows that were in the table, and are newer than what is there now
        self._closed: set[int] = set()  # row numbers that are left alone
        self._open: dict[int, Row] = {}

    def run(self, file: OpenFile) -> None:
        self._read_quarantine()
        for chunk in read_chunks(file, self._name, self._spec.schema, self._config.reader.chunk_rows):
            batch = validate(chunk, self._spec, self._config.validation.dates)
            reject_orphans(batch, self._parents)
            self._load(batch)
            self._refuse(batch.rejections())
        self._settled.close_books()
        counts = {"restored": self.result.restored, "updated": self._updated}
        self._tx.execute(query("file_log", "restored"), {"file_id": self._file_id, **counts})

    def _read_quarantine(self) -> None:
        self._tx.execute(query("repair", "rows_of_file"), {"file_id": self._file_id})
        found = self._tx.fetchall()
        rows = lock(self._tx, [q_id for _, q_id, resolution in found if resolution in _OPEN])
        edited = {row.number for row in rows if row.refused.edited}
        self.result.edited = len(edited)
        self._open = {row.number: row for row in rows if row.number not in edited}
        self._closed = edited | {number for number, _, resolution in found if resolution == "discarded"}

    def _load(self, batch: Batch) -> None:
        """Those that passed before go first: of rows with one key, they are the ones that were loaded."""
        rows = self._erased.blank_rows(self._pii.mask(self._spec, batch.rows()))
        numbers = rows.column("_row").to_numpy()
        pending = np.isin(numbers, list(self._open))
        known = ~pending & ~np.isin(numbers, list(self._closed))
        done, duplicates = self._merge(batch, rows.filter(pa.array(known)))
        self.result.restored += sum(how == LOADED for how in done.values())
        self._updated += sum(how == UPDATED for how in done.values())
        done, duplicates = self._merge(batch, rows.filter(pa.array(pending)))
        key = self._spec.schema.primary_key
        batch.reject(np.isin(batch.chunk.numbers, sorted(duplicates)), Stage.RECORDS, "duplicate", key)
        self._settled.resolve((self._open[number], how) for number, how in done.items())

    def _merge(self, batch: Batch, rows: pa.Table) -> tuple[dict[int, str], set[int]]:
        """What became of the rows, by number, and which of them have a key that the file has brought before."""
        keys = rows.column(self._spec.schema.primary_key).to_pylist()
        numbers = rows.column("_row").to_pylist()
        first: dict[Any, int] = {}
        for key, number in zip(keys, numbers, strict=True):
            first.setdefault(key, number)
        chosen = set(first.values())
        rows = rows.filter(pa.array([number in chosen for number in numbers], pa.bool_()))
        file_ids = pa.repeat(pa.scalar(self._file_id, pa.int64()), rows.num_rows)
        loaded = self._loader.load(rows.append_column("_file_id", file_ids), more=True)
        for refused in loaded.refused:
            batch.reject(batch.chunk.numbers == refused.row, Stage.LOAD, refused.error)
        duplicates = {*loaded.duplicates, *(set(numbers) - chosen)}
        out = {*duplicates, *(refused.row for refused in loaded.refused)}
        done = {number: LOADED for number in numbers if number not in out}
        done |= dict.fromkeys(loaded.present_rows, ALREADY_PRESENT)
        return done | dict.fromkeys(loaded.updated_rows, UPDATED), duplicates

    def _refuse(self, rejections: list[Rejection]) -> None:
        still: dict[Row, tuple[tuple[Reason, ...], Missing]] = {}
        for rejection in rejections:
            if row := self._open.get(rejection.number):
                still[row] = (rejection.reasons, rejection.missing)
            elif rejection.number not in self._closed:
                self.result.broken.update((r.column, r.rule) for r in rejection.reasons)
        self._settled.refuse(self._spec, still)
