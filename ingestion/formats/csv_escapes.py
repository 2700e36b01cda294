"""Escaped signs of a CSV text, hidden while it is split into values, and put back into these.

An escape makes text of a delimiter, a quote, a line end or an escape behind it, within quotes and without. Before
any other character it is text, so that nothing is lost of `C:\\new` and `\\N`. Each escaped sign becomes one
of the characters that Unicode keeps for such uses (U+FDD0 and following); those that the file has of its own are
marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.formats.streams import Stream, pieces_of

_OWN, _ESCAPE, _DELIMITER, _QUOTE, _LF, _CR = (chr(0xFDD0 + number) for number in range(6))
_SPECIAL = b"\xef\xb7"  # how all of them begin in UTF-8
_FOUND = re.compile(rb"\xef\xb7[\x90-\x95]")
HIDDEN_LINE_END = re.compile(f"{_LF}|{_CR}(?:{_LF})?+".encode())
# What the file has of these characters: a mark, and one that stands for it.
_STAND_INS = {chr(0xFDD0 + number).encode(): (_OWN + chr(0xFDE0 + number)).encode() for number in range(6)}
_ITS_OWN = {stand_in.decode(): own.decode() for own, stand_in in _STAND_INS.items()}
_IN_TEXT = re.compile(f"({_OWN}.)|({_CR}{_LF}|[{_ESCAPE}-{_CR}])", re.DOTALL)


class Escapes:
    """The escape `sign` of a text whose fields have `delimiter` between them and `quote` around them."""

    def __init__(self, sign: str, delimiter: str, quote: str | None) -> None:
        self._signs = {_ESCAPE: sign, _DELIMITER: delimiter, _LF: "\n", _CR: "\r", _CR + _LF: "\r\n"}
        self._signs[_QUOTE] = quote or '"'  # which writers escape though they quote nothing
        self._escape = sign
        self._byte = sign.encode()
        self._hide = {(sign + text).encode(): hidden.encode() for hidden, text in self._signs.items()}
        pairs = b"|".join(map(re.escape, sorted(self._hide, key=len, reverse=True)))  # CR LF is one line end
        self._pair = re.compile(pairs)

    def hide(self, raw: Stream) -> Iterator[bytes]:
        """The text of `raw`, in which each escaped sign is hidden."""
        held = b""
        for piece in pieces_of(raw):
            text = held + piece
            # A pair must not be torn: what may go on in the next piece waits for it.
            end = self._end(text)
            held = text[end:]
            yield self._hidden(text[:end])
        yield self._hidden(held)

    def _end(self, text: bytes) -> int:
        body = text.removesuffix(b"\r")
        if (len(body) - len(body.rstrip(self._byte))) % 2:
            return len(body) - 1
        return len(text) - (1 if text.endswith(_SPECIAL[:1]) else 2 if text.endswith(_SPECIAL) else 0)

    def _hidden(self, text: bytes) -> bytes:
        if _SPECIAL in text:
            text = _FOUND.sub(lambda found: _STAND_INS[found[0]], text)
        if self._byte in text:
            text = self._pair.sub(lambda found: self._hide[found[0]], text)
        return text

    def values(self, columns: pa.Table) -> pa.Table:
        """Columns of text with the signs that are meant."""
        for position, name in enumerate(columns.column_names):
            chunks = [self._put_back(chunk) for chunk in columns.column(name).chunks]
            columns = columns.set_column(position, name, pa.chunked_array(chunks, pa.string()))
        return columns

    def _put_back(self, texts: pa.Array) -> pa.Array:
        data = texts.buffers()[2]
        if data is None or not _FOUND.search(data):
            return texts
        if _OWN.encode() in memoryview(data).tobytes():
            return pa.array(
                [None if text is None else self.value(text) for text in texts.to_pylist()], pa.string()
            )
        for hidden, sign in self._signs.items():
            texts = pc.replace_substring(texts, hidden, sign)
        return texts

    def value(self, text: str) -> str:
        """A value with the signs that are meant."""
        return _IN_TEXT.sub(lambda found: _ITS_OWN[found[1]] if found[1] else self._signs[found[2]], text)

    def as_written(self, text: str) -> str:
        """The text as the file has it."""
        return _IN_TEXT.sub(self._written, text)

    def _written(self, found: re.Match[str]) -> str:
        return _ITS_OWN[found[1]] if found[1] else self._escape + self._signs[found[2]]


def count_hidden_lines(text: bytes, end: int) -> int:
    """How many line ends are hidden before the offset `end`."""
    return sum(1 for _ in HIDDEN_LINE_END.finditer(text, 0, end))


def hidden_line_ends(text: bytes) -> list[int]:
    """The offsets of the line ends of `text` that are hidden."""
    return [found.start() for found in HIDDEN_LINE_END.finditer(text)]
