"""CSV → chunks of text columns, streamed: RFC 4180, read strictly, and no line costs its neighbours."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from config.errors import FileRejected
from config.model import Stage
from config.schema import Schema
from ingestion.formats.csv_blocks import MAX_LINE_BYTES, Blocks
from ingestion.formats.csv_comments import Comments
from ingestion.formats.csv_escapes import Escapes, hidden_line_ends
from ingestion.formats.csv_header import Header, NoBeginning, check_header, read_header, refuse_other_dialect
from ingestion.formats.csv_mend import Mended, Mender
from ingestion.formats.csv_options import CsvOptions
from ingestion.formats.csv_quotes import lines_of_records
from ingestion.formats.csv_records import NO_QUOTE, TOO_FEW, TOO_MANY, Grammar
from ingestion.formats.csv_sniff import sniffed
from ingestion.formats.encoding import UTF8
from ingestion.formats.format import Format
from validation.batch import Chunk, Reason, Rejection
from validation.extra import extra_columns, gathered, left_out, new_names
from validation.pii_handler import malformed_raw

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")

LONGEST_BEGINNING = 16 << 20  # bytes before the header


class CsvFormat(Format):
    """Text with a delimiter between the fields, by any extension that such files have."""

    name = "csv"
    extensions = (".csv", ".tsv", ".txt")
    Options: ClassVar = CsvOptions
    longest_record = MAX_LINE_BYTES

    def defaults(self, extension: str) -> dict[str, Any]:
        """A file of tab-separated values is what its name says."""
        return {"delimiter": "tab"} if extension == ".tsv" else {}

    def sniff(self, beginning: bytes, options: CsvOptions) -> dict[str, Any] | None:
        """The encoding, the signs and the lines that are no rows, where they can be told from the beginning."""
        return sniffed(beginning, options)

    def ends_with_record(self, blocks: Iterable[bytes], options: CsvOptions) -> bool:
        """A line does, outside of quotes; which these are can be told by counting where nothing hides them."""
        if options.escape_sign is not None or options.encoding != UTF8:
            return False
        quote, count, last = (options.quote or "").encode(), 0, b""
        for last in blocks:
            count += last.count(quote) if quote else 0
        return last.endswith(b"\n") and count % 2 == 0

    def columns(self, raw: IO[bytes], rows: int, options: CsvOptions) -> list[str]:
        """The names in the header."""
        del rows
        blocks = Blocks(raw, options)
        header = _header(blocks, options)
        refuse_other_dialect(blocks.text, header, options)
        return header.names

    def by_position(self, raw: IO[bytes], options: CsvOptions) -> dict[str, Any] | None:
        """The header line is skipped with all lines before it."""
        blocks = Blocks(raw, options)
        header = _header(blocks, options)
        before = len(_LINE_END.findall(blocks.text, 0, header.end))
        return {"header": False, "skip_lines": before + 1} if options.header else {}

    def chunks(self, raw: IO[bytes], schema: Schema, chunk_rows: int, options: CsvOptions) -> Iterator[Chunk]:
        """An unquoted empty field is null, a quoted one is ''."""
        return read_csv(raw, schema, chunk_rows, options)


def read_csv(raw: IO[bytes], schema: Schema, chunk_rows: int, options: CsvOptions) -> Iterator[Chunk]:
    """The records as chunks of at most `chunk_rows` rows; an unquoted empty field is null, a quoted one is ''.

    A record that can't be split into the columns is `malformed` of its chunk. It costs one line: the next record
    begins on the line after it. Raises FileRejected for what is wrong with the file as a whole.
    """
    blocks = Blocks(raw, options)
    header = _header(blocks, options, schema.by_source if options.header else schema.by_name)
    names = check_header(blocks.text, header, schema, options)
    blocks.use(header.end)
    columns = [schema.by_name[n] if n else left_out(place) for place, n in enumerate(names)]
    grammar = Grammar(columns, schema.primary_key.columns, header.delimiter, options.quote)
    wanted = [column.name for column in schema.columns if column.name in names]
    extras, new = extra_columns(schema, header.names, names), new_names(header.names, names)
    taken = [*wanted, *extras]
    for chunk in _rechunked(_parts(blocks, grammar, taken, options), taken, chunk_rows):
        yield gathered(chunk, extras, new)


def _header(blocks: Blocks, options: CsvOptions, known: Collection[str] = ()) -> Header:
    """The header, which most files have in their first block; comments and lines to skip may go on beyond."""
    while True:
        try:
            return read_header(blocks.text, options, known, blocks.escapes)
        except NoBeginning:
            if blocks.last or len(blocks.text) > LONGEST_BEGINNING:
                raise
        blocks.read()


@dataclass(frozen=True, slots=True)
class _Part:
    """Records in the order of the file: rows with their ordinals, and the malformed ones between them."""

    numbers: np.ndarray
    rows: pa.Table
    malformed: list[Rejection]

    def cut(self, number: int) -> tuple[_Part, _Part]:
        """The records up to `number`, and those behind it."""
        at = int(np.searchsorted(self.numbers, number, side="right"))
        bad = bisect_right(self.malformed, number, key=lambda one: one.number)
        return (
            _Part(self.numbers[:at], self.rows.slice(0, at), self.malformed[:bad]),
            _Part(self.numbers[at:], self.rows.slice(at), self.malformed[bad:]),
        )

    def number_of(self, count: int) -> int:
        """The number of the `count`th row, or malformed record, whichever comes first; 0 if there are too few."""
        ends = [int(self.numbers[count - 1])] if len(self.numbers) >= count else []
        if len(self.malformed) >= count:
            ends.append(self.malformed[count - 1].number)
        return min(ends, default=0)

    def followed_by(self, other: _Part) -> _Part:
        """Both in one."""
        numbers = np.concatenate((self.numbers, other.numbers))
        return _Part(numbers, pa.concat_tables([self.rows, other.rows]), self.malformed + other.malformed)


def _parts(blocks: Blocks, grammar: Grammar, wanted: list[str], options: CsvOptions) -> Iterator[_Part]:
    """What each block holds of the columns `wanted`."""
    comments = Comments(options.comment, escapes=blocks.escapes is not None) if options.comment else None
    mender = Mender(grammar, blocks.longest, comments)
    parser = _Parser(grammar, wanted, mender.mark, blocks.escapes)
    count = 0
    while True:
        mended = mender.mend(blocks.text, last=blocks.last)
        part = parser.parse(mended, count, blocks.line)
        if part is None:
            mended = mender.mend(blocks.text, last=blocks.last, closely=True)
            part = parser.parse(mended, count, blocks.line)
            assert part is not None  # noqa: S101  (no record that spans lines was left malformed)
        count += len(part.numbers) + len(part.malformed)
        yield part
        if blocks.last:
            return
        blocks.use(mended.used)
        blocks.read()


class _Parser:
    """Text whose quotes are right → columns `wanted`, by Arrow, which tells of the lines that it can't split."""

    def __init__(self, grammar: Grammar, wanted: list[str], mark: bytes, escapes: Escapes | None) -> None:
        self._names = [column.name for column in grammar.columns]
        self._delimiter = grammar.delimiter.decode()
        self._quote = grammar.quote
        self._mark = mark.decode()
        self._escapes = escapes
        self._convert = pacsv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=wanted,
            check_utf8=False,  # it was
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        self._nothing = pa.table({name: pa.array([], pa.string()) for name in wanted})

    def parse(self, mended: Mended, count: int, line: int) -> _Part | None:
        """The records of `mended`, which come after `count` others and begin on `line`.

        None if one of them spans lines and has too few or too many fields: it must give its lines back.
        """
        ragged: list[pacsv.InvalidRow] = []

        def note(row: pacsv.InvalidRow) -> str:
            ragged.append(row)
            return "skip"

        rows = self._table(mended.text, note)
        if any("\n" in row.text or "\r" in row.text for row in ragged):
            return None
        numbers = np.arange(1, rows.num_rows + len(ragged) + 1)
        numbers = np.delete(numbers, [row.number - 1 for row in ragged]) + count
        return _Part(numbers, rows, self._malformed(mended, ragged, count, line) if ragged else [])

    def _table(self, text: bytes, note: Callable[[pacsv.InvalidRow], str]) -> pa.Table:
        if text.startswith(_BOM):
            text = b"\n" + text  # else Arrow takes it for one; an empty line is no record
        if not text:
            return self._nothing
        try:
            rows = pacsv.read_csv(
                pa.BufferReader(text),
                pacsv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=self._names),
                pacsv.ParseOptions(
                    delimiter=self._delimiter,
                    quote_char=False if self._quote == NO_QUOTE else self._quote.decode(),
                    newlines_in_values=self._quote in text,
                    invalid_row_handler=note,
                ),
                self._convert,
            )
            return self._escapes.values(rows) if self._escapes else rows
        except pa.ArrowInvalid:
            raise FileRejected("is not CSV that can be read") from None  # Arrow's own words may quote the data

    def _malformed(self, mended: Mended, ragged: list[pacsv.InvalidRow], count: int, line: int) -> list[Rejection]:
        escaped = hidden_line_ends(mended.text) if self._escapes else ()
        lines = line + lines_of_records(mended.text, ord(self._delimiter), self._quote[0], escaped)
        cuts = iter(mended.cuts)
        malformed = []
        for row in ragged:
            if row.text.startswith(self._mark):
                rule, text = next(cuts)
            else:
                rule, text = TOO_MANY if row.actual_columns > row.expected_columns else TOO_FEW, row.text
            reasons = (Reason(Stage.SCHEMA, rule, ""),)
            text = self._escapes.as_written(text) if self._escapes else text
            raw = malformed_raw(text, int(lines[row.number - 1]))
            malformed.append(Rejection(row.number + count, reasons, raw))
        return malformed


def _rechunked(parts: Iterator[_Part], names: list[str], chunk_rows: int) -> Iterator[Chunk]:
    """The records in chunks of `chunk_rows` rows, or fewer and as many malformed records."""

    def chunk(part: _Part) -> Chunk:
        columns = {name: part.rows.column(name).combine_chunks() for name in names}
        return Chunk(part.numbers, columns, tuple(part.malformed))

    held: _Part | None = None
    for part in parts:
        held = held.followed_by(part) if held else part
        while last := held.number_of(chunk_rows):
            whole, held = held.cut(last)
            yield chunk(whole)
    if held and (len(held.numbers) or held.malformed):
        yield chunk(held)
