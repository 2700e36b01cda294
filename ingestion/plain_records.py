"""The quick decoder for JSON as exports write it; what it declines, the general one of json_reader takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np

SPACE, QUOTE, COLON, BRACKET, BRACE = b' ":[{'
_NAN = re.compile("NaN")
# Before a bare NaN. A quote within a text would be escaped, and the one that opens a text follows no letter.
_KEY_END = re.compile(r'\w": ?\Z')


class PlainRecords:
    """Decodes windows in which every record has just the keys `names`, each once, and plain values.

    That is what exports look like, and takes a quarter of the time. Anything else is left to the general decoder,
    which tells what is wrong with which record. Both keep every digit of a number.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.fields = {name: f"field_{position}" for position, name in enumerate(names)}
        self.type = msgspec.defstruct(
            "PlainRecord",
            [(field, Any) for field in self.fields.values()],
            rename={field: name for name, field in self.fields.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._array = msgspec.json.Decoder(list[self.type], float_hook=str)  # type: ignore[name-defined]
        self._line = msgspec.json.Decoder(self.type, float_hook=str)

    def array(self, text: str) -> list[Any] | None:
        """The records of `text`, which is a JSON array; None when the general decoder has to look."""
        return self._decoded(self._array.decode, text, brackets=1)

    def lines(self, text: str) -> list[Any] | None:
        """The records of `text`, one a line; None as for `array`."""
        records = self._decoded(self._line.decode_lines, text, brackets=0)
        return records if records is None or len(records) == text.rstrip("\n").count("\n") + 1 else None

    def _decoded(self, decode: Callable[[bytes], list[Any]], text: str, *, brackets: int) -> list[Any] | None:
        if "NaN" in text:
            text = _NAN.sub(_as_text_after_a_key, text)
        try:
            data = text.encode()
            records = decode(data)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return None
        chars = np.frombuffer(data, np.uint8)
        before_colons = chars[np.flatnonzero(chars[1:] == COLON)]
        flat = _count(chars, BRACE) == len(records) and _count(chars, BRACKET) == brackets
        each_key_once = _count(before_colons, QUOTE) == len(records) * len(self.fields)
        all_counted = not (before_colons <= SPACE).any()  # a key with a gap before its colon was not
        return records if flat and each_key_once and all_counted else None


def _count(chars: np.ndarray, char: int) -> int:
    return int(np.count_nonzero(chars == char))


def _as_text_after_a_key(match: re.Match[str]) -> str:
    bare = _KEY_END.search(match.string, max(0, match.start() - 4), match.start())
    return '"NaN"' if bare else "NaN"
