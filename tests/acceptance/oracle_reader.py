"""The oracle's own reader: a file's bytes → its records, one by one, by the standard library alone."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.oracle_csv import NotCsvError, Values, csv_records
from tests.acceptance.oracle_origins import NoRecordError, Origins

RowFits = Callable[[dict[str, str | None]], int | None]
COLUMNS_LOOKED_FOR_IN = 50_000  # records: a column that none of the first so many has is missing
_LINE_END = re.compile(r"\r\n|\r|\n")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BLANKS = " \t\r\n"
_NO_JSON = ("NaN", "Infinity", "-Infinity")
_MALFORMED = None


class UnreadableFileError(Exception):
    """The file as a whole is refused; the text says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as text. `values` is None for one that can't be taken apart; `extra` are unknown keys.

    `bare` are the columns with a NaN or Infinity that is no text: JSON has none. `kept` is what _extra is to hold:
    texts of CSV, and what JSON has, numbers as they are written.
    """

    number: int  # from 1
    values: dict[str, str | None] | None
    extra: tuple[str, ...] = ()
    bare: frozenset[str] = frozenset()
    kept: dict[str, Any] = field(default_factory=dict)


def read_records(
    path: Path,
    columns: list[str],
    fits: RowFits = lambda _values: 0,
    comma: str = ",",
    optional: Collection[str] = (),
    origins: Origins | None = None,
) -> list[Record]:
    """All records of `path`; raises UnreadableFileError when the file fails as a whole.

    `origins` say where the columns are, where that is not under their names. `fits` tells how many values of a CSV
    row are no texts; None where they can be no row. Of JSON, all records may lack the columns that are `optional`.
    """
    text = _text(path)
    origins = origins or Origins({column: (column,) for column in columns})
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return list(_csv(text, columns, fits, comma, origins))
    needed = origins.names.keys() - origins.may_lack - set(optional)
    return list(_json(_array_at(text, origins.records), columns, frozenset(needed), origins))


def _text(path: Path) -> str:
    data = path.read_bytes()
    if path.name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFileError("broken gzip") from error
    if not data:
        raise UnreadableFileError("empty")
    marks = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    codec = next((codec for mark, codec in marks.items() if data.startswith(mark)), "utf-8-sig")
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise UnreadableFileError("not UTF-8") from error


def _csv(text: str, columns: list[str], fits: RowFits, comma: str, origins: Origins) -> Iterator[Record]:
    def by_column(names: list[str], values: Values) -> dict[str, str | None]:
        try:
            header = origins.header(names)
        except NoRecordError as error:
            raise UnreadableFileError("other columns") from error
        found = dict(zip(header, values, strict=True))
        return {column: found.get(column) for column in columns}

    def fits_of(names: list[str]) -> Callable[[Values], int | None]:
        return lambda values: fits(by_column(names, values))

    try:
        names, *records = csv_records(text, fits_of, comma)
    except NotCsvError as error:
        raise UnreadableFileError("no header") from error
    assert names is not None
    header = list(map(str, names))
    by_column(header, [None] * len(header))
    for number, values in enumerate(records, start=1):
        if values is None:
            yield Record(number, _MALFORMED)
        else:
            yield Record(number, by_column(header, values), kept=dict(origins.kept_texts(header, values)))


def _array_at(text: str, where: str | None) -> str:
    """The text of the array at a path of a document."""
    if where is None:
        return text
    try:
        json.loads(text, parse_int=str)
    except ValueError as error:
        raise UnreadableFileError("broken JSON document") from error
    for key in where.split("."):
        text = text.strip(_BLANKS)
        if not text.startswith("{") or key not in dict(_members(text)):
            raise UnreadableFileError("no records where they should be")
        text = dict(_members(text))[key]
    if not text.startswith("["):
        raise UnreadableFileError("no records where they should be")
    return text


def _json(text: str, columns: list[str], needed: frozenset[str], origins: Origins) -> Iterator[Record]:
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
        if needed - {name for item in objects for name in _sources(item, origins) or ()}:
            raise UnreadableFileError("missing columns")
        if set.intersection(*(set(origins.beside(item)) for item in objects)):
            raise UnreadableFileError("unexpected columns")
    for number, item in enumerate(items, start=1):
        names = [name for name, _ in item or ()]
        sources = None if item is None else _sources(item, origins)
        if item is None or sources is None or len(set(names)) < len(names):
            yield Record(number, _MALFORMED)
        else:
            values = {name: _value(sources.get(name)) for name in columns}
            bare = frozenset(name for name, source in sources.items() if source in _NO_JSON)
            kept = {path: _as_kept(source) for path, source in origins.kept_sources(item, _members).items()}
            yield Record(number, values, origins.beside(item), bare, kept)


def _sources(item: list[tuple[str, str]], origins: Origins) -> dict[str, str] | None:
    """The columns' source texts; None where the record can't be taken apart."""
    try:
        return origins.sources(item, _members)
    except NoRecordError:
        return None


def _as_kept(source: str) -> Any:
    """A value of JSON, its numbers as texts. One that has others than jsonb writes is a text as a whole."""
    numbers = re.findall(r"-?\d[-+.eE0-9]*", _STRING.sub('""', source))
    is_odd = any("e" in number.lower() or re.fullmatch(r"-0(\.0*)?", number) for number in numbers)
    if is_odd or any(word in _STRING.sub('""', source) for word in ("NaN", "Infinity")):
        return source
    return json.loads(source, parse_int=str, parse_float=str)


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
    if source is None or source == "null":
        return None
    return str(json.loads(source)) if source.startswith('"') else source
