"""How a column writes dates, told by its values: only what can't be read in two ways."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.read_options import ReadOptions
from config.schema import Column
from validation.conversions import convert

MOSTLY = 0.6  # of the values, that it is told that they are dates
MOST_FORMATS = 3  # with the time of the day, without seconds, without any
_CLOCK = (
    r"(?:(?P<gap>[ T]|, | at )(?P<hour>\d{1,2}):\d{2}(?P<seconds>:\d{2})?(?P<fraction>\.\d{1,6})?"
    r"(?P<half> ?[AaPp][Mm])?(?P<offset> ?(?:Z|[+-]\d{2}:?\d{2}))?)?"
)
_NUMBERS = re.compile(
    rf"(?P<one>\d{{1,4}})(?P<sep>[./-])(?P<two>\d{{1,2}})(?P=sep)(?P<three>\d{{2}}|\d{{4}}){_CLOCK}"
)
_DAY_FIRST = re.compile(
    rf"(?:(?P<weekday>[A-Za-z]+),? )?(?P<day>\d{{1,2}})(?P<sep>[ ./-]|\. )(?P<month>[A-Za-z]{{3,9}})"
    rf"(?P<sep2>[ ./-]|, )(?P<year>\d{{4}}|\d{{2}}){_CLOCK}"
)
_MONTH_FIRST = re.compile(
    rf"(?:(?P<weekday>[A-Za-z]+),? )?(?P<month>[A-Za-z]{{3,9}}) (?P<day>\d{{1,2}}),? (?P<year>\d{{4}}){_CLOCK}"
)
_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{3,9}(?![A-Za-z,])")
_SHORT_NAME = 3  # letters, of a month or a day of the week
DAY, MONTH, YEAR = "day", "month", "year"


@dataclass(frozen=True)
class Dates:
    """The ways in which all values of a column are dates: by which part comes first, the formats.

    One way is sure. `separator` is what is between the parts, which tells columns of one habit.
    """

    ways: dict[str, tuple[str, ...]]
    separator: str
    has_time: bool
    has_offset: bool

    @property
    def dtype(self) -> Dtype:
        return Dtype.DATETIME if self.has_time else Dtype.DATE


def guess_dates(values: pa.Array, base: ReadOptions) -> Dates | None:
    """Judge distinct texts without blanks around them; None where they are no dates, or written in many ways."""
    texts = values.to_pylist()
    ways: dict[str, tuple[str, ...]] = {}
    separator = ""
    has_time = has_offset = False
    for first in (DAY, MONTH, YEAR):
        shapes = _shapes(texts, first)
        if shapes is None:
            continue
        formats, separator, has_time, has_offset = shapes
        column = Column(name="x", dtype=Dtype.DATETIME if has_time else Dtype.DATE, format=formats)
        found = convert(column, values, base)
        if not pc.any(pc.or_(found.unreadable, pc.is_null(found.values))).as_py():
            same = [way for way, known in ways.items() if _read(values, known, base).equals(found.values)]
            if not same:
                ways[first] = formats
    return Dates(ways, separator, has_time, has_offset) if ways else None


def are_dates_of_many_kinds(values: pa.Array, base: ReadOptions) -> bool:
    """Is nearly each of them a date by itself, though no format reads them all?"""
    iso = convert(Column(name="x", dtype=Dtype.DATETIME), values, base).values.is_valid().to_pylist()
    texts = values.to_pylist()
    dates = [
        is_iso or any(_shape(text, first, "%b") for first in (DAY, MONTH))
        for text, is_iso in zip(texts, iso, strict=True)
    ]
    return len(texts) > 1 and sum(dates) >= MOSTLY * len(texts)


def _read(values: pa.Array, formats: tuple[str, ...], base: ReadOptions) -> pa.Array:
    has_time = any("%H" in one or "%I" in one for one in formats)
    return convert(
        Column(name="x", dtype=Dtype.DATETIME if has_time else Dtype.DATE, format=formats), values, base
    ).values


def _shapes(texts: Sequence[str], first: str) -> tuple[tuple[str, ...], str, bool, bool] | None:
    """The formats of all texts, where `first` comes first; None where one has none, or they differ in more than
    the time of the day."""
    formats: dict[str, None] = {}
    heads: set[str] = set()
    separator = ""
    has_time = has_offset = False
    long = any(len(word) > _SHORT_NAME and word.isalpha() for text in texts for word in _WORD.findall(text))
    for text in texts:
        shape = _shape(text, first, "%B" if long else "%b")
        if shape is None:
            return None
        head, separator, clock = shape
        heads.add(head)
        formats[head + clock] = None
        has_time = has_time or bool(clock)
        has_offset = has_offset or "%z" in clock
        if len(heads) > 1 or len(formats) > MOST_FORMATS:
            return None
    return tuple(formats), separator, has_time, has_offset


def _shape(text: str, first: str, month: str) -> tuple[str, str, str] | None:
    """The format of a text: that of its date, the separator, and that of its time. `month` is that of its name."""
    if match := _NUMBERS.fullmatch(text):
        return _of_numbers(match, first)
    if first == DAY and (match := _DAY_FIRST.fullmatch(text)):
        year = "%Y" if len(match["year"]) > 2 else "%y"
        return f"{_weekday(match)}%d{match['sep']}{month}{match['sep2']}{year}", month, _clock(match)
    if first == MONTH and (match := _MONTH_FIRST.fullmatch(text)):
        comma = "," if f"{match['day']}," in text else ""
        return f"{_weekday(match)}{month} %d{comma} %Y", month, _clock(match)
    return None


def _of_numbers(match: re.Match[str], first: str) -> tuple[str, str, str] | None:
    one, three, sep = match["one"], match["three"], match["sep"]
    if len(one) > 2:
        return (
            (f"%Y{sep}%m{sep}%d", sep, _clock(match))
            if first == YEAR and len(three) == 2 and len(one) == 4
            else None
        )
    year = "%Y" if len(three) == 4 else "%y"
    if first == YEAR:
        # Two digits for a year that comes first are written with hyphens or slashes, if at all.
        return (f"%y{sep}%m{sep}%d", sep, _clock(match)) if year == "%y" and sep != "." else None
    return (f"%d{sep}%m{sep}{year}" if first == DAY else f"%m{sep}%d{sep}{year}", sep, _clock(match))


def _weekday(match: re.Match[str]) -> str:
    """The format of the day of the week, with what is behind it; '' where there is none."""
    if not (day := match["weekday"]):
        return ""
    comma = "," if f"{day}," in match[0] else ""
    return f"{'%a' if len(day) == _SHORT_NAME else '%A'}{comma} "


def _clock(match: re.Match[str]) -> str:
    if match["hour"] is None:
        return ""
    half = match["half"] or ""
    parts = [
        match["gap"],
        "%I" if half else "%H",
        ":%M",
        ":%S" if match["seconds"] else "",
        ".%f" if match["fraction"] else "",
        (" %p" if half.startswith(" ") else "%p") if half else "",
    ]
    offset = match["offset"] or ""
    return "".join(parts) + ((" %z" if offset.startswith(" ") else "%z") if offset else "")
