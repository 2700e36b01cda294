"""JSON in a column of dtype json: what is JSON at all (RFC 8259), and what PostgreSQL's jsonb can hold of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

T = TypeVar("T")

# Limits of PostgreSQL's numeric: digits before and after the decimal point.
MOST_WHOLE_DIGITS, MOST_DECIMALS = 131_072, 16_383
_SHORT = 300  # characters; a number without an exponent that is no longer is within them
_SURROGATE = re.compile("[\ud800-\udfff]")
_SOURCE = msgspec.json.Decoder(msgspec.Raw)


class UnfitError(Exception):
    """A value that its column can't hold; says the rule that it breaks."""


def is_json(text: str) -> bool:
    """Is it one JSON value, and nothing else?"""
    try:
        _SOURCE.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return _is_json_with_lone_surrogates(text)
    except RecursionError:
        return False
    return True


def _is_json_with_lone_surrogates(text: str) -> bool:
    """The slow way: the quick decoder refuses their escapes, which are JSON."""
    if "\\u" not in text:
        return False
    try:
        json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return False
    return True


def jsonb_masks(texts: pa.Array) -> dict[str, np.ndarray]:
    """Of JSON texts (Arrow strings), where jsonb can't hold them as they are, by the rule that they break."""

    def check(text: str) -> None:
        if rule := jsonb_problem(text):
            raise UnfitError(rule)

    return each_value(texts, check)[1]


def each_value(texts: pa.Array, made: Callable[[str], T]) -> tuple[list[T | None], dict[str, np.ndarray]]:
    """What `made` makes of each text, None where it raises UnfitError; and where that is, by the rule."""
    values: list[T | None] = []
    masks: dict[str, np.ndarray] = {}
    for position, text in enumerate(texts.to_pylist()):
        try:
            values.append(None if text is None else made(text))
        except UnfitError as problem:
            values.append(None)
            masks.setdefault(str(problem), np.zeros(len(texts), dtype=bool))[position] = True
    return values, masks


def jsonb_problem(text: str) -> str | None:
    """The rule that the JSON text breaks in a jsonb column, or None.

    jsonb refuses the character U+0000, lone surrogates, and numbers beyond numeric; of a key that is given twice
    it would keep the last value only. Values nested by the thousand are more than we follow.
    """
    try:
        value = _STRICT.decode(text)
        if "\\u" in text:
            _check_texts(value)
    except UnfitError as problem:
        return str(problem)
    except RecursionError:
        return "nested_too_deeply"
    return None


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnfitError("key_given_twice")
    return found


def _number(text: str) -> None:
    if len(text) <= _SHORT and "e" not in text and "E" not in text:
        return
    mantissa, _, exponent = text.lstrip("-").lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    if len(exponent.lstrip("+-0")) > len(str(MOST_WHOLE_DIGITS)):
        raise UnfitError("out_of_range")
    shift = int(exponent or 0)
    too_large = bool(mantissa.strip("0.")) and len(whole.lstrip("0")) + shift > MOST_WHOLE_DIGITS
    if too_large or len(fraction) - shift > MOST_DECIMALS:
        raise UnfitError("out_of_range")


def check_text(text: str) -> None:
    """Raise UnfitError for what no text of PostgreSQL's can hold."""
    if "\0" in text:
        raise UnfitError("nul_character")
    if _SURROGATE.search(text):
        raise UnfitError("lone_surrogate")


def _check_texts(value: Any) -> None:
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            check_text(one)
        elif isinstance(one, dict):
            todo += [*one, *one.values()]
        elif isinstance(one, list):
            todo += one


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_number, parse_float=_number)
