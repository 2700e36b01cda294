"""The quick decoder for JSON as exports write it; what it declines, the general one of json_record takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw

SPACE, QUOTE, COLON, BRACKET, BRACE, CLOSING, DASH, ZERO, LINE_END, RETURN = b' ":[{}-0\n\r'
MOST_FIELDS = 1000  # a record with more keys is left to the general decoder
_NAN = re.compile(b"NaN")
# Before a bare NaN. A quote within a text would be escaped, and the one that opens a text follows no letter.
_KEY_END = re.compile(rb'\w": ?\Z')
_ESCAPED_IN_KEYS = re.compile(r'["\\\x00-\x1f]')  # msgspec knows no field of such a name
_ENDS_A_NUMBER = np.isin(np.arange(256), list(b",}] \t\r\n"))  # by the byte


class PlainRecord(msgspec.Struct):
    """A record that the quick decoder read. A key that it lacks is UNSET, a nested value is Raw."""


class PlainRecords:
    """Decodes windows in which every record has just the keys `names`, each once, and plain values.

    That is what exports look like, and takes a quarter of the time. Anything else is left to the general decoder,
    which tells what is wrong with which record. Both keep every digit of a number. Records that lack keys, and
    nested values, are taken too once `learn` has told of one. The values of the columns `exact`, and of those with
    nested values, are kept as they are written. A bare NaN is null if it is among the `words` that mean null.
    With `leaves_out` records with other keys are taken, too, once it has learned of these; with `keeps_new` their
    values are kept as they are written.
    """

    def __init__(
        self,
        names: Iterable[str],
        exact: Iterable[str] = (),
        words: Collection[str] = (),
        *,
        leaves_out: bool = False,
        keeps_new: bool = False,
    ) -> None:
        self.fields = {name: f"field_{position}" for position, name in enumerate(names)}
        self._wanted = frozenset(self.fields)
        self._keeps_new = keeps_new
        self.exact = self.nested = frozenset(exact)
        self.words = words
        self._leaves_out = leaves_out
        self._declines = any(map(_ESCAPED_IN_KEYS.search, self.fields))
        self._gaps = False  # may a record lack keys?
        self._make_decoders()

    def is_exact(self, name: str) -> bool:
        """Is the key's value kept as it is written?"""
        return name in self.exact or (self._keeps_new and name not in self._wanted)

    @property
    def new(self) -> list[str]:
        """The keys beside the wanted ones that were learned of."""
        return [name for name in self.fields if name not in self._wanted]

    def learn(self, names: Collection[str], nested: Collection[str]) -> None:
        """From now on take records like one that has the keys `names`, those in `nested` with nested values."""
        count = len(self.fields)
        gaps = self._gaps or not self.fields.keys() <= set(names)
        if self._leaves_out and len(self.fields | dict.fromkeys(names)) <= MOST_FIELDS:
            others = [name for name in names if name not in self.fields and not _ESCAPED_IN_KEYS.search(name)]
            self.fields |= {name: f"field_{count + n}" for n, name in enumerate(others)}
            gaps |= bool(others)  # those before did without them
            nested = [*nested, *(others if self._keeps_new else ())]
        known = self.nested | (self.fields.keys() & set(nested))
        if (gaps, known, len(self.fields)) != (self._gaps, self.nested, count):
            self._gaps, self.nested = gaps, known
            self._make_decoders()

    def _make_decoders(self) -> None:
        if self._declines:
            self._array, self._line = msgspec.json.Decoder(list[PlainRecord]), msgspec.json.Decoder(PlainRecord)
            return
        default = UNSET if self._gaps else msgspec.NODEFAULT
        fields = [(field, Raw if name in self.nested else Any, default) for name, field in self.fields.items()]
        kind = msgspec.defstruct(
            "Record",
            fields,
            bases=(PlainRecord,),
            rename={field: name for name, field in self.fields.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._array = msgspec.json.Decoder(list[kind], float_hook=str)  # type: ignore[valid-type]
        self._line = msgspec.json.Decoder(kind, float_hook=str)

    def array(self, data: bytes) -> list[PlainRecord] | None:
        """The records of `data`, which is a JSON array; None when the general decoder has to look."""
        return self._decoded(self._array.decode, data, brackets=1)

    def lines(self, data: bytes) -> list[PlainRecord] | None:
        """The records of `data`, one a line; None as for `array`."""
        data = data.rstrip(b"\r\n")
        records = self._decoded(self._line.decode_lines, data, brackets=0)
        # The decoder takes two records on a line, too, and one on two lines.
        return records if records is not None and _is_one_a_line(data, len(records)) else None

    def _decoded(
        self, decode: Callable[[bytes], list[Any]], data: bytes, *, brackets: int
    ) -> list[PlainRecord] | None:
        if self._declines:
            return None
        if "nan" in self.words and b"NaN" in data:
            if self.nested:  # within a nested value it is no JSON, and has to stay as it is written
                return None
            data = _NAN.sub(_as_null_after_a_key, data)
        try:
            records = decode(data)
            if self.nested and not data.isascii():
                data.decode()  # what is kept as it is written was not decoded
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        chars = np.frombuffer(data, np.uint8)
        keys, braces, brackets_found, sure = _structure(chars)
        if not sure or _has_minus_zero(chars):
            return None
        if self.nested:
            inside = _structure(np.frombuffer(self._nested_text(records), np.uint8))
            keys, braces, brackets_found = keys - inside[0], braces - inside[1], brackets_found - inside[2]
        flat = braces == len(records) and brackets_found == brackets
        lacking = self._lacking(records) if self._gaps else 0
        each_key_once = keys == len(records) * len(self.fields) - lacking
        return records if flat and each_key_once else None

    def _nested_text(self, records: list[PlainRecord]) -> bytes:
        texts = []
        for name in self.nested:
            values = list(map(attrgetter(self.fields[name]), records))
            if self._gaps:
                values = [value for value in values if value is not UNSET]
            texts.append(b" ".join(values))
        return b" ".join(texts)

    def _lacking(self, records: list[PlainRecord]) -> int:
        """How many keys the records lack, all in all."""
        return sum(list(map(attrgetter(field), records)).count(UNSET) for field in self.fields.values())


def _structure(chars: np.ndarray) -> tuple[int, int, int, bool]:
    """How many keys, braces and brackets are opened in JSON text, at least; sure when all keys were counted."""
    before_colons = chars[np.flatnonzero(chars[1:] == COLON)]
    sure = not (before_colons <= SPACE).any()  # a key with a gap before its colon is not counted
    return _count(before_colons, QUOTE), _count(chars, BRACE), _count(chars, BRACKET), sure


def _has_minus_zero(chars: np.ndarray) -> bool:
    """Might there be a whole number -0, whose sign an int would lose?"""
    dashes = np.flatnonzero((chars[:-2] == DASH) & (chars[1:-1] == ZERO))
    return bool(_ENDS_A_NUMBER[chars[dashes + 2]].any())


def _is_one_a_line(data: bytes, records: int) -> bool:
    """Does each of the lines hold one record? Within a record, no line can end between } and {."""
    chars = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(chars == LINE_END)
    before = chars[ends - 1]
    before = np.where(before == RETURN, chars[ends - 2], before)
    return len(ends) == records - 1 and bool(((before == CLOSING) & (chars[ends + 1] == BRACE)).all())


def _count(chars: np.ndarray, char: int) -> int:
    return int(np.count_nonzero(chars == char))


def _as_null_after_a_key(match: re.Match[bytes]) -> bytes:
    bare = _KEY_END.search(match.string, max(0, match.start() - 4), match.start())
    return b"null" if bare else b"NaN"
