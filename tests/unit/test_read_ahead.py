"""What is read ahead in a thread of its own comes in order, and holds up no stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from config.errors import FileRejected, Stopped
from utils.read_ahead import read_ahead


def stop() -> None:
    raise Stopped("stopping")


def test_items_come_in_order_and_an_error_behind_them() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise FileRejected("cut off")

    seen: list[int] = []
    with pytest.raises(FileRejected, match="cut off"), read_ahead(items(), lambda: None) as ready:
        seen.extend(ready)
    assert seen == [0, 1, 2, 3, 4]


def test_a_stop_waits_for_no_chunk_that_takes_long() -> None:
    """As one of hundreds of thousands of lines that all have to be mended."""
    release, finished = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        release.wait(60)
        finished.set()
        yield 2

    try:
        with pytest.raises(Stopped), read_ahead(items(), stop) as ready:
            list(ready)
        assert not finished.is_set()
    finally:
        release.set()
        assert finished.wait(60)
