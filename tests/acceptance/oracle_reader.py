"""The oracle's own reader: a file's bytes → its records, one by one, by the standard library alone."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_FIELD = re.compile(r'"((?:[^"]|"")*)"|([^",\r\n][^,\r\n]*|)')
_REST_OF_FIELD = re.compile(r"[^,\r\n]*")
_LINE_END = re.compile(r"\r\n|\r|\n")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BLANKS = " \t\r\n"
_MALFORMED = None


class UnreadableFileError(Exception):
    """The file as a whole is refused; the text says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as text. `values` is None for one that can't be taken apart; `extra` are unknown keys."""

    number: int  # from 1
    values: dict[str, str | None] | None
    extra: tuple[str, ...] = ()


def read_records(path: Path, columns: list[str], optional: Collection[str] = ()) -> list[Record]:
    """All records of `path`; raises UnreadableFileError when the file fails as a whole.

    Of JSON, all records may lack the columns that are `optional`.
    """
    text = _text(path)
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return list(_csv(text, columns))
    return list(_json(text, columns, frozenset(columns) - frozenset(optional)))


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


def _json(text: str, columns: list[str], needed: frozenset[str]) -> Iterator[Record]:
    if text.lstrip(_BLANKS).startswith("["):
        try:
            json.loads(text, parse_int=str)
        except ValueError as error:
            raise UnreadableFileError("broken JSON array") from error
        items = list(_elements(text))
    else:
        lines = [line.strip(_BLANKS) for line in text.split("\n")]
        items = [_members(line) if _is_json(line) else _MALFORMED for line in lines if line]
    objects = [item for item in items if item is not None]
    if objects:
        found = {name for item in objects for name, _ in item}
        if needed - found:
            raise UnreadableFileError(f"missing {needed - found}")
        if extra := set.intersection(*({name for name, _ in item} for item in objects)) - set(columns):
            raise UnreadableFileError(f"unexpected {extra}")
    for number, item in enumerate(items, start=1):
        names = [name for name, _ in item or ()]
        if item is None or len(set(names)) < len(names):
            yield Record(number, _MALFORMED)
        else:
            texts = dict(item)
            values = {name: _value(texts.get(name)) for name in columns}
            yield Record(number, values, tuple(name for name in names if name not in columns))


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line, parse_int=str), dict)
    except ValueError:
        return False


def _elements(array: str) -> Iterator[list[tuple[str, str]] | None]:
    """The members of each element that is an object, of valid JSON."""
    for source in _split(array.strip(_BLANKS)[1:-1]):
        yield _members(source) if source.startswith("{") else _MALFORMED


def _members(source: str) -> list[tuple[str, str]]:
    """The keys of an object, of valid JSON, and the source text of their values."""
    members = []
    for member in _split(source[1:-1]):
        key = _STRING.match(member)
        assert key is not None
        value = member[key.end() :].lstrip(_BLANKS).removeprefix(":")
        members.append((json.loads(key[0]), value.strip(_BLANKS)))
    return members


def _split(text: str) -> Iterator[str]:
    """What is between the commas that are in no string, array or object."""
    depth = start = 0
    for token in re.finditer(rf"{_STRING.pattern}|[][{{}},]", text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if token[0] == "," and depth == 0:
            yield text[start : token.start()].strip(_BLANKS)
            start = token.end()
    if rest := text[start:].strip(_BLANKS):
        yield rest


def _value(source: str | None) -> str | None:
    if source is None or source in {"null", "NaN"}:
        return None
    return str(json.loads(source)) if source.startswith('"') else source
