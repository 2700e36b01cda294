"""The checks of stage records that need no other row: what the validators of batch and stream put in order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype, Stage
from config.schema import Column
from validation.batch import Batch
from validation.conversions import as_mask
from validation.findings import Finding
from validation.rules import RULES, applies
from validation.times import TIMESTAMP

Dates = tuple[dt.date, dt.date]
"""The first and the last day that are taken."""
ColumnCheck = Callable[[Batch, Column, Dates], None]
"""Holds what it finds in a column against the rows of the batch."""


def check_columns(batch: Batch, checks: Sequence[ColumnCheck], dates: Dates) -> None:
    """Put each column of the batch through `checks`, in their order."""
    for column in batch.spec.schema.columns:
        for check in checks:
            check(batch, column, dates)


def column_rules(batch: Batch, column: Column, _dates: Dates) -> None:
    """The rules that the YAML gives the column."""
    values = batch.values[column.name]
    for name, use in column.uses.items():
        if RULES[name].of_file:
            continue
        broken = RULES[name].broken(values, use.parameter, batch.values)
        if use.when is not None:
            broken = pc.and_(broken, applies(use.when, batch))
        if pc.any(broken).as_py():
            batch.note(Finding.of_rule(batch.spec.schema, column, name, as_mask(broken)))


def dates_in_range(batch: Batch, column: Column, dates: Dates) -> None:
    """Dates and times lie within `dates`, both days included."""
    if column.dtype not in {Dtype.DATETIME, Dtype.DATE}:
        return
    values = batch.values[column.name]
    first = pa.scalar(dt.datetime.combine(dates[0], dt.time.min), TIMESTAMP)
    beyond = pa.scalar(dt.datetime.combine(dates[1] + dt.timedelta(days=1), dt.time.min), TIMESTAMP)
    _hold(batch, pc.or_(pc.less(values, first), pc.greater_equal(values, beyond)), "date_in_range", column)


def _hold(batch: Batch, broken: pa.Array, rule: str, column: Column) -> None:
    if pc.any(broken).as_py():
        batch.reject(as_mask(broken), Stage.RECORDS, rule, column.name)
