"""Text columns → typed columns, exactly, row by row: a value's reading never depends on its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype
from config.read_options import ReadOptions
from config.schema import Column
from validation.canonical import all_tidied
from validation.casting import cast_each, only
from validation.columns import TypedColumn
from validation.decimals import beyond_double, fits, stored_text
from validation.json_values import is_json
from validation.numbers import in_plain_notation
from validation.times import TIMESTAMP, read_clock, read_times
from validation.typed_values import surely_read

AS_WRITTEN = ReadOptions()

_INT_PLAIN = r"^-?[0-9]{1,18}$"
_INT = r"^[+-]?[0-9]+(\.0+)?$"
_FLOAT_PLAIN = r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"
_FLOAT = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATETIME_PLAIN = rf"^{_DATE}([ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?)?$"
_BELOW_MICROSECOND = r"\.[0-9]{6}[0-9]*[1-9]"
_TRUE = ["true", "t", "yes", "y", "1", "1.0"]
_FALSE = ["false", "f", "no", "n", "0", "0.0"]
_UUID = r"^([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$"
_LAST_OF_DAY = 86_400_000_000 - 1  # microseconds


class Converted(NamedTuple):
    """A column's reading: `values` typed, null where empty or unreadable; `text` as it is stored, null where it
    means null; `unreadable` is true where there is a text that the dtype can't hold, and `beyond`, where it is
    given, where the column's type can't hold all of its digits; `ambiguous`, where a time zone has no such time or
    two of them."""

    values: pa.Array
    text: pa.Array
    unreadable: pa.Array
    beyond: pa.Array | None = None
    ambiguous: pa.Array | None = None


def convert(column: Column, raw: pa.Array, read: ReadOptions = AS_WRITTEN) -> Converted:
    """Read `raw` (Arrow strings) as the column's dtype; `read` is what FileSpec.read_as() says of the column."""
    plain = _plain(column, read)
    if plain is None or read.has_digits or not len(raw):
        return _convert_any(column, raw, read)
    is_plain = pc.fill_null(pc.match_substring_regex(raw, plain[0]), fill_value=True)
    values = cast_each(only(raw, is_plain), plain[1])
    # Others don't look plain; or they do, and are nothing, or a day that the calendar doesn't have.
    others = pc.and_(pc.is_valid(raw), pc.is_null(values))
    if not pc.any(others).as_py():
        return Converted(values, raw, _nothing(raw))
    if 2 * pc.sum(others).as_py() > len(raw):
        return _convert_any(column, raw, read)
    rest = _convert_any(column, raw.filter(others), read)

    def among_others(mask: pa.Array | None) -> pa.Array | None:
        return None if mask is None else pc.replace_with_mask(_nothing(raw), others, mask)

    return Converted(
        pc.replace_with_mask(values, others, rest.values),
        pc.replace_with_mask(raw, others, rest.text),
        pc.replace_with_mask(_nothing(raw), others, rest.unreadable),
        among_others(rest.beyond),
        among_others(rest.ambiguous),
    )


def read_typed(column: Column, found: TypedColumn, read: ReadOptions = AS_WRITTEN) -> Converted | None:
    """What convert() makes of the text of typed values, without it; None where the text has to be read."""
    is_plain = _plain(column, read) is not None and not read.has_digits
    if not (is_plain and len(found.values)) or column.default is not None:
        return None
    values = surely_read(column, found.values)
    if values is None or values.null_count > found.values.null_count:
        return None
    # Whole numbers and times are stored by their values, other numbers by their digits
    text = found.as_text(found.values) if column.dtype is Dtype.FLOAT else values
    return Converted(values, text, _nothing(values))


def _convert_any(column: Column, raw: pa.Array, read: ReadOptions) -> Converted:
    """Every value by the whole grammar of its dtype."""
    text = clean(raw, read)
    if column.dtype is Dtype.STR:
        return _read_str(column, text)
    text = _without_blanks(text)
    if column.dtype in _READERS_OF_TIMES:
        return _READERS_OF_TIMES[column.dtype](column, text, read)
    if column.dtype in {Dtype.INT, Dtype.FLOAT}:
        return _read_number(column, text, read)
    return _READERS[column.dtype](text)


def _plain(column: Column, read: ReadOptions) -> tuple[str, pa.DataType] | None:
    """What most values look like, and what they can be cast to as they are."""
    is_iso = not (column.format or read.dates)
    plain: tuple[str, pa.DataType] | None = None
    match column.dtype:
        case Dtype.INT:
            plain = _INT_PLAIN, pa.int64()
        case Dtype.DATETIME if is_iso and read.timezone == "UTC":
            plain = _DATETIME_PLAIN, TIMESTAMP
        case Dtype.DATE if is_iso:
            plain = f"^{_DATE}$", pa.date32()
        case Dtype.FLOAT if read.has_plain_numbers:
            plain = _FLOAT_PLAIN if column.sql.precision is None else fits(column.sql), pa.float64()
    return plain


def clean(raw: pa.Array, read: ReadOptions) -> pa.Array:
    """The text with null where it means null; without blanks around it, where these don't count."""
    text = pc.utf8_trim_whitespace(raw) if read.trim else raw
    if not read.words:
        return text
    bare = text if read.trim else pc.utf8_trim_whitespace(raw)
    short = pc.less_equal(pc.binary_length(bare), max(len(word.encode()) for word in read.words))
    if not pc.any(short).as_py():
        return text
    means_null = pc.is_in(pc.utf8_lower(bare), value_set=pa.array(sorted(read.words)))
    return only(text, pc.invert(means_null))


def _without_blanks(raw: pa.Array) -> pa.Array:
    """Trimmed; nothing but blanks is null: there is no number, date or truth value in it."""
    text = pc.utf8_trim_whitespace(raw)
    return only(text, pc.greater(pc.binary_length(text), 0))


def _nothing(raw: pa.Array) -> pa.Array:
    return pa.repeat(pa.scalar(value=False), len(raw))


def _unreadable(text: pa.Array, values: pa.Array) -> pa.Array:
    return pc.and_(pc.is_valid(text), pc.is_null(values))


def _read_str(column: Column, text: pa.Array) -> Converted:
    """As written; of a sensitive value the form that is judged and hashed."""
    if column.pii is not None:
        text = all_tidied(text, column.pii)
    return Converted(text, text, _nothing(text))


def _read_number(column: Column, text: pa.Array, read: ReadOptions) -> Converted:
    plain = in_plain_notation(text, read)
    found = _read_int(plain) if column.dtype is Dtype.INT else _fitted(column, _read_float(plain))
    return found._replace(unreadable=_unreadable(text, found.values)) if plain is not text else found


def _read_int(text: pa.Array) -> Converted:
    """Exact 64-bit integers; `370.0` is 370 and `3.7` is unreadable."""
    digits = only(text, pc.match_substring_regex(text, _INT))
    digits = pc.replace_substring_regex(digits, r"^\+|\.0+$", "")
    values = cast_each(digits, pa.int64())
    return Converted(values, text, _unreadable(text, values))


def _read_float(text: pa.Array) -> Converted:
    """Numbers in decimal or exponent notation. `text` keeps every digit for numeric columns."""
    readable = only(text, pc.match_substring_regex(text, _FLOAT))
    values = cast_each(pc.replace_substring_regex(readable, r"^\+", ""), pa.float64())
    return Converted(values, text, _unreadable(text, values))


def _fitted(column: Column, found: Converted) -> Converted:
    """The numbers as the column's type stores them, and those that it can't."""
    readable = only(found.text, pc.invert(found.unreadable))
    if column.sql.precision is None:
        endless = column.sql.base == "numeric"
        beyond = pc.is_inf(found.values) if endless else beyond_double(readable, found.values)
        return found._replace(beyond=beyond)
    stored = stored_text(readable, column.sql, rounding=column.round)
    beyond = pc.and_(pc.is_valid(readable), pc.is_null(stored))
    values = pc.coalesce(pc.cast(stored, pa.float64()), found.values) if column.round else found.values
    return found._replace(values=values, text=stored, beyond=beyond)


def _read_bool(text: pa.Array) -> Converted:
    index = pc.index_in(pc.utf8_lower(text), value_set=pa.array(_TRUE + _FALSE))
    values = pc.less(index, len(_TRUE))
    return Converted(values, text, _unreadable(text, values))


def _read_datetime(column: Column, text: pa.Array, read: ReadOptions) -> Converted:
    """Times, in microseconds UTC; those finer than that are beyond the column, or rounded where it says so."""
    found = read_times(text, column.format or read.dates, read.timezone)
    unreadable = pc.and_not(_unreadable(text, found.values), found.ambiguous)
    if not column.round:
        return Converted(found.values, text, unreadable, _finer(text, found.values), found.ambiguous)
    values = _rounded_up(found.values, _is_half(text), TIMESTAMP)
    return Converted(values, text, unreadable, ambiguous=found.ambiguous)


def _read_date(column: Column, text: pa.Array, read: ReadOptions) -> Converted:
    """Days. A time of the day would be lost, unless it is midnight."""
    found = read_times(text, column.format or read.dates, "UTC").values
    days = pc.cast(found, pa.date32(), safe=False)
    values = only(days, pc.equal(pc.cast(days, TIMESTAMP), found))
    return Converted(values, text, _unreadable(text, values))


def _read_time(column: Column, text: pa.Array, _read: ReadOptions) -> Converted:
    """Times of the day, in microseconds."""
    values = read_clock(text, column.format)
    unreadable = _unreadable(text, values)
    if not column.round:
        return Converted(values, text, unreadable, _finer(text, values))
    up = _is_half(text)
    last = pc.and_(up, pc.equal(pc.cast(values, pa.int64()), _LAST_OF_DAY))  # no time of the day comes after it
    values = _rounded_up(values, pc.and_not(up, last), pa.time64("us"))
    return Converted(values, text, unreadable, last)


def _finer(text: pa.Array, values: pa.Array) -> pa.Array:
    """Where a time has more digits than microseconds have."""
    return pc.and_(pc.match_substring_regex(text, _BELOW_MICROSECOND), pc.is_valid(values))


def _is_half(text: pa.Array) -> pa.Array:
    """Where the digits below a microsecond are half of one, or more."""
    return pc.match_substring_regex(text, r"\.[0-9]{6}[5-9]")


def _rounded_up(values: pa.Array, up: pa.Array, to: pa.DataType) -> pa.Array:
    return pc.cast(pc.add(pc.cast(values, pa.int64()), pc.cast(up, pa.int64())), to)


def _read_uuid(text: pa.Array) -> Converted:
    """UUIDs as PostgreSQL writes them: in lower case, with hyphens; they come in braces and capitals, too."""
    bare = pc.replace_substring_regex(pc.utf8_lower(text), r"^\{(.*)\}$", r"\1")
    fits = pc.match_substring_regex(bare, _UUID)
    values = pc.replace_substring_regex(only(bare, fits), _UUID, r"\1-\2-\3-\4-\5")
    return Converted(values, text, _unreadable(text, values))


def _read_json(text: pa.Array) -> Converted:
    """Texts that are JSON, as they are written."""
    readable = pa.array([value is not None and is_json(value) for value in text.to_pylist()], pa.bool_())
    values = only(text, readable)
    return Converted(values, text, _unreadable(text, values))


_READERS: dict[Dtype, Callable[[pa.Array], Converted]] = {
    Dtype.BOOL: _read_bool,
    Dtype.UUID: _read_uuid,
    Dtype.JSON: _read_json,
}
_READERS_OF_TIMES: dict[Dtype, Callable[[Column, pa.Array, ReadOptions], Converted]] = {
    Dtype.DATETIME: _read_datetime,
    Dtype.DATE: _read_date,
    Dtype.TIME: _read_time,
}


def as_mask(broken: pa.Array) -> np.ndarray:
    """A boolean Arrow array as a numpy mask; null counts as false."""
    mask: np.ndarray = pc.fill_null(broken, fill_value=False).to_numpy(zero_copy_only=False)
    return mask
