"""Rules of text: how long it is, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field

from config.model import Model, as_list
from validation.rules.registry import TEXT, Expression, none, rule

Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(as_list), Field(min_length=1)]


class LengthForm(Model):
    """From `min` to `max` characters."""

    min: int = Field(0, ge=0)
    max: int | None = Field(None, ge=0)


@rule(*TEXT)
def length(values: pa.Array, characters: int | LengthForm) -> pa.Array:
    """A text of another number of characters breaks it."""
    found = pc.utf8_length(values)
    if isinstance(characters, int):
        return pc.not_equal(found, characters)
    short = pc.less(found, characters.min)
    return short if characters.max is None else pc.or_(short, pc.greater(found, characters.max))


@rule(*TEXT)
def matches(values: pa.Array, pattern: Expression) -> pa.Array:
    """A text that the regular expression (RE2) does not match as a whole breaks it."""
    return pc.invert(pc.match_substring_regex(values, rf"^(?:{pattern})$"))


@rule(*TEXT)
def not_matches(values: pa.Array, pattern: Expression) -> pa.Array:
    """A text that the regular expression (RE2) matches as a whole breaks it."""
    return pc.match_substring_regex(values, rf"^(?:{pattern})$")


@rule(*TEXT)
def starts_with(values: pa.Array, starts: Texts) -> pa.Array:
    """A text that begins with none of these breaks it."""
    return pc.invert(_any(pc.starts_with(values, start) for start in starts))


@rule(*TEXT)
def ends_with(values: pa.Array, ends: Texts) -> pa.Array:
    """A text that ends with none of these breaks it."""
    return pc.invert(_any(pc.ends_with(values, end) for end in ends))


@rule(*TEXT)
def contains(values: pa.Array, parts: Texts) -> pa.Array:
    """A text that holds none of these breaks it."""
    return pc.invert(_any(pc.match_substring(values, part) for part in parts))


@rule(*TEXT)
def not_contains(values: pa.Array, parts: Texts) -> pa.Array:
    """A text that holds one of these breaks it."""
    return _any(pc.match_substring(values, part) for part in parts)


@rule(*TEXT)
def not_blank(values: pa.Array, wanted: bool) -> pa.Array:
    """A text without a character that can be seen breaks it; a null does not."""
    return pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(values)), 0) if wanted else none(values)


@rule(*TEXT)
def trimmed(values: pa.Array, wanted: bool) -> pa.Array:
    """Blanks at the beginning or the end break it."""
    return pc.not_equal(pc.utf8_trim_whitespace(values), values) if wanted else none(values)


@rule(*TEXT)
def lower(values: pa.Array, wanted: bool) -> pa.Array:
    """A capital letter breaks it."""
    return pc.not_equal(pc.utf8_lower(values), values) if wanted else none(values)


@rule(*TEXT)
def upper(values: pa.Array, wanted: bool) -> pa.Array:
    """A small letter breaks it."""
    return pc.not_equal(pc.utf8_upper(values), values) if wanted else none(values)


@rule(*TEXT)
def digits(values: pa.Array, count: bool | int | LengthForm) -> pa.Array:
    """Anything but the digits 0 to 9 breaks it, and another number of them."""
    if count is False:
        return none(values)
    other = pc.invert(pc.match_substring_regex(values, "^[0-9]+$"))
    return other if count is True else pc.or_(other, length(values, count))


@rule(*TEXT)
def ascii_(values: pa.Array, wanted: bool) -> pa.Array:
    """A character beyond ASCII breaks it."""
    return pc.invert(pc.string_is_ascii(values)) if wanted else none(values)


@rule(*TEXT)
def single_line(values: pa.Array, wanted: bool) -> pa.Array:
    """A line end within it, or a tab or another control character, breaks it."""
    return pc.match_substring_regex(values, r"[\x00-\x1f\x7f]") if wanted else none(values)


def _any(masks: Iterable[pa.Array]) -> pa.Array:
    return reduce(pc.or_, masks)
