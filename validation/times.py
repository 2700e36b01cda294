"""Dates and times as a file writes them: ISO 8601, formats as in strptime, seconds since 1970."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from config.date_formats import EPOCH, EPOCH_MS, ISO
from validation.casting import cast_each, only

TIMESTAMP = pa.timestamp("us")
_UTC = pa.timestamp("us", "UTC")

# Year, month and day, with hyphens or without, or with slashes: the year first is never mistaken. One-digit hours.
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_LOCAL = rf"^{_DATE}(?:[ T]{_CLOCK})?$"
_OFFSET = rf"^{_DATE}[ T]{_CLOCK}(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)$"
# Other ways of writing that mean one thing only, and what they are in the ways above.
_SAME_THING = (
    (r"^([0-9]{4})([0-9]{2})([0-9]{2})([T ].*)?$", r"\1-\2-\3\4"),
    (r"^([0-9]{4})/([0-9]{2})/([0-9]{2})([T ].*)?$", r"\1-\2-\3\4"),
    (r"^([0-9-]{10}[T ])([0-9]:.*)$", r"\g<1>0\2"),
    (r"^([0-9-]{10}[T ])([0-9]{2})([0-9]{2})([0-9]{2})([^0-9:].*)?$", r"\1\2:\3:\4\5"),
    (r"(?i)^([0-9-]{10}[T ][0-9:.]+) ?(?:UTC|GMT|Z)$", r"\1Z"),
    (r"^([0-9-]{10}[T ][0-9:.]+) ([+-][0-9:]+)$", r"\1\2"),
)
_CLOCK_OF_DAY = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_EPOCH = r"^-?[0-9]{1,12}(?:\.[0-9]{1,9})?$"
_EPOCH_MS = r"^-?[0-9]{1,15}(?:\.[0-9]{1,3}0*)?$"  # three decimals are microseconds


class Times(NamedTuple):
    """`values` in microseconds UTC, null where there is none; further digits are cut. `ambiguous`: the time zone
    has two of that name, or none."""

    values: pa.Array
    ambiguous: pa.Array


def read_times(text: pa.Array, formats: tuple[str, ...], zone: str) -> Times:
    """Texts without blanks around them → times. Each format in turn; a text that two of them read as two different
    times is read by none."""
    local, instants = pa.nulls(len(text), TIMESTAMP), pa.nulls(len(text), TIMESTAMP)
    clash = pa.repeat(pa.scalar(value=False), len(text))
    for one in formats or (ISO,):
        found_local, found_instants = _reader(one)(text)
        clash = pc.or_(clash, pc.or_(_differ(local, found_local), _differ(instants, found_instants)))
        local, instants = pc.coalesce(local, found_local), pc.coalesce(instants, found_instants)
    here, ambiguous = _in_utc(local, zone)
    values = only(pc.coalesce(instants, here), pc.invert(clash))
    return Times(values, pc.and_(ambiguous, pc.is_null(values)))


def _differ(one: pa.Array, other: pa.Array) -> pa.Array:
    return pc.fill_null(pc.not_equal(one, other), fill_value=False)


_Found = tuple[pa.Array, pa.Array]  # times without an offset; times that are known as they are, in UTC


def _reader(form: str) -> Callable[[pa.Array], _Found]:
    if form == ISO:
        return _iso
    if form in {EPOCH, EPOCH_MS}:
        return lambda text: _epoch(text, 6 if form == EPOCH else 3)
    return lambda text: _by_format(text, form)


def _iso(text: pa.Array) -> _Found:
    """ISO 8601, and what can't be mistaken for anything else."""
    plain = pc.fill_null(pc.match_substring_regex(text, f"{_LOCAL}|{_OFFSET}"), fill_value=True)
    if not pc.all(plain).as_py():
        odd = pc.invert(plain)
        distinct = pc.dictionary_encode(text.filter(odd))
        mended = pa.array([_mended(one) for one in distinct.dictionary.to_pylist()], pa.string())
        text = pc.replace_with_mask(text, odd, mended.take(distinct.indices))
    short = pc.replace_substring_regex(text, r"(\.[0-9]{6})[0-9]{1,3}", r"\1")
    local = cast_each(only(short, pc.match_substring_regex(text, _LOCAL)), TIMESTAMP)
    offset = only(short, pc.match_substring_regex(text, _OFFSET))
    if offset.null_count == len(offset):
        return local, pa.nulls(len(text), TIMESTAMP)
    return local, pc.cast(cast_each(offset, _UTC), TIMESTAMP)


def _mended(text: str) -> str:
    for shape, same in _SAME_THING:
        text = re.sub(shape, same, text)
    return text


def _epoch(text: pa.Array, shift: int) -> _Found:
    """Seconds or milliseconds since 1970; with `shift` decimals they are microseconds; further ones are cut."""
    shape = _EPOCH if shift == 6 else _EPOCH_MS
    number = only(text, pc.match_substring_regex(text, shape))
    parts = pc.extract_regex(number, r"^(?P<whole>-?[0-9]+)(?:\.(?P<decimals>[0-9]+))?$")
    if len(text) == 0 or parts.null_count == len(text):
        return pa.nulls(len(text), TIMESTAMP), pa.nulls(len(text), TIMESTAMP)
    decimals = pc.utf8_slice_codeunits(pc.struct_field(parts, "decimals"), 0, shift)
    digits = pc.binary_join_element_wise(pc.struct_field(parts, "whole"), pc.utf8_rpad(decimals, shift, "0"), "")
    return pa.nulls(len(text), TIMESTAMP), pc.cast(cast_each(digits, pa.int64()), TIMESTAMP)


_SIMPLE = {
    "%Y": "(?P<Y>[0-9]{4})",
    "%m": "(?P<m>[0-9]{1,2})",
    "%d": "(?P<d>[0-9]{1,2})",
    "%H": "(?P<H>[0-9]{1,2})",
    "%M": "(?P<M>[0-9]{1,2})",
    "%S": "(?P<S>[0-9]{1,2})",
}


def _by_format(text: pa.Array, form: str) -> _Found:
    shape = _shape(form)
    if shape is None:
        return _by_strptime(text, form)
    parts = pc.extract_regex(text, shape)

    def part(name: str, width: int = 2) -> pa.Array:
        if f"(?P<{name}>" not in shape:
            return pa.repeat(pa.scalar("00"), len(text))
        return pc.utf8_lpad(pc.struct_field(parts, name), width, "0")

    date = pc.binary_join_element_wise(part("Y", 4), part("m"), part("d"), "-")
    clock = pc.binary_join_element_wise(part("H"), part("M"), part("S"), ":")
    local = cast_each(pc.binary_join_element_wise(date, clock, "T"), TIMESTAMP)
    return local, pa.nulls(len(text), TIMESTAMP)


def _shape(form: str) -> str | None:
    """The regular expression of a format of numbers alone; None for others, which strptime has to read."""
    parts = re.findall(r"%.|[^%]+", form)
    named = [part for part in parts if part.startswith("%")]
    if not {"%Y", "%m", "%d"} <= set(named) <= set(_SIMPLE) or len(named) != len(set(named)):
        return None
    if any(one.startswith("%") and other.startswith("%") for one, other in pairwise(parts)):
        return None  # nothing between them: how many digits each has is strptime's business
    return "^" + "".join(_SIMPLE.get(part) or re.escape(part).replace(r"\ ", " ") for part in parts) + "$"


def _by_strptime(text: pa.Array, form: str) -> _Found:
    """The slow way: each distinct text by Python's own reader."""
    distinct = pc.dictionary_encode(text)
    local: list[dt.datetime | None] = []
    instants: list[dt.datetime | None] = []
    for one in distinct.dictionary.to_pylist():
        try:
            found = dt.datetime.strptime(one, form)  # noqa: DTZ007  (an offset is in it or not)
        except (ValueError, OverflowError):
            found = None
        aware = found is not None and found.tzinfo is not None
        local.append(None if aware else found)
        instants.append(found.astimezone(dt.UTC).replace(tzinfo=None) if found is not None and aware else None)
    return tuple(pa.array(found, TIMESTAMP).take(distinct.indices) for found in (local, instants))


def _in_utc(local: pa.Array, zone: str) -> tuple[pa.Array, pa.Array]:
    """Times on the clocks of `zone` → in UTC; null where they skip it or show it twice, and which those are."""
    if zone == "UTC" or local.null_count == len(local):
        return local, pa.repeat(pa.scalar(value=False), len(local))
    first = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest")
    last = pc.assume_timezone(local, zone, ambiguous="latest", nonexistent="latest")
    twice = _differ(first, last)
    utc = pc.cast(pc.cast(first, _UTC), TIMESTAMP)
    return only(utc, pc.invert(twice)), twice


def read_clock(text: pa.Array, formats: tuple[str, ...]) -> pa.Array:
    """Times of the day → time64, microseconds; digits beyond are cut. Without formats HH:MM[:SS[.ffffff]]."""
    distinct = pc.dictionary_encode(text)
    found = [_clock(one, formats or (ISO,)) for one in distinct.dictionary.to_pylist()]
    return pa.array(found, pa.time64("us")).take(distinct.indices)


def _clock(text: str, formats: tuple[str, ...]) -> dt.time | None:
    """The time that the formats read; None where they read none, or several."""
    found = set()
    for form in formats:
        with suppress(ValueError):
            if form != ISO:
                found.add(dt.datetime.strptime(text, form).time())  # noqa: DTZ007
            elif re.fullmatch(_CLOCK_OF_DAY, text):
                found.add(dt.time.fromisoformat(text.zfill(len(text) + (text[1] == ":"))))
    return found.pop() if len(found) == 1 else None
