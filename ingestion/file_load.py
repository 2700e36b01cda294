"""One file, end to end, in one PostgreSQL transaction."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import FileRejected, FileUnreadable, Stopped
from config.file_names import is_packed
from config.file_spec import FileSpec
from config.jobs import FileJob, FileOutcome, Status
from config.model import Dtype
from config.settings import PipelineConfig
from datawarehouse import file_log, warnings
from datawarehouse.added_columns import ColumnsToAdd, add_columns
from datawarehouse.continuation import NotCorrected
from datawarehouse.db_connection import Warehouse
from datawarehouse.loaded import Loaded
from datawarehouse.quarantine.loader import QuarantineText
from ingestion.archived import content_of
from ingestion.batch_load import BatchLoad, Books
from ingestion.continuation import corrector_of, cut_records, replace_former
from ingestion.contract import refuse_if_dirty
from ingestion.file_reader import read_chunks
from ingestion.manifest import expected
from ingestion.places.open_file import OpenFile
from utils import metrics
from utils.at_once import AtOnce
from utils.logger import get_logger
from utils.metrics import CommitTimer
from utils.read_ahead import read_ahead
from validation.batch import Batch, Chunk, Rejection
from validation.earlier_rows import EarlierRows
from validation.key_memory import KeyMemory
from validation.met_columns import MetColumns
from validation.pii_handler import PiiHandler
from validation.validation_runner import validate

logger = get_logger(__name__)

READ_AHEAD_BYTES = 1 << 20  # a larger file is parsed and validated while its last chunk is loaded


@dataclass(frozen=True, slots=True)
class _Part:
    """A batch that was loaded. The text of what it had refused is made while the next one is."""

    records: int
    loaded: Loaded
    refused: Future[tuple[list[Rejection], QuarantineText]]

    def close(self, load: BatchLoad, books: Books) -> None:
        rejections, text = self.refused.result()
        load.quarantine(text)
        books.add(self.records, self.loaded, rejections)


class _Load(NamedTuple):
    """The transaction that loads a file, and what it needs. `started`: of the monotonic clock."""

    tx: Cursor
    file: OpenFile
    aside: Executor
    started: float
    only_tell: bool
    roads: list[BatchLoad]


class FileLoad:
    """Loads files. `progress(job, rows)` is told after each chunk; `give_up()` is asked before it.

    `again`: content that failed or was undone is loaded.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        config: PipelineConfig,
        pii: PiiHandler,
        *,
        progress: Callable[[FileJob, int], None] = lambda _job, _rows: None,
        give_up: Callable[[], bool] = lambda: False,
        again: bool = False,
    ) -> None:
        self._warehouse = warehouse
        self._config = config
        self._pii = pii
        self._progress = progress
        self._give_up = give_up
        self._again = again

    def run(self, job: FileJob) -> FileOutcome:
        """Load the file, or record why it can't be.

        The bytes that are hashed are those that are parsed; the file is looked at before and after.
        Raises FileChanged (nothing was loaded: look at the file again), FileUnreadable (the same),
        WarehouseUnavailable (nothing was loaded, or it was and the next try finds it done), Stopped.
        """
        try:
            return self._run(job)
        except NotCorrected as problem:
            logger.info(f"[runner] {job.path.name}: {problem}; once more", extra=job.log_context())
            return self._run(job, only_tell=True)

    def _run(self, job: FileJob, *, only_tell: bool = False) -> FileOutcome:
        started = time.monotonic()
        try:
            with content_of(job) as file:
                job = job.as_of(file.stamp)
                try:
                    try:
                        return self._load_open(job, file, started, only_tell=only_tell)
                    except ColumnsToAdd as lacking:
                        add_columns(self._warehouse, self._config, lacking)
                except FileRejected as problem:
                    file.verify_unchanged()
                    job = job.evolve(md5=file.md5())
                    return replace(self._record_failure(job, str(problem), started), drift=problem.changes)
        except FileRejected as problem:  # can't be opened: there is no content to tell it by
            return FileOutcome(job, Status.FAILED, error=str(problem))
        except OSError as error:
            raise FileUnreadable(f"can't be read: {error.strerror}") from None
        return self._run(job, only_tell=only_tell)  # with the columns that it brings

    def _load_open(self, job: FileJob, file: OpenFile, started: float, *, only_tell: bool) -> FileOutcome:
        met = MetColumns(job.spec, self._pii.hidden)
        with self._batches(job, file, met) as batches:
            job = job.evolve(md5=file.md5())
            outcome = self._load(job, file, batches, started, only_tell=only_tell)
        return replace(outcome, drift=met.changes()) if outcome.status is Status.SUCCESS else outcome

    def _record_failure(self, job: FileJob, problem: str, started: float) -> FileOutcome:
        return record_failure(self._warehouse, job, problem, started, self._pii.key_id, again=self._again)

    def _load(
        self, job: FileJob, file: OpenFile, batches: Iterator[Batch], started: float, *, only_tell: bool
    ) -> FileOutcome:
        with (
            CommitTimer() as commit,
            ThreadPoolExecutor(1, "beside-copy") if job.size > READ_AHEAD_BYTES else AtOnce() as aside,
            self._warehouse.transaction() as tx,
        ):
            claim = file_log.claim(tx, job, again=self._again)
            if claim.earlier:
                return claim.earlier
            if (said := expected(job)) is not None:
                said.verify_content(job.md5)
            children = self._claim_children(tx, job)
            load = _Load(tx, file, aside, started, only_tell, roads=[])
            outcome = self._load_rows(load, job, claim.file_id, batches)
            if said is not None:
                said.verify(outcome.total)
            outcomes = [self._load_children(load, child, file_id) for child, file_id in children]
            for road in load.roads:
                road.finish()
            file_log.close(tx, [outcome, *outcomes], self._pii.key_id)
            commit.begin()
        return replace(outcome, children=tuple(outcomes))

    def _claim_children(self, tx: Cursor, job: FileJob) -> list[tuple[FileJob, int]]:
        """The types whose rows are in arrays of the file's records, and their file ids.

        One whose rows are there is left alone, and so is one that an operator took back.
        """
        jobs = [job.evolve(spec=spec) for spec in job.spec.children]
        claims = [file_log.claim(tx, child, again=self._again) for child in jobs]
        return [(child, claim.file_id) for child, claim in zip(jobs, claims, strict=True) if not claim.earlier]

    def _load_children(self, load: _Load, job: FileJob, file_id: int) -> FileOutcome:
        met = MetColumns(job.spec, self._pii.hidden)
        try:
            with self._batches(job, load.file, met) as batches:
                return replace(self._load_rows(load, job, file_id, batches), drift=met.changes())
        except FileRejected as problem:
            named = FileRejected(f"{job.spec.name}: {problem}")
            named.changes = tuple(replace(change, of=job.spec.name) for change in problem.changes)
            raise named from None

    def _load_rows(self, load: _Load, job: FileJob, file_id: int, batches: Iterator[Batch]) -> FileOutcome:
        """Load the rows of one type, and balance its books."""
        tx, file, books = load.tx, load.file, Books()
        road = BatchLoad(tx, job.spec, self._config, self._pii, {file_id: job})
        load.roads.append(road)
        is_row = job.spec.schema.primary_key.is_row
        told = replace_former(tx, self._config, job, file) if is_row else ""
        corrector = None if is_row else corrector_of(tx, self._config, job, file)
        if corrector:
            cuts = cut_records(job, file, lambda part: self._judged(job, part))
            corrector.correct(cuts, only_tell=load.only_tell)
        parts: deque[_Part] = deque()
        for batch in batches:
            self._go_on(job)
            file_ids = np.full(len(batch.chunk.numbers), file_id)
            loaded = road.load(batch, file_ids, more=batch.may_repeat is not None)
            books.findings.add(batch.findings, batch.chunk.numbers, batch.good)
            parts.append(_Part(batch.records, loaded, load.aside.submit(road.refused_text, batch, job, file_id)))
            if len(parts) > 1:
                parts.popleft().close(road, books)
            self._progress(job, books.total)
            pa.default_memory_pool().release_unused()  # else it keeps a few chunks' worth for the next file
        for part in parts:
            part.close(road, books)
        file.verify_unchanged()
        refuse_if_dirty(job.spec, books.total, books.by_stage)
        road.keep_profiles()
        road.judge_file(file_id, books.findings)
        books.findings.refuse_if_too_many(books.total)
        warnings.write(tx, file_id, books.findings)
        if corrector:
            corrector.verify()
            told = corrector.result.told
        gone = road.take_away(books.loaded.inserted)
        outcome = books.outcome(job, file_id, time.monotonic() - load.started)
        return replace(outcome, continues=told, gone=gone)

    def _batches(self, job: FileJob, file: OpenFile, met: MetColumns) -> AbstractContextManager[Iterator[Batch]]:
        """The file's chunks, judged by all that needs no warehouse; `met` is told of each."""
        batches = self._judged(job, file, met)
        if job.size > READ_AHEAD_BYTES or is_packed(job.path.name):  # whose true size nobody knows
            return read_ahead(batches, lambda: self._go_on(job))
        return nullcontext(batches)

    def _go_on(self, job: FileJob) -> None:
        """Raise Stopped when the load is to be given up."""
        if self._give_up():
            raise Stopped(f"{job.path.name} was rolled back; it is loaded at the next start")

    def _judged(self, job: FileJob, file: OpenFile, met: MetColumns | None = None) -> Iterator[Batch]:
        most, memory, earlier = self._config.reader.chunk_rows, None, EarlierRows()
        chunks = read_chunks(file, job.path.name, job.spec.schema, most, job.spec.read, job.path)
        for chunk in metrics.timed("read", chunks):
            if met is not None:
                met.note(chunk)
            batch = judged(chunk, job.spec, self._config, earlier)
            if batch.records >= most:  # else it is the last one
                memory = memory or KeyMemory()
            if memory is not None:
                memory.note(batch)
            yield batch


def record_failure(
    warehouse: Warehouse, job: FileJob, problem: str, started: float, key_id: str | None, *, again: bool = False
) -> FileOutcome:
    """Write the file's row of status failed, in a transaction of its own. `started`: of the monotonic clock."""
    with warehouse.transaction() as tx:
        claim = file_log.claim(tx, job, again=again)
        if claim.earlier:
            return claim.earlier
        seconds = time.monotonic() - started
        outcome = FileOutcome(job, Status.FAILED, file_id=claim.file_id, error=problem, seconds=seconds)
        file_log.close(tx, [outcome], key_id)
    return outcome


def judged(chunk: Chunk, spec: FileSpec, config: PipelineConfig, earlier: EarlierRows | None = None) -> Batch:
    """The chunk, judged by all that needs no warehouse, in an order that its index likes."""
    first, *rest = spec.schema.key_columns
    with metrics.stage("validate"):
        if first.dtype is Dtype.STR:  # numbers come in order anyway
            # Other columns may write one value in several ways: of rows with one key the first must stay the first
            chunk = chunk.ordered_by([first.name, *(column.name for column in rest if column.dtype is Dtype.STR)])
        return validate(chunk, spec, config.validation.dates, earlier)
