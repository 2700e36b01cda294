"""A JSON array → its records. Nothing tells where the next record begins once one is broken: the file fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from config.errors import FileRejected
from config.model import Stage
from ingestion.formats.encoding import UTF8
from ingestion.formats.json_record import DECODER, MAX_RECORD_BYTES, Record, decode_record
from ingestion.formats.json_window import Window
from ingestion.formats.plain_records import PlainRecords
from validation.batch import Reason, Rejection
from validation.pii_handler import MALFORMED

_LONGEST_TOKEN = 16  # characters: what is wrong nearer to the end of the text may only be cut off
_MOST_ENDS = 4  # of records with nested values, tried in a window
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_NEXT_RECORD = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*\{")


def array_records(window: Window, plain: PlainRecords, *, alone: bool = True) -> Iterator[Record]:
    """The elements of the array whose [ is behind the window. Raises FileRejected with the place of a damage.

    `alone`: nothing may follow it.
    """
    return _Array(window, plain, alone=alone).records()


class _Problem(NamedTuple):
    """Why the text can't be decoded, and where. `sure` unless more of the text could mend it."""

    what: str
    offset: int  # in bytes from the window's position
    sure: bool


class _Array:
    """The elements of a JSON array, counted for the messages."""

    def __init__(self, window: Window, plain: PlainRecords, *, alone: bool) -> None:
        self._window = window
        self._alone = alone
        self._plain = plain
        self._count = 0

    def records(self) -> Iterator[Record]:
        window = self._window
        if window.next_byte() == b"]":
            self._expect_end()
            return
        while True:
            records = self._decode()
            self._count += len(records)
            yield from records
            after = window.next_byte()
            if after == b"]":
                self._expect_end()
                return
            if after == b"":
                raise FileRejected(
                    f"is cut off: the array is not closed after record {self._count}, at byte {window.place()}"
                )
            if after != b",":
                raise self._not_json(f"no comma after record {self._count}", 0)
            window.position += 1
            if window.next_byte() == b"]":
                raise self._not_json(f"a comma and no record after record {self._count}", 0)

    def _not_json(self, what: str, offset: int) -> FileRejected:
        return FileRejected(f"is not JSON: {what}, at byte {self._window.place(offset)}")

    def _expect_end(self) -> None:
        self._window.position += 1
        if self._alone and self._window.next_byte():
            raise self._not_json("there is more after the end of the array", 0)

    def _decode(self) -> list[Any]:
        """Some records, at least one; as many as the window holds in one go, where that works."""
        window = self._window
        if window.data.rfind(b"}") < window.position:
            window.more()  # only the beginning of a record was left
        while True:
            if quick := self._decode_together():
                return quick
            records, problem = self._decode_one_by_one()
            if records:
                return records
            place = f"in record {self._count + 1}"
            if problem.sure:
                raise self._not_json(f"{problem.what} {place}", problem.offset)
            if len(window.data) - window.position > MAX_RECORD_BYTES:
                raise self._too_long()
            if not window.more():
                cut = f"is cut off, or is not JSON: {problem.what} {place}"
                raise FileRejected(f"{cut}, at byte {window.place(problem.offset)}")

    def _decode_together(self) -> list[Any] | None:
        """The records up to one of the ends that the window may have, where the quick decoder takes them."""
        window = self._window
        for end in self._ends():
            if end - window.position > MAX_RECORD_BYTES:
                continue
            records: list[Any] | None = self._plain.array(b"[%b]" % window.data[window.position : end])
            if records:
                window.position = end
                return records
        return None

    def _too_long(self) -> FileRejected:
        most = f"{MAX_RECORD_BYTES >> 20} MB"
        place = f"record {self._count + 1}, from byte {self._window.place()} on,"
        return FileRejected(f"{place} is longer than {most}, or not JSON")

    def _ends(self) -> Iterator[int]:
        """Where the last whole record of the window may end: at its last }; where records have nested values,
        rather before one of the last few commas between objects."""
        data, start = self._window.data, self._window.position
        last = end = data.rfind(b"}", start) + 1
        tries = 0
        while self._plain.nested and end and tries < _MOST_ENDS:
            end = data.rfind(b"}", start, end - 1) + 1
            if end and _NEXT_RECORD.match(data, end):
                tries += 1
                yield end
        if last:
            yield last

    def _decode_one_by_one(self) -> tuple[list[Any], _Problem]:
        """The whole records that the window begins with, and why the rest is none."""
        data = self._window.data[self._window.position :]
        try:
            text, broken = data.decode(), None
        except UnicodeDecodeError as error:
            text = data[: error.start].decode()
            what = "UTF-8" if self._window.encoding == UTF8 else self._window.encoding
            broken = _Problem(f"what is not {what} text", error.start, error.start + 4 <= len(data))
        records: list[Any] = []
        at = used = 0
        while True:
            try:
                record, end = self._element(text, at, self._count + len(records) + 1)
            except RecursionError:
                problem = _Problem("values are nested too deeply", len(text[:at].encode()), sure=True)
                break
            except json.JSONDecodeError as error:
                problem = _Problem(error.msg, len(text[: error.pos].encode()), _is_sure(error))
                break
            if end == len(text) and text[end - 1] not in '}]"':  # a number may go on
                problem = _Problem("a value that is cut off", len(data), sure=False)
                break
            if end - at > MAX_RECORD_BYTES // 4 and len(text[at:end].encode()) > MAX_RECORD_BYTES:
                problem = _Problem("a record that is too long", 0, sure=False)
                break
            records.append(record)
            used = end
            comma = _COMMA.match(text, end)
            if comma is None:
                problem = _Problem("no comma", len(text[:end].encode()), sure=False)
                break
            at = comma.end()
        self._window.position += len(text[:used].encode())
        return records, problem if broken is None or problem.sure else broken

    def _element(self, text: str, at: int, number: int) -> tuple[Record, int]:
        if text[at : at + 1] == "{":
            return decode_record(text, at, self._plain)
        _, end = DECODER.raw_decode(text, at)
        reason = Reason(Stage.SCHEMA, "not_an_object", "")
        return Rejection(number, (reason,), {MALFORMED: text[at:end]}), end


def _is_sure(error: json.JSONDecodeError) -> bool:
    """Is it wrong whatever follows the text?"""
    return error.pos + _LONGEST_TOKEN < len(error.doc) and not error.msg.startswith("Unterminated string")
