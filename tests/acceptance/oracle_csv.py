"""The oracle's own reader of CSV: character by character, by RFC 4180 read strictly, with str methods alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

Values = list[str | None]
Fits = Callable[[Values], int | None]
"""Of a record's values: how many of them are numbers, times and the like; None where they can be no record."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_COINCIDENCES = 3


class NotCsvError(Exception):
    """There is no header."""


def csv_records(
    text: str, fits_of: Callable[[list[str]], Fits], comma: str = ",", comment: str = ""
) -> Iterator[Values | None]:
    """The header's names (as the first record), then the values of each record; None for a malformed one.

    A line that begins a record and with `comment` is none. An unquoted empty field is None. A malformed record is
    one line; the next one begins behind it. `fits_of(names)` tells whether values can be those of a
    record.
    """
    at = _first_line(text, 0)
    if said := re.match(r'"?sep=([^"\r\n])"?(\r\n|\r|\n)', text[at:], re.IGNORECASE):
        comma, at = said[1], _first_line(text, at + said.end())
    header = _record(text, at, comma)
    if at == len(text) or header is None:
        raise NotCsvError
    names = [(name or "").strip() for name in header[0]]
    yield list(names)
    fits, at = fits_of(names), header[1]
    while (at := _first_line(text, at)) < len(text):
        if comment and text[at:].startswith(comment):
            found = _LINE_END.search(text, at)
            at = found.end() if found else len(text)
            continue
        read = _record(text, at, comma)
        line = _LINE_END.search(text, at)
        next_line = line.end() if line else len(text)
        if read is None or (len(read[0]) != len(names)) or _swallowed(text[at : read[1]], comma, len(names), fits):
            yield None
            at = next_line
        else:
            yield read[0]
            at = read[1]


def _first_line(text: str, at: int) -> int:
    """Where the next line that is not empty begins."""
    while text[at : at + 1] in {"\r", "\n"}:
        at += 1
    return at


def _record(text: str, at: int, comma: str) -> tuple[Values, int] | None:
    """The values of the record at `at`, and where the next line begins; None if its quotes are wrong."""
    values: Values = []
    while True:
        if text[at : at + 1] == '"':
            value = ""
            while True:
                close = text.find('"', at + 1)
                if close < 0:
                    return None
                value += text[at + 1 : close]
                if text[close + 1 : close + 2] != '"':
                    break
                value += '"'
                at = close + 1
            values.append(value)
            at = close + 1
        else:
            start = at
            while at < len(text) and text[at] not in {comma, "\r", "\n"}:
                at += 1
            values.append(text[start:at] or None)
        behind = text[at : at + 1]
        if behind == comma:
            at += 1
        elif behind in {"", "\r", "\n"}:
            end = _LINE_END.match(text, at)
            return values, end.end() if end else at
        else:
            return None


def _swallowed(record: str, comma: str, fields: int, fits: Fits) -> bool:
    """Two stray quotes may make one record of many: is it so likely that it must not be loaded?"""
    first, *others = _LINE_END.split(record)
    if record.endswith(("\r", "\n")):
        others.pop()
    if not others or fields < 2:
        return False
    opened = _never_closed(first, comma)
    without = None if opened is None else _record(first[:opened] + first[opened + 1 :], 0, comma)
    if without is None or len(without[0]) != fields:
        return False
    sure = good = 0
    for line in others:
        read = _record(line, 0, comma)
        if read is None or len(read[0]) != fields or any((value or "").startswith(" ") for value in read[0]):
            continue
        typed = fits(read[0])
        if typed is not None:
            good, sure = good + 1, sure + fields - 1 + typed
    return good > len(others) / 2 and sure >= _COINCIDENCES


def _never_closed(line: str, comma: str) -> int | None:
    """Where the quote is that opens a value which goes on behind the line."""
    at = 0
    while at < len(line):
        if line[at] == '"':
            match = re.compile(r'"(?:[^"]|"")*"').match(line, at)
            if match is None:
                return at
            at = match.end()
        at = line.find(comma, at) + 1
        if at == 0:
            return None
    return None
