"""Stage orphan: rows whose parents aren't in the warehouse. The lookup comes from outside, as an argument."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.key import ForeignKey
from config.model import Stage
from validation.batch import Batch, MissingParent
from validation.conversions import as_mask
from validation.key_values import key_text, values_of
from validation.relations import Links, without_parent

Keys = Mapping[ForeignKey, pa.Array]  # distinct values, none of them null

# Of the keys given, those that each parent has; it locks them until the end of the transaction.
ParentLookup = Callable[[Keys], Keys]

REMEMBERED_KEYS = 200_000  # per foreign key and file, so that memory doesn't grow with the file


class KnownParents:
    """The parents that were found, and so locked, for the file in hand: none is looked up twice."""

    def __init__(self, lookup: ParentLookup) -> None:
        self._lookup = lookup
        self._found: dict[ForeignKey, pa.Array] = {}

    def present(self, keys: Keys) -> dict[ForeignKey, pa.Array]:
        """For each foreign key, values that exist: all that do of those given, and perhaps others."""
        unseen = {key: self._unseen(key, values) for key, values in keys.items()}
        asked = {key: values for key, values in unseen.items() if len(values)}
        answers = self._lookup(asked) if asked else {}
        present = {}
        for key, values in keys.items():
            known = self._found.get(key, values.slice(0, 0))
            found = pa.concat_arrays([known, answers[key]]) if key in answers else known
            if len(found) <= REMEMBERED_KEYS or key not in self._found:
                self._found[key] = found
            present[key] = found
        return present

    def _unseen(self, key: ForeignKey, values: pa.Array) -> pa.Array:
        known = self._found.get(key)
        return values if known is None else values.filter(pc.invert(pc.is_in(values, value_set=known)))


def reject_orphans(batch: Batch, parents: KnownParents, among: np.ndarray | None = None) -> None:
    """Reject the good rows that name a parent which isn't there, and note which. A null names none.

    Only rows `among` (boolean, one a row) are looked at: those that are about to be loaded. In a table that refers
    to itself, they are parents of one another, whatever their order.
    """
    good = pa.array(batch.good if among is None else batch.good & among)
    values = {key: values_of(batch, key.key) for key in batch.spec.foreign_keys}
    named = {key: pc.and_(pc.is_valid(values[key]), good) for key in batch.spec.foreign_keys}
    keys = {key: pc.unique(values[key].filter(mask)) for key, mask in named.items()}
    present = parents.present({key: wanted for key, wanted in keys.items() if len(wanted)})
    lacking = {
        key: as_mask(pc.and_not(named[key], pc.is_in(values[key], value_set=found)))
        for key, found in present.items()
        if not pc.all(pc.is_in(keys[key], value_set=found)).as_py()
    }
    own = [key for key in batch.spec.self_references if key in lacking]
    if own:
        barred = np.zeros(len(batch.chunk.numbers), bool)
        for key, mask in lacking.items():
            if key not in own:
                barred |= mask
        links = [Links.of(values[key], _referred(batch, key), lacking[key]) for key in own]
        lacking |= zip(own, without_parent(links, as_mask(good) & ~barred), strict=True)
    own_keys = [values_of(batch, key) for key in batch.spec.own_keys]
    for key, mask in lacking.items():
        if not mask.any():
            continue
        batch.reject(mask, Stage.ORPHAN, "parent_missing", key.label)
        for position in np.flatnonzero(mask).tolist():
            names = tuple(_text_at(keys, position) for keys in own_keys)
            wanted = key_text(values[key][position].as_py())
            batch.note_missing(position, MissingParent(key.label, wanted, names))


def _text_at(keys: pa.Array, position: int) -> str | None:
    key = keys[position].as_py()
    return None if key is None else key_text(key)


def _referred(batch: Batch, key: ForeignKey) -> pa.Array:
    """What the rows of the batch have in the columns to which `key` refers."""
    return values_of(batch, key.to or batch.spec.schema.primary_key)
