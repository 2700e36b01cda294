"""Constants of an expression: numbers, and texts in quotes that stand for something else."""

from __future__ import annotations

import datetime as dt
import re

from validation.expressions.kinds import (
    BIGINT,
    INTEGER,
    SPAN,
    ExpressionError,
    Family,
    Kind,
    Value,
    numeric,
)

_DATE = r"\d{4}-\d{2}-\d{2}"
_CLOCK = r"\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?"
_SHAPES = {
    Family.DATE: (_DATE, "'2026-01-31'"),
    Family.TIME: (_CLOCK, "'10:30:00'"),
    Family.TIMESTAMP: (rf"{_DATE}(?:[ T]{_CLOCK})?", "'2026-01-31 10:30:00'; times are in UTC"),
    Family.UUID: (r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "'b6f5…', 32 digits with hyphens"),
    Family.BOOL: ("true|false", "true"),
}
_READERS = {
    Family.DATE: dt.date.fromisoformat,
    Family.TIME: dt.time.fromisoformat,
    Family.TIMESTAMP: dt.datetime.fromisoformat,
}
_UNITS = {  # months, days, seconds
    "year": (12, 0, 0),
    "month": (1, 0, 0),
    "week": (0, 7, 0),
    "day": (0, 1, 0),
    "hour": (0, 0, 3600),
    "minute": (0, 0, 60),
    "second": (0, 0, 1),
}
_MOST_OF_A_UNIT = 100_000_000


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def read_number(text: str) -> Value:
    """A number as it is written: an integer, a bigint, or a numeric with its digits."""
    if re.fullmatch(r"\d+", text):
        for kind, most in ((INTEGER, 2**31), (BIGINT, 2**63)):
            if int(text) < most:
                return Value(f"CAST({int(text)} AS {kind.sql})", kind, number=text)
        kind = numeric(len(text.lstrip("0")), 0)
    elif re.fullmatch(r"\d*\.\d*", text) and text != ".":
        whole, _, decimals = text.partition(".")
        kind = numeric(len(whole.lstrip("0")) + len(decimals), len(decimals))
    else:
        raise ExpressionError("write the number without an exponent, as 0.001", text)
    return Value(f"CAST({quoted(text)} AS {kind.sql})", kind, number=text)


def read_literal(text: str, kind: Kind) -> Value:
    """A text in quotes as a value of `kind`."""
    family = kind.family
    if family in {Family.TEXT, Family.UNKNOWN}:
        return Value(quoted(text), kind)
    if family is Family.SPAN:
        return read_span(text)
    if family not in _SHAPES:
        raise ExpressionError(f"a {family} is compared with a number, which has no quotes", quoted(text))
    shape, example = _SHAPES[family]
    bad = not re.fullmatch(shape, text)
    try:
        _READERS.get(family, str)(text)
    except ValueError:
        bad = True
    if bad:
        raise ExpressionError(f"is no {family}; write it as {example}", quoted(text))
    text = text.lower() if family is Family.UUID else text
    return Value(f"CAST({quoted(text)} AS {kind.sql})", kind)


def read_span(text: str) -> Value:
    """An interval: numbers with their units, as in '1 day 2 hours'."""
    found = re.findall(r"(\d+)(?:\.(\d{1,6}))? *([a-z]+)", text.lower())
    rest = re.sub(r"(\d+)(?:\.(\d{1,6}))? *([a-z]+)", "", text.lower()).strip()
    months = days = micros = 0
    for whole, decimals, unit in found:
        sizes = _UNITS.get(unit.removesuffix("s"))
        if sizes is None or int(whole) > _MOST_OF_A_UNIT or (decimals and sizes != _UNITS["second"]):
            found = []
            break
        months, days = months + int(whole) * sizes[0], days + int(whole) * sizes[1]
        micros += (int(whole) * 1_000_000 + int((decimals or "0").ljust(6, "0"))) * sizes[2]
    if rest or not found:
        units = ", ".join(f"{unit}s" for unit in _UNITS)
        raise ExpressionError(
            f"is no interval; write it as '2 hours' or '1 day 30 minutes', of {units}", quoted(text)
        )
    parts = [f"to_months({months})"] if months else []
    parts += [f"to_days({days})"] if days else []
    parts += [f"to_microseconds({micros})"] if micros or not parts else []
    return Value(f"({' + '.join(parts)})", SPAN, literal=text)
