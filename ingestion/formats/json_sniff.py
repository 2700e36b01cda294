"""Where the records of a JSON document are, told from its beginning. A guess, for `infer` alone."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s"{}\[\],:]+', re.DOTALL)
_MOST_LEVELS = 4  # of keys that lead to the records


class Found(NamedTuple):
    """An array of objects at `path`, and how much of the text it takes, in characters."""

    path: str
    size: int


def records_path(text: str) -> str | None:
    """The path to the array of records in a document that is one object; None where the file is something else.

    That is the largest array of objects to which keys lead. One object a line, or several, are no such document.
    """
    if not text.lstrip().startswith("{") or not _is_one_document(text):
        return None
    arrays = _arrays_of_objects(text)
    return max(arrays, key=lambda found: found.size).path if arrays else None


def _is_one_document(text: str) -> bool:
    """Is it one object, as far as it can be seen?"""
    start = text.lstrip()
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(start)
    except (ValueError, RecursionError):
        # Cut off within the first object: a document of one line would be too long for a record.
        return not _is_object(start.partition("\n")[0])
    return not start[end:].strip()


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line, strict=False), dict)
    except (ValueError, RecursionError):
        return False


def _arrays_of_objects(text: str) -> list[Found]:
    """The arrays whose first element is an object, and to which nothing but keys of objects lead."""
    found: list[Found] = []
    keys: list[str | None] = []  # of the objects that are open; None for an array
    opened: list[tuple[str, int]] = []
    key, awaits_value, first = "", False, False
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if first and sign == "{" and None not in keys[:-1] and 0 < len(keys) - 1 <= _MOST_LEVELS:
            opened.append((".".join(str(one).replace(".", "\\.") for one in keys[:-1]), len(keys)))
            found.append(Found(opened[-1][0], len(text) - token.start()))
        first = False
        if sign == "{":
            keys.append("")
            awaits_value = False
        elif sign == "[":
            keys.append(None)
            first = True
        elif sign in "}]":
            if opened and sign == "]" and len(keys) == opened[-1][1]:
                path = opened.pop()[0]
                found = [
                    one._replace(size=one.size - (len(text) - token.end())) if one.path == path else one
                    for one in found
                ]
            if keys:
                keys.pop()
            awaits_value = False
        elif sign == ":":
            awaits_value = True
            if keys and keys[-1] is not None:
                keys[-1] = key
        elif sign == ",":
            awaits_value = False
        elif sign.startswith('"') and not awaits_value:
            key = _text(sign)
    return found


def _text(token: str) -> str:
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return ""
