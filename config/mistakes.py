"""How a mistake in the YAML is told: its place, what is wrong there, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

_SECRETS = ("password", "hash_key", "url", "token")  # words in the key of a value that is told to nobody


def described(problem: Mapping[str, Any], where: str = "") -> tuple[str, str]:
    """The key's path from `where` on, and what is wrong with it: of one of `ValidationError.errors()`."""
    key = ".".join(filter(None, (where, *map(str, problem["loc"]))))
    if problem["type"] == "extra_forbidden":
        return key, "unknown key; check its spelling and its place"
    if problem["type"] == "missing":
        return key, "missing"
    secret = any(word in key for word in _SECRETS)
    return key, problem["msg"] if secret else f"{problem['msg']} (given: {problem['input']!r:.80})"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to say of a key that is none of `known`."""
    return f"unknown key{meant(key, known)}"


def meant(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about a word that is none of `known`: which of them it is most like."""
    close: list[str] = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else "; check its spelling and its place"
