"""How a CSV file begins: its columns and their delimiter, or what it looks like instead."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from config.errors import FileRejected
from config.schema import Schema
from ingestion.formats.csv_escapes import Escapes
from ingestion.formats.csv_options import CsvOptions
from ingestion.formats.csv_records import NO_QUOTE, Grammar, unquoted
from ingestion.formats.encoding import UTF8, Text, not_utf8, wide_encoding
from ingestion.formats.way_out import as_said, in_yaml
from validation.drift import are_those_of, match_columns

LIKELY_DELIMITERS = (",", ";", "\t", "|", ":")
SAMPLE_LINES, SAMPLE_BYTES = 20, 1 << 16  # looked at for another delimiter
LIKELY_QUOTES = ("'", '"', "`")
_BOM = b"\xef\xbb\xbf"
OTHER_KINDS = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"PAR1", "Parquet"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd"),
)
_SEP_LINE = re.compile(rb'"?sep=([^"\r\n\x80-\xff])"?(?:\r\n|\r|\n)', re.IGNORECASE)  # Excel's, before the header
_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|\r|\n)")
_EMPTY_LINES = re.compile(rb"[\r\n]*+")


class Header(NamedTuple):
    """The columns' names in the file's order, and what is between them; who said that.

    `start` and `end` are offsets; the rows come behind. They are the same where no line names the columns.
    """

    names: list[str]
    delimiter: str
    said_by: str
    start: int
    end: int


class NoBeginning(FileRejected):
    """There is no header, nor a row, in the text that was read so far."""


def read_header(
    text: bytes, options: CsvOptions, known: Collection[str] = (), escapes: Escapes | None = None
) -> Header:
    """The header of a file that begins with `text`, which is whole lines; `known` are names it may have.

    A line `sep=;` before it, as Excel writes one, wins over the configuration. `known` are all its names, in their
    order, where `options` say that it has none. Raises FileRejected.
    """
    if kind := other_kind(text):
        raise FileRejected(kind)
    start, delimiter, said_by = _begin(text, options)
    if start == len(text):
        raise NoBeginning("is empty: not even a header line" if options.header else "is empty: it has no rows")
    grammar = HeaderLine(delimiter, options.quote)
    match = grammar.line.match(text, start)
    if not options.header:
        count = len(grammar.values(match[0])) if match else 1
        names = list(known) or [f"column_{number}" for number in range(1, count + 1)]
        return Header(names, delimiter, said_by, start, start)
    if match is None:
        if other := _other_delimiter(_lines(text, start, options), delimiter, [], known):
            raise OtherDelimiter(other, delimiter, said_by)
        raise FileRejected(
            "the quotes of the header line are not right: a name is quoted as a whole or not at all"
        )
    try:
        names = [value.decode().strip() for value in grammar.values(match[0])]
    except UnicodeDecodeError:
        raise FileRejected(f"is not UTF-8 text at line 1; {not_utf8(text, start)}") from None
    return Header(
        [escapes.value(name) for name in names] if escapes else names, delimiter, said_by, start, match.end()
    )


class HeaderLine:
    """A line of fields as a regular expression."""

    def __init__(self, delimiter: str, quote: str | None) -> None:
        comma, self._quote = re.escape(delimiter.encode()), quote.encode() if quote else NO_QUOTE
        sign = re.escape(self._quote)
        quoted = sign + b"(?:[^" + sign + b"]++|" + sign * 2 + b")*+" + sign
        plain = b"[^" + sign + rb"\r\n" + comma + rb"][^\r\n" + comma + b"]*+"
        value = b"(?:" + quoted + b"|" + plain + b"|)"
        self.line = re.compile(value + b"(?:" + comma + value + rb")*+(?=[\r\n])")
        self._value = re.compile(rb"(?:\A|" + comma + b")(" + value + b")")

    def values(self, line: bytes) -> list[bytes]:
        """The values of what `line` has matched."""
        return [unquoted(found, self._quote) for found in self._value.findall(line)]


def said_delimiter(beginning: bytes) -> str | None:
    """The delimiter that a line `sep=;` names, if the file begins with one."""
    said = _SEP_LINE.match(beginning, _first_line(beginning, 0))
    return said[1].decode("ascii") if said else None


def _first_line(text: bytes, start: int) -> int:
    """Where the first line begins, from `start` on, that is not empty."""
    start += len(_BOM) if not start and text.startswith(_BOM) else 0
    return _EMPTY_LINES.match(text, start).end()  # type: ignore[union-attr]


def _begin(text: bytes, options: CsvOptions) -> tuple[int, str, str]:
    """Where the header begins, or the rows where there is none; the delimiter, and who says so."""
    delimiter, said_by, start = options.delimiter, "the YAML", 0
    said = _SEP_LINE.match(text, _first_line(text, 0))
    if options.skip_lines:
        for _ in range(options.skip_lines):
            line = _LINE.match(text, start)
            if line is None:
                raise NoBeginning(f"has no line behind the {options.skip_lines} of skip_lines")
            start = line.end()
    elif said:
        start = said.end()
    if said:
        delimiter, said_by = said[1].decode("ascii"), "its sep= line"
        if delimiter in (options.quote, options.escape_sign):
            raise FileRejected(
                f"its sep= line names {as_said(delimiter)} as the delimiter, which the YAML has as another sign"
            )
    start = _first_line(text, start)
    comment = options.comment.encode() if options.comment else None
    while comment and text.startswith(comment, start):
        line = _LINE.match(text, start)
        start = _first_line(text, line.end() if line else len(text))
    return start, delimiter, said_by


def refuse_other_dialect(text: bytes, header: Header, options: CsvOptions) -> None:
    """Raise FileRejected for a file of one column that is several with another delimiter."""
    lines = _lines(text, header.start, options)
    if other := _other_delimiter(lines, header.delimiter, header.names, ()):
        raise OtherDelimiter(other, header.delimiter, header.said_by)


class OtherDelimiter(FileRejected):
    """The file has another delimiter than was said."""

    def __init__(self, found: str, delimiter: str, said_by: str) -> None:
        way_out = in_yaml("delimiter", found)
        super().__init__(
            f"looks separated by {as_said(found)}; {said_by} says {as_said(delimiter)} (delimiter): {way_out}"
        )
        self.delimiter = found


def check_header(text: bytes, header: Header, schema: Schema, options: CsvOptions) -> list[str | None]:
    """Which column of the schema each of the file's is, None for one that is left out.

    Raises FileRejected unless they are those of the schema; if the file is of another dialect, that is why. Where
    no name is known, the first line may be a row: then none is repeated.
    """
    lines = _lines(text, header.start, options)
    if not options.header:
        _check_first_rows(lines, header, schema, options)
        return [*header.names]
    try:
        return match_columns(schema, header.names)
    except FileRejected:
        _refuse_other(text, lines, header, schema, options)
        if set(header.names) & set(schema.by_source):
            raise
        grammar = Grammar(schema.columns, schema.primary_key.columns, header.delimiter, options.quote)
        row = grammar.reads_as_row(lines[0] + b"\n")
        what = "looks like values" if row else f"names no column of schema {schema.name!r}"
        missing = ", ".join(schema.by_name)
        raise FileRejected(
            f"the first line {what}: has the file no header line? Then {in_yaml('header', False)}; "
            f"missing: {missing}"
        ) from None


def _refuse_other(text: bytes, lines: list[bytes], header: Header, schema: Schema, options: CsvOptions) -> None:
    """Raise FileRejected where the names are found by another delimiter, by another quote or on another line."""
    if other := _other_delimiter(lines, header.delimiter, header.names, schema.by_source):
        raise OtherDelimiter(other, header.delimiter, header.said_by) from None
    for quote in LIKELY_QUOTES:
        bare = [name[1:-1] if name[:1] == name[-1:] == quote else name for name in header.names]
        if quote != options.quote and bare != header.names and are_those_of(schema, bare):
            said = f"the YAML says {as_said(options.quote)} (quote): {in_yaml('quote', quote)}"
            raise FileRejected(f"looks quoted by {as_said(quote)}; {said}") from None
    grammar = HeaderLine(header.delimiter, options.quote)
    for number, line in enumerate(_LINE.findall(text[:SAMPLE_BYTES])[:SAMPLE_LINES]):
        match = grammar.line.match(line)
        found = [value.decode(errors="replace").strip() for value in grammar.values(match[0])] if match else []
        if found != header.names and are_those_of(schema, found):
            said = f"the YAML says skip_lines: {options.skip_lines}"
            raise FileRejected(
                f"line {number + 1} names the columns; {said}: {in_yaml('skip_lines', number)}"
            ) from None


def _check_first_rows(lines: list[bytes], header: Header, schema: Schema, options: CsvOptions) -> None:
    """Raise FileRejected where the file has a header after all, or none of its first lines the schema's fields."""
    grammar = HeaderLine(header.delimiter, options.quote)
    matches = [grammar.line.match(line + b"\n") for line in lines]
    rows = [grammar.values(match[0]) for match in matches if match]
    first = {value.decode(errors="replace").strip() for value in rows[0]} if rows else set()
    if len(first) > 1 and first >= set(schema.by_name):
        said = f"the YAML says header: false: {in_yaml('header', True)}"
        raise FileRejected(f"its first line names the columns; {said}")
    counts = {len(row) for row in rows}
    if len(lines) < 2 or len(rows) < len(lines) or len(counts) > 1 or len(header.names) in counts:
        return
    wanted = len(header.names)
    for other in LIKELY_DELIMITERS:
        if all(len(line.split(other.encode())) == wanted for line in lines) and wanted > 1:
            raise OtherDelimiter(other, header.delimiter, header.said_by)
    raise FileRejected(
        f"has {counts.pop()} fields a line, and no header; schema {schema.name!r} has {wanted} columns"
    )


def wrong_encoding(text: bytes, at: int, line: int, byte: int | None, source: Text) -> str:
    """What to say of a file of which `text`, on `line`, has at offset `at` what is not in its encoding."""
    place = f"line {line}" + (f", byte {byte}" if byte else "")
    if source.encoding == UTF8:
        return f"is not UTF-8 text at {place}; {not_utf8(text, at)}"
    return (
        f"is not {source.encoding} text at {place}; the encoding of the file is another one, or it is damaged: "
        f"say which under read: {{encoding: …}}"
    )


def other_kind(text: bytes) -> str | None:
    """What a file that begins with `text` is, if it is no text in its encoding at all."""
    for beginning, kind in OTHER_KINDS:
        if text.startswith(beginning):
            return f"is not CSV: it looks like {kind}"
    if found := wide_encoding(text):
        name = found.upper()[:6]
        return f"looks like {name} without a byte order mark: {in_yaml('encoding', found)}"
    return None


def _lines(text: bytes, start: int, options: CsvOptions) -> list[bytes]:
    """The header line, in which a name may be quoted, and some lines behind it."""
    lines = text[start : start + SAMPLE_BYTES].splitlines()[:SAMPLE_LINES]
    comment = options.comment.encode() if options.comment else None
    return [line for line in lines if line and not (comment and line.startswith(comment))]


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
