"""A JSON document that holds the records' array somewhere within: the way to it, and what comes behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from config.errors import FileRejected
from config.origins import path_in_record
from ingestion.formats.json_array import array_records
from ingestion.formats.json_record import Record
from ingestion.formats.json_window import Window
from ingestion.formats.plain_records import PlainRecords
from validation.drift import shown

LONGEST_TOKEN = 1 << 16  # bytes, of a key or a number
MOST_LEVELS = 10_000
_KEYS_TOLD = 8
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_END_OF_TEXT = re.compile(rb'["\\]')
_BRACKET_OR_TEXT = re.compile(rb'["{}\[\]]')
_END_OF_SCALAR = re.compile(rb"[,}\] \t\r\n]")
_SCALAR = re.compile(rb"(?:null|true|false|-?[0-9][0-9.eE+-]*|NaN|-?Infinity)")
_CLOSED_BY = {b"{": b"}", b"[": b"]"}
_KINDS = {b"{": "an object", b'"': "a text", b"n": "null", b"t": "a truth value", b"f": "a truth value"}


def records_at(window: Window, where: str, plain: PlainRecords) -> Iterator[Record]:
    """The elements of the array at the path `where` of the document. Nothing beside it is kept, or judged.

    Raises FileRejected when the path leads to no array, or the document is not whole.
    """
    document = _Document(window, where)
    document.enter()
    yield from array_records(window, plain, alone=False)
    document.leave()


class _Document:
    """One document, from its beginning to its end."""

    def __init__(self, window: Window, where: str) -> None:
        self._window = window
        self._where = where
        self._path = path_in_record(where)

    def enter(self) -> None:
        """Go to behind the [ of the array."""
        window = self._window
        for depth, step in enumerate(self._path):
            if (first := window.next_byte()) != b"{":
                raise self._leads_nowhere(depth, first)
            window.position += 1
            self._find(step, depth)
        if (first := window.next_byte()) != b"[":
            raise self._leads_nowhere(len(self._path), first)
        window.position += 1

    def leave(self) -> None:
        """Go on behind the array to the end of the document."""
        for depth in range(len(self._path) - 1, -1, -1):
            while (sign := self._window.next_byte()) == b",":
                self._window.position += 1
                if self._key() == self._path[depth]:
                    raise FileRejected(f"{self._place(depth + 1)} is given twice, at byte {self._window.place()}")
                self._skip_value()
            if sign != b"}":
                raise self._broken(sign, "an object that is not closed")
            self._window.position += 1
        if self._window.next_byte():
            raise FileRejected(
                f"is not JSON: there is more after the end of the document, at byte {self._window.place()}; "
                "records goes with one document in a file"
            )

    def _find(self, step: str, depth: int) -> None:
        """Go to the value of the key `step` of the object whose { is behind."""
        names: list[str] = []
        while self._window.next_byte() != b"}":
            name = self._key()
            if name == step:
                return
            names.append(name)
            self._skip_value()
            if (sign := self._window.next_byte()) == b",":
                self._window.position += 1
            elif sign != b"}":
                raise self._broken(sign, "no comma after a value")
        told = ", ".join(shown(name, place) for place, name in enumerate(names[:_KEYS_TOLD])) or "nothing"
        raise FileRejected(
            f"{self._place(depth) or 'the document'} has no key {shown(step, depth)}, so that records "
            f"({self._where}) leads nowhere; it has {told}"
        )

    def _leads_nowhere(self, depth: int, first: bytes) -> FileRejected:
        window = self._window
        if first == b"":
            return self._broken(first, "nothing") if depth else FileRejected("is empty: no document in it")
        if depth == 0 and first == b"[":
            return FileRejected(f"begins with an array, to which no path leads; leave records ({self._where}) out")
        kind = _KINDS.get(first, "an array" if first == b"[" else "a number")
        ways_out = {b"{": "; go on to a key within it", b"n": "; a document without records has [] there"}
        wanted = "an array of records" if depth == len(self._path) else "an object"
        way_out = ways_out.get(first, "") if depth == len(self._path) else "; records ends at an array"
        place = self._place(depth) or "the document"
        return FileRejected(f"{place} is {kind}, not {wanted}, at byte {window.place()} (records){way_out}")

    def _place(self, depth: int) -> str:
        return ".".join(self._path[:depth])

    def _key(self) -> str:
        """Read a key and the colon behind it."""
        window = self._window
        if (sign := window.next_byte()) != b'"':
            raise self._broken(sign, "no key in double quotes")
        while (found := _KEY.match(window.data, window.position)) is None:
            if len(window.data) - window.position > LONGEST_TOKEN or not window.more():
                raise self._broken(b"", "a key that does not end")
        try:
            name = json.loads(found[0].decode())
        except ValueError:
            raise self._broken(sign, "a key that is no text") from None
        window.position = found.end()
        if (sign := window.next_byte()) != b":":
            raise self._broken(sign, "no colon after a key")
        window.position += 1
        return str(name)

    def _skip_value(self) -> None:
        """Go on behind a value, however long it is."""
        window = self._window
        first = window.next_byte()
        if first == b'"':
            window.position += 1
            self._skip_text()
        elif first in _CLOSED_BY and first:
            self._skip_nested()
        else:
            self._skip_scalar(first)

    def _skip_scalar(self, first: bytes) -> None:
        window = self._window
        while (end := _END_OF_SCALAR.search(window.data, window.position)) is None:
            if len(window.data) - window.position > LONGEST_TOKEN or not window.more():
                raise self._broken(first, "no value after a key")
        if not _SCALAR.fullmatch(window.data, window.position, end.start()):
            raise self._broken(first, "no value after a key")
        window.position = end.start()

    def _skip_text(self) -> None:
        """Go on behind the quote that ends the text."""
        window = self._window
        while True:
            found = _END_OF_TEXT.search(window.data, window.position)
            if found is None:
                window.position = len(window.data)
            elif found[0] == b'"':
                window.position = found.end()
                return
            elif found.end() < len(window.data):
                window.position = found.end() + 1  # behind the sign that is escaped
                continue
            else:
                window.position = found.start()
            if not window.more():
                raise self._broken(b"", "a text that does not end")

    def _skip_nested(self) -> None:
        window = self._window
        awaited: list[bytes] = []
        while True:
            found = _BRACKET_OR_TEXT.search(window.data, window.position)
            if found is None:
                window.position = len(window.data)
                if not window.more():
                    raise self._broken(b"", "a value that does not end")
                continue
            window.position = found.end()
            if found[0] == b'"':
                self._skip_text()
            elif found[0] in _CLOSED_BY:
                awaited.append(_CLOSED_BY[found[0]])
                if len(awaited) > MOST_LEVELS:
                    raise FileRejected(f"is nested too deeply, at byte {window.place()}")
            elif awaited.pop() != found[0]:
                raise self._broken(found[0], "a bracket that closes another one")
            if not awaited:
                return

    def _broken(self, sign: bytes, what: str) -> FileRejected:
        kind = "is not JSON" if sign else "is cut off, or is not JSON"
        return FileRejected(f"{kind}: {what}, at byte {self._window.place()}")
