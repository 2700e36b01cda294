"""A CSV file in blocks of whole lines, in UTF-8."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from config.errors import FileRejected
from ingestion.formats.csv_escapes import Escapes, count_hidden_lines
from ingestion.formats.csv_header import other_kind, said_delimiter, wrong_encoding
from ingestion.formats.csv_options import CsvOptions
from ingestion.formats.csv_quotes import count_lines
from ingestion.formats.encoding import Text
from ingestion.formats.streams import Again, Filled, Stream, pieces_of

BLOCK_BYTES = 4 << 20  # read at a time
MAX_LINE_BYTES = 4 << 20  # a longer line fails its file; a record that spans more is malformed


class Blocks:
    """A file in blocks. `text` are whole lines, none of them used yet, which begin on line `line` of the file.

    When `last`, it goes to the end of the file. Of what `options` say, the footer is left out of the text, and
    escaped signs are hidden in it by `escapes`. No line and no record is waited for beyond `longest` bytes.
    """

    def __init__(self, raw: Stream, options: CsvOptions) -> None:
        self.longest = MAX_LINE_BYTES
        self._source = Text(raw, options.encoding)
        self._raw: Stream = self._source
        self.escapes: Escapes | None = None
        if options.skip_footer:
            self._raw = Filled(_without_footer(self._raw, options.skip_footer))
        if sign := options.escape_sign:
            beginning = self._raw.read(len("sep=, ") * 2)
            self._raw = Again(beginning, self._raw)
            delimiter = said_delimiter(beginning) or options.delimiter
            self.escapes = Escapes(sign, delimiter, options.quote)
            self._raw = Filled(self.escapes.hide(self._raw))
        self._rest = b""  # of a line that goes on
        self.text, self.line, self.last = b"", 1, False
        self._used = 0  # bytes of the text before
        self.read()

    def use(self, length: int) -> None:
        """Go on behind the first `length` bytes of the text."""
        self.line += self._lines(length)
        self._used += length
        self.text = self.text[length:]

    def read(self) -> None:
        """Add the next lines to the text."""
        while True:
            block = self._raw.read(BLOCK_BYTES)
            self.last = len(block) < BLOCK_BYTES  # these streams read in full
            if not self.last and (end := _end_of_lines(block)):
                text = b"".join((self.text, self._rest, memoryview(block)[:end]))
                self.text, self._rest = self._checked(text), block[end:]
                return
            text = b"".join((self.text, self._rest, block))
            if self.last:
                whole = text if text.endswith((b"\n", b"\r")) or not text else text + b"\n"
                self.text, self._rest = self._checked(whole), b""
                return
            used = len(self.text)
            if end := _end_of_lines(text, used):  # an LF may have followed the last CR of the rest
                self.text, self._rest = self._checked(text[:end]), text[end:]
                return
            self._rest = text[used:]
            if len(self._rest) > self.longest:
                line = self.line + self._lines(used)
                raise FileRejected(f"line {line} is longer than {self.longest >> 20} MB")

    def _lines(self, length: int) -> int:
        lines = count_lines(self.text, length)
        return lines + count_hidden_lines(self.text, length) if self.escapes else lines

    def _checked(self, text: bytes) -> bytes:
        offsets = pa.py_buffer(np.array([0, len(text)], np.int32))
        try:
            pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(text)]).validate(full=True)
        except pa.ArrowInvalid:
            raise FileRejected(self._wrong(text)) from None
        return text

    def _wrong(self, text: bytes) -> str:
        """What to say of text that is not in its encoding."""
        if self.line == 1 and (kind := other_kind(text)):
            return kind
        try:
            text.decode()
        except UnicodeDecodeError as error:
            self.text = text
            line = self.line + self._lines(error.start)
            byte = self._source.fault
            if self._source.is_as_written and self.escapes is None:
                byte = self._used + error.start + 1
            return wrong_encoding(text, error.start, line, byte, self._source)
        raise AssertionError("it is UTF-8")


def _end_of_lines(text: bytes, start: int = 0) -> int:
    """The offset behind the last line end from `start` on, else 0; an LF may yet follow a CR at the end."""
    return max(text.rfind(b"\n", start), text.rfind(b"\r", start, -1)) + 1


def _without_footer(raw: Stream, lines: int) -> Iterator[bytes]:
    """The text without its last `lines` lines; empty ones behind them do not count."""
    held = b""
    for piece in pieces_of(raw):
        held += piece
        # One line more is held back: the last one may go on, or be empty yet.
        end = _start_of_last(held, lines + 1)
        if not end and len(held) > (lines + 1) * MAX_LINE_BYTES:
            end = len(held)  # a line is too long, which whoever reads it will say
        yield held[:end]
        held = held[end:]
    yield held[: _start_of_last(held, lines)]


def _start_of_last(text: bytes, lines: int) -> int:
    """Where the last `lines` lines begin that are not empty; 0 if there are not so many."""
    end = len(text)
    for _ in range(lines):
        while end and text[end - 1] in b"\r\n":
            end -= 1
        if not end:
            return 0
        end = max(text.rfind(b"\n", 0, end), text.rfind(b"\r", 0, end)) + 1
    return end
