"""Rules that hold times against the clock: now, UTC, when the row is judged."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator

from config.model import Model
from validation.rules.registry import DAYS, none, rule

_SPAN = re.compile(r"([0-9]{1,6}) ?(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _is_span(text: str) -> str:
    if _SPAN.fullmatch(text) is None:
        raise ValueError("is no span of time, as in 90s, 15m, 24h or 30d")
    return text


Span = Annotated[str, AfterValidator(_is_span)]


class Tolerance(Model):
    """How far beyond now a time may be, since clocks differ."""

    tolerance: Span


@rule(*DAYS)
def not_in_future(values: pa.Array, form: bool | Tolerance) -> pa.Array:
    """A time after now breaks it; of dates, one after today."""
    if form is False:
        return none(values)
    return pc.greater(values, _now(values, _tolerated(form)))


@rule(*DAYS)
def not_in_past(values: pa.Array, form: bool | Tolerance) -> pa.Array:
    """A time before now breaks it; of dates, one before today."""
    if form is False:
        return none(values)
    return pc.less(values, _now(values, -_tolerated(form)))


@rule(*DAYS)
def within(values: pa.Array, span: Span) -> pa.Array:
    """A time further from now than that, before or after, breaks it."""
    far = _length(span)
    return pc.or_(pc.less(values, _now(values, -far)), pc.greater(values, _now(values, far)))


def _tolerated(form: bool | Tolerance) -> dt.timedelta:
    return _length(form.tolerance) if isinstance(form, Tolerance) else dt.timedelta()


def _length(span: str) -> dt.timedelta:
    found = _SPAN.fullmatch(span)
    assert found is not None  # noqa: S101
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})


def _now(values: pa.Array, later: dt.timedelta) -> pa.Scalar:
    moment = dt.datetime.now(dt.UTC).replace(tzinfo=None) + later
    return (
        pa.scalar(moment.date(), pa.date32()) if pa.types.is_date(values.type) else pa.scalar(moment, values.type)
    )
