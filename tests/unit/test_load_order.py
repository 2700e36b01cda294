"""With several workers a file waits for those that its rows refer to, for no other, and never for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.jobs import FileJob
from config.settings import PipelineConfig
from ingestion.load_order import LoadOrder

BATCH = Path("/batch")


class Queue:
    """A load order and files by short names: `10/orders` in the stream, `day 20/customers` in the batch."""

    def __init__(self, config: PipelineConfig) -> None:
        self._specs = {spec.name: spec for spec in config.files}
        self.order = LoadOrder(config.files, BATCH)

    def job(self, name: str) -> FileJob:
        folder, _, stem = name.rpartition("/")
        spec = self._specs[stem.partition(" ")[0]]
        day = folder.removeprefix("day ")
        path = BATCH / day if day != folder else Path("/stream") / folder
        return FileJob(path / f"{stem}.x", spec, 1, 1)

    def add(self, *names: str) -> None:
        for name in names:
            self.order.add(self.job(name))

    def waits(self, name: str) -> bool:
        return self.order.must_wait(self.job(name))

    def finish(self, name: str) -> None:
        self.order.remove(self.job(name).path)


@pytest.fixture
def queue(config: PipelineConfig) -> Queue:
    return Queue(config)


def test_a_child_waits_for_its_parents_of_the_same_and_of_earlier_folders(queue: Queue) -> None:
    queue.add("10/tickets", "09/orders", "10/orders", "11/orders")
    assert queue.waits("10/tickets")
    queue.finish("09/orders")
    assert queue.waits("10/tickets")
    queue.finish("10/orders")
    assert not queue.waits("10/tickets")


def test_a_child_waits_for_what_its_parents_refer_to(queue: Queue) -> None:
    queue.add("day 20/customers", "10/ticket_events")
    assert queue.waits("10/ticket_events")


def test_files_that_do_not_refer_to_each_other_go_side_by_side(queue: Queue) -> None:
    queue.add("09/orders", "10/orders", "11/orders", "day 20/cities", "day 20/categories", "day 20/reasons")
    assert [n for n in ("10/orders", "day 20/categories") if queue.waits(n)] == ["10/orders"]  # for the cities
    queue.finish("day 20/cities")
    queue.finish("day 20/categories")
    queue.finish("day 20/reasons")
    assert not any(queue.waits(name) for name in ("09/orders", "10/orders", "11/orders"))


def test_the_days_of_a_dimension_are_loaded_in_their_order(queue: Queue) -> None:
    queue.add("day 21/teams", "day 20/x/teams", "day 20/teams")
    assert [queue.waits(name) for name in ("day 21/teams", "day 20/x/teams", "day 20/teams")] == [
        True,
        False,
        True,
    ]
    queue.finish("day 20/x/teams")
    queue.finish("day 20/teams")
    assert not queue.waits("day 21/teams")


def test_parents_that_keep_coming_hold_up_no_child_for_ever(queue: Queue) -> None:
    queue.add("f/orders 1", "f/tickets")
    assert queue.waits("f/tickets")
    for number in range(2, 100):
        queue.add(f"f/orders {number}")
        queue.finish(f"f/orders {number - 1}")
        assert not queue.waits("f/tickets")


def test_there_is_always_one_that_may_start(queue: Queue) -> None:
    names = [f"{folder}/{name}" for folder in ("a", "b") for name in ("ticket_events", "tickets", "orders")]
    names += [f"day {day}/{name}" for day in (21, 20) for name in ("customers", "regions", "cities", "segments")]
    queue.add(*names)
    left = list(names)
    while left:
        free = [name for name in left if not queue.waits(name)]
        assert free
        queue.finish(free[-1])
        left.remove(free[-1])
