"""Keys of several columns as one value: their JSON array, however they are cut out of larger ones."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from validation.key_values import joined, joined_value, parted

TEXT = st.text(st.sampled_from('ab"\\\x01\n\x7fä€𝄞 ,['), max_size=4)
ROWS = st.lists(st.tuples(st.none() | TEXT, st.none() | st.integers(-(2**63), 2**63 - 1)), max_size=8)
TYPES = [pa.string(), pa.int64()]


def as_json(row: tuple[Any, ...]) -> str | None:
    return None if None in row else json.dumps(row, ensure_ascii=False)


@settings(deadline=None)
@given(rows=ROWS, first=st.integers(0, 3))
def test_a_key_of_several_columns_is_its_json_array(rows: list[tuple[Any, ...]], first: int) -> None:
    columns = [pa.array([row[n] for row in rows], TYPES[n]).slice(min(first, len(rows))) for n in range(2)]
    for order in ([0, 1], [1, 0], [0, 0], [1, 1]):
        cut = [tuple(row[n] for n in order) for row in rows[first:]]
        keys = joined([columns[n] for n in order])
        assert keys.to_pylist() == [as_json(row) for row in cut]
        assert [joined_value(row) for row in cut] == keys.to_pylist()
        back = parted(keys.drop_null(), [TYPES[n] for n in order])
        assert [tuple(row) for row in zip(*(part.to_pylist() for part in back), strict=True)] == [
            row for row in cut if None not in row
        ]
