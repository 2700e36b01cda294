"""Several small files of one kind, together in one PostgreSQL transaction: what they cost apart is shared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.drift import Change
from config.errors import FileChanged, FileRejected, PipelineError
from config.file_spec import FileSpec
from config.jobs import FileJob, FileOutcome
from config.settings import PipelineConfig
from datawarehouse import file_log, warnings
from datawarehouse.added_columns import ColumnsToAdd, add_columns
from datawarehouse.db_connection import Warehouse
from datawarehouse.loaded import Loaded
from datawarehouse.quarantine.loader import RefusedRows
from ingestion.batch_load import BatchLoad, Books
from ingestion.contract import refuse_if_dirty
from ingestion.file_load import judged
from ingestion.file_reader import read_chunks
from ingestion.places.open_file import OpenFile
from ingestion.places.registry import opened
from utils import metrics
from utils.metrics import CommitTimer
from validation.batch import Batch, Chunk, Rejection
from validation.earlier_rows import looks_at_earlier_rows
from validation.findings import of_files
from validation.key_values import key_of
from validation.met_columns import MetColumns
from validation.pii_handler import PiiHandler

MOST_FILES, MOST_ROWS = 50, 10_000  # in one transaction


class Together(NamedTuple):
    """Of files that were to be loaded together: those that were, and those in another process's hands."""

    loaded: list[FileOutcome]
    held: list[FileJob]


class _LeftOut(PipelineError):
    """Files that can't be loaded with the others: nothing was loaded, try again without them."""

    def __init__(self, members: Sequence[_Member], held: Sequence[_Member] = ()) -> None:
        super().__init__("some files can't be loaded with the others")
        self.members = members
        self.held = held  # by another process


@dataclass(frozen=True, eq=False)
class _Member:
    """A file of the group, open, and what was read of it."""

    job: FileJob
    file: OpenFile
    chunk: Chunk

    @property
    def records(self) -> int:
        return len(self.chunk.numbers) + len(self.chunk.malformed)


class GroupLoad:
    """Loads small files together, each with books of its own, as if one had come after the other.

    A group is for files that are as they should be. One that is not (unreadable, loaded before, in another's
    hands, with a key that an earlier one has too, too dirty for its contract) is left out, for FileLoad to judge.
    """

    def __init__(self, warehouse: Warehouse, config: PipelineConfig, pii: PiiHandler) -> None:
        self._warehouse = warehouse
        self._config = config
        self._pii = pii

    def run(self, jobs: Sequence[FileJob]) -> Together:
        """Load those of `jobs`, all of one spec, that can be loaded together; nothing is done about the others.

        Raises what FileLoad.run raises, and whatever else comes up; nothing was loaded then.
        """
        if any(_comes_alone(job.spec) for job in jobs):
            return Together([], [])
        started = time.monotonic()
        held: list[FileJob] = []
        with ExitStack() as files:
            with metrics.stage("read"):
                members = list(self._members(jobs, files))
            while len(members) > 1:
                try:
                    return Together(self._load(members, started), held)
                except ColumnsToAdd as lacking:
                    try:
                        add_columns(self._warehouse, self._config, lacking)
                    except FileRejected:  # each by itself: it turns out which
                        return Together([], held)
                except _LeftOut as left:
                    held += [member.job for member in left.held]
                    members = [member for member in members if member not in {*left.members, *left.held}]
        return Together([], held)

    def _members(self, jobs: Sequence[FileJob], files: ExitStack) -> Iterator[_Member]:
        """Open and read `jobs`, each content once, until there are MOST_ROWS or one has several chunks."""
        rows, chunk_rows = 0, self._config.reader.chunk_rows
        contents: set[tuple[str, int]] = set()
        for found in jobs:
            try:
                file = files.enter_context(opened(found.path))
                job = found.as_of(file.stamp).evolve(md5=file.md5())
                read = read_chunks(file, job.path.name, job.spec.schema, chunk_rows, job.spec.read, job.path)
                chunks = list(islice(read, 3))
            except (FileRejected, FileChanged, OSError):
                continue
            if not chunks or (job.md5, job.size) in contents:
                continue
            if len(chunks) == 2 and not len(chunks[1].numbers):  # malformed records at the end
                chunks = [replace(chunks[0], malformed=chunks[0].malformed + chunks[1].malformed)]
            member = _Member(job, file, chunks[0])
            rows += member.records
            if len(chunks) > 1 or rows > MOST_ROWS:
                return
            contents.add((job.md5, job.size))
            yield member

    def _load(self, members: Sequence[_Member], started: float) -> list[FileOutcome]:
        spec = members[0].job.spec
        batch = judged(_joined(members), spec, self._config)
        ends = np.cumsum([member.records for member in members])
        owners = np.searchsorted(ends, batch.chunk.numbers)  # of each row, the position of its file
        batch.file_rows = batch.chunk.numbers - np.array([0, *ends])[owners]
        _leave_out([members[position] for position in _with_earlier_keys(batch, owners)])
        with CommitTimer() as commit, self._warehouse.transaction() as tx:
            file_ids, held = file_log.claim_new(tx, [member.job for member in members])
            known = [m for m, file_id in zip(members, file_ids, strict=True) if file_id is None]
            _leave_out(known, [members[position] for position in held])
            ids = [file_id or 0 for file_id in file_ids]
            files = {file_id: member.job for file_id, member in zip(ids, members, strict=True)}
            load = BatchLoad(tx, spec, self._config, self._pii, files, of_many=True)
            loaded = load.load(batch, np.array(ids, np.int64)[owners])
            refused = _by_member(members, ends, batch.rejections())
            texts = (RefusedRows(m.job, i, r) for m, i, r in zip(members, ids, refused, strict=True))
            load.quarantine(load.quarantine_text(*texts))
            shares = _shares(loaded, [m.records - len(r) for m, r in zip(members, refused, strict=True)], ends)
            load.keep_profiles()
            outcomes, unfit = [], []
            found = of_files(batch.findings, batch.numbers_in_file, batch.good, owners)
            seconds = (time.monotonic() - started) / len(members)
            for position, (member, file_id, rows, share) in enumerate(
                zip(members, ids, refused, shares, strict=True)
            ):
                books = Books()
                books.add(member.records, share, rows)
                books.findings = found.get(position, books.findings)
                try:
                    member.file.verify_unchanged()
                    refuse_if_dirty(spec, books.total, books.by_stage)
                    load.judge_file(file_id, books.findings)
                    books.findings.refuse_if_too_many(books.total)
                    warnings.write(tx, file_id, books.findings)
                except (FileChanged, FileRejected):
                    unfit.append(member)
                outcomes.append(replace(books.outcome(member.job, file_id, seconds), drift=self._met(member)))
            _leave_out(unfit)
            load.finish()
            file_log.close(tx, outcomes, self._pii.key_id)
            commit.begin()
        return outcomes

    def _met(self, member: _Member) -> tuple[Change, ...]:
        met = MetColumns(member.job.spec, self._pii.hidden)
        met.note(member.chunk)
        return met.changes()


def _comes_alone(spec: FileSpec) -> bool:
    """Can its files not be loaded together?

    A row of one may be the parent of another's; children come after all rows of their own file; what is gone by
    one may be there again by the next; and each file has earlier rows of its own.
    """
    related = bool(spec.self_references or spec.children)
    return related or spec.loses_rows or looks_at_earlier_rows(spec.schema)


def _leave_out(members: Sequence[_Member], held: Sequence[_Member] = ()) -> None:
    if members or held:
        raise _LeftOut(members, held)


def _joined(members: Sequence[_Member]) -> Chunk:
    """One chunk of all rows, which are numbered through; malformed records are not among them."""
    starts = np.cumsum([0, *(member.records for member in members)])[:-1]
    numbers = [member.chunk.numbers + start for member, start in zip(members, starts, strict=True)]
    columns = {
        name: pa.concat_arrays([member.chunk.columns[name] for member in members])
        for name in members[0].chunk.columns
    }
    return Chunk(np.concatenate(numbers), columns)


def _with_earlier_keys(batch: Batch, owners: np.ndarray) -> list[int]:
    """The files, by position, with a key that an earlier one of the group has too: they come after it."""
    keys = key_of(batch)
    there = pc.is_valid(keys).to_numpy(zero_copy_only=False)
    codes, owners = pc.dictionary_encode(keys.filter(pa.array(there))).indices.to_numpy(), owners[there]
    if len(codes) == 0:
        return []
    first = np.full(codes.max() + 1, len(owners))
    np.minimum.at(first, codes, owners)
    later: list[int] = np.unique(owners[owners > first[codes]]).tolist()
    return later


def _by_member(
    members: Sequence[_Member], ends: np.ndarray, rejections: Sequence[Rejection]
) -> list[list[Rejection]]:
    """The refused rows of each file, malformed ones among them, by their numbers in the file."""
    refused = [list(member.chunk.malformed) for member in members]
    owners = np.searchsorted(ends, [rejection.number for rejection in rejections])
    for rejection, owner in zip(rejections, owners.tolist(), strict=True):
        before = int(ends[owner]) - members[owner].records
        refused[owner].append(replace(rejection, number=rejection.number - before))
    return [sorted(rows, key=lambda row: row.number) for rows in refused]


def _shares(loaded: Loaded, good: Sequence[int], ends: np.ndarray) -> list[Loaded]:
    """What each file has of `loaded`; `good` are its rows that were not refused."""

    def counted(rows: Sequence[int]) -> list[int]:
        counts: list[int] = np.bincount(np.searchsorted(ends, rows), minlength=len(ends)).tolist()
        return counts

    present, updated = counted(loaded.present_rows), counted(loaded.updated_rows)
    changed, stale = counted(loaded.changed_rows), counted(loaded.stale_rows)
    shares = [
        Loaded(inserted=g - p - u, updated=u, already_present=p, changed=c, stale=s)
        for g, p, u, c, s in zip(good, present, updated, changed, stale, strict=True)
    ]
    for name in ("placeholders", "cut_loose"):
        for what, rows in getattr(loaded, name).items():
            for share, count in zip(shares, counted(rows), strict=True):
                getattr(share, name)[what] = [0] * count
    for name in ("inserted", "updated", "already_present", "changed", "stale"):
        if sum(getattr(share, name) for share in shares) != getattr(loaded, name):
            raise PipelineError(f"the files' shares of {name} are not what the database counted")
    return shares
