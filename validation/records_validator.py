"""Stage records: the rules that the YAML gives each column, the range of dates, and duplicates."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.model import Dtype, Stage
from validation.batch import Batch
from validation.conversions import TIMESTAMP, as_mask
from validation.rules import RULES


def validate_records(batch: Batch, dates: tuple[dt.date, dt.date]) -> None:
    """Hold every column's rules against its values; dates must lie within `dates`, both days included."""
    first = pa.scalar(dt.datetime.combine(dates[0], dt.time.min), TIMESTAMP)
    beyond = pa.scalar(dt.datetime.combine(dates[1] + dt.timedelta(days=1), dt.time.min), TIMESTAMP)
    for column in batch.spec.schema.columns:
        values = batch.values[column.name]
        for name, parameter in column.rules.items():
            broken = RULES[name].broken(values, parameter, batch.values)
            if pc.any(broken).as_py():
                batch.reject(as_mask(broken), Stage.RECORDS, name, column.name)
        if column.dtype is Dtype.DATETIME:
            outside = pc.or_(pc.less(values, first), pc.greater_equal(values, beyond))
            if pc.any(outside).as_py():
                batch.reject(as_mask(outside), Stage.RECORDS, "date_in_range", column.name)


def reject_duplicates(batch: Batch) -> None:
    """Of the good rows with one key the first stays. Runs last: a bad first row doesn't cost a good second one."""
    key = batch.spec.schema.primary_key
    good = np.flatnonzero(batch.good)
    codes = pc.dictionary_encode(batch.output[key].take(pa.array(good))).indices.to_numpy()
    if len(codes) == 0 or codes.max() + 1 == len(codes):  # all distinct
        return
    _, firsts = np.unique(codes, return_index=True)
    mask = np.zeros(len(batch.chunk.numbers), dtype=bool)
    mask[np.delete(good, firsts)] = True
    batch.reject(mask, Stage.RECORDS, "duplicate", key)


def readmit_twins(batch: Batch, refused: np.ndarray) -> np.ndarray:
    """Of the duplicates of rows that were `refused` after all, the first is good again; which ones, boolean."""
    keys = batch.output[batch.spec.schema.primary_key]
    of_refused = keys.filter(pa.array(refused))
    rows = np.flatnonzero(as_mask(pc.is_in(keys, value_set=of_refused)) & batch.held("duplicate"))
    codes = pc.index_in(keys.take(pa.array(rows)), value_set=of_refused).to_numpy(zero_copy_only=False)
    readmitted = np.zeros(len(refused), dtype=bool)
    readmitted[rows[np.unique(codes, return_index=True)[1]]] = True
    batch.withdraw(readmitted, "duplicate")
    return readmitted
