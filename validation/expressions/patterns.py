"""Patterns of LIKE and ~ that mean the same to PostgreSQL and to DuckDB; others are refused."""

from __future__ import annotations

import re

from validation.expressions.kinds import ExpressionError
from validation.expressions.literals import quoted

_MOST_REPEATS = 255  # of PostgreSQL
_ITEM = r"(?:[A-Za-z0-9 _:;,!@#%&/<>=\"'~`]|\\[.*+?()\[\]{}|^$\\\-/])"
_IN_CLASS = r"(?:[A-Za-z0-9](?:-[A-Za-z0-9])?|[ _:;,!@#%&/<>=\"'~`.*+?(){}|$]|\\[\]\[\\^\-.])"
_CLASS = re.compile(rf"\[\^?{_IN_CLASS}+-?\]")
_PLAIN = re.compile(_ITEM)
_REPEAT = re.compile(r"[*+?]|\{(\d{1,3})(,(\d{1,3})?)?\}")


def like_pattern(text: str) -> str:
    """The pattern of LIKE as SQL, with PostgreSQL's escape said. Raises ExpressionError where it ends with one."""
    if (len(text) - len(text.rstrip("\\"))) % 2:
        raise ExpressionError("a pattern of LIKE must not end with a backslash; a backslash is written \\\\", text)
    return f"{quoted(text)} ESCAPE '\\'"


def regular_expression(text: str) -> str:
    """The pattern of ~ as SQL. Raises ExpressionError for what PostgreSQL and DuckDB might read differently."""
    end = _branches(text, 0)
    if end < len(text):
        raise ExpressionError(
            f"a pattern of ~ is made of letters, digits, classes as [a-z0-9], groups, |, ^, $, . and repeats; "
            f"not of what stands at its character {end + 1}. Digits are [0-9], blanks [ ]; "
            "a sign that means something has a backslash before it",
            quoted(text),
        )
    return quoted(text)


def _branches(text: str, at: int) -> int:
    """Where the branches, divided by |, end that begin at `at`."""
    while True:
        end = _branch(text, at)
        if end == at or text[end : end + 1] != "|":
            return at if end == at else end
        at = end + 1


def _branch(text: str, at: int) -> int:
    while at < len(text) and text[at] not in "|)":
        if text[at] in "^$":
            at += 1
            continue
        end = _atom(text, at)
        if end == at:
            return at
        repeat = _REPEAT.match(text, end)
        if repeat:
            least, most = int(repeat[1] or 0), int(repeat[3] or repeat[1] or 0)
            if not least <= most <= _MOST_REPEATS or text[repeat.end() : repeat.end() + 1] in {"*", "+", "?", "{"}:
                return end
            end = repeat.end()
        at = end
    return at


def _atom(text: str, at: int) -> int:
    if text[at] == "(":
        end = _branches(text, at + 1)
        return end + 1 if end > at + 1 and text[end : end + 1] == ")" else at
    if text[at] == ".":
        return at + 1
    found = _CLASS.match(text, at) if text[at] == "[" else _PLAIN.match(text, at)
    if found is None or any(low > high for low, high in re.findall(r"(\w)-(\w)", found[0])):
        return at
    return found.end()
