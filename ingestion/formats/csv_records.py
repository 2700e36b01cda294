"""What a CSV record looks like by RFC 4180, read strictly, and whether it can be one record at all.

A quoted value ends with a quote that a delimiter or a line end follows; a quote within an unquoted value is text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.schema import Column
from validation.conversions import convert

BAD_QUOTES, TOO_FEW, TOO_MANY = "bad_quotes", "too_few_fields", "too_many_fields"
SURE = 3  # coincidences that make the lines within a value records of their own
NO_QUOTE = b"\xff"  # no text in UTF-8 has it
_LINE_END = rb"(?:\r\n|\r|\n)"


class Grammar:
    """Records of `columns`, which are in the order of the file; `key` are the columns that tell rows apart.

    `quote` is None where no sign is one.
    """

    def __init__(
        self, columns: Sequence[Column], key: Collection[str], delimiter: str, quote: str | None = '"'
    ) -> None:
        self.delimiter = delimiter.encode()
        self.quote = quote.encode() if quote else NO_QUOTE
        self.fields = len(columns)
        self.columns, self._key = columns, key
        comma = re.escape(self.delimiter)
        sign = re.escape(self.quote)
        quoted, on_a_line = (
            sign + b"(?:[^" + ends + sign + b"]++|" + sign * 2 + b")*+" + sign for ends in (b"", rb"\r\n")
        )
        plain = b"[^\r\n" + sign + comma + b"][^\r\n" + comma + b"]*+|"
        value, short = (b"(?:" + kind + b"|" + plain + b")" for kind in (quoted, on_a_line))
        others = b"%d" % (self.fields - 1)
        fewer = b"%d" % max(self.fields - 2, 0)
        too_many = b"%d" % self.fields
        self._record = re.compile(value + b"(?:" + comma + value + b"){" + others + b"}+" + _LINE_END)
        self._line = re.compile(short + b"(?:" + comma + short + b")*+" + _LINE_END)
        self._few = re.compile(value + b"(?:" + comma + value + b"){0," + fewer + b"}+" + _LINE_END)
        self._many = re.compile(value + b"(?:" + comma + value + b"){" + too_many + b"}+(?:" + comma + b"|[\r\n])")
        self._open = re.compile(
            b"(?:" + value + comma + b"){0," + others + b"}+" + quoted.removesuffix(sign) + rb"\Z"
        )
        self._before_open = re.compile(b"(?:" + short + comma + b")*+(?=" + sign + b")")
        self._field = re.compile(b"(" + value + b")(?:" + comma + b"|" + _LINE_END + b")")

    def end_of_record(self, text: bytes, start: int) -> int | None:
        """The offset behind the record that begins at `start`, if its quotes are right and it can be one.

        A line with too few or too many fields has an end, too: it harms none but itself.
        """
        if match := self._record.match(text, start):
            return None if self._swallows(text[start : match.end()]) else match.end()
        match = self._line.match(text, start)
        return match.end() if match else None

    def goes_on(self, text: bytes, start: int) -> bool:
        """Is the record that begins at `start` right so far, and ends beyond the text?"""
        return self._open.match(text, start) is not None

    def fault(self, text: bytes, start: int) -> str:
        """The rule that the record breaks which begins at `start` and has no end."""
        if self.fields > 1 and self._few.match(text, start):
            return TOO_FEW
        return TOO_MANY if self._many.match(text, start) else BAD_QUOTES

    def values(self, line: bytes) -> list[bytes]:
        """The values of a line that is a record, as they are meant."""
        return [unquoted(found, self.quote) for found in self._field.findall(line)]

    def reads_as_row(self, line: bytes) -> bool:
        """Is the line a record with a key, with values that all columns can hold, and with one that is no text?"""
        if not self._record.fullmatch(line):
            return False
        fits, typed = self._fit([self.values(line)])
        return bool(fits and typed)

    def _swallows(self, record: bytes) -> bool:
        """Are there records among the lines of what reads as one record? Then two stray quotes made it one.

        What speaks for it: without its quote the first line is a record, and so are most of the others, with a
        key, and with values that their columns can hold. Every delimiter is a coincidence that a text in quotes
        would have to make up, and so is every number or time where one belongs: one or two may be chance. In a
        text, a blank follows a comma; in a record, it doesn't.
        """
        first, *others = record.splitlines(keepends=True)
        if not others or self.fields == 1:
            return False
        opener = self._before_open.match(first)
        if opener is None or not self._record.fullmatch(first[: opener.end()] + first[opener.end() + 1 :]):
            return False
        rows = [self.values(line) for line in others if self._record.fullmatch(line)]
        rows = [row for row in rows if not any(value.startswith(b" ") for value in row)]
        if 2 * len(rows) <= len(others):
            return False
        fits, typed = self._fit(rows)
        return 2 * fits > len(others) and fits * (self.fields - 1) + typed >= SURE

    def _fit(self, rows: list[list[bytes]]) -> tuple[int, int]:
        """How many of `rows` have a key and values that all columns can hold; how many of these are not text."""
        fit, typed = pa.repeat(pa.scalar(value=True), len(rows)), []
        for column, texts in zip(self.columns, zip(*rows, strict=True), strict=True):
            raw = pa.array([text or None for text in texts], pa.binary()).cast(pa.string())
            read = convert(column, raw)
            fit = pc.and_not(fit, read.unreadable)
            if column.name in self._key:
                fit = pc.and_(fit, pc.is_valid(raw))
            if column.allowed_values is not None:
                known = pc.is_in(read.values, value_set=pa.array(column.allowed_values))
                fit = pc.and_(fit, pc.or_(known, pc.is_null(raw)))
            if column.allowed_values is not None or column.dtype is not Dtype.STR:
                typed.append(pc.is_valid(raw))
        return pc.sum(fit).as_py(), sum(pc.sum(pc.and_(fit, there)).as_py() for there in typed)


def unquoted(field: bytes, quote: bytes = b'"') -> bytes:
    """The value of a field that is quoted as a whole or not at all."""
    return field[1:-1].replace(quote * 2, quote) if field.startswith(quote) else field
