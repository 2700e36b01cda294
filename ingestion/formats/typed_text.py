"""Values that have a type in their file → the text that the rest of the pipeline reads them from.

A number or a time in a workbook is not written at all. Where the YAML says how the file's texts write such values
(`decimal`, `dates`), a typed one is put so, too: then it is read as what it is, now and when it is judged again.
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from config.date_formats import EPOCH, EPOCH_MS, ISO
from config.model import TIMES, Dtype, Model
from config.schema import Column
from validation.casting import only

MOST_EXACT = 2**53  # a double holds every whole number up to here
_NUMBERS = frozenset({Dtype.INT, Dtype.FLOAT})
_EPOCH_START = dt.datetime(1970, 1, 1)  # noqa: DTZ001


class TypedOptions(Model):
    """Of the keys that all formats have, those that say how values are written."""

    decimal: str = Field(".")
    dates: tuple[str, ...] = ()
    timezone: str = "UTC"


def numbers_as_declared(text: pa.Array, column: Column, options: TypedOptions) -> pa.Array:
    """Numbers in plain notation (Arrow strings) as texts of `column` write them."""
    return pc.replace_substring(text, ".", ",") if options.decimal == "," and column.dtype in _NUMBERS else text


def times_as_text(times: pa.Array, column: Column, options: TypedOptions) -> pa.Array:
    """Dates, times of the day, timestamps → ISO 8601, or as texts of `column` write them, where that says as much.

    A timestamp with a zone is given in UTC.
    """
    if pa.types.is_timestamp(times.type) and times.type.tz is not None:
        times = pc.cast(times, pa.timestamp(times.type.unit, "UTC"))
    text = _iso(times)
    formats = column.format or options.dates
    if column.dtype not in TIMES or not formats or ISO in formats:
        return text
    told = [
        iso if value is None else _declared(value, iso, formats, options.timezone)
        for value, iso in zip(_in_micros(times).to_pylist(), text.to_pylist(), strict=True)
    ]
    return pa.array(told, pa.string())


def _in_micros(times: pa.Array) -> pa.Array:
    """The times, null where Python has none such: they are finer, or of years that have not four digits."""
    kind = times.type
    if pa.types.is_time(kind):
        micros = pc.cast(times, pa.time64("us"), safe=False)
        return only(micros, pc.equal(pc.cast(micros, kind, safe=False), times))
    years = pc.year(times)
    times = only(times, pc.and_(pc.greater_equal(years, dt.MINYEAR), pc.less_equal(years, dt.MAXYEAR)))
    if pa.types.is_date(kind):
        return times
    micros = pc.cast(times, pa.timestamp("us", kind.tz), safe=False)
    return only(micros, pc.equal(pc.cast(micros, kind, safe=False), times))


def _iso(times: pa.Array) -> pa.Array:
    """As Arrow writes it, without zeros at the end of a fraction: a text depends on its value alone."""
    kind = times.type
    if (pa.types.is_timestamp(kind) or pa.types.is_time(kind)) and kind.unit != "s":
        as_number = pc.cast(times, pa.int64() if kind.bit_width == 64 else pa.int32())
        second = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[kind.unit]
        whole = pc.multiply(pc.divide(as_number, second), second)
        if pc.all(pc.equal(whole, as_number)).as_py() is not False:
            times = pc.cast(times, pa.timestamp("s", kind.tz) if pa.types.is_timestamp(kind) else pa.time32("s"))
            return pc.cast(times, pa.string())
        return _without_zeros(pc.cast(times, pa.string()))
    return pc.cast(times, pa.string())


def _without_zeros(text: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(text, r"(\.[0-9]*?)0+(Z?)$", r"\1\2")
    return pc.replace_substring_regex(text, r"\.(Z?)$", r"\1")


def _declared(value: Any, iso: str, formats: tuple[str, ...], zone: str) -> str:
    """`value` in the first format that reads back as the same; else as it is, to be refused by its column."""
    for form in formats:
        if form in {EPOCH, EPOCH_MS}:
            told = _since_1970(value, 1 if form == EPOCH else 1_000)
            if told is not None:
                return told
            continue
        local = value
        if isinstance(value, dt.datetime) and value.tzinfo is not None and "%z" not in form:
            local = value.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        told = _written(local, form)
        if told is not None:
            return told
    return iso


def _written(value: Any, form: str) -> str | None:
    try:
        told: str = value.strftime(form)
        back = dt.datetime.strptime(told, form)  # noqa: DTZ007  (an offset is in it or not)
    except (ValueError, OverflowError):
        return None
    if isinstance(value, dt.time):
        return told if back.time() == value else None
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    return told if back == value else None


def _since_1970(value: Any, times: int) -> str | None:
    if isinstance(value, dt.time):
        return None
    if not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    micros = (value - _EPOCH_START) // dt.timedelta(microseconds=1)
    whole, rest = divmod(abs(micros), 1_000_000 // times)
    digits = len(str(1_000_000 // times)) - 1
    fraction = f".{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{'-' if micros < 0 else ''}{whole}{fraction}"


def doubles_as_text(numbers: pa.Array) -> pa.Array:
    """Floating-point numbers (Arrow) in the shortest form that is read back as the same one; 42.0 is 42."""
    values = pc.add(numbers, pa.scalar(0.0, numbers.type))  # -0.0 is 0
    if (
        pa.types.is_float64(values.type) and pc.all(_are_whole(values)).as_py() is not False
    ):  # ids; a third of the time
        return pc.cast(pc.cast(values, pa.int64()), pa.string())
    text = pc.cast(values, pa.string())
    if not pc.any(pc.match_substring(text, "e")).as_py():
        return text
    # Arrow writes 1e+10, which is a whole number
    return pc.coalesce(pc.cast(pc.cast(only(values, _are_whole(values)), pa.int64()), pa.string()), text)


def _are_whole(numbers: pa.Array) -> pa.Array:
    """Which of the numbers (Arrow's booleans, null for null) are whole ones that a double holds exactly?"""
    exact = pc.less_equal(pc.abs(numbers), pa.scalar(float(MOST_EXACT), numbers.type))
    return pc.and_(exact, pc.equal(numbers, pc.floor(numbers)))


def nulls_where_empty(text: pa.Array) -> pa.Array:
    """The texts, null in the place of ''."""
    return only(text, pc.greater(pc.binary_length(text), 0))
