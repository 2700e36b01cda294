"""How a CSV file seems to be written, told from its beginning. A guess, for `infer`: a load never goes by it."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ingestion.formats.csv_header import LIKELY_DELIMITERS, OTHER_KINDS, said_delimiter
from ingestion.formats.csv_options import CsvOptions
from ingestion.formats.encoding import sniffed_text

LINES = 500  # looked at
MOST_BEFORE = 30  # lines before the header
SURE = 0.9  # of the records have the same number of fields
_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\r|\n)")
_KINDS = (
    ("number", re.compile(r"[+-]?\d+([.,]\d+)*")),
    ("time", re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d{2}.*)?|\d{1,2}:\d{2}(:\d{2})?")),
)
_YEAR = re.compile(r"(19|20)\d\d")


class _Reading(NamedTuple):
    """The records by one delimiter, quote and escape: each with the number of its first line, from 0.

    `fields`: how many most of them have; `first`: which record is the first to have so many; `share`: of the
    records from there on, those that have so many.
    """

    delimiter: str
    quote: str | None
    escape: str | None
    records: list[tuple[int, list[str]]]
    fields: int
    first: int
    share: float

    @property
    def rank(self) -> tuple[bool, ...]:
        """Of two readings the one with the greater rank is the likelier one."""
        fits = self.fields > 1 and self.share >= SURE
        whole = not any(_is_torn(value) for _, record in self.records for value in record)
        return fits, fits and not self.first, fits and self.share == 1, fits and whole, self.delimiter != ":"


def sniffed(beginning: bytes, options: CsvOptions) -> dict[str, Any] | None:
    """The keys of `read:` in which a file differs from `options`, where that is sure; None where it is no CSV."""
    if beginning.startswith(tuple(kind for kind, _ in OTHER_KINDS)):
        return None
    text, found = sniffed_text(beginning, options.encoding)
    if "\0" in text[:200]:
        return None
    lines = _LINE.findall(text if text.endswith(("\n", "\r")) or "\n" in text else text + "\n")[:LINES]
    said = said_delimiter(text[:20].encode())
    likely: dict[str, Any] = dict(found)
    if said:
        lines = lines[1:]
    comment = options.comment
    if comment is None and (comment := _comment(lines, options)):
        likely["comment"] = comment
    kept = ["\n" if comment and line.startswith(comment) else line for line in lines]
    kept[: options.skip_lines] = ["\n"] * min(options.skip_lines, len(kept))
    reading = _likeliest(kept, options, said)
    if reading is None:
        return likely
    if said is None and reading.delimiter != options.delimiter:
        likely["delimiter"] = "tab" if reading.delimiter == "\t" else reading.delimiter
    quote = _other_quote(reading) or reading.quote
    if quote != options.quote:
        likely["quote"] = quote or "none"
    if reading.escape != options.escape_sign:
        likely["escape"] = reading.escape or "none"
    before = reading.records[reading.first][0]
    if reading.first and 0 < before <= MOST_BEFORE and len(reading.records) - reading.first > 1:
        likely["skip_lines"] = before + (1 if said else 0)
    rows = [record for _, record in reading.records[reading.first :] if len(record) == reading.fields]
    if options.header and _are_values(rows):
        likely["header"] = False
    return likely


def _likeliest(lines: list[str], options: CsvOptions, said: str | None) -> _Reading | None:
    """The reading by which most records have the same number of fields; that of `options` where it is as good."""
    best: _Reading | None = None
    signs = dict.fromkeys([(options.quote, options.escape_sign), ('"', None), ('"', "\\"), ("'", None)])
    for delimiter in [said] if said else dict.fromkeys([options.delimiter, *LIKELY_DELIMITERS]):
        for quote, escape in signs:
            if delimiter in (quote, escape):
                continue
            found = _read(lines, delimiter, quote, escape)
            if found and (best is None or found.rank > best.rank):
                best = found
    return best


def _read(lines: list[str], delimiter: str, quote: str | None, escape: str | None) -> _Reading | None:
    """The records by these signs; None where they break the rules."""
    records: list[tuple[int, list[str]]] = []
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quotechar=quote,
        escapechar=escape,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        strict=True,
    )
    start = 0
    try:
        for record in reader:
            if record:
                records.append((start, record))
            start = reader.line_num
    except csv.Error:
        if reader.line_num < len(lines):  # else the beginning ends within a value
            return None
    if not records:
        return None
    counts = Counter(len(record) for _, record in records)
    fields = max(counts, key=lambda count: (counts[count], count))
    first = next(number for number, (_, record) in enumerate(records) if len(record) == fields)
    share = counts[fields] / (len(records) - first)
    if fields > 1 and len(records) < 2:
        share = 0 if delimiter != "," else share
    return _Reading(delimiter, quote, escape, records, fields, first, share)


def _is_torn(value: str) -> bool:
    """Is there a quote at one end alone?"""
    return any(value.startswith(sign) != value.endswith(sign) for sign in ("'", '"'))


def _comment(lines: Sequence[str], options: CsvOptions) -> str | None:
    """`#`, where lines begin so that have not the fields of the others."""
    begin = [line for line in lines if line.startswith("#")]
    others = [line for line in lines if line.strip() and not line.startswith("#")]
    if not begin or len(others) < len(begin):
        return None
    delimiters = (options.delimiter, *LIKELY_DELIMITERS)
    delimiter = max(delimiters, key=lambda one: min(line.count(one) for line in others))
    usual = Counter(line.count(delimiter) for line in others).most_common(1)[0][0]
    return "#" if usual and all(line.count(delimiter) != usual for line in begin) else None


def _other_quote(reading: _Reading) -> str | None:
    """The sign around each value of some column, which no quote was taken for."""
    rows = [record for _, record in reading.records[reading.first :] if len(record) == reading.fields]
    for sign in ("'", '"', "`"):
        for values in zip(*rows[1:], strict=True):
            there = [value for value in values if value]
            if (
                sign != reading.quote
                and len(there) > 1
                and all(len(value) > 1 and value[0] == value[-1] == sign for value in there)
            ):
                return sign
    return None


def _are_values(rows: list[list[str]]) -> bool:
    """Is the first of `rows` of the same kinds as all others, in every column that is not text?"""
    if len(rows) < 3:
        return False
    first, *others = rows
    evidence = False
    for name, kinds in zip(first, _kinds_of_columns(others), strict=True):
        if len(kinds) != 1 or "text" in kinds:
            continue
        if _kind(name) not in kinds:
            return False
        evidence = evidence or not _YEAR.fullmatch(name.strip())
    return evidence


def _kinds_of_columns(rows: list[list[str]]) -> Iterator[set[str]]:
    for values in zip(*rows, strict=True):
        yield {_kind(value) for value in values if value.strip()}


def _kind(value: str) -> str:
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(value.strip())), "text")
