"""A file with one JSON object a line → its records; a line that is none costs no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from config.errors import FileRejected
from config.model import Stage
from ingestion.formats.json_record import MAX_RECORD_BYTES, Fields, Record, decode_record
from ingestion.formats.json_window import SPACES, Window
from ingestion.formats.plain_records import PlainRecords
from validation.batch import Reason, Rejection
from validation.pii_handler import malformed_raw

FIRST_RECORD_BYTES = 1 << 16  # looked at to see whether objects span lines, or there are none
_KEPT_BYTES = 400_000  # of a line that is too long: what malformed_raw keeps of it


def line_records(window: Window, plain: PlainRecords) -> Iterator[Record]:
    """The objects of the lines. Raises FileRejected where the file's beginning shows that it has none."""
    return _Lines(window, plain).records()


class _Lines:
    """The lines of a file, each a JSON object."""

    def __init__(self, window: Window, plain: PlainRecords) -> None:
        self._window = window
        self._plain = plain

    def records(self) -> Iterator[Record]:
        self._check_first()
        number = line_number = 0
        for piece, is_whole in self._pieces():
            quick = is_whole and len(piece) <= MAX_RECORD_BYTES
            records: list[Any] | None = self._plain.lines(piece) if quick else None
            if records:
                yield from records
                number += len(records)
                line_number += len(records) - 1 + piece.count(b"\n", len(piece.rstrip(b"\r\n")))
                continue
            for line in piece.removesuffix(b"\n").split(b"\n"):
                line_number += 1
                if line := line.strip(SPACES):
                    number += 1
                    fits = is_whole and len(line) <= MAX_RECORD_BYTES
                    record, rule = self._decode(line) if fits else (None, "line_too_long")
                    yield record if record is not None else _malformed_line(line, rule, number, line_number)

    def _decode(self, line: bytes) -> tuple[Fields | None, str]:
        """The record, or the rule that the line breaks."""
        try:
            text = line.decode()
            if text.startswith("{"):
                record, end = decode_record(text, 0, self._plain)
                return record if end == len(text) else None, "not_json"
        except UnicodeDecodeError:
            return None, "not_utf8"
        except RecursionError:
            return None, "nested_too_deeply"
        except ValueError:
            pass
        return None, "not_json"

    def _check_first(self) -> None:
        """Refuse a file that has no object a line: one whose objects span lines, and what is no JSON at all."""
        window = self._window
        while len(window.data) - window.position < FIRST_RECORD_BYTES and window.more():
            pass
        data = window.data[window.position :][:FIRST_RECORD_BYTES]
        if not data.startswith(b"{"):
            if all(self._decode(line.strip(SPACES))[0] is None for line in data.split(b"\n")):
                raise FileRejected("is not JSON: neither an array of objects nor one object a line")
            return
        text = data.decode(errors="replace")
        with suppress(ValueError, RecursionError):
            _, end = decode_record(text, 0, self._plain)
            if "\n" in text[:end]:
                raise FileRejected("has objects that span lines: write one object a line, or an array of them")

    def _pieces(self) -> Iterator[tuple[bytes, bool]]:
        """Whole lines, some at a time; or the beginning of a line that is too long, then false."""
        window = self._window
        while True:
            end = window.data.rfind(b"\n", window.position) + 1
            if end:
                yield window.data[window.position : end], True
                window.position = end
            left = len(window.data) - window.position
            if left > MAX_RECORD_BYTES:
                yield window.data[window.position : window.position + _KEPT_BYTES], False
                self._skip_line()
            elif not window.more():
                if left:
                    yield window.data[window.position :], True
                return

    def _skip_line(self) -> None:
        window = self._window
        while (end := window.data.find(b"\n", window.position)) < 0:
            window.position = len(window.data)
            if not window.more():
                return
        window.position = end + 1


def _malformed_line(line: bytes, rule: str, number: int, line_number: int) -> Rejection:
    text = line[:_KEPT_BYTES].decode(errors="replace")
    return Rejection(number, (Reason(Stage.SCHEMA, rule, ""),), malformed_raw(text, line_number))
