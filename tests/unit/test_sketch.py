"""Different values are counted: exactly up to some number, and nearly beyond, whatever they are cut into."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from validation.sketch import MOST_KEPT, Distinct, hashed_numbers, hashed_texts


@pytest.mark.parametrize("different", [1, 3, MOST_KEPT - 1, MOST_KEPT + 1, 9000, 200_000])
@pytest.mark.parametrize("part", [1000, 25_000])
def test_numbers_are_counted_nearly(different: int, part: int) -> None:
    values = np.random.default_rng(1).permutation(np.arange(max(different, 50_000)) % different)
    count = Distinct()
    for start in range(0, len(values), part):
        count.add(hashed_numbers(values[start : start + part]))
    assert count.count == different if different < MOST_KEPT else abs(count.count / different - 1) < 0.08


def test_texts_are_told_apart_by_each_of_their_bytes() -> None:
    long = "a text that is longer than the words of which a hash is made"
    texts = [
        "",
        "a",
        "a\0",
        "\0",
        "b",
        "12345678",
        "123456789",
        "12345678\0",
        "é",
        *(long[:n] for n in range(10, 60)),
    ]
    texts += [f"{long[:n]}X{long[n + 1 :]}" for n in range(len(long))]
    assert len(set(texts)) == len(texts)
    one, sliced = Distinct(), Distinct()
    one.add(hashed_texts(pa.array(texts * 3)))
    sliced.add(hashed_texts(pa.array(["before", *texts, "after"]).slice(1, len(texts))))
    sliced.add(hashed_texts(pa.array(texts)))
    assert (one.count, sliced.count) == (len(texts), len(texts))


def test_zero_is_one_number() -> None:
    count = Distinct()
    count.add(hashed_numbers(np.array([0.0, -0.0, 1.5])))
    assert count.count == 2
