"""Values of columns that the schema does not have: one object of JSON a row, value by name, kept as they are."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa

from config.model import Dtype
from config.schema import EXTRA, Column, Schema
from validation.batch import Chunk, Rejection
from validation.columns import Columns, parts_of
from validation.json_values import is_json, jsonb_problem
from validation.strays import HIDDEN, is_hidden

LEFT_OUT = "\0"  # begins the name of a column that is no column of the schema: no header has a NUL in its names
_READER = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
# What jsonb would write in another way: an exponent, the sign of a zero.
_OTHERWISE = re.compile(r'"(?:[^"\\]|\\.)*+"|(-?[0-9.]+[eE]|-0(?:\.0*)?(?![0-9.]))', re.DOTALL)


def left_out(place: int) -> Column:
    """A column of the file, at this place from 0, that the schema doesn't have."""
    return Column(name=f"{LEFT_OUT}{place}", dtype=Dtype.STR)


def extra_columns(schema: Schema, names: Sequence[str], found: Sequence[str | None]) -> dict[str, str]:
    """The columns that are to be kept of a file with these `names`: left_out() of their place → their names.

    `found` is what match_columns() says of the names. A name that is empty, or there twice, becomes that of its
    place: column_5.
    """
    if not schema.drift.takes_new:
        return {}
    places = [place for place, name in enumerate(found) if name is None]
    taken: set[str] = set()
    extras = {}
    for place in places:
        name = names[place] if names[place] and names[place] not in taken else f"column_{place + 1}"
        while name in taken:
            name += "_"
        taken.add(name)
        extras[left_out(place).name] = name
    return extras


def new_names(names: Sequence[str], found: Sequence[str | None]) -> tuple[str, ...]:
    """Of the `names` of a file, those that are no columns of the schema: `found`, by match_columns(), has None."""
    return tuple(dict.fromkeys(name for name, column in zip(names, found, strict=True) if column is None and name))


def gathered(chunk: Chunk, extras: Mapping[str, str], new: tuple[str, ...]) -> Chunk:
    """`chunk` with the columns `extras` (as extra_columns() gives them) in one, EXTRA; `new` are their names."""
    if not extras:
        return replace(chunk, new=new) if new else chunk
    texts = {name: chunk.columns[column] for column, name in extras.items()}
    columns = {name: part for name, part in parts_of(chunk.columns).items() if name not in extras}
    malformed = tuple(_gathered_record(record, extras) for record in chunk.malformed)
    return Chunk(chunk.numbers, Columns({**columns, EXTRA: of_texts(texts)}), malformed, new)


def _gathered_record(record: Rejection, extras: Mapping[str, str]) -> Rejection:
    reasons = tuple(replace(r, column=EXTRA) if r.column in extras else r for r in record.reasons)
    raw = {name: value for name, value in record.raw.items() if name not in extras}
    extra = _object((name, _quoted(record.raw.get(column))) for column, name in extras.items())
    return replace(record, reasons=reasons, raw={**raw, EXTRA: extra} if extra else raw)


def of_texts(texts: Mapping[str, pa.Array]) -> pa.Array:
    """Arrow strings by name → objects of JSON that hold them as strings, a null nowhere; null where nothing is."""
    names = list(texts)
    rows = zip(*(values.to_pylist() for values in texts.values()), strict=True)
    return pa.array([_object(zip(names, map(_quoted, row), strict=True)) for row in rows], pa.string())


def of_sources(names: Sequence[str], rows: Iterable[Sequence[str | None]]) -> list[str | None]:
    """Source text of JSON, a value a name in each row → objects of JSON.

    A value that jsonb would not keep digit for digit is in it as a string that holds its source text.
    """
    return [_object((name, _kept(source)) for name, source in zip(names, row, strict=True)) for row in rows]


def _kept(source: str | None) -> str | None:
    if source is None or source == "null":
        return None
    return source if source.startswith('"') or _is_kept_exactly(source) else _quoted(source)


def _is_kept_exactly(source: str) -> bool:
    if not is_json(source) or jsonb_problem(source) is not None:
        return False
    return not any(match[1] for match in _OTHERWISE.finditer(source))


def _quoted(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return _ENCODER.encode(text).decode()
    except UnicodeEncodeError:  # a lone surrogate, which its row is refused for
        return json.dumps(text)


def _object(values: Iterable[tuple[str, str | None]]) -> str | None:
    pairs = [f"{_quoted(name)}: {source}" for name, source in values if source is not None]
    return f"{{{', '.join(pairs)}}}" if pairs else None


def texts_of(extra: str | None) -> dict[str, str]:
    """The values by name: the text of a string, the source text of anything else; none if it can't be read."""
    if extra is None:
        return {}
    try:
        return {name: text_of(bytes(value).decode()) for name, value in _READER.decode(extra).items()}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {}


def text_of(source: str) -> str:
    """A value of JSON as text: that of a string, the source text of anything else."""
    return str(msgspec.json.decode(source, type=str)) if source.startswith('"') else source


def counted(extras: pa.Array) -> Counter[str]:
    """How many rows have a value under each name."""
    return Counter(name for extra in extras.to_pylist() for name in texts_of(extra))


def masked(
    extra: str | None,
    hidden: Callable[[str], str | None],
    of_column: Callable[[str, str], str | None] = lambda _name, _text: None,
) -> str | None:
    """`extra` with what `hidden` gives for a text in its place, of names too; where it gives None, text stays.

    `of_column` is asked first, by name and text: what stands for a value whose name is one of a column's.
    """
    if extra is None:
        return None
    try:
        values = {name: bytes(value).decode() for name, value in _READER.decode(extra).items()}
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _object([("_unread", _quoted(hidden(extra) or extra))])
    told = []
    for name, source in values.items():
        text = text_of(source)
        instead = of_column(name, text) or hidden(text)
        told.append((hidden(name) or name, source if instead is None else _quoted(instead)))
    return _object(told)


def in_todays_columns(schema: Schema, raw: dict[str, Any]) -> dict[str, Any]:
    """A refused row's text by column: of what was kept in EXTRA, what has a column of its own today is in that."""
    raw = schema.in_todays_names(raw)
    extra = raw.get(EXTRA)
    if not isinstance(extra, str) or not (schema.by_source.keys() & texts_of(extra).keys()):
        return raw
    own, left = {}, {}
    for name, value in _READER.decode(extra).items():
        source, column = bytes(value).decode(), schema.by_source.get(name)
        if column is None or column.name in raw:
            left[name] = source
        else:
            own[column.name] = text_for(column, source)
    return {**raw, **own, EXTRA: _object(left.items())}


def text_for(column: Column, source: str) -> str:
    """A kept value as a file has it for `column`: a json one takes a string that is no JSON with its quotes."""
    text = text_of(source)
    if column.pii is not None and is_hidden(text):
        return text.removeprefix(HIDDEN)  # the hash, as the column has it
    return source if column.dtype is Dtype.JSON and not is_json(text) else text
