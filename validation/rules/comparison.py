"""Rules that compare: with a value of the YAML, with another column, with a set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from config.model import Dtype
from validation.rules.registry import DAYS, NUMBERS, Bound, Columns, OtherColumn, each, rule, typed

_ORDERED = (*NUMBERS, *DAYS, Dtype.TIME)
_SETS = (Dtype.STR, Dtype.INT, Dtype.FLOAT, Dtype.UUID, Dtype.DATE)


def _other(*bounds: Bound) -> Iterator[str]:
    yield from (bound.column for bound in bounds if isinstance(bound, OtherColumn))


def _others(bounds: list[Bound]) -> Iterator[str]:
    return _other(*bounds)


@rule(*_ORDERED, refers_to=_other, others=None)
def at_least(values: pa.Array, bound: Bound, columns: Columns) -> pa.Array:
    """A value below `bound` breaks it."""
    return pc.less(values, _bound(values, bound, columns, math.ceil))


@rule(*_ORDERED, refers_to=_other, others=None)
def at_most(values: pa.Array, bound: Bound, columns: Columns) -> pa.Array:
    """A value above `bound` breaks it."""
    return pc.greater(values, _bound(values, bound, columns, math.floor))


@rule(*_ORDERED, refers_to=_other, others=None)
def greater_than(values: pa.Array, bound: Bound, columns: Columns) -> pa.Array:
    """A value that is not above `bound` breaks it."""
    return pc.less_equal(values, _bound(values, bound, columns, math.floor))


@rule(*_ORDERED, refers_to=_other, others=None)
def less_than(values: pa.Array, bound: Bound, columns: Columns) -> pa.Array:
    """A value that is not below `bound` breaks it."""
    return pc.greater_equal(values, _bound(values, bound, columns, math.ceil))


@rule(*_ORDERED, refers_to=_others, others=None)
def between(
    values: pa.Array, bounds: Annotated[list[Bound], Field(min_length=2, max_length=2)], columns: Columns
) -> pa.Array:
    """A value below the first bound or above the second breaks it."""
    return pc.or_kleene(at_least(values, bounds[0], columns), at_most(values, bounds[1], columns))


@rule(*_ORDERED, Dtype.STR, Dtype.UUID, Dtype.BOOL, refers_to=_other, others=None)
def equals(values: pa.Array, wanted: Bound | bool, columns: Columns) -> pa.Array:
    """Another value breaks it."""
    return pc.not_equal(values, _same(values, wanted, columns))


@rule(*_ORDERED, Dtype.STR, Dtype.UUID, Dtype.BOOL, refers_to=_other, others=None)
def differs_from(values: pa.Array, unwanted: Bound | bool, columns: Columns) -> pa.Array:
    """The same value breaks it."""
    return pc.equal(values, _same(values, unwanted, columns))


@rule(*_SETS)
def in_(values: pa.Array, wanted: Annotated[list[Any], Field(min_length=1)]) -> pa.Array:
    """A value that is not listed breaks it."""
    return pc.and_not(pc.is_valid(values), pc.is_in(values, value_set=typed(wanted, values.type)))


@rule(*_SETS)
def not_in(values: pa.Array, unwanted: Annotated[list[Any], Field(min_length=1)]) -> pa.Array:
    """A value that is listed breaks it."""
    return pc.is_in(values, value_set=typed(unwanted, values.type))


@rule(*NUMBERS)
def multiple_of(values: pa.Array, step: Annotated[float, Field(gt=0)]) -> pa.Array:
    """A number that is no whole multiple of `step` breaks it, but for what a double can't hold of it."""
    if pa.types.is_integer(values.type):
        if step != int(step):
            raise ValueError(f"{step} is no whole number, as the column's are")
        whole = int(step)
        return pc.not_equal(pc.multiply(pc.divide(values, whole), whole), values)
    times = pc.divide(values, step)
    apart = pc.abs(pc.subtract(times, pc.round(times)))
    return pc.greater(apart, pc.max_element_wise(pc.multiply(pc.abs(times), 1e-12), 1e-9))


@rule(Dtype.FLOAT)
def decimals(values: pa.Array, most: Annotated[int, Field(ge=0, le=15)]) -> pa.Array:
    """A number that needs more digits behind the point breaks it."""
    return each(values, lambda value: value is not None and round(value, most) != value)


def _bound(values: pa.Array, bound: Bound, columns: Columns, whole: Callable[[float], int]) -> Any:
    """What `values` are compared with; with whole numbers as one, for a double would change digits of them."""
    if isinstance(bound, OtherColumn):
        return columns[bound.column]
    if pa.types.is_integer(values.type) and isinstance(bound, float) and math.isfinite(bound):
        return whole(bound)
    if pa.types.is_date(values.type):
        return typed([bound], pa.timestamp("us"))[0]
    return typed([bound], values.type)[0]


def _same(values: pa.Array, bound: Bound | bool, columns: Columns) -> Any:
    return columns[bound.column] if isinstance(bound, OtherColumn) else typed([bound], values.type)[0]
