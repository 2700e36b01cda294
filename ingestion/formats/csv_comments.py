"""Comment lines of a CSV text: left empty, so that lines count as in the file."""

from __future__ import annotations

import re

from ingestion.formats.csv_escapes import HIDDEN_LINE_END

_LINE_END = re.compile(rb"\r\n|\r|\n")
_TEXT = rb"[^\r\n]*+"
# The line end of a comment is never escaped, whatever sign is before it.
_TEXT_TO_HIDDEN_END = rb"(?:[^\r\n\xef]++|\xef(?!\xb7[\x94\x95]))*+"


class Comments:
    """Lines that begin with `sign`. `escapes`: escaped signs are hidden in the text."""

    def __init__(self, sign: str, *, escapes: bool = False) -> None:
        self._sign = sign.encode()
        rest = re.escape(self._sign) + (_TEXT_TO_HIDDEN_END if escapes else _TEXT)
        hidden = HIDDEN_LINE_END.pattern if escapes else b"(?!)"
        self._line = re.compile(rest + b"(?:" + hidden + b")?+")
        self._text = re.compile(rest)
        self._behind = [(end + self._sign, re.compile(end + self._line.pattern)) for end in (b"\n", b"\r")]
        self._hidden = re.compile(b"(?:" + hidden + rb")\Z")

    def begins(self, text: bytes, start: int) -> bool:
        """Does a line that begins at `start` begin as a comment does?"""
        return text.startswith(self._sign, start)

    def end(self, text: bytes, start: int, before: bytes) -> tuple[int, int, bytes]:
        """Of the comment at `start`: where the next line begins, where its text ends, what to write for it.

        `before`: the byte that is written before it.
        """
        line = self._line.match(text, start)
        assert line is not None  # noqa: S101  (a comment begins there)
        end = _LINE_END.match(text, line.end())
        next_line = line.end() if self._hidden.search(line[0]) or end is None else end.end()
        return next_line, line.end(), self._left(line, before)

    def next(self, text: bytes, start: int) -> int:
        """Where the next line begins that begins as a comment does, from the line start `start` on; else -1."""
        if self.begins(text, start):
            return start
        found = [at + 1 for sign, _ in self._behind if (at := text.find(sign, start)) >= 0]
        return min(found, default=-1)

    def left_empty(self, text: bytes) -> bytes:
        """The text with every line empty that begins as a comment; the same object where there is none."""
        if self.begins(text, 0):
            _, copied, line_end = self.end(text, 0, b"")
            text = line_end + text[copied:]
        for sign, line in self._behind:
            while sign in text:
                text = line.sub(self._as_line_ends, text)
        return text

    def _left(self, line: re.Match[bytes], before: bytes) -> bytes:
        """What is written for a comment: nothing but line ends, of which there have to be as many as before."""
        # A CR before it and an LF behind it would become one line end.
        torn = b"\n" if before == b"\r" else b""
        if self._hidden.search(line[0]):
            return torn + b"\n"
        return torn if line.string[line.end() : line.end() + 1] == b"\n" else b""

    def _as_line_ends(self, found: re.Match[bytes]) -> bytes:
        return found[0][:1] + self._left(found, found[0][:1])
