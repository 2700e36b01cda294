"""The quotes of a CSV text, all at once: which of them break RFC 4180, and which line ends are within a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

QUOTE, LF, CR = b'"\n\r'
SLICE = 1 << 16  # bytes, a multiple of 64

Offsets = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Scan:
    """What the quotes of a text mean, when it is read from its start as a sequence of records.

    `wrong`: offsets of quotes that close a value and are followed by neither a delimiter nor a line end.
    `lines`: offsets behind each line end; `within` (boolean, one a line end): it belongs to a quoted value.
    """

    wrong: Offsets
    lines: Offsets
    within: Flags

    @property
    def records(self) -> Offsets:
        """Offsets behind the records: the line ends that belong to no value."""
        return self.lines[~self.within]


def scan(text: bytes, delimiter: int, quote: int = QUOTE) -> Scan | None:
    """Read the quotes of `text`, which ends with a line end and holds a quote.

    None where they are right and no value spans lines, as in most files. That is found out 64 bytes at a time.
    """
    data = np.frombuffer(text, np.uint8)
    quotes, around, ends = _words(data, delimiter, quote, has_returns=b"\r" in text)
    inside = _inside(quotes)
    if not _alternate(quotes, around, inside):
        return _scan_any(data, delimiter, quote, line_ends(text, data))
    if not (ends & inside).any():
        return None
    lines = line_ends(text, data)
    within = np.unpackbits(inside.view(np.uint8), bitorder="little")[lines - 1].astype(bool)
    return Scan(np.array([], np.int64), lines, within)


def _words(
    data: npt.NDArray[np.uint8], delimiter: int, quote: int, *, has_returns: bool
) -> tuple[Words, Words, Words]:
    """Bits, one a byte, the first as the lowest of a word: quotes; quotes, delimiters and line ends; line ends.

    Some bytes at a time, so that what is worked out on the way stays in the cache.
    """
    quotes, around, ends = (np.zeros(len(data) // 64 + 1, "<u8") for _ in range(3))
    for start in range(0, len(data), SLICE):
        part = data[start : start + SLICE]
        is_quote = part == quote
        is_end = part == LF
        if has_returns:
            is_end |= part == CR
        is_around = part == delimiter
        is_around |= is_end
        is_around |= is_quote
        for words, flags in ((quotes, is_quote), (around, is_around), (ends, is_end)):
            bits = np.packbits(flags, bitorder="little")
            words.view(np.uint8)[start // 8 : start // 8 + len(bits)] = bits
    return quotes, around, ends


def _inside(quotes: Words) -> Words:
    """Where the number of quotes so far, this byte's too, is odd: from a quote that opens to the one that closes.

    The parity of all bits up to each is worked out within the words first; then a word is turned round where those
    before it have an odd number. (Langdale, Lemire: Parsing Gigabytes of JSON per Second, VLDB Journal 2019.)
    """
    inside, shifted = quotes.copy(), np.empty_like(quotes)
    for distance in (1, 2, 4, 8, 16, 32):
        np.left_shift(inside, np.uint64(distance), out=shifted)
        inside ^= shifted
    np.right_shift(inside, np.uint64(63), out=shifted)
    np.bitwise_xor.accumulate(shifted, out=shifted)
    np.negative(shifted, out=shifted)  # all bits of a word, or none
    inside[1:] ^= shifted[:-1]
    return inside


def _alternate(quotes: Words, around: Words, inside: Words) -> bool:
    """Do the quotes open and close values in turn, and nothing else? Two in a row close a value and open it again.

    `around`: bytes that may be before a quote that opens and behind one that closes. Before the first is the last:
    a line end.
    """
    one, last = np.uint64(1), np.uint64(63)
    fitting = around << one
    fitting[1:] |= around[:-1] >> last
    fitting[0] |= one
    fitting |= ~inside
    if (quotes & ~fitting).any():
        return False
    np.right_shift(around, one, out=fitting)
    fitting[:-1] |= around[1:] << last
    fitting |= inside
    return not (quotes & ~fitting).any()


def _scan_any(data: npt.NDArray[np.uint8], delimiter: int, quote: int, lines: Offsets) -> Scan:
    """A quote opens a value only at the start of a field; elsewhere outside of a quoted value it is text.

    So a run of quotes in a row does one of three things: of even length, none; of odd length at the start of a
    field, it opens or closes a value; of odd length elsewhere, it leaves the text outside of any. For the last it
    does not matter what came before, which makes a sum of what looks like a loop.
    """
    edges = data == delimiter
    edges |= data == LF
    edges |= data == CR
    starts, ends = _runs(np.flatnonzero(data == quote))
    odd = ((ends - starts) & 1).astype(bool)
    opening = edges[starts - 1]
    turns = np.cumsum(odd & opening)
    since = np.maximum.accumulate(np.where(odd & ~opening, turns, 0))
    inside = np.bitwise_and(turns - since, 1).astype(bool)  # behind each run
    before = np.concatenate(([False], inside[:-1]))
    closed = np.where(before, odd, opening & ~odd)
    run = np.searchsorted(starts, lines) - 1  # the last one before each line end
    return Scan(ends[closed & ~edges[ends]] - 1, lines, (run >= 0) & inside[run])


def _runs(quotes: Offsets) -> tuple[Offsets, Offsets]:
    """Where quotes in a row begin, and the offsets behind them."""
    gaps = np.flatnonzero(quotes[1:] - quotes[:-1] != 1)
    if len(gaps) == len(quotes) - 1:
        return quotes, quotes + 1
    return quotes[np.concatenate(([0], gaps + 1))], quotes[np.append(gaps, len(quotes) - 1)] + 1


def line_ends(text: bytes, data: npt.NDArray[np.uint8]) -> Offsets:
    """Offsets behind each LF, CR LF and lone CR of `text`, whose bytes `data` is."""
    ends = data == LF
    if b"\r" in text:
        lone = data == CR
        lone[:-1] &= ~ends[1:]
        ends |= lone
    return np.flatnonzero(ends) + 1


def lines_of_records(text: bytes, delimiter: int, quote: int = QUOTE, more_ends: Sequence[int] = ()) -> Offsets:
    """The line that each record of `text` begins on, counted from 0; empty lines are no records.

    Every quote of `text` must be right. Line ends at the offsets `more_ends` count, too.
    """
    data = np.frombuffer(text, np.uint8)
    found = scan(text, delimiter, quote) if quote in text else None
    if found is not None:
        lines, ends = found.lines, found.records
    else:
        lines = ends = line_ends(text, data)
    starts = np.concatenate(([0], ends[:-1]))
    starts = starts[(data[starts] != LF) & (data[starts] != CR)]
    before: Offsets = np.searchsorted(lines, starts, side="right")
    return before + np.searchsorted(np.array(more_ends, np.int64), starts) if more_ends else before


def count_lines(text: bytes, end: int) -> int:
    """How many line ends are before the offset `end`."""
    if b"\r" not in text:
        return text.count(b"\n", 0, end)
    return text.count(b"\n", 0, end) + text.count(b"\r", 0, end) - text.count(b"\r\n", 0, end)
