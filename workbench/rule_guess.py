"""Rules that the rows of a table keep: their values are looked at once, and each rule is counted on all."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.schema import Column
from validation.conversions import AS_WRITTEN, convert
from validation.rules import RULES
from validation.rules.registry import DAYS, NUMBERS

MOST_UNFIT = 0.02  # of the rows may break a rule that is proposed all the same
_LEAST_ROWS = 20  # with fewer nothing is proposed but sets of two rows a value
_MOST_WORDS = 20  # of a set
_MOST_FORMS = 50  # kinds of text that are kept apart
_MOST_TIMES = 8  # columns that are compared with each other
_OF_TEXT = ("uuid", "email", "url", "iban", "ip", "digits")  # the first that fits says most
_OF_ANY_TEXT = ("not_blank", "trimmed")
_SIGNS = (("[0-9]", "9"), ("[A-Z]", "A"), ("[a-z]", "a"))
_CLASSES = {"9": "[0-9]", "A": "[A-Z]", "a": "[a-z]"}


class Proposal(NamedTuple):
    """A rule of a column, its parameter, and how many of the loaded rows it would refuse."""

    column: str
    rule: str
    parameter: Any
    refuses: int


class Times:
    """Which columns of days and times are never before which others."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        names = [name for name, column in columns.items() if column.dtype in DAYS and not column.pii][:_MOST_TIMES]
        same = [(a, b) for a in names for b in names if a != b and columns[a].dtype is columns[b].dtype]
        self._before: Counter[tuple[str, str]] = Counter(dict.fromkeys(same, 0))
        self._both: Counter[tuple[str, str]] = Counter()
        self._apart: Counter[tuple[str, str]] = Counter()

    def add(self, values: Mapping[str, pa.Array]) -> None:
        """Look at the next rows."""
        for later, earlier in self._before:
            is_before = pc.less(values[later], values[earlier])
            self._before[later, earlier] += _count(is_before)
            self._both[later, earlier] += len(is_before) - is_before.null_count
            self._apart[later, earlier] += _count(pc.not_equal(values[later], values[earlier]))

    def proposals(self) -> Iterator[Proposal]:
        """Of each column the one that fits: at_least: { column: … }."""
        fitting: dict[str, list[tuple[int, int, str]]] = {}
        for (later, earlier), broken in self._before.items():
            both = self._both[later, earlier]
            if both >= _LEAST_ROWS and broken <= MOST_UNFIT * both and self._apart[later, earlier] > both / 2:
                fitting.setdefault(later, []).append((broken, -both, earlier))
        for later, found in fitting.items():
            broken, _, earlier = min(found)
            yield Proposal(later, "at_least", {"column": earlier}, broken)


class Evidence:
    """What the values of one column are like. `is_key`: it is of the table's key, or refers to another."""

    def __init__(self, column: Column, *, is_key: bool) -> None:
        self._column = column
        self._is_key = is_key
        self._hides = column.pii is not None  # hashes, of which no rule can judge
        self._tells = not (self._hides or column.personal)  # may its values be shown?
        self._rows = self._nulls = 0
        self._low: Any = None
        self._high: Any = None
        self._words: set[str] | None = set()
        self._forms: set[str] | None = set()
        self._begins: str | None = None
        self._shortest, self._longest = 2**31, 0
        tried = [] if self._hides else _tried(column)
        self._broken: Counter[str] = Counter(dict.fromkeys(tried, 0))

    def add(self, values: pa.Array) -> None:
        """Look at the next values."""
        self._rows += len(values)
        self._nulls += values.null_count
        values = values.drop_null()
        if self._hides or not len(values):
            return
        for rule in list(self._broken):
            self._broken[rule] += _count(RULES[rule].broken(values, True, {}))
            if self._broken[rule] > MOST_UNFIT * self._values + _LEAST_ROWS:
                del self._broken[rule]
        if self._column.dtype in {*NUMBERS, *DAYS}:
            bounds = pc.min_max(values).as_py()
            self._low = bounds["min"] if self._low is None else min(self._low, bounds["min"])
            self._high = bounds["max"] if self._high is None else max(self._high, bounds["max"])
        elif self._column.dtype is Dtype.STR:
            self._add_texts(values)

    def _add_texts(self, values: pa.Array) -> None:
        lengths = pc.min_max(pc.utf8_length(values)).as_py()
        self._shortest, self._longest = min(self._shortest, lengths["min"]), max(self._longest, lengths["max"])
        bounds = pc.min_max(values).as_py()  # between them lie the others
        known = [bounds["min"], bounds["max"], *([] if self._begins is None else [self._begins])]
        self._begins = _common_begin(known)
        if self._words is not None:
            self._words |= {*pc.unique(values).to_pylist()}
            self._words = self._words if len(self._words) <= _MOST_WORDS else None
        if self._forms is not None and self._longest <= 50:
            forms = values
            for pattern, sign in _SIGNS:
                forms = pc.replace_substring_regex(forms, pattern, sign)
            self._forms |= {*pc.unique(forms).to_pylist()}
            self._forms = self._forms if len(self._forms) <= _MOST_FORMS else None
        else:
            self._forms = None

    @property
    def _values(self) -> int:
        return self._rows - self._nulls

    def proposals(self) -> Iterator[Proposal]:
        """The rules that the column does not have, and nearly all of its values keep."""
        for rule, parameter, refuses in self._found():
            if rule not in self._column.uses and refuses <= MOST_UNFIT * self._rows:
                yield Proposal(self._column.name, rule, parameter, refuses)

    def _found(self) -> Iterator[tuple[str, Any, int]]:
        if self._rows < _LEAST_ROWS:
            return
        if self._column.nullable and not self._column.refuses_null:
            yield "required", True, self._nulls
        if self._hides or not self._values:
            return
        match self._column.dtype:
            case Dtype.INT | Dtype.FLOAT if self._tells and not self._is_key:
                yield "between", [_floor(self._low), _ceiling(self._high)], 0
            case Dtype.DATE | Dtype.DATETIME:
                if "not_in_future" in self._broken:
                    yield "not_in_future", True, self._broken["not_in_future"]
                if self._tells:
                    yield "at_least", f"{self._low:%Y}-01-01", 0
            case Dtype.STR:
                yield from self._of_text()

    def _of_text(self) -> Iterator[tuple[str, Any, int]]:
        fits = {rule: broken for rule, broken in self._broken.items() if broken <= MOST_UNFIT * self._values}
        if self._tells and not self._is_key and self._words is not None and 2 * len(self._words) <= self._values:
            if self._column.allowed_values is None:
                yield "in", sorted(self._words), 0
            return
        said = next((rule for rule in _OF_TEXT if rule in fits), None)
        if said is not None:
            yield said, True, fits[said]
        pattern = _pattern(self._forms, self._begins or "") if self._tells and said is None else None
        if pattern is not None:
            yield "matches", pattern, 0
        elif self._shortest == self._longest and said != "uuid":
            yield "length", self._longest, 0
        if said is None and pattern is None:
            yield from ((rule, True, fits[rule]) for rule in _OF_ANY_TEXT if rule in fits)


def typed_values(column: Column, texts: pa.Array) -> pa.Array:
    """Stored values as the rules get them; of a hash whether there is one."""
    return texts if column.pii else convert(column, texts, AS_WRITTEN).values


def _tried(column: Column) -> list[str]:
    names = (*_OF_TEXT, *_OF_ANY_TEXT, "not_in_future")
    return [name for name in names if column.dtype in RULES[name].dtypes]


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _ceiling(number: float) -> float:
    """The next of 1, 2, 5, 10, 20 …; of what is not above 0, the one towards it."""
    if number <= 0:
        return -_down(-number)
    return next(step for step in _steps() if step >= number)


def _floor(number: float) -> float:
    return 0 if number >= 0 else -_ceiling(-number)


def _down(number: float) -> float:
    return max((low for low, high in pairwise(_steps()) if low <= number < high), default=0)


def _steps() -> Iterator[float]:
    exponent = -6
    while True:
        for digit in (1, 2, 5):
            yield digit * 10**exponent if exponent >= 0 else float(f"{digit}e{exponent}")
        exponent += 1


def _pattern(forms: set[str] | None, begins: str) -> str | None:
    """The regular expression of texts like ORD-00017, where all have the same kinds of signs in the same order.

    `begins`: what all of them begin with.
    """
    if not forms:
        return None
    runs = [re.findall(r"9+|A+|a+|[^9Aa]", form) for form in forms]
    first = runs[0]
    if any([run[0] for run in other] != [run[0] for run in first] for other in runs) or len(first) < 2:
        return None
    parts, place = [], 0
    for same in zip(*runs, strict=True):
        size = len(same[0]) if len({len(run) for run in same}) == 1 else None
        sign = same[0][0]
        begin = begins[place : place + size] if size else ""
        if sign not in _CLASSES or (sign != "9" and len(begin) == size):
            parts.append(_literal(begin or sign))
        else:
            parts.append(f"{_CLASSES[sign]}{{{size}}}" if size else f"{_CLASSES[sign]}+")
        place = place + size if size else len(begins)
    return "".join(parts)


def _common_begin(texts: Sequence[str]) -> str:
    same = takewhile(lambda signs: len({*signs}) == 1, zip(*texts, strict=False))
    return "".join(signs[0] for signs in same)


def _literal(text: str) -> str:
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)
