"""The bytes of a JSON file from the present position on, read as needed."""

from __future__ import annotations

import re
from typing import IO

from config.errors import FileRejected
from ingestion.formats.encoding import UTF8, Text, wide_encoding
from ingestion.formats.way_out import in_yaml

WINDOW_BYTES = 1 << 19  # a short while in the decoder, that lets no other thread run
SPACES = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*")
BOM = b"\xef\xbb\xbf"


class Window:
    """A part of the file: `data`, of which what is before `position` was used.

    Whoever can't go on asks for `more`, and gives up when there is none: so every loop over the file ends.
    """

    def __init__(self, raw: IO[bytes], encoding: str = UTF8) -> None:
        self._raw = Text(raw, encoding)
        self.encoding = self._raw.encoding
        self._before = 0  # bytes of the file before `data`
        self.data = b""
        self.position = 0
        while len(self.data) < 4 and self.more():
            pass
        if found := wide_encoding(self.data[: len(self.data) // 4 * 4]):
            raise FileRejected(
                f"looks like {found.upper()} without a byte order mark: {in_yaml('encoding', found)}"
            )
        if self.data.startswith(BOM):
            self.position = len(BOM)

    def more(self) -> bool:
        """Forget what was used and read on, as much again as is left; False when the file has no more."""
        left = len(self.data) - self.position
        new = self._raw.read(max(WINDOW_BYTES, left))
        self._before += self.position
        self.data = self.data[self.position :] + new
        self.position = 0
        return bool(new)

    def next_byte(self) -> bytes:
        """Skip white space, and return the byte after it; nothing at the end of the file."""
        while True:
            match = _SPACE.match(self.data, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.data) or not self.more():
                return self.data[self.position : self.position + 1]

    def place(self, offset: int = 0) -> str:
        """The number, from 1, of the file's byte that is `offset` bytes behind the position."""
        number = self._before + self.position + offset + 1
        return f"{number}" if self._raw.is_as_written else f"{number} of the text as UTF-8"
