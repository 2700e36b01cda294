"""Rows of a table that refers to itself: which of them hang by rows that were refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from datawarehouse.fk_checker import rows_by_key
from validation.batch import ROW
from validation.key_values import joined
from validation.relations import Links, without_parent


def rows_without_parent(tx: Cursor, spec: FileSpec, rows: pa.Table, refused: Sequence[int]) -> list[int]:
    """The numbers of `rows` that refer, by way of others or not, to rows that were `refused` and are not there."""
    if not refused:
        return []
    numbers = rows.column(ROW).to_numpy()
    columns = {key: (key.key, key.to or spec.schema.primary_key) for key in spec.self_references}
    links = []
    for key, (own, to) in columns.items():
        referred, named = (joined([rows.column(name) for name in names]) for names in (to, own))
        asked = pc.unique(referred.filter(pa.array(np.isin(numbers, refused))).drop_null())
        there = [row[0] for row in rows_by_key(tx, spec, asked, to=key.to)] if len(asked) else []
        found_there = pa.array(there, asked.type)
        asks = pc.and_not(pc.is_in(named, value_set=referred), pc.is_in(named, value_set=found_there))
        links.append(Links.of(named, referred, np.asarray(pc.and_(pc.is_valid(named), asks))))
    left = ~np.isin(numbers, refused)
    found: np.ndarray = np.logical_or.reduce(without_parent(links, left)) & left
    lost: list[int] = numbers[found].tolist()
    return lost
