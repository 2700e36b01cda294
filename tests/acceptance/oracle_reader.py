"""The oracle's own reader: a file's bytes → its records, one by one, by the standard library alone."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLUMNS_LOOKED_FOR_IN = 50_000  # records: a column that none of the first so many has is missing
_FIELD = re.compile(r'"((?:[^"]|"")*)"|([^",\r\n][^,\r\n]*|)')
_REST_OF_FIELD = re.compile(r"[^,\r\n]*")
_LINE_END = re.compile(r"\r\n|\r|\n")
_MALFORMED = None


class UnreadableFileError(Exception):
    """The file as a whole is refused; the text says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as text. `values` is None for one that can't be taken apart; `extra` are unknown keys."""

    number: int  # from 1
    values: dict[str, str | None] | None
    extra: tuple[str, ...] = ()


def read_records(path: Path, columns: list[str]) -> list[Record]:
    """All records of `path`; raises UnreadableFileError when the file fails as a whole."""
    text = _text(path)
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return list(_csv(text, columns))
    return list(_json(text, columns))


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFileError("broken gzip") from error
    if not data:
        raise UnreadableFileError("empty")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError("not UTF-8") from error


def _csv(text: str, columns: list[str]) -> Iterator[Record]:
    lines = _csv_lines(text)
    header = next(lines, None)
    if header is None:
        raise UnreadableFileError("no header")
    names = [name.strip() for name in header]
    if len(set(names)) != len(names):
        raise UnreadableFileError("a column name twice")
    if set(names) != set(columns):
        raise UnreadableFileError(f"missing {set(columns) - set(names)}, unexpected {set(names) - set(columns)}")
    for number, fields in enumerate(lines, start=1):
        if len(fields) != len(names):
            yield Record(number, _MALFORMED)
        else:
            yield Record(number, dict(zip(names, fields, strict=True)))


def _csv_lines(text: str) -> Iterator[list[str]]:
    """The fields of each line that is not blank; a line with text after a closing quote comes as []."""
    position = 0
    while position < len(text):
        fields: list[str] = []
        sound = True
        blank = True
        while True:
            match = _FIELD.match(text, position)
            assert match is not None  # it matches the empty text, too
            if match.end() == position and text[position : position + 1] == '"':
                raise UnreadableFileError("a quote that is never closed")
            fields.append(match[2] if match[1] is None else match[1].replace('""', '"'))
            blank = blank and match.end() == position
            position = match.end()
            stray = _REST_OF_FIELD.match(text, position)
            if stray and stray.end() > position:
                sound, position = False, stray.end()
            if text[position : position + 1] != ",":
                break
            blank = False
            position += 1
        end = _LINE_END.match(text, position)
        position = end.end() if end else position
        if not blank:
            yield fields if sound else []


def _json(text: str, columns: list[str]) -> Iterator[Record]:
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_constant)
    if text.lstrip().startswith("["):
        try:
            objects = decoder.decode(text)
        except ValueError as error:
            raise UnreadableFileError("broken JSON array") from error
    else:
        objects = [_json_line(line, decoder) for line in _LINE_END.split(text) if line.strip()]
    _check_columns(objects, columns)
    for number, item in enumerate(objects, start=1):
        if not isinstance(item, dict):
            yield Record(number, _MALFORMED)
        else:
            values = {name: _as_text(item.get(name)) for name in columns}
            yield Record(number, values, tuple(key for key in item if key not in values))


def _json_line(line: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(line)
    except ValueError:
        return _MALFORMED


def _check_columns(objects: list[Any], columns: list[str]) -> None:
    if objects and isinstance(objects[0], dict) and (extra := objects[0].keys() - set(columns)):
        raise UnreadableFileError(f"unexpected {extra}")
    found = {key for item in objects[:COLUMNS_LOOKED_FOR_IN] if isinstance(item, dict) for key in item}
    if any(isinstance(item, dict) for item in objects) and (missing := set(columns) - found):
        raise UnreadableFileError(f"missing {missing}")


def _constant(text: str) -> str | None:
    return None if text == "NaN" else text


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value)
