"""A CSV text with all that is malformed taken out, in time that grows with the text.

Of a record that is malformed only its first line is lost: the next one begins on the line after it. NumPy tells
where something is wrong; from there on, until both agree again, records are read one by one.
"""

from __future__ import annotations

import re
import secrets
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ingestion.formats.csv_comments import Comments
from ingestion.formats.csv_escapes import HIDDEN_LINE_END
from ingestion.formats.csv_quotes import Offsets, Scan, scan
from ingestion.formats.csv_records import Grammar

_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|\r|\n)")


class Cut(NamedTuple):
    """The first line of a malformed record, which was taken out."""

    rule: str
    text: str


@dataclass
class Mended:
    """Whole records with their quotes right; for each of `cuts` a line that begins with the mark is in its place.

    `used`: how much of the text they are. Behind it a record goes on.
    """

    text: bytes
    used: int
    cuts: list[Cut] = field(default_factory=list)


class Mender:
    """Takes out the records that break `grammar`; one that is not over after `longest` bytes does."""

    def __init__(self, grammar: Grammar, longest: int, comments: Comments | None = None) -> None:
        self.grammar = grammar
        self.longest = longest
        self.comments = comments
        self.mark = b"\0" + secrets.token_hex(8).encode()  # no line of a file begins with it
        self.marked = self.mark + grammar.delimiter * grammar.fields + b"\n"  # a field too many: Arrow tells of it

    def mend(self, text: bytes, *, last: bool, closely: bool = False) -> Mended:
        """Of `text`, which begins a record and ends with a line end, all records that are over.

        `last`: nothing follows. `closely`: every record that spans lines is looked at by itself.
        """
        plain = self.comments.left_empty(text) if self.comments else text
        if self.grammar.quote not in plain:
            return Mended(plain, len(text))
        found = scan(plain, self.grammar.delimiter[0], self.grammar.quote[0])
        if found is None:
            return Mended(plain, len(text))
        if plain is not text:  # what looks like a comment may be within a value
            return _Walk(self, text, [0, len(text)], last=last).run([0])
        starts = np.concatenate(([0], found.records))
        whole = int(starts[-1])
        doubtful = self._doubtful(text, found, starts, closely=closely)
        if whole < len(text) and (last or len(text) - whole > self.longest):
            doubtful = np.append(doubtful, whole)
        if not len(doubtful):
            return Mended(text if whole == len(text) else text[:whole], whole)
        return _Walk(self, text, starts.tolist(), last=last).run(np.unique(doubtful).tolist())

    def _doubtful(self, text: bytes, found: Scan, starts: Offsets, *, closely: bool) -> Offsets:
        """Where the records begin that may be malformed."""
        spots = found.wrong
        if found.within.any():
            inner = found.lines[found.within]
            spots = np.concatenate((spots, inner if closely else self._full_lines(text, found, inner, starts)))
        return starts[np.searchsorted(starts, spots, side="right") - 1]

    def _full_lines(self, text: bytes, found: Scan, inner: Offsets, starts: Offsets) -> Offsets:
        """Offsets in records of which each line has as many delimiters as a record has, or most of them have.

        A quick look: `inner` are the line ends within values.
        """
        wanted = self.grammar.fields - 1
        if not wanted:
            return np.array([], np.int64)
        data = np.frombuffer(text, np.uint8)
        delimiters = np.flatnonzero(data == self.grammar.delimiter[0])
        full = np.diff(np.searchsorted(delimiters, found.lines), prepend=0) >= wanted  # a line
        owner = np.searchsorted(starts, inner, side="right") - 1  # the record that the line before the end is of
        line = np.searchsorted(found.lines, inner)
        following = np.minimum(line + 1, len(full) - 1)
        size, good = (np.bincount(owner, w, len(starts)) for w in (None, full[following]))
        begins = full[np.searchsorted(found.lines, starts[:-1], side="right")]
        suspect = 2 * good > size
        suspect[:-1] &= begins
        suspect[-1] = False  # it is not over
        return inner[suspect[owner]]


class _Walk:
    """One text, of which `starts` are the record starts as the quotes have them; `last`: nothing follows it."""

    def __init__(self, mender: Mender, text: bytes, starts: list[int], *, last: bool) -> None:
        self._mender = mender
        self._text, self._starts, self._last = text, starts, last
        self._pieces: list[bytes] = []
        self._copied = 0
        self._cuts: list[Cut] = []

    def run(self, doubtful: list[int]) -> Mended:
        """Look at the records that begin at `doubtful`, and at all that come undone with them."""
        position, used = 0, self._starts[-1]
        for start in doubtful:
            if start >= position:
                position, over = self._read_on(start)
                used = max(used, position) if over else position
                if not over:
                    break
        self._pieces.append(self._text[self._copied : used])
        return Mended(b"".join(self._pieces), used, self._cuts)

    def _read_on(self, position: int) -> tuple[int, bool]:
        """Record by record, to where one begins that the quotes have too; or to one that is not over (False)."""
        text, starts, comments = self._text, self._starts, self._mender.comments
        known = bisect_right(starts, position)
        quote = comment = position - 1  # the next ones, where they are known
        while True:
            end = self._end(position)
            if end is None:
                return position, False
            if 0 <= quote < end or quote == position - 1:
                quote = text.find(self._mender.grammar.quote, end)
            if comments and (0 <= comment < end or comment == position - 1):
                comment = comments.next(text, end)
            if quote < 0 and (comments is None or comment < 0):
                return len(text), True
            line = len(text)
            if quote >= 0:
                line = max(text.rfind(b"\n", end, quote) + 1, text.rfind(b"\r", end, quote) + 1, end)
            if comments and comment >= 0:
                line = min(line, comment)
            known = bisect_left(starts, end, known)
            if known < len(starts) and starts[known] <= line:
                return starts[known], True
            position = line

    def _end(self, start: int) -> int | None:
        """The offset behind the record or comment that begins at `start`; None where a record is not over."""
        comments = self._mender.comments
        if comments and comments.begins(self._text, start):
            self._pieces.append(self._text[self._copied : start])
            before = next((piece[-1:] for piece in reversed(self._pieces) if piece), b"")
            next_line, self._copied, line_end = comments.end(self._text, start, before)
            self._pieces.append(line_end)
            return next_line
        end = self._mender.grammar.end_of_record(self._text, start)
        if end is not None:
            return end
        return None if self._waits(start) else self._take_out(start)

    def _waits(self, start: int) -> bool:
        """Is the record right so far, and not too long yet to wait for its end?"""
        if self._last or len(self._text) - start > self._mender.longest:
            return False
        return self._mender.grammar.goes_on(self._text, start)

    def _take_out(self, start: int) -> int:
        end = _LINE.match(self._text, start).end()  # type: ignore[union-attr]
        rule = self._mender.grammar.fault(self._text, start)
        self._cuts.append(Cut(rule, self._text[start:end].decode().rstrip("\r\n")))
        escaped = b"".join(HIDDEN_LINE_END.findall(self._text, start, end))  # they count as lines
        mark = self._mender.marked.replace(b"\n", escaped + b"\n") if escaped else self._mender.marked
        self._pieces += (self._text[self._copied : start], mark)
        self._copied = end
        return end
