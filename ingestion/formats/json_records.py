"""JSON text → records, each value by its text: the general decoder, and the two ways of writing many records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, NamedTuple

from config.errors import FileRejected
from config.model import Stage
from ingestion.formats.json_window import SPACES, Window
from ingestion.formats.plain_records import PlainRecord, PlainRecords
from validation.batch import Reason, Rejection
from validation.pii_handler import MALFORMED, malformed_raw

MAX_RECORD_BYTES = 16 << 20  # a longer record fails its array; a longer line is refused
FIRST_RECORD_BYTES = 1 << 16  # of a file with a record a line, looked at to see whether it spans lines
_LONGEST_TOKEN = 16  # characters: what is wrong nearer to the end of the text may only be cut off
_KEPT_BYTES = 400_000  # of a line that is too long: what malformed_raw keeps of it
_MOST_ENDS = 4  # of records with nested values, tried in a window
_SPACE = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")
_NEXT_RECORD = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*\{")
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


class Fields(dict[str, str | None]):
    """A record that the general decoder read, each value by its text. `defect`: the rule that it breaks, or ''."""

    defect = ""


Record = PlainRecord | Fields | Rejection


def read_records(raw: IO[bytes], plain: PlainRecords) -> Iterator[Record]:
    """The records of a JSON array, or of a file with one JSON object a line, in their order.

    A value is the text of a string, and the source text of anything else; of the columns `plain.exact` that of
    strings, too. null is None; so is a bare NaN, as exports write it for null. A record that can't be read comes
    as a Rejection with its number where the format tells where the next one begins; else FileRejected is raised.
    """
    window = Window(raw)
    first = window.next_byte()
    if first == b"":
        raise FileRejected("is empty; an hour without records is written as []")
    if first == b"[":
        window.position += 1
        yield from _Array(window, plain).records()
    else:
        yield from _Lines(window, plain).records()


# ---------------------------------------------------------------- one record


def decode_record(text: str, start: int, plain: PlainRecords) -> tuple[Fields, int]:
    """The JSON object that begins at `start` of `text`, and where it ends; `plain` learns of it.

    Raises ValueError or RecursionError.
    """
    fields = Fields()
    nested: list[str] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}" or fields:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting a key in double quotes", text, at)
        name, end = _DECODER.raw_decode(text, at)
        at = _expect(text, end, ":")
        value, end = _DECODER.raw_decode(text, at)
        is_text = isinstance(value, str) and text[at] == '"'
        source = text[at:end]
        if name in fields:
            fields.defect = fields.defect or "key_given_twice"
        if is_text and name not in plain.exact:
            fields[name] = value
            if not value.isascii() and _has_lone_surrogate(value):
                fields.defect = fields.defect or "lone_surrogate"
        else:
            fields[name] = None if value is None or source == "NaN" else source
        if source[0] in "{[":
            nested.append(name)
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            break
        at = _expect(text, at, ",")
    plain.learn(fields.keys(), nested)
    return fields, at + 1


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, sign: str) -> int:
    """Where the text goes on after `sign` and the white space around it."""
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise json.JSONDecodeError(f"Expecting '{sign}'", text, at)
    return _skip(text, at + 1)


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


# ---------------------------------------------------------------- an array


class _Problem(NamedTuple):
    """Why the text can't be decoded, and where. `sure` unless more of the text could mend it."""

    what: str
    offset: int  # in bytes from the window's position
    sure: bool


class _Array:
    """The elements of a JSON array. Nothing tells where the next one begins once one is broken: the file fails."""

    def __init__(self, window: Window, plain: PlainRecords) -> None:
        self._window = window
        self._plain = plain
        self._count = 0

    def records(self) -> Iterator[Record]:
        window = self._window
        if window.next_byte() == b"]":
            self._expect_end()
            return
        while True:
            for record in self._decode():
                self._count += 1
                yield record
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
        if self._window.next_byte():
            raise self._not_json("there is more after the end of the array", 0)

    def _decode(self) -> list[Any]:
        """Some records, at least one; as many as the window holds in one go, where that works."""
        window = self._window
        if window.data.rfind(b"}") < window.position:
            window.more()  # only the beginning of a record was left
        for end in self._ends():
            if end - window.position > MAX_RECORD_BYTES:
                continue
            records: list[Any] | None = self._plain.array(b"[%b]" % window.data[window.position : end])
            if records:
                window.position = end
                return records
        while True:
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

    def _too_long(self) -> FileRejected:
        most = f"{MAX_RECORD_BYTES >> 20} MB"
        place = f"record {self._count + 1}, from byte {self._window.place()} on,"
        return FileRejected(f"{place} is longer than {most}, or not JSON")

    def _ends(self) -> Iterator[int]:
        """Where the last whole record of the window may end: at its last }, or, if that is within a record with
        nested values, before one of the last few commas between objects."""
        data, start = self._window.data, self._window.position
        end = data.rfind(b"}", start) + 1
        tries = 0
        if end:
            yield end
        while self._plain.nested and end and tries < _MOST_ENDS:
            end = data.rfind(b"}", start, end - 1) + 1
            if end and _NEXT_RECORD.match(data, end):
                tries += 1
                yield end

    def _decode_one_by_one(self) -> tuple[list[Any], _Problem]:
        """The whole records that the window begins with, and why the rest is none."""
        data = self._window.data[self._window.position :]
        try:
            text, broken = data.decode(), None
        except UnicodeDecodeError as error:
            text = data[: error.start].decode()
            broken = _Problem("what is not UTF-8 text", error.start, error.start + 4 <= len(data))
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
        _, end = _DECODER.raw_decode(text, at)
        reason = Reason(Stage.SCHEMA, "not_an_object", "")
        return Rejection(number, (reason,), {MALFORMED: text[at:end]}), end


def _is_sure(error: json.JSONDecodeError) -> bool:
    """Is it wrong whatever follows the text?"""
    return error.pos + _LONGEST_TOKEN < len(error.doc) and not error.msg.startswith("Unterminated string")


# ---------------------------------------------------------------- one object a line


class _Lines:
    """The lines of a file, each a JSON object; one that is none costs no other."""

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
                line_number += piece.count(b"\n")
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
