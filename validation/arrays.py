"""JSON arrays in columns of PostgreSQL's array types: each item as it is, or the row is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pyarrow as pa

from config.sql_types import INT_LIMITS, SqlType
from validation.json_values import UnfitError, check_text, each_value

_NOT_PLAIN = re.compile(r'["\\]')


def as_arrays(texts: pa.Array, sql: SqlType) -> tuple[pa.Array, dict[str, np.ndarray]]:
    """JSON texts as PostgreSQL's array literals, null where they can't be; which, by the rule that they break."""
    base = sql.base.removesuffix("[]")
    literals, masks = each_value(texts, lambda text: _literal(text, base))
    return pa.array(literals, pa.string()), masks


def _literal(text: str, base: str) -> str:
    try:
        items = json.loads(text, parse_float=_Number, parse_int=_Number)
    except RecursionError:
        raise UnfitError("nested_too_deeply") from None
    if not isinstance(items, list):
        raise UnfitError("not_an_array")
    return "{" + ",".join(_text_item(item) if base == "text" else _whole_item(item, base) for item in items) + "}"


class _Number(str):
    """A number by its digits."""

    __slots__ = ()


def _text_item(item: Any) -> str:
    """Texts, numbers and truth values by their text."""
    if item is None:
        return "NULL"
    if isinstance(item, bool):
        item = "true" if item else "false"
    if not isinstance(item, str):
        raise UnfitError("array_item")
    check_text(item)
    return '"' + _NOT_PLAIN.sub(r"\\\g<0>", item) + '"'


def _whole_item(item: Any, base: str) -> str:
    if item is None:
        return "NULL"
    if not isinstance(item, _Number) or not re.fullmatch(r"-?[0-9]+", item):
        raise UnfitError("array_item")
    limit = INT_LIMITS[base]
    if len(item) > len(str(limit)) + 1 or not -limit - 1 <= int(item) <= limit:
        raise UnfitError("out_of_range")
    return str(item)
