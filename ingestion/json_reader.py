"""JSON array or NDJSON → chunks of text columns, window by window, so that memory doesn't grow with the file."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from operator import attrgetter
from typing import IO, Any

import numpy as np
import pyarrow as pa

from config.errors import FileRejected
from config.model import Schema, Stage
from ingestion.plain_records import PlainRecords
from validation.batch import Chunk, Reason, Rejection
from validation.pii_handler import MALFORMED, malformed_raw
from validation.schema_validator import check_columns

WINDOW_CHARS = 1 << 19  # a short while in the decoder, that lets no other thread run
MAX_RECORD_CHARS = 16 << 20  # a record longer than this fails its file
_SPACE = re.compile(r"[ \t\r\n]*")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


class _TwiceNamed(dict[str, Any]):
    """A record that names a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    return record if len(record) == len(pairs) else _TwiceNamed(record)


# Numbers keep their text, so that no digit is lost; so does a bare NaN, which means null.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_object)


def read_json(raw: IO[bytes], schema: Schema, chunk_rows: int) -> Iterator[Chunk]:
    """The records of a JSON array, or of a file with one JSON object a line, as chunks of text columns."""
    plain = PlainRecords(column.name for column in schema.columns)
    records = _records(_Window(raw), plain)
    number = 0
    checked = False
    while part := list(islice(records, chunk_rows)):
        if not checked:
            _check_keys(schema, part)
            checked = True
        yield _chunk(part, number + 1, schema, plain)
        number += len(part)


def record_keys(raw: IO[bytes]) -> Iterator[list[str]]:
    """The keys of each record; records that are no objects are left out."""
    return (list(record) for record in _records(_Window(raw), PlainRecords(())) if isinstance(record, dict))


class _Window:
    """The text of the file from the present position on, read as needed."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self.text = ""
        self.position = 0
        self.at_end = False

    def more(self) -> bool:
        """Forget what is behind the position and read on; False at the end of the file."""
        if self.at_end:
            return False
        data = self._raw.read(WINDOW_CHARS)
        self.at_end = not data
        self.text = self.text[self.position :] + self._decode.decode(data, final=self.at_end)
        self.position = 0
        return not self.at_end or bool(self.text)

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Skip `pattern` and return the character after it, or '' at the end of the file."""
        while True:
            match = pattern.match(self.text, self.position)
            end = match.end() if match else self.position
            if end < len(self.text):
                self.position = end
                return self.text[end]
            if not self.more():
                return ""


def _records(window: _Window, plain: PlainRecords) -> Iterator[Any]:
    first = window.skip(_SPACE)
    if first == "":
        raise FileRejected("is empty; an hour without records is written as []")
    if first == "[":
        window.position += 1
        yield from _array(window, plain)
    elif first == "{":
        yield from _lines(window, plain)
    else:
        raise FileRejected("is not JSON: neither an array of objects nor one object a line")


def _array(window: _Window, plain: PlainRecords) -> Iterator[Any]:
    count = 0
    if window.skip(_SPACE) == "]":
        _expect_end(window)
        return
    while True:
        for record in _decode_window(window, plain):
            count += 1
            yield record if isinstance(record, (dict, plain.type)) else _not_an_object(record, count)
        after = window.skip(_SPACE)
        if after == "]":
            _expect_end(window)
            return
        if after == ",":
            window.position += 1
            if window.skip(_SPACE) == "]":
                raise FileRejected(f"is not JSON: a comma and no record after record {count}")
        elif after == "":
            raise FileRejected(f"is cut off: the array is not closed after record {count}")
        else:
            raise FileRejected(f"is not JSON: no comma after record {count}")


def _not_an_object(value: Any, number: int) -> Rejection:
    return Rejection(number, (Reason(Stage.SCHEMA, "not_an_object", ""),), {MALFORMED: json.dumps(value)})


def _decode_window(window: _Window, plain: PlainRecords) -> list[Any]:
    """As many records as the window holds whole, at least one; they are decoded in one go where that works."""
    end = window.text.rfind("}") + 1
    if end <= window.position and window.more():  # only the beginning of a record was left
        end = window.text.rfind("}") + 1
    if end > window.position:
        text = f"[{window.text[window.position : end]}]"
        try:
            records = plain.array(text) or _DECODER.decode(text)
        except (ValueError, RecursionError):
            return _decode_one_by_one(window)  # the last } was within a record, or something is wrong
        window.position = end
        return records
    return [_decode_one(window)]


def _decode_one_by_one(window: _Window) -> list[Any]:
    records = [_decode_one(window)]
    while window.position < len(window.text):
        match = _COMMA.match(window.text, window.position)
        if match is None:
            break
        try:
            record, end = _DECODER.raw_decode(window.text, match.end())
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict):
            break
        records.append(record)
        window.position = end
    return records


def _decode_one(window: _Window) -> Any:
    while True:
        try:
            record, end = _DECODER.raw_decode(window.text, window.position)
        except RecursionError:
            raise FileRejected("is nested too deeply") from None
        except ValueError as error:
            whole = window.at_end and window.position == 0
            if len(window.text) - window.position > MAX_RECORD_CHARS:
                problem = f"a record is longer than {MAX_RECORD_CHARS >> 20} MB, or not JSON"
                raise FileRejected(problem) from None
            if not window.more() and whole:
                raise FileRejected(f"is not JSON, or is cut off: {_problem(error)}") from None
        else:
            if end < len(window.text) or window.at_end or not isinstance(record, str):
                window.position = end
                return record
            window.more()


def _problem(error: ValueError) -> str:
    """The decoder's complaint without the data: its own messages name only the grammar."""
    return error.msg if isinstance(error, json.JSONDecodeError) else "bad value"


def _expect_end(window: _Window) -> None:
    window.position += 1
    if window.skip(_SPACE):
        raise FileRejected("is not JSON: there is more after the end of the array")


def _lines(window: _Window, plain: PlainRecords) -> Iterator[Any]:
    number = 0
    line_number = 0
    for text in _whole_lines(window):
        if records := plain.lines(text):
            yield from records
            number += len(records)
            line_number += len(records)
            continue
        for line in text.removesuffix("\n").split("\n"):
            line_number += 1
            if not line.strip():
                continue
            number += 1
            record = _decode_line(line.strip())
            if record is None:
                reason = Reason(Stage.SCHEMA, "not_json", "")
                yield Rejection(number, (reason,), malformed_raw(line, line_number))
            else:
                yield record


def _decode_line(line: str) -> dict[str, Any] | None:
    try:
        record = _DECODER.decode(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _whole_lines(window: _Window) -> Iterator[str]:
    """The text in pieces that end with a line's end, or the file's."""
    while True:
        end = window.text.rfind("\n") + 1
        if end > window.position:
            yield window.text[window.position : end]
            window.position = end
        if len(window.text) - window.position > MAX_RECORD_CHARS:
            raise FileRejected(f"a line is longer than {MAX_RECORD_CHARS >> 20} MB")
        if not window.more() or window.at_end:
            if rest := window.text[window.position :]:
                yield rest
            return


def _check_keys(schema: Schema, part: list[Any]) -> None:
    """The first record stands for the header; a column that it lacks must be in some other of the first chunk."""
    records = [record for record in part if not isinstance(record, Rejection)]
    if not records or not isinstance(records[0], dict):
        return
    names = list(records[0])
    lacking = {column.name for column in schema.columns} - set(names)
    for record in records:
        if not lacking:
            break
        found = lacking & record.keys() if isinstance(record, dict) else lacking  # a plain record has all
        names += found
        lacking -= found
    check_columns(schema, names)


def _chunk(part: list[Any], first: int, schema: Schema, plain: PlainRecords) -> Chunk:
    known = {column.name for column in schema.columns}
    records: list[Any] = []
    numbers: list[int] = []
    malformed: list[Rejection] = []
    for number, record in enumerate(part, first):
        if isinstance(record, plain.type):
            records.append(record)
            numbers.append(number)
        elif isinstance(record, Rejection):
            malformed.append(record)
        elif isinstance(record, _TwiceNamed):
            malformed.append(_refused(number, "key_given_twice", record))
        elif not record.keys() <= known:
            malformed.append(_refused(number, "unexpected_column", record))
        else:
            records.append(record)
            numbers.append(number)
    try:
        columns = _columns(records, plain)
    except UnicodeEncodeError:
        broken = [_has_lone_surrogate(record) for record in records]
        pairs = list(zip(numbers, records, strict=True))
        malformed += [_refused(n, "lone_surrogate", r) for (n, r), bad in zip(pairs, broken, strict=True) if bad]
        numbers = [n for n, bad in zip(numbers, broken, strict=True) if not bad]
        columns = _columns([r for r, bad in zip(records, broken, strict=True) if not bad], plain)
    return Chunk(np.array(numbers, np.int64), columns, tuple(sorted(malformed, key=lambda m: m.number)))


def _columns(records: list[Any], plain: PlainRecords) -> dict[str, pa.Array]:
    """Arrow strings by column."""
    all_plain = not any(isinstance(record, dict) for record in records)

    def values(name: str, field: str) -> list[Any]:
        if all_plain:
            return list(map(attrgetter(field), records))
        return [r.get(name) if isinstance(r, dict) else getattr(r, field) for r in records]

    return {name: _text_array(values(name, field)) for name, field in plain.fields.items()}


def _text_array(values: list[Any]) -> pa.Array:
    """The values as Arrow strings; quickest where all are text, or all numbers."""
    for kind in (pa.string(), pa.int64()):
        with suppress(pa.ArrowTypeError, pa.ArrowInvalid, OverflowError):
            return pa.array(values, kind).cast(pa.string())
    return pa.array([v if v is None or v.__class__ is str else _as_text(v) for v in values], pa.string())


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _refused(number: int, rule: str, record: dict[str, Any]) -> Rejection:
    raw = {name: _as_text(value) for name, value in record.items()}
    return Rejection(number, (Reason(Stage.SCHEMA, rule, ""),), raw)


def _has_lone_surrogate(record: Any) -> bool:
    values = record.values() if isinstance(record, dict) else ()  # a plain record has none
    return any(isinstance(value, str) and re.search("[\ud800-\udfff]", value) for value in values)
