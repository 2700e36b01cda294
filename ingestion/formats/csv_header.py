"""How a CSV file begins: its columns and their delimiter, or what it looks like instead."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from config.errors import FileRejected
from config.model import Schema
from ingestion.formats.csv_options import CsvOptions
from ingestion.formats.csv_quotes import count_lines
from ingestion.formats.csv_records import Grammar, unquoted
from validation.schema_validator import check_columns

LIKELY_DELIMITERS = (",", ";", "\t", "|", ":")
SAMPLE_LINES, SAMPLE_BYTES = 20, 1 << 16  # looked at for another delimiter
_BOM, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_OTHER_KINDS = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"PAR1", "Parquet"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd"),
)
_SEP_LINE = re.compile(rb'"?sep=([^"\r\n\x80-\xff])"?(?:\r\n|\r|\n)', re.IGNORECASE)  # Excel's, before the header
_EMPTY_LINES = re.compile(rb"[\r\n]*+")


class Header(NamedTuple):
    """The columns' names in the file's order, and what is between them; who said that.

    `start` and `end` are offsets; the rows come behind.
    """

    names: list[str]
    delimiter: str
    said_by: str
    start: int
    end: int


def read_header(text: bytes, options: CsvOptions, known: Collection[str] = ()) -> Header:
    """The header of a file that begins with `text`, which is whole lines; `known` are names it may have.

    A line `sep=;` before it, as Excel writes one, wins over the configuration. Raises FileRejected.
    """
    if kind := other_kind(text):
        raise FileRejected(kind)
    start = _EMPTY_LINES.match(text, len(_BOM) if text.startswith(_BOM) else 0).end()  # type: ignore[union-attr]
    delimiter, said_by = options.delimiter, "the YAML"
    if said := _SEP_LINE.match(text, start):
        delimiter, said_by = said[1].decode("ascii"), "its sep= line"
        start = _EMPTY_LINES.match(text, said.end()).end()  # type: ignore[union-attr]
    if start == len(text):
        raise FileRejected("is empty: not even a header line")
    comma = re.escape(delimiter.encode())
    value = rb'(?:"(?:[^"]++|"")*+"|[^"\r\n' + comma + rb"][^\r\n" + comma + rb"]*+|)"
    match = re.compile(value + rb"(?:" + comma + value + rb")*+(?=[\r\n])").match(text, start)
    if match is None:
        if other := _other_delimiter(_lines(text, start), delimiter, [], known):
            raise OtherDelimiter(other, delimiter, said_by)
        raise FileRejected(
            "the quotes of the header line are not right: a name is quoted as a whole or not at all"
        )
    values = re.findall(rb"(?:\A|" + comma + rb")(" + value + rb")", match[0])
    try:
        names = [unquoted(found).decode().strip() for found in values]
    except UnicodeDecodeError:
        raise FileRejected(not_utf8(text, 1)) from None
    return Header(names, delimiter, said_by, start, match.end())


def refuse_other_dialect(text: bytes, header: Header) -> None:
    """Raise FileRejected for a file of one column that is several with another delimiter."""
    lines = _lines(text, header.start)
    if other := _other_delimiter(lines, header.delimiter, header.names, ()):
        raise OtherDelimiter(other, header.delimiter, header.said_by)


def looks_separated_by(beginning: bytes, options: CsvOptions) -> str | None:
    """Another delimiter than that of `options`, which makes several columns of a file that begins so."""
    try:
        header = read_header(beginning.rpartition(b"\n")[0] + b"\n", options)
    except OtherDelimiter as found:
        return found.delimiter
    except FileRejected:
        return None
    return _other_delimiter(_lines(beginning, header.start), header.delimiter, header.names, ())


class OtherDelimiter(FileRejected):
    """The file has another delimiter than was said."""

    def __init__(self, found: str, delimiter: str, said_by: str) -> None:
        shown, said = ("tab" if one == "\t" else f"'{one}'" for one in (found, delimiter))
        super().__init__(f"looks separated by {shown}; {said_by} says {said} (delimiter)")
        self.delimiter = found


def check_header(text: bytes, header: Header, schema: Schema) -> None:
    """Raise FileRejected unless the file's columns are the schema's; if it is of another dialect, that is why.

    Where no name is known, the first line may be a row: then none is repeated.
    """
    try:
        check_columns(schema, header.names)
    except FileRejected:
        lines = _lines(text, header.start)
        if other := _other_delimiter(lines, header.delimiter, header.names, schema.by_name):
            raise OtherDelimiter(other, header.delimiter, header.said_by) from None
        if set(header.names) & set(schema.by_name):
            raise
        row = Grammar(schema.columns, schema.primary_key, header.delimiter).reads_as_row(lines[0] + b"\n")
        what = "looks like values" if row else f"names no column of schema {schema.name!r}"
        missing = ", ".join(schema.by_name)
        raise FileRejected(f"the first line {what}: has the file no header line? missing: {missing}") from None


def not_utf8(text: bytes, line: int) -> str:
    """What to say of a file whose `text`, which begins on `line`, is not UTF-8."""
    if line == 1 and (kind := other_kind(text)):
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


def other_kind(text: bytes) -> str | None:
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


def _lines(text: bytes, start: int) -> list[bytes]:
    """The header line, in which a name may be quoted, and some lines behind it."""
    return text[start : start + SAMPLE_BYTES].splitlines()[:SAMPLE_LINES]


def _other_delimiter(lines: list[bytes], delimiter: str, names: list[str], known: Collection[str]) -> str | None:
    """The delimiter that makes known names of the header, or fields of what is one, there and below.

    `names` are what the header has by `delimiter`.
    """
    fields = {other: lines[0].split(other.encode()) for other in LIKELY_DELIMITERS if other != delimiter}

    def hits(other: str) -> int:
        return len(
            {unquoted(field.strip()).decode(errors="replace").strip() for field in fields[other]} & set(known)
        )

    best = max(fields, key=hits)
    if hits(best) > max(len(set(names) & set(known)), len(known) // 2):
        return best
    best = max(fields, key=lambda other: len(fields[other]))
    count = len(fields[best])
    below = any(len(line.split(best.encode())) == count for line in lines[1:])
    return best if len(names) <= 1 < count and len(known) != 1 and below else None
