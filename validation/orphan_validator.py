"""Stage orphan: rows whose parents aren't in the warehouse. The lookup comes from outside, as an argument."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import ForeignKey, Stage
from validation.batch import Batch
from validation.conversions import as_mask

# Of the distinct keys given, those that the parent has; it locks them until the end of the transaction.
ParentLookup = Callable[[ForeignKey, pa.Array], pa.Array]

REMEMBERED_KEYS = 200_000  # per foreign key and file, so that memory doesn't grow with the file


class KnownParents:
    """The parents that were found, and so locked, for the file in hand: none is looked up twice."""

    def __init__(self, lookup: ParentLookup) -> None:
        self._lookup = lookup
        self._found: dict[ForeignKey, pa.Array] = {}

    def present(self, foreign_key: ForeignKey, keys: pa.Array) -> pa.Array:
        """Of `keys` (distinct, not null), those that exist."""
        known = self._found.get(foreign_key)
        if known is None:
            found = self._lookup(foreign_key, keys)
            self._found[foreign_key] = found
            return found
        unseen = keys.filter(pc.invert(pc.is_in(keys, value_set=known)))
        if len(unseen) == 0:
            return known
        found = pa.concat_arrays([known, self._lookup(foreign_key, unseen)])
        if len(found) <= REMEMBERED_KEYS:
            self._found[foreign_key] = found
        return found


def reject_orphans(batch: Batch, parents: KnownParents) -> None:
    """Reject the good rows that name a parent which isn't there, and note which. A null names none."""
    good = batch.good
    for foreign_key in batch.spec.foreign_keys:
        values = batch.values[foreign_key.column]
        named = pc.and_(pc.is_valid(values), pa.array(good))
        keys = pc.unique(values.filter(named))
        if len(keys) == 0:
            continue
        present = parents.present(foreign_key, keys)
        if len(present) and pc.all(pc.is_in(keys, value_set=present)).as_py():
            continue
        mask = as_mask(pc.and_not(named, pc.is_in(values, value_set=present)))
        batch.reject(mask, Stage.ORPHAN, "parent_missing", foreign_key.column)
        for position in np.flatnonzero(mask).tolist():
            batch.note_missing(position, foreign_key.column, str(values[position].as_py()))
