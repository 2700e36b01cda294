"""A key of `read:` as one writes it in the YAML, for messages that say what would read a file."""

from __future__ import annotations

import json
import re

_PLAIN = re.compile(r"[A-Za-z][\w.-]*")


def in_yaml(key: str, value: str | int) -> str:
    """As in `read: {delimiter: ";"}`."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, int):
        text = str(value)
    else:
        value = "tab" if value == "\t" else value
        text = value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return f"read: {{{key}: {text}}}"


def as_said(sign: str | None) -> str:
    """A sign of a dialect, as a sentence names it."""
    if sign is None:
        return "none"
    return "tab" if sign == "\t" else f"'{sign}'"
