"""Numbers of keys as bounds of ranges."""

from __future__ import annotations

import bisect

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datawarehouse.key_traces import bounds_of

LOWEST, HIGHEST = -(2**63), 2**63 - 1
NUMBERS = st.one_of(
    st.integers(LOWEST, HIGHEST), st.integers(-9, 9), st.sampled_from([LOWEST, HIGHEST - 1, HIGHEST])
)


@given(st.lists(NUMBERS, min_size=1), st.lists(NUMBERS))
def test_a_number_is_within_the_bounds_if_it_is_one_of_those_given(given: list[int], others: list[int]) -> None:
    bounds = bounds_of(np.array(given, ">i8")).tolist()
    assert bounds == sorted(set(bounds))
    for number in [*given, *others]:
        assert bisect.bisect_right(bounds, number) % 2 == (number in given)


def test_keys_one_after_the_other_are_one_range() -> None:
    assert bounds_of(np.array([5, 3, 4, 9])).tolist() == [3, 6, 9, 10]
