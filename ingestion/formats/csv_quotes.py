"""The quotes of a CSV text, all at once: which of them break RFC 4180, and which line ends are within a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

QUOTE, LF, CR = b'"\n\r'

Offsets = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


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


def scan(text: bytes, delimiter: int) -> Scan:
    """Read the quotes of `text`, which ends with a line end and holds a quote."""
    data = np.frombuffer(text, np.uint8)
    quotes = data == QUOTE
    edges = data == delimiter
    edges |= data == LF
    edges |= data == CR
    at = np.flatnonzero(quotes)
    lines = line_ends(text, data)
    if _alternate(at, edges | quotes):
        within = (np.searchsorted(at, lines) & 1).astype(bool)
        return Scan(np.array([], np.int64), lines, within)
    return _scan_any(at, edges, lines)


def _alternate(at: Offsets, around: Flags) -> bool:
    """Do the quotes open and close values in turn, and nothing else? Two in a row close a value and open it again.

    `around`: bytes that may be before a quote that opens and behind one that closes. Before the first is the last:
    a line end. This is what most files are like, and it takes a quarter of the time.
    """
    return bool(around[at[0::2] - 1].all() and around[at[1::2] + 1].all())


def _scan_any(at: Offsets, edges: Flags, lines: Offsets) -> Scan:
    """A quote opens a value only at the start of a field; elsewhere outside of a quoted value it is text.

    So a run of quotes in a row does one of three things: of even length, none; of odd length at the start of a
    field, it opens or closes a value; of odd length elsewhere, it leaves the text outside of any. For the last it
    does not matter what came before, which makes a sum of what looks like a loop.
    """
    starts, ends = _runs(at)
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


def lines_of_records(text: bytes, delimiter: int) -> Offsets:
    """The line that each record of `text` begins on, counted from 0; empty lines are no records.

    Every quote of `text` must be right.
    """
    data = np.frombuffer(text, np.uint8)
    if b'"' in text:
        found = scan(text, delimiter)
        lines, ends = found.lines, found.records
    else:
        lines = ends = line_ends(text, data)
    starts = np.concatenate(([0], ends[:-1]))
    starts = starts[(data[starts] != LF) & (data[starts] != CR)]
    before: Offsets = np.searchsorted(lines, starts, side="right")
    return before


def count_lines(text: bytes, end: int) -> int:
    """How many line ends are before the offset `end`."""
    if b"\r" not in text:
        return text.count(b"\n", 0, end)
    return text.count(b"\n", 0, end) + text.count(b"\r", 0, end) - text.count(b"\r\n", 0, end)
