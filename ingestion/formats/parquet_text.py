"""Arrow arrays of any type → text, value by value and digit for digit; nested values as JSON."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.schema import Column
from ingestion.formats.typed_text import TypedOptions, doubles_as_text, numbers_as_declared, times_as_text

_PLAIN = Column(name="nested", dtype=Dtype.STR)
_AS_WRITTEN = TypedOptions()
_JSON_NULL = "null"
_AS_THEY_ARE = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_boolean,
    pa.types.is_null,
)


class UnfitTypeError(Exception):
    """A type whose values have no text; says what it is."""


def as_text(values: pa.Array, column: Column, options: TypedOptions) -> pa.Array:
    """The values as Arrow strings, those of numbers and times as texts of `column` write them.

    A text is not looked at: it may be no UTF-8. Raises UnfitTypeError.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        text = as_text(values.dictionary_decode(), column, options)
    elif isinstance(kind, pa.BaseExtensionType):
        text = _extension(values, column, options)
    elif is_nested(kind):
        text = pa.array(_json(values, top=True), pa.string())
    elif pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        text = times_as_text(values, column, options)
    elif is_number(kind):
        text = numbers_as_declared(_numbers(values), column, options)
    elif any(is_kind(kind) for is_kind in _AS_THEY_ARE):
        text = pc.cast(values, pa.string())
    else:
        raise UnfitTypeError(str(kind))
    return text


def is_nested(kind: pa.DataType) -> bool:
    """Does a value of the type hold others?"""
    return bool(pa.types.is_nested(kind)) and not pa.types.is_dictionary(kind)


def is_number(kind: pa.DataType) -> bool:
    """Is the type one of numbers?"""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _numbers(values: pa.Array) -> pa.Array:
    """In plain notation. A double is told by as few digits as tell it apart; of a decimal, all are kept."""
    if pa.types.is_floating(values.type):
        return doubles_as_text(values if values.type != pa.float16() else pc.cast(values, pa.float32()))
    text = pc.cast(values, pa.string())
    if pa.types.is_decimal(values.type) and pc.any(pc.match_substring(text, "E")).as_py():
        told = [None if value is None else format(value, "f") for value in values.to_pylist()]
        return pa.array(told, pa.string())
    return text


def _extension(values: pa.Array, column: Column, options: TypedOptions) -> pa.Array:
    if values.type.extension_name != "arrow.uuid":
        return as_text(values.storage, column, options)
    told = [None if one is None else str(uuid.UUID(bytes=one)) for one in values.storage.to_pylist()]
    return pa.array(told, pa.string())


def _json(values: pa.Array, *, top: bool = False) -> list[str | None]:
    """Each value as JSON; a null is null in JSON, or none at all at the `top`."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _json(values.dictionary_decode(), top=top)
    if isinstance(kind, pa.BaseExtensionType) and is_nested(values.storage.type):
        return _json(values.storage, top=top)
    nothing = None if top else _JSON_NULL
    if pa.types.is_struct(kind):
        names = [_quoted(field.name) for field in kind]
        fields = [_json(values.field(position)) for position in range(kind.num_fields)]
        there = values.is_valid().to_pylist()
        return [
            "{" + ", ".join(f"{name}: {field[row]}" for name, field in zip(names, fields, strict=True)) + "}"
            if is_there
            else nothing
            for row, is_there in enumerate(there)
        ]
    if pa.types.is_map(kind):
        return _json_of_maps(values, nothing)
    if is_nested(kind):
        return _json_of_lists(values, nothing)
    text = as_text(values, _PLAIN, _AS_WRITTEN)
    bare = is_number(kind) or pa.types.is_boolean(kind)
    return [nothing if one is None else one if bare else _quoted(one) for one in text.to_pylist()]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _json_of_lists(values: pa.Array, nothing: str | None) -> list[str | None]:
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_pylist()
    items: Any = _json(pc.list_flatten(values))
    told: list[str | None] = []
    start = 0
    for length, is_there in zip(lengths, values.is_valid().to_pylist(), strict=True):
        told.append("[" + ", ".join(items[start : start + length]) + "]" if is_there else nothing)
        start += length if is_there else 0
    return told


def _json_of_maps(values: pa.Array, nothing: str | None) -> list[str | None]:
    """An object, whose keys are texts."""
    pairs = values.cast(pa.list_(pa.struct([("key", values.type.key_type), ("value", values.type.item_type)])))
    flat = pc.list_flatten(pairs)
    keys = as_text(flat.field("key"), _PLAIN, _AS_WRITTEN).to_pylist()
    items = _json(flat.field("value"))
    told: list[str | None] = []
    start = 0
    lengths = pc.list_value_length(pairs).to_pylist()
    for length, is_there in zip(lengths, values.is_valid().to_pylist(), strict=True):
        if not is_there:
            told.append(nothing)
            continue
        members = zip(keys[start : start + length], items[start : start + length], strict=True)
        told.append("{" + ", ".join(f"{_quoted(k)}: {v}" for k, v in members) + "}")
        start += length
    return told
