"""How a file writes numbers, and which words it has for null: judged by all of its columns together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.read_options import ReadOptions
from config.schema import Column
from validation.conversions import convert

NULL_WORDS = frozenset(
    {"na", "n/a", "nan", "null", "none", "nil", "-", "--", "\\n", "#n/a", "#na", "(null)", "<null>", "n.a."}
)
_SIGNS = ((".", ","), (",", None), (",", "."), (",", " "), (".", " "), (".", "'"), (",", "'"))
_MARKED = re.compile(
    r"^[+(−-]?\s*(?P<before>[$€£¥₹₺₽₩₪]|[A-Z]{3})?\s*[+−-]?\s*[0-9.,' \u00a0\u2009\u202f’]*[0-9]\s*"  # noqa: RUF001
    r"(?P<behind>[$€£¥₹₺₽₩₪%]|[A-Z]{3})?\)?$"
)
_CURRENCIES = frozenset(
    [
        "AED",
        "ARS",
        "AUD",
        "BGN",
        "BHD",
        "BRL",
        "CAD",
        "CHF",
        "CLP",
        "CNY",
        "COP",
        "CZK",
        "DKK",
        "EGP",
        "EUR",
        "GBP",
        "HKD",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "JOD",
        "JPY",
        "KES",
        "KRW",
        "KWD",
        "MAD",
        "MXN",
        "MYR",
        "NGN",
        "NOK",
        "NZD",
        "OMR",
        "PEN",
        "PHP",
        "PKR",
        "PLN",
        "QAR",
        "RON",
        "RSD",
        "RUB",
        "SAR",
        "SEK",
        "SGD",
        "THB",
        "TND",
        "TRY",
        "TWD",
        "UAH",
        "USD",
        "VND",
        "ZAR",
    ]
)
_IP = re.compile(r"(\d{1,3}\.){3}\d{1,3}")
_GROUPED_BY_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")
_LEADING_ZERO = re.compile(r"[+-]?0\d")


@dataclass
class Numbers:
    """The keys of `read` for the file's numbers; columns that have to stay text, and what is unsure."""

    read: dict[str, Any] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def guess_numbers(columns: Mapping[str, pa.Array], base: ReadOptions, *, european: bool) -> Numbers:
    """Judge the values of all columns: distinct texts without blanks around them and without nulls.

    The signs are those by which most columns are numbers; `base`, which the YAML says already, where it is as
    good. What two ways read as two different numbers stays text. `european`: the file is separated by
    semicolons, so `1.250` may be a thousand and more.
    """
    marks = {name: _mark(values) for name, values in columns.items()}
    maybe = {name: values for name, values in columns.items() if _may_be_numbers(values)}
    readable = [
        (way, {name for name, values in maybe.items() if _all_read(values, way, marks[name])})
        for way in _ways(base)
    ]
    most = max(len(names) for _, names in readable)
    best = [(way, names) for way, names in readable if len(names) == most]
    (chosen, numbers), *others = best
    found = Numbers()
    if not most:
        return found
    if chosen is base:
        if _has_grouped(maybe, numbers, european=european):
            found.texts = {name for name in numbers if _all_grouped(maybe[name])}
            found.notes += [_either(name, "1.250", (".", None), (",", ".")) for name in sorted(found.texts)]
        return found
    for name in sorted(numbers):
        differing = [way for way, names in others if name in names and not _same(maybe[name], chosen, way)]
        if differing:
            other = differing[0]
            found.texts.add(name)
            signs = (chosen.decimal, chosen.thousands), (other.decimal, other.thousands)
            found.notes.append(_either(name, "1,250", *signs))
    used, plain = numbers - found.texts, readable[0][1]
    found.notes += [
        f"{name}: text, for its numbers are written otherwise than those of most columns"
        for name in sorted(plain - numbers)
    ]
    if not used - plain:
        return found
    found.read = _differing(chosen, base)
    by = ", ".join(f"{key}: {value!r}" if isinstance(value, str) else key for key, value in found.read.items())
    shown = ", ".join(sorted(used - plain)[:3])
    found.notes.append(f"numbers are read by {by}, as {shown} shows")
    found.notes += [
        f"{name}: {marks[name] or 'a sign'} is cut from its numbers (currency)"
        for name in sorted(used)
        if chosen.currency and marks[name]
    ]
    return found


def _ways(base: ReadOptions) -> Iterator[ReadOptions]:
    """The ways of writing numbers, the likelier ones first."""
    yield base
    signs = ((base.decimal, base.thousands), *_SIGNS)
    for currency in (False, True):
        for decimal, thousands in dict.fromkeys(signs):
            way = ReadOptions(decimal=decimal, thousands=thousands, currency=currency)
            if (way.decimal, way.thousands, way.currency) != (base.decimal, base.thousands, base.currency):
                yield way


def _differing(way: ReadOptions, base: ReadOptions) -> dict[str, Any]:
    keys = ("decimal", "thousands", "currency")
    return {key: getattr(way, key) for key in keys if getattr(way, key) != getattr(base, key)}


def _may_be_numbers(values: pa.Array) -> bool:
    texts = values.slice(0, 1000).to_pylist()
    return bool(texts) and all(_MARKED.match(text) for text in texts) and not any(map(_is_no_number, texts))


def _is_no_number(text: str) -> bool:
    return _LEADING_ZERO.match(text) is not None or _IP.fullmatch(text) is not None


def _mark(values: pa.Array) -> str | None:
    """The one mark that all values have; '' where none has one, None where they differ or mean nothing."""
    found = set()
    for text in values.to_pylist():
        match = _MARKED.match(text)
        if match is None:
            return None
        marks = [mark for mark in match.group("before", "behind") if mark]
        if len(marks) > 1 or any(len(mark) == 3 and mark not in _CURRENCIES for mark in marks):
            return None
        found.add(marks[0] if marks else "")
        if len(found) > 1:
            return None
    return found.pop() if found else ""


def _all_read(values: pa.Array, way: ReadOptions, mark: str | None) -> bool:
    """Is each of them a number? Of one sign, and with no three decimals where that is of a currency."""
    if way.currency and mark is None:
        return False
    if mark and mark != "%":
        three = rf"{re.escape(way.decimal)}\d{{3}}\D*$"
        fractions = [text for text in values.to_pylist() if way.decimal in text]
        if fractions and all(re.search(three, text) for text in fractions):
            return False
    column = Column(name="x", dtype=Dtype.FLOAT, sql_type="numeric")
    return not pc.any(convert(column, values, way).unreadable).as_py()


def _same(values: pa.Array, one: ReadOptions, other: ReadOptions) -> bool:
    column = Column(name="x", dtype=Dtype.FLOAT, sql_type="numeric")
    return bool(convert(column, values, one).values.equals(convert(column, values, other).values))


def _has_grouped(maybe: Mapping[str, pa.Array], names: set[str], *, european: bool) -> bool:
    """Might `1.250` be a thousand and more? Only where no number of the file has a point of another kind."""
    if not european:
        return False
    points = [text for name in names for text in maybe[name].to_pylist() if "." in text]
    return bool(points) and all(_GROUPED_BY_POINT.fullmatch(text) for text in points)


def _all_grouped(values: pa.Array) -> bool:
    return any("." in text for text in values.to_pylist())


def _either(name: str, example: str, one: tuple[str, str | None], other: tuple[str, str | None]) -> str:
    ways = " or ".join(f"read: {{{_said(*way)}}}" for way in (one, other))
    return (
        f"{name}: kept as text, for numbers as {example} are written in two ways; with {ways}, and dtype: float, "
        "sql_type: numeric, it is one"
    )


def _said(decimal: str, thousands: str | None) -> str:
    return f'decimal: "{decimal}"' + (f', thousands: "{thousands}"' if thousands else "")
