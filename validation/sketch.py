"""How many different values a column has, nearly: the smallest of their hashes tell how dense all lie.

K minimum values (Bar-Yossef et al., 2002): with the k-th smallest of evenly spread hashes at h (0 to 1), there are
about (k - 1) / h. Up to k values the count is exact.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MOST_KEPT = 2048  # hashes: the count is off by 2.2 % in two of three cases
_MANY = 4 * MOST_KEPT
_SLOTS = 8192  # of hashes that were met before
_LAST = np.uint64(2**64 - 1)
_ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)  # as in splitmix64
_HALF, _MORE = np.uint64(32), np.uint64(29)
_WORD = 8  # bytes
_FIRST = 1000  # texts that tell whether texts recur


class Distinct:
    """Counts the different ones among values that come in parts."""

    def __init__(self) -> None:
        self._kept = np.zeros(0, np.uint64)  # in order
        self._below = _LAST
        self._met: np.ndarray | None = None  # by the hash's last bits: what needs no second look

    def add(self, hashes: np.ndarray) -> None:
        """Count values by their hashes (uint64), of which one value has one."""
        if not len(self._kept):
            self._keep_first(hashes)
            return
        if self._met is None:
            self._met = np.zeros(_SLOTS, np.uint64)
            self._met[self._kept % _SLOTS] = self._kept
        if len(self._kept) == MOST_KEPT:
            hashes = hashes[hashes < self._below]
        places = hashes % _SLOTS
        unmet = self._met[places] != hashes
        if unmet.any():
            hashes = hashes[unmet]
            self._met[places[unmet]] = hashes
            self._keep(np.concatenate([self._kept, hashes]))

    def _keep_first(self, hashes: np.ndarray) -> None:
        """The same as _keep(), where most values are different without sorting all."""
        if len(hashes) > _MANY:
            self._keep(hashes[hashes < np.uint64(2**64 // len(hashes) * 2 * MOST_KEPT)])
        if len(self._kept) < MOST_KEPT:
            self._keep(hashes)

    def _keep(self, hashes: np.ndarray) -> None:
        hashes = np.sort(hashes)  # in a third of the time that np.unique takes
        is_new = np.ones(len(hashes), bool)
        np.not_equal(hashes[1:], hashes[:-1], out=is_new[1:])
        self._kept = hashes[is_new][:MOST_KEPT]
        if len(self._kept) == MOST_KEPT:
            self._below = self._kept[-1]

    @property
    def count(self) -> int:
        """How many different values were added, nearly."""
        if len(self._kept) < MOST_KEPT:
            return len(self._kept)
        return round((MOST_KEPT - 1) / (float(self._below) / 2**64))


def hashed_numbers(values: np.ndarray) -> np.ndarray:
    """Of each whole number (int64), or float64, a hash (uint64)."""
    if values.dtype == np.float64:
        values = values + 0.0  # -0.0 is 0.0
    return _mixed(values.view(np.uint64))


def hashed_texts(texts: pa.Array) -> np.ndarray:
    """A hash (uint64) of each text, none of which is null; where texts recur, of the different ones alone."""
    first = texts.slice(0, _FIRST)
    if 2 * len(pc.unique(first)) < len(first):
        texts = pc.unique(texts)
    ends = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, texts.offset * 4).astype(np.int64)
    starts, lengths = ends[:-1] - ends[0], np.diff(ends)
    hashes = lengths.astype(np.uint64)
    shortest, longest = int(lengths.min(initial=0)), int(lengths.max(initial=0))
    if not longest:
        return _mixed(hashes)
    text = np.frombuffer(texts.buffers()[2], np.uint8)[ends[0] : ends[-1]]
    text = np.concatenate([text, np.zeros(_WORD, np.uint8)])
    words = np.ndarray(len(text) - _WORD + 1, "<u8", text, strides=(1,))  # at each byte the eight from there
    for place in range(0, longest, _WORD):
        if place + _WORD <= shortest:
            hashes = _joined(hashes, words[starts + place])
            continue
        among = np.flatnonzero(lengths > place)
        beyond = np.maximum(place + _WORD - lengths[among], 0).view(np.uint64)  # bytes that are not the text's
        hashes[among] = _joined(hashes[among], words[starts[among] + place] << beyond * np.uint64(8))
    return _mixed(hashes)


def _joined(hashes: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Hashes of texts that are longer by a word."""
    words ^= hashes
    words *= _ODD[0]
    words ^= words >> _HALF
    return words


def _mixed(values: np.ndarray) -> np.ndarray:
    """Each bit of a value (uint64) moves about half of the bits of what it becomes."""
    mixed = values * _ODD[0]
    mixed ^= mixed >> _HALF
    mixed *= _ODD[1]
    mixed ^= mixed >> _MORE
    return mixed
