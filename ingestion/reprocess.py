"""A file that was dealt with before, read again and judged by today's rules."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, FileChanged, FileRejected
from config.file_spec import FileSpec
from config.jobs import FileJob
from config.settings import PipelineConfig
from datawarehouse import profiles, warnings
from datawarehouse.fk_checker import rows_by_key
from datawarehouse.history_repair import HistoryRepair
from datawarehouse.quarantine import loader as quarantine_loader
from datawarehouse.quarantine.desk import DISCARDED, TRUE_ORPHAN, Row, lock, open_again
from datawarehouse.quarantine.loader import RefusedRows
from datawarehouse.quarantine.replay import replay_rows
from datawarehouse.quarantine.settlement import Settled, Settlement
from datawarehouse.queries import query
from datawarehouse.recount import Moves, recount
from datawarehouse.row_load import LOADED, UPDATED, RowLoad, verdicts
from ingestion.archived import content_at, content_of, was_deleted, where_it_lies
from ingestion.file_reader import read_chunks
from ingestion.places.open_file import OpenFile
from ingestion.places.registry import path_of
from ingestion.set_aside import give_numbers
from validation.batch import Batch, Rejection
from validation.conversions import convert
from validation.earlier_rows import EarlierRows
from validation.findings import FileFindings
from validation.key_values import joined, stored_keys
from validation.pii_handler import PiiHandler
from validation.profile import Profiles
from validation.validation_runner import validate

_OPEN = (None, TRUE_ORPHAN)


@dataclass
class Reprocessed:
    """What became of the rows: of those in quarantine, of those that are missing in the table, and of the rest."""

    replayed: Settled = field(default_factory=Settled)
    restored: int = 0  # passed at the time, were not in the table any more, and were inserted
    quarantined: int = 0  # are in no table and refused, and were not in quarantine (any more)
    edited: int = 0  # quarantined rows that were edited since, left to `quarantine replay`
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)  # loaded rows, by (column, rule) of today


def job_of(config: PipelineConfig, file: Mapping[str, Any]) -> FileJob:
    """The file of a row of pipeline_file_log, if it is still there with the same content; else ConfigError."""
    path = path_of(file["file_path"])
    spec = next(
        (s for s in config.files if (s.name, s.feed) == (file["logical_name"], file["file_type"])),
        config.by_logical_name.get(file["logical_name"]),
    )
    if spec is None:
        raise ConfigError(f"the configuration has no file type {file['logical_name']} any more")
    try:
        where = where_it_lies(file)
        with content_at(path.name, where) as handle:
            found = FileJob.of(path, spec, handle.stamp).evolve(md5=handle.md5())
            found = found.evolve(lies_at=where if where != path else None)
    except (FileChanged, FileRejected) as problem:
        reason = problem if isinstance(problem, FileRejected) else "it is not there any more"
        if (deleted := was_deleted(file)) is not None:
            reason = f"after_load deleted it at {deleted.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
        raise ConfigError(f"{where} can't be read again: {reason}; put it back first") from None
    if (found.md5, found.size) != (file["file_hash"], file["file_size"]):
        raise ConfigError(
            f"{path} has other content by now than file {file['file_id']} had; it is loaded as a file of its own. "
            "To reprocess the former content, put it back first"
        )
    return found


def reprocess(
    tx: Cursor, config: PipelineConfig, pii: PiiHandler, job: FileJob, file: Mapping[str, Any], who: str
) -> Reprocessed:
    """Judge the rows of a loaded `file` (its row in pipeline_file_log, locked) again; load those that pass and are
    not in its table.

    Quarantined rows that pass now are loaded, the others get today's reasons; discarded and edited ones stay.
    Rows that were loaded and break a rule of today are counted, not removed. What is in no table and refused goes
    (back) to quarantine. Raises FileRejected, FileChanged, or ConfigError when it has other records than it had.
    """
    reprocessing = _Reprocessing(tx, config, pii, job, file, who)
    with content_of(job) as content:
        if content.md5() != job.md5:
            raise FileRejected(f"{job.path.name} changed meanwhile")
        reprocessing.run(content)
        content.verify_unchanged()
    return reprocessing.result


class _Reprocessing:
    """One file once more, chunk by chunk.

    Each of its rows is *open* in quarantine, *closed* there (discarded, or edited: left alone), or it *stands*:
    the books have it in the table. Of the last, some may be gone from there, and some may have been refused once
    and are in quarantine no more, for retention removes them.
    """

    def __init__(
        self,
        tx: Cursor,
        config: PipelineConfig,
        pii: PiiHandler,
        job: FileJob,
        file: Mapping[str, Any],
        who: str,
    ) -> None:
        self._tx = tx
        self._config = config
        self._pii = pii
        self._job = job
        self._spec: FileSpec = job.spec
        self._file = file
        self._file_id = int(file["file_id"])
        self.result = Reprocessed()
        self._settlement = Settlement(tx, config, who)
        self.result.replayed = self._settlement.result
        self._road = RowLoad(tx, self._spec, config, pii, list_rows=True)
        self._records = 0
        self._updated = 0  # standing rows that are newer than what was in the table
        self._sent_back = 0  # standing rows that went to quarantine
        self._open: dict[int, Row] = {}
        self._closed: set[int] = set()
        self._edited: list[int] = []  # quarantine_ids of rows that passed as they were edited
        self._passed: dict[int, int] = {}  # standing rows that quarantine has: row number → quarantine_id
        self._keys: set[Any] | None = None  # of rows that stand; None when no refused row is gone from quarantine

    def run(self, content: OpenFile) -> None:
        if not give_numbers(self._tx, self._config, self._spec, self._file):
            raise ConfigError(
                f"file {self._file_id}: `apply` put rows of it into quarantine, and which of its rows these are "
                "can't be told; replay them, or `undo` the file first"
            )
        self._read_quarantine()
        most = self._config.reader.chunk_rows
        path, earlier, findings = self._job.path, EarlierRows(), FileFindings()
        figures = Profiles(self._spec)
        for chunk in read_chunks(content, path.name, self._spec.schema, most, self._spec.read, path):
            batch = validate(chunk, self._spec, self._config.validation.dates, earlier, of_file=False)
            self._records += batch.records
            self._road.find_parents(batch, among=~np.isin(chunk.numbers, list(self._closed)))
            passing = batch.good  # to the loader rows that are there already are duplicates
            lost = self._load_standing(batch)
            self._load_open(batch)
            self._refuse(batch, lost)
            refused = [*self._closed, *(row.number for row in lost), *self._still_open(batch)]
            passing &= ~np.isin(chunk.numbers, refused)
            findings.add(batch.findings, chunk.numbers, passing)
            figures.note(batch, passing, self._file_ids(batch))
        if self._records != self._file["total_records"]:
            raise ConfigError(
                f"file {self._file_id} has {self._records} records as it is read today, and had "
                f"{self._file['total_records']} when it was loaded: its rows can't be told by their numbers. "
                f"`undo {self._file_id}` first, then `reprocess {self._file_id}`"
            )
        self._replay_edited()
        self._road.finish()
        self._close_books()
        warnings.write_anew(self._tx, self._file_id, findings)
        profiles.write_anew(self._tx, self._spec.name, self._file_id, figures.of(self._file_id))

    def _read_quarantine(self) -> None:
        self._tx.execute(query("repair", "rows_of_file"), {"file_id": self._file_id})
        found = self._tx.fetchall()
        waiting = [q_id for _, q_id, resolution, edited in found if resolution in _OPEN and not edited]
        self._open = {row.number: row for row in lock(self._tx, waiting)}
        self._passed = {
            number: q_id
            for number, q_id, resolution, edited in found
            if resolution not in {*_OPEN, DISCARDED} and not edited
        }
        self._closed = {number for number, *_ in found} - self._open.keys() - self._passed.keys()
        self._edited = [q_id for _, q_id, how, edited in found if edited and how not in {*_OPEN, DISCARDED}]
        self.result.edited = sum(edited and resolution in _OPEN for *_, resolution, edited in found)
        counts = ("quarantined", "resolved_orphans", "resolved_records")
        if len(found) < sum(self._file[name] for name in counts):
            self._keys = set()

    def _load_standing(self, batch: Batch) -> list[Rejection]:
        """Put back what is gone from the table. Returns the rows that are in no table, and refused.

        They go before the open ones: of rows with one key, they are the ones that were loaded.
        """
        numbers = batch.chunk.numbers
        passed = np.isin(numbers, list(self._passed))
        unlisted = ~passed & ~np.isin(numbers, [*self._open, *self._closed])
        away = self._road.taken_away(batch, self._file_ids(batch))
        there = self._put_back(batch, unlisted, away)
        if self._keys is not None:
            there = {number for number, key in self._keys_of(batch, there).items() if self._is_first(key)}
        there |= self._put_back(batch, passed, away)
        elsewhere = there | self._open.keys() | self._closed
        refused = [rejection for rejection in batch.rejections() if rejection.number not in elsewhere]
        return self._find_lost(batch, refused) if refused else []

    def _put_back(self, batch: Batch, rows: np.ndarray, away: np.ndarray) -> set[int]:
        """Load `rows` (boolean) where they are missing, unless another file took them `away`.

        Returns the numbers of those that are in the table now, or rightly gone from it.
        """
        loaded = self._road.load(batch, self._file_ids(batch), among=rows & ~away, more=True)
        done = verdicts(batch, loaded, rows & ~away)
        self.result.restored += sum(how == LOADED for how in done.values())
        self._updated += sum(how == UPDATED for how in done.values())
        return {*done, *loaded.duplicates, *batch.chunk.numbers[rows & away].tolist()}

    def _find_lost(self, batch: Batch, refused: list[Rejection]) -> list[Rejection]:
        """Of refused rows that should stand, those whose key is not there, or there by another row of the file."""
        self._insist_on_records(batch, refused)
        keys = self._keys_of(batch, {rejection.number for rejection in refused})
        kind = stored_keys(batch, self._file_ids(batch)).type
        asked = pa.array([key for key in keys.values() if key is not None], kind)
        found = rows_by_key(self._tx, self._spec, pc.unique(asked)) if len(asked) else []
        there = {*pa.array((row[0] for row in found), kind).to_pylist()}
        lost = []
        for rejection in refused:
            key = keys.get(rejection.number)
            if key in there and (rejection.number in self._passed or self._is_first(key)):
                broken = ((r.column, r.rule) for r in rejection.reasons if r.rule != "duplicate")
                self.result.broken.update(broken)
            else:
                lost.append(rejection)
        return lost

    def _insist_on_records(self, batch: Batch, refused: list[Rejection]) -> None:
        """Raise ConfigError for a record that was loaded, as an earlier version read it, and is none today.

        It has no key by which its row could be found. Where refused rows are gone from quarantine, it may be one
        of these: then it is refused again.
        """
        read = set(batch.chunk.numbers.tolist())
        unread = [row.number for row in refused if row.number not in read and row.number not in self._passed]
        if unread and self._keys is None:
            raise ConfigError(
                f"file {self._file_id}: record {unread[0]} was loaded, and can't be read as a record today; which "
                f"row it brought can't be told. `undo {self._file_id}` first, then `reprocess {self._file_id}`"
            )

    def _is_first(self, key: Any) -> bool:
        """Is no other row of the file known to stand for `key`? From now on one is."""
        if self._keys is None:
            return True
        is_first = key not in self._keys
        self._keys.add(key)
        return is_first

    def _keys_of(self, batch: Batch, wanted: set[int]) -> dict[int, Any]:
        """The keys of the rows with the `wanted` numbers."""
        positions = np.flatnonzero(np.isin(batch.chunk.numbers, list(wanted)))
        keys = stored_keys(batch, self._file_ids(batch)).take(pa.array(positions)).to_pylist()
        return dict(zip(batch.chunk.numbers[positions].tolist(), keys, strict=True))

    def _load_open(self, batch: Batch) -> None:
        rows = np.isin(batch.chunk.numbers, list(self._open))
        loaded = self._road.load(batch, self._file_ids(batch), among=rows, more=True)
        done = verdicts(batch, loaded, rows)
        self._settlement.close((self._open[number], how) for number, how in done.items())

    def _still_open(self, batch: Batch) -> set[int]:
        """The numbers of open rows that are refused again."""
        return self._open.keys() & set(batch.chunk.numbers[~batch.good].tolist())

    def _file_ids(self, batch: Batch) -> np.ndarray:
        return np.full(len(batch.chunk.numbers), self._file_id)

    def _refuse(self, batch: Batch, lost: list[Rejection]) -> None:
        """Give open rows today's reasons; lost rows are open again, or in quarantine for the first time."""
        reopened = {r.number: r for r in lost if r.number in self._passed}
        ids = [self._passed[number] for number in reopened]
        still = {row: reopened[row.number] for row in open_again(self._tx, ids)}
        still |= {self._open[r.number]: r for r in batch.rejections() if r.number in self._open}
        self._settlement.refuse(self._spec, {row: (r.reasons, r.missing) for row, r in still.items()})
        erased = self._road.erased
        new = [replace(r, raw=erased.blank_raw(r.raw)) for r in lost if r.number not in reopened]
        if new:
            rows = RefusedRows(self._job, self._file_id, new)
            quarantine_loader.write(self._tx, quarantine_loader.as_text([rows], self._config, self._pii))
        self.result.quarantined += len(new)
        self._sent_back += len(lost)

    def _replay_edited(self) -> None:
        """Rows that passed as edited are not in the file like that: those that are gone are replayed."""
        if not self._edited:
            return
        self._tx.execute(query("repair", "raw_of"), {"ids": self._edited})
        found = self._tx.fetchall()
        keys = self._keys_of_raw([raw for _, _, raw in found], [number for _, number, _ in found])
        asked = pc.unique(keys.drop_null())
        there = rows_by_key(self._tx, self._spec, asked) if len(asked) else []
        present = {*pa.array((row[0] for row in there), keys.type).to_pylist()}
        gone = [q_id for (q_id, *_), value in zip(found, keys.to_pylist(), strict=True) if value not in present]
        replay_rows(self._tx, self._config, self._spec, open_again(self._tx, gone), self._settlement)
        self._sent_back += len(gone)

    def _keys_of_raw(self, raw: list[dict[str, Any]], numbers: list[int]) -> pa.Array:
        """The keys of rows as quarantine has them."""
        if self._spec.schema.primary_key.is_row:
            return joined([pa.array([self._file_id] * len(numbers)), pa.array(numbers)])
        columns = self._spec.schema.key_columns
        rows = [self._spec.schema.in_todays_names(row) for row in raw]
        texts = [pa.array([row.get(column.name) for row in rows], pa.string()) for column in columns]
        return joined([convert(column, text).values for column, text in zip(columns, texts, strict=True)])

    def _close_books(self) -> None:
        if self.result.restored and self._spec.keeps_history:
            HistoryRepair(self._tx, self._spec).put_newest_in_force(self._file_id)
        if self.result.quarantined:
            self._tx.execute(query("repair", "same_day"), {"file_id": self._file_id})
        moved = self._settlement.moves_of(self._file_id)
        moves = Moves(
            inserted=moved.inserted,
            updated=moved.updated + self._updated,
            restored=self.result.restored,
            refused=self._sent_back,
            stale=moved.stale,
            changed=moved.changed,
            rewritten=moved.has_other_reasons or self._sent_back > 0,
        )
        recount(self._tx, self._file, moves)
