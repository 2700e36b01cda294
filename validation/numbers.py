"""Numbers as the YAML says that a file writes them, put into plain notation: digits, a point, an exponent."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from config.read_options import ReadOptions
from validation.casting import only

_BLANKS = "[ \u00a0\u2009\u202f]"  # the blanks that group digits: also those that break no line
_APOSTROPHES = "['\u2019]"
_MINUS = "\u2212"  # the sign of typesetters
# A currency's sign or its three letters, and per cent; at one end of a number.
_MARK = rf"(?:\p{{Sc}}|[A-Z]{{3}}|%){_BLANKS}*"
_MARK_BEHIND = rf"{_BLANKS}*(?:\p{{Sc}}|[A-Z]{{3}}|%)"


def in_plain_notation(text: pa.Array, read: ReadOptions) -> pa.Array:
    """Texts of numbers (Arrow strings, no blanks around them) as plain decimals; null where they aren't.

    Digits that are grouped must be grouped right, in threes at the end: 1.25 is no number where the point groups.
    With `read.currency` one sign of a currency or per cent is cut at each end, and (5) is -5, as in accounts.
    """
    if read.has_plain_numbers:
        return text
    if read.currency:
        text = _without_marks(text)
    text = pc.replace_substring_regex(text, f"^{_MINUS}", "-")
    text = only(text, pc.match_substring_regex(text, _shape(read)))
    if read.thousands is not None:
        text = pc.replace_substring_regex(text, _group_sign(read.thousands), "")
    return pc.replace_substring(text, ",", ".") if read.decimal == "," else text


def _without_marks(text: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(text, rf"^([+{_MINUS}-]?){_MARK}", r"\1")
    text = pc.replace_substring_regex(text, rf"{_MARK_BEHIND}$", "")
    text = pc.replace_substring_regex(text, r"^\((?:\p{Sc})?([^()+-]+)\)$", r"-\1")
    return pc.utf8_trim_whitespace(text)


def _shape(read: ReadOptions) -> str:
    point = re.escape(read.decimal)
    whole = "[0-9]+"
    if read.thousands is not None:
        sign = _group_sign(read.thousands)
        whole = rf"(?:[0-9]+|[0-9]{{1,3}}(?:{sign}[0-9]{{2,3}})*{sign}[0-9]{{3}})"
    return rf"^[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?$"


def _group_sign(thousands: str) -> str:
    """The regular expression of what stands between groups of digits."""
    return {" ": _BLANKS, "'": _APOSTROPHES}.get(thousands, re.escape(thousands))
