"""Which rows of a file may have the key of a row that came before: a Bloom filter over its chunks."""

from __future__ import annotations

import numpy as np
from rbloom import Bloom

from validation.batch import Batch
from validation.key_values import key_of

# 12 MB, however large the file. In one of many more keys, more are asked for in vain.
EXPECTED_KEYS, FALSE_ALARMS = 10_000_000, 0.01


class KeyMemory:
    """Keeps the keys of a file in little memory. It may take a new key for a known one, never the reverse."""

    def __init__(self) -> None:
        self._keys: Bloom | None = None

    def note(self, batch: Batch) -> None:
        """Tell the batch which of its rows may have a key that an earlier one has, and remember its keys.

        Bad rows' keys are remembered, too: that costs a question.
        """
        if batch.spec.schema.primary_key.is_row:  # no two rows have one
            batch.may_repeat = np.zeros(len(batch.chunk.numbers), bool)
            return
        values = key_of(batch).to_pylist()
        if self._keys is None:
            self._keys = Bloom(EXPECTED_KEYS, FALSE_ALARMS)
            batch.may_repeat = np.zeros(len(values), bool)
        else:
            keys = self._keys
            batch.may_repeat = np.fromiter((value in keys for value in values), bool, len(values))
        self._keys.update(values)
