"""The road of judged rows into their table: parents, duplicates, masks, the load, and a verdict for each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.jobs import NOTHING_GONE, FileJob, WentAway
from config.model import Gone, Stage
from config.settings import PipelineConfig
from datawarehouse.added_columns import spread, with_added
from datawarehouse.dim_loader import DimLoader
from datawarehouse.erasure import read_erasures
from datawarehouse.fact_loader import FactLoader
from datawarehouse.file_order import FileOrder
from datawarehouse.fk_checker import check_fk, rows_by_key
from datawarehouse.loaded import Loaded
from datawarehouse.merge.deletes import Deletes
from datawarehouse.merge.late_rows import LateRows
from datawarehouse.placeholders import Placeholders
from datawarehouse.quarantine.counts import passed_rows
from datawarehouse.schema.late_pii import mask_rest
from utils import metrics
from validation.batch import FILE_ID, Batch, Chunk
from validation.conversions import as_mask
from validation.duplicates import key_codes, readmit_duplicates, reject_duplicates
from validation.key_values import key_of, stored_keys, values_of
from validation.operations import loads
from validation.orphan_validator import KnownParents, reject_orphans, wait_for
from validation.pii_handler import PiiHandler
from validation.rejudge import Refused, judge_again

MOST_READMITTED = 10  # duplicates of a row that the database refuses, one after the other

LOADED, UPDATED = "loaded", "updated"  # verdicts on a good row; an update is in the place of an older row
ALREADY_PRESENT = "already_present"
DELETED = "deleted"  # a record that tells to delete
STALE, CHANGED = "stale", "changed"  # there already too, as something newer, or as an other file has it


class RowLoad:
    """Loads batches of one spec in transaction `tx`, for which the parents that were found are remembered.

    `pii` hashes what is sensitive; None for rows out of quarantine, which are hashed already. With `list_rows`,
    `Loaded` lists the rows, as verdicts() needs it. `in_hand` are files that the file log has not yet, by id.
    """

    def __init__(
        self,
        tx: Cursor,
        spec: FileSpec,
        config: PipelineConfig,
        pii: PiiHandler | None,
        *,
        list_rows: bool = False,
        in_hand: Mapping[int, FileJob] | None = None,
    ) -> None:
        self._tx = tx
        self._dates = config.validation.dates
        self._spec = spec
        self._mask = pii.mask if pii else partial(mask_rest, PiiHandler(config.pii.hash_key))
        self.erased = read_erasures(tx, spec, config)
        loader = FactLoader if spec.is_fact else DimLoader
        self._grown = with_added(tx, spec) if spec.adds_new else spec
        self._loader = loader(tx, self._grown, config, FileOrder(tx, spec, in_hand), list_present=list_rows)
        self._placeholders = Placeholders(tx, spec, config)
        self._done = False
        self._is_new = in_hand is not None
        self._deletes = Deletes(tx, spec, config, in_hand) if spec.operation else None
        # rows that come after their files: those in hand are asked as a whole
        self._late = LateRows(tx, spec, config) if spec.takes_away and in_hand is None else None
        self._parents = KnownParents(partial(check_fk, tx, config), self._placeholders.can_be_held)

    def find_parents(self, batch: Batch, *, among: np.ndarray | None = None) -> None:
        """Reject the good rows whose parents are not there. Only those `among` are about to be loaded."""
        if batch.deletes is not None:  # what goes needs no parent
            among = loads(batch) if among is None else among & loads(batch)
        with metrics.stage("lookup"):
            reject_orphans(batch, self._parents, among)

    def load(
        self, batch: Batch, file_ids: np.ndarray, *, among: np.ndarray | None = None, more: bool = False
    ) -> Loaded:
        """Load the good rows, or those of them that are `among` (boolean, one a row).

        `file_ids` has one for each row of the batch. Of the rows of one file with one key the first stays, and if
        the database refuses it, the next; the others are rejected as duplicates. `more` says that other batches of
        the file may follow.
        """
        reject_duplicates(batch, among=among)
        if self._deletes and (self._deletes.has_begun or not self._is_new):
            # of a file that is judged again: rows that repeat a delete of it; its deletes are told already
            asked = batch.good if self._is_new else batch.good & loads(batch)
            asked = asked if among is None else asked & among
            repeats = self._deletes.repeats(batch, asked, ~loads(batch), file_ids, self._loader.told)
            batch.reject(repeats, Stage.RECORDS, "duplicate", str(self._spec.schema.primary_key))
        good = batch.good if among is None else batch.good & among
        deletes = self._delete(batch, good, file_ids)
        good &= loads(batch)
        loaded = self._load_first_accepted(batch, good, file_ids, among=among, more=more)
        for key, mask in batch.cut_loose.items():
            rows = mask & batch.good if among is None else mask & batch.good & among
            loaded.cut_loose[key.label] = batch.chunk.numbers[rows].tolist()
        loaded.deletes = deletes
        if self._late:
            self._late.note_late(batch, batch.good if among is None else batch.good & among, file_ids)
        return loaded

    def _delete(self, batch: Batch, good: np.ndarray, file_ids: np.ndarray) -> list[int]:
        """Note what the good rows tell to delete; returns their numbers."""
        if self._deletes is None:
            return []
        wanted = good & ~loads(batch)
        self._deletes.note(batch, wanted, file_ids)
        return [int(number) for number in batch.chunk.numbers[wanted]]

    def load_late(self, batch: Batch, file_ids: np.ndarray) -> Loaded:
        """The same for rows that come after their files, of which each has rows of its own.

        Rows of several files with one key take turns, in their order: a later one may be newer.
        """
        reject_duplicates(batch, owners=file_ids)
        self._reject_repeats(batch, file_ids)
        loaded = Loaded(deletes=self._delete(batch, batch.good, file_ids))
        for turn in _turns(batch):
            loaded.add(self._load_first_accepted(batch, turn, file_ids, owners=file_ids))
        if self._late:
            self._late.note_late(batch, batch.good, file_ids)
        return loaded

    def taken_away(self, batch: Batch, file_ids: np.ndarray) -> np.ndarray:
        """Which rows of a file that was loaded (boolean) are not in the table since others took them away."""
        none = np.zeros(len(batch.chunk.numbers), bool)
        if self._spec.gone is not Gone.DELETE or not len(none):
            return none
        keys = stored_keys(batch, file_ids)
        asked = pc.unique(keys.drop_null())
        if self._late:
            gone = self._late.taken_away(asked, int(file_ids[0]))
        else:
            gone = self._deletes.taken_away(asked) if self._deletes else set()
        return as_mask(pc.is_in(keys, value_set=pa.array(gone, keys.type)))

    def take_away(self) -> WentAway:
        """Take away what files told to delete, once all batches are loaded."""
        if self._deletes is None:
            return NOTHING_GONE
        went, self._done = self._deletes.finish(), True
        return went

    def finish(self) -> None:
        """To be called once all batches are loaded, before the transaction commits."""
        if self._deletes and not self._done:  # of files that are in the log
            self._deletes.add_to_books(self.take_away())
        if self._late:
            self._late.finish_late()
        with metrics.stage("load"):
            self._loader.finish()

    def _reject_repeats(self, batch: Batch, file_ids: np.ndarray) -> None:
        """Reject as duplicates the good rows whose key a row of their file has brought out of quarantine before.

        Of the file's other rows, the loader finds those that are in the table.
        """
        key = self._spec.schema.primary_key
        if key.is_row:
            return
        keys = key_of(batch)
        asked = pc.unique(keys.filter(pa.array(batch.good)))
        known = pa.array((row[0] for row in rows_by_key(self._tx, self._spec, asked)), keys.type)
        suspects = batch.good & as_mask(pc.is_in(keys, value_set=known))
        if not suspects.any():
            return
        passed_ids, passed = self._passed(np.unique(file_ids[suspects]).tolist())
        codes = key_codes(_joined(batch, passed), owners=np.concatenate([file_ids, passed_ids]))
        repeats = suspects & np.isin(codes[: len(suspects)], codes[len(suspects) :])
        batch.reject(repeats, Stage.RECORDS, "duplicate", str(key))

    def _passed(self, file_ids: list[int]) -> tuple[np.ndarray, Batch]:
        """The rows of files that were refused once and have passed since: their file ids, and what they hold."""
        rows = passed_rows(self._tx, file_ids)
        passed, _ = judge_again(self._spec, [Refused(raw, ()) for _, raw in rows], self._dates)
        owners = np.array([file_id for file_id, _ in rows], np.int64)
        return owners[passed.chunk.numbers], passed

    def _load_first_accepted(
        self,
        batch: Batch,
        wanted: np.ndarray,
        file_ids: np.ndarray,
        *,
        among: np.ndarray | None = None,
        owners: np.ndarray | None = None,
        more: bool = False,
    ) -> Loaded:
        loaded = part = self._load_rows(batch, wanted, file_ids, more=more)
        tries = 0
        while part.refused and (tries < MOST_READMITTED or owners is not None):
            tries += 1
            refused = np.isin(batch.chunk.numbers, [row.row for row in part.refused])
            readmitted = readmit_duplicates(batch, refused, among=among, owners=owners)
            part = self._load_rows(batch, readmitted, file_ids, more=more)
            loaded.add(part)
        self._load_related(batch, loaded, file_ids, more=more)
        return loaded

    def _load_related(self, batch: Batch, loaded: Loaded, file_ids: np.ndarray, *, more: bool) -> None:
        """Rows whose parents in their file were refused wait for them, unless another row brought these."""
        part = loaded
        while part.related:
            related = np.isin(batch.chunk.numbers, part.related) & batch.good
            reject_orphans(batch, self._parents, related)
            part = self._load_rows(batch, related & batch.good, file_ids, more=more)
            loaded.add(part)

    def _load_rows(self, batch: Batch, wanted: np.ndarray, file_ids: np.ndarray, *, more: bool) -> Loaded:
        """Load the `wanted` rows (boolean); those that the database refuses, or calls duplicates, are rejected."""
        if batch.asking:
            return self._load_with_placeholders(batch, wanted, file_ids, more=more)
        return self._load_wanted(batch, wanted, file_ids, more=more)

    def _load_with_placeholders(
        self, batch: Batch, wanted: np.ndarray, file_ids: np.ndarray, *, more: bool
    ) -> Loaded:
        """The same, after the placeholders for their parents; those that nobody needs in the end don't stay."""
        made, in_vain = self._placeholders.make(batch, wanted)
        for key, mask in in_vain.items():
            wait_for(batch, key, mask)
        wanted = wanted & batch.good
        loaded = self._load_wanted(batch, wanted, file_ids, more=more)
        if loaded.inserted + loaded.updated < int(wanted.sum()):
            made = self._placeholders.take_back_unneeded(made, batch, wanted, file_ids)
        for key, keys in made.items():
            first = pc.index_in(keys, value_set=values_of(batch, key.key)).drop_null().to_numpy()
            loaded.placeholders.setdefault(key.parent, []).extend(batch.chunk.numbers[first].tolist())
        return loaded

    def _load_wanted(self, batch: Batch, wanted: np.ndarray, file_ids: np.ndarray, *, more: bool) -> Loaded:
        with metrics.stage("mask"):
            rows = self.erased.blank_rows(self._mask(self._spec, batch.rows(wanted)))
        if self._spec.adds_new:
            rows = spread(rows, self._spec, self._grown)
        own = pa.array(file_ids[wanted], pa.int64())
        with metrics.stage("load"):
            loaded = self._loader.load(rows.append_column(FILE_ID, own), more=more)
        numbers = batch.chunk.numbers
        if loaded.duplicates:
            key = self._spec.schema.primary_key
            batch.reject(np.isin(numbers, loaded.duplicates), Stage.RECORDS, "duplicate", str(key))
        for refused in loaded.refused:
            batch.reject(numbers == refused.row, Stage.LOAD, refused.error)
        return loaded


def verdicts(batch: Batch, loaded: Loaded, among: np.ndarray | None = None) -> dict[int, str]:
    """What became of the good rows of a batch that was loaded with `list_rows`, or of those `among`, by number."""
    good = batch.good if among is None else batch.good & among
    done = dict.fromkeys(batch.chunk.numbers[good].tolist(), LOADED)
    done |= dict.fromkeys(loaded.present_rows, ALREADY_PRESENT)
    done |= dict.fromkeys(loaded.stale_rows, STALE) | dict.fromkeys(loaded.changed_rows, CHANGED)
    done |= dict.fromkeys(loaded.deletes, DELETED)
    return done | dict.fromkeys(loaded.updated_rows, UPDATED)


def _turns(batch: Batch) -> Iterator[np.ndarray]:
    """The good rows in parts (boolean) that hold each key once: the first rows with their keys, and so on."""
    good = np.flatnonzero(batch.good & loads(batch))
    codes = key_codes(batch, of_versions=False)[good]
    order = np.argsort(codes, kind="stable")
    _, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
    turn_of = np.empty(len(good), np.int64)
    turn_of[order] = np.arange(len(good)) - np.repeat(starts, counts)
    for turn in range(int(counts.max()) if len(counts) else 0):
        mask = np.zeros(len(batch.chunk.numbers), bool)
        mask[good[turn_of == turn]] = True
        yield mask


def _joined(one: Batch, other: Batch) -> Batch:
    """The rows of both, as far as their keys can be compared."""
    output = {name: pa.concat_arrays([values, other.output[name]]) for name, values in one.output.items()}
    numbers = np.concatenate([one.chunk.numbers, other.chunk.numbers])
    return Batch(one.spec, Chunk(numbers, {}), output=output)
