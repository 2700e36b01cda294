"""How a CSV file begins: its columns and their delimiter, or what it looks like instead."""

from __future__ import annotations

import re
from typing import NamedTuple

from config.errors import FileRejected
from config.model import ReadOptions, Schema
from ingestion.formats.csv_quotes import count_lines
from ingestion.formats.csv_records import Grammar, unquoted
from validation.schema_validator import check_columns

LIKELY_DELIMITERS = (",", ";", "\t", "|", ":")
SAMPLE_LINES = 20  # looked at for another delimiter
_BOM, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_OTHER_KINDS = ((b"PK\x03\x04", "a zip archive or an Excel workbook"), (b"\x1f\x8b", "packed with gzip"))
_SEP_LINE = re.compile(rb'"?sep=([^"\r\n])"?(?:\r\n|\r|\n)', re.IGNORECASE)  # Excel's, before the header
_EMPTY_LINES = re.compile(rb"[\r\n]*+")


class Header(NamedTuple):
    """The columns' names in the file's order, and what is between them; the rows begin at the offset `end`."""

    names: list[str]
    delimiter: str
    start: int
    end: int


def read_header(text: bytes, options: ReadOptions) -> Header:
    """The header of a file that begins with `text`, which is whole lines.

    A line `sep=;` before it, as Excel writes one, wins over the configuration. Raises FileRejected.
    """
    if kind := _other_kind(text):
        raise FileRejected(kind)
    start = _EMPTY_LINES.match(text, len(_BOM) if text.startswith(_BOM) else 0).end()  # type: ignore[union-attr]
    delimiter = options.delimiter
    if said := _SEP_LINE.match(text, start):
        delimiter = said[1].decode("ascii", "replace")
        start = _EMPTY_LINES.match(text, said.end()).end()  # type: ignore[union-attr]
    if start == len(text):
        raise FileRejected("is empty: not even a header line")
    comma = re.escape(delimiter.encode())
    value = rb'(?:"(?:[^"]++|"")*+"|[^"\r\n' + comma + rb"][^\r\n" + comma + rb"]*+|)"
    match = re.compile(value + rb"(?:" + comma + value + rb")*+(?=[\r\n])").match(text, start)
    if match is None:
        raise FileRejected(
            "the quotes of the header line are not right: each value is quoted as a whole or not at all"
        )
    values = re.findall(rb"(?:\A|" + comma + rb")(" + value + rb")", match[0])
    try:
        names = [unquoted(found).decode().strip() for found in values]
    except UnicodeDecodeError:
        raise FileRejected(not_utf8(text, 1)) from None
    return Header(names, delimiter, start, match.end())


def check_header(text: bytes, header: Header, schema: Schema) -> None:
    """Raise FileRejected unless the file's columns are the schema's; if it is of another dialect, that is why."""
    try:
        check_columns(schema, header.names)
    except FileRejected as problem:
        lines = text[header.start :].splitlines()[:SAMPLE_LINES]
        if other := _other_delimiter(lines, header, schema):
            found, said = (_shown(delimiter) for delimiter in (other, header.delimiter))
            raise FileRejected(f"looks separated by {found}; the YAML says {said} (delimiter)") from None
        if _looks_like_values(lines[0], header, schema):
            raise FileRejected(
                f"{problem}; the first line looks like values: has the file no header line?"
            ) from None
        raise


def not_utf8(text: bytes, line: int) -> str:
    """What to say of a file whose `text`, which begins on `line`, is not UTF-8."""
    if line == 1 and (kind := _other_kind(text)):
        return kind
    try:
        text.decode()
    except UnicodeDecodeError as error:
        line += count_lines(text, error.start)
        rest = text[error.start : error.start + 1]
        western = rest.decode("cp1252", "replace").isalpha()
        guess = "; it looks like Windows-1252 or Latin-1" if western else ""
        return f"is not UTF-8 text at line {line}{guess}; export it as UTF-8"
    raise AssertionError("it is UTF-8")


def _other_kind(text: bytes) -> str | None:
    """What a file that begins with `text` is, if it is no text in UTF-8 at all."""
    if text[:2] in _UTF16:
        return "is UTF-16; export it as UTF-8"
    for beginning, kind in _OTHER_KINDS:
        if text.startswith(beginning):
            return f"is not CSV: it looks like {kind}"
    start = text[:200]
    if len(start) >= 4 and max(start[0::2].count(0), start[1::2].count(0)) > 0.4 * len(start):
        return "looks like UTF-16 without a byte order mark; export it as UTF-8"
    return None


def _other_delimiter(lines: list[bytes], header: Header, schema: Schema) -> str | None:
    """The delimiter by which the header has the schema's names, or by which alone the lines have fields."""
    known = set(schema.by_name)
    names = {d: {unquoted(n.strip()).decode().strip() for n in _split(lines[0], d)} for d in LIKELY_DELIMITERS}
    best = max(LIKELY_DELIMITERS, key=lambda delimiter: len(known & names[delimiter]))
    if len(known & names[best]) > max(len(known & set(header.names)), len(known) // 2):
        return best if best != header.delimiter else None
    if len(header.names) > 1 or len(known) == 1:
        return None
    for delimiter in LIKELY_DELIMITERS:
        counts = {len(_split(line, delimiter)) for line in lines if line}
        if len(counts) == 1 and counts != {1} and len(lines) > 1:
            return delimiter
    return None


def _split(line: bytes, delimiter: str) -> list[bytes]:
    return line.split(delimiter.encode())


def _looks_like_values(line: bytes, header: Header, schema: Schema) -> bool:
    """Does the first line read as a row of the schema, in its order, and name none of its columns?"""
    if len(header.names) != len(schema.columns) or set(header.names) & set(schema.by_name):
        return False
    return Grammar(schema.columns, schema.primary_key, header.delimiter).reads_as_row(line + b"\n")


def _shown(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else f"'{delimiter}'"
