"""One JSON object → its values by their text: the general decoder, which takes whatever is JSON."""

from __future__ import annotations

import json
import re

from ingestion.formats.plain_records import PlainRecord, PlainRecords
from validation.batch import Rejection

MAX_RECORD_BYTES = 16 << 20  # a longer record fails its array; a longer line is refused
_SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
_BARE = frozenset({"NaN", "Infinity", "-Infinity"})  # what exports write, and JSON does not know


class Fields(dict[str, str | None]):
    """A record that the general decoder read, each value by its text. `defect`: the rule that it breaks, or ''.

    `no_values`: the keys whose values are no JSON, a bare NaN or Infinity.
    """

    defect = ""
    no_values: tuple[str, ...] = ()


Record = PlainRecord | Fields | Rejection


def decode_record(text: str, start: int, plain: PlainRecords) -> tuple[Fields, int]:
    """The JSON object that begins at `start` of `text`, and where it ends; `plain` learns of it.

    Raises ValueError or RecursionError.
    """
    fields = Fields()
    nested: list[str] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}" or fields:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting a key in double quotes", text, at)
        name, end = DECODER.raw_decode(text, at)
        at = _expect(text, end, ":")
        value, end = DECODER.raw_decode(text, at)
        is_text = isinstance(value, str) and text[at] == '"'
        source = text[at:end]
        if name in fields:
            fields.defect = fields.defect or "key_given_twice"
        if is_text and not plain.is_exact(name):
            fields[name] = value
            if not value.isascii() and _has_lone_surrogate(value):
                fields.defect = fields.defect or "lone_surrogate"
        else:
            means_null = value is None or (source in _BARE and source.lower() in plain.words)
            fields[name] = None if means_null else source
            if source in _BARE and not means_null:
                fields.no_values += (name,)
        if source[0] in "{[":
            nested.append(name)
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            break
        at = _expect(text, at, ",")
    plain.learn(fields.keys(), nested)
    return fields, at + 1


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, sign: str) -> int:
    """Where the text goes on after `sign` and the white space around it."""
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise json.JSONDecodeError(f"Expecting '{sign}'", text, at)
    return _skip(text, at + 1)


def _has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
