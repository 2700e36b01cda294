"""Personal data that strayed into a column which is not for it, as values do in bad rows."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from config.file_spec import FileSpec
from config.model import Dtype
from config.schema import Column
from config.sql_types import INT_LIMITS
from validation.canonical import plain
from validation.rules import RULES

_YEAR, _MONTH, _DAY = r"(1[6-9]|2[01])\d\d", r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?( ?[AaPp][Mm])?"
_DATE_LIKE = re.compile(
    rf"({_YEAR}[-/.]{_MONTH}[-/.]{_DAY}|{_DAY}[-/.]{_MONTH}[-/.]{_YEAR}|{_MONTH}/{_DAY}/{_YEAR})"
    rf"([ T]{_CLOCK}( ?(Z|UTC|[+-]\d\d(:?\d\d)?))?)?",
    re.ASCII,
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_NEITHER_LETTER_NOR_DIGIT = re.compile(r"[\W_]")
_LONG_NUMBER = re.compile(r"\d{9}")
# An @ in other words, and a domain behind it: me(at)mail.example, me at mail dot example, me%40mail.example.
_DOT = r"(?:\.| ?[(\[{<] ?dot ?[)\]}>] ?)"
_HOST = rf"[a-z0-9-]{{1,63}}{_DOT}(?:[a-z0-9-]{{1,63}}{_DOT})?[a-z]{{2}}"
_HIDDEN_AT = re.compile(
    rf"[a-z0-9](?:(?: ?[(\[{{<] ?at? ?[)\]}}>] ?|_at_|%40|&#64;|&#x40;|&commat;|\\u0040){_HOST}"
    r"| at [a-z0-9-]{1,63} dot [a-z]{2,24}\b(?! [a-z]))",
    re.ASCII | re.IGNORECASE,
)
HIDDEN = "sha256:"  # begins the hash of a value that strayed
_HIDDEN = re.compile(rf"{HIDDEN}[0-9a-f]{{64}}")
_MEASURE = re.compile(r"-?(0|[1-9][0-9]{0,7})\.[0-9]+")
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)?(\.[0-9]*)?")  # a leading zero is how phone numbers begin
_KEY = re.compile(r"[0-9A-Za-z]+([-_.:/][0-9A-Za-z]+)*")
_PHONE = re.compile(r"0{1,2}[1-9][0-9]*")


def looks_personal(text: str) -> bool:
    """Might it be, or hold, an e-mail address, a phone number or a national id, however it is written?"""
    text = plain(text).strip()
    if _DATE_LIKE.fullmatch(text) or _UUID.fullmatch(text):
        return False
    return (
        "@" in text
        or _HIDDEN_AT.search(text) is not None
        or _LONG_NUMBER.search(_NEITHER_LETTER_NOR_DIGIT.sub("", text)) is not None
    )


def is_hidden(text: str) -> bool:
    """Is it the hash of a value that strayed?"""
    return _HIDDEN.fullmatch(text) is not None


def looks_personal_anywhere(text: str) -> bool:
    """The same for a column of which nothing is known. A number with a point is a measure, not one to call."""
    return looks_personal(text) and not is_hidden(text) and _MEASURE.fullmatch(text) is None


def is_stray(spec: FileSpec, column: Column, text: str, *, fits: bool = True) -> bool:
    """Does `text` look personal, where `column` is not for such? What fits its column belongs there.

    `fits`: nothing was held against it there.
    """
    return looks_personal(text) and not (fits and _belongs(spec, column, text.strip()))


def _belongs(spec: FileSpec, column: Column, text: str) -> bool:
    """Is it a number or a key as such are written, or text that keeps the rules which its column has?"""
    if column.dtype in {Dtype.INT, Dtype.FLOAT}:
        number = _NUMBER.fullmatch(text)
        return number is not None and _has_room(column, number[1] or "0")
    if column.dtype is not Dtype.STR:
        return False
    if column.allowed_values is not None:
        return text in column.allowed_values
    rules = {name: parameter for name, parameter in column.rules.items() if RULES[name].dtypes == {Dtype.STR}}
    if rules:
        return not any(_breaks(name, text, parameter) for name, parameter in rules.items())
    if not spec.is_key(column) or _KEY.fullmatch(text) is None:
        return False
    return _PHONE.fullmatch(_NEITHER_LETTER_NOR_DIGIT.sub("", text)) is None


def _has_room(column: Column, whole: str) -> bool:
    """May the digits before the point be those of a number of the column?"""
    if column.dtype is Dtype.INT:
        return int(whole) <= INT_LIMITS[column.sql.base]
    return column.sql.precision is None or len(whole) <= column.sql.precision - column.sql.scale


def _breaks(name: str, text: str, parameter: Any) -> bool:
    return bool(RULES[name].broken(pa.array([text], pa.string()), parameter, {})[0].as_py())
