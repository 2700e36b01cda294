"""The oracle's own reader: a file's bytes → its records, one by one, by the standard library alone."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.oracle_csv import NotCsvError, Values, csv_records

RowFits = Callable[[dict[str, str | None]], int | None]
COLUMNS_LOOKED_FOR_IN = 50_000  # records: a column that none of the first so many has is missing
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


def read_records(
    path: Path, columns: list[str], fits: RowFits = lambda _values: 0, comma: str = ","
) -> list[Record]:
    """All records of `path`; raises UnreadableFileError when the file fails as a whole.

    `fits` tells how many values of a CSV row are no texts; None where they can be no row.
    """
    text = _text(path)
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return list(_csv(text, columns, fits, comma))
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


def _csv(text: str, columns: list[str], fits: RowFits, comma: str) -> Iterator[Record]:
    def fits_of(names: list[str]) -> Callable[[Values], int | None]:
        return lambda values: fits(dict(zip(names, values, strict=True)))

    try:
        names, *records = csv_records(text, fits_of, comma)
    except NotCsvError as error:
        raise UnreadableFileError("no header") from error
    assert names is not None
    if len(set(names)) != len(names):
        raise UnreadableFileError("a column name twice")
    if set(names) != set(columns):
        raise UnreadableFileError(f"missing {set(columns) - set(names)}, unexpected {set(names) - set(columns)}")
    for number, values in enumerate(records, start=1):
        yield Record(number, _MALFORMED if values is None else dict(zip(map(str, names), values, strict=True)))


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
