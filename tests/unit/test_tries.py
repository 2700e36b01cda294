"""What came of a file's tries goes with its job and comes back with its next one; a stop has a time of grace."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from config.jobs import Tries
from config.settings import PipelineConfig
from ingestion import inbox as inbox_module
from ingestion.engines.engine import GRACE_SECONDS, Grace
from ingestion.engines.registry import ENGINES
from ingestion.file_report import PROGRESS_SECONDS, Progress
from ingestion.file_tracker import FileTracker
from tests.unit.test_inbox import SETTLE, Desk

LATE = Tries(held_up=2, unrecorded=1)


@pytest.fixture
def desk(config: PipelineConfig) -> Iterator[Desk]:
    tracker = FileTracker(config.path("tracker.db"))
    yield Desk(config, tracker)
    tracker.close()


def test_a_file_that_is_put_off_keeps_its_tries_until_it_is_done(desk: Desk) -> None:
    desk.offer(desk.write("09/orders.json"), closed=True)
    job = desk.get()
    assert job is not None
    assert job.tries == Tries()
    desk.inbox.retry_later(job.evolve(tries=LATE))
    desk.clock.now += SETTLE
    job = desk.get()
    assert job is not None
    assert job.tries == LATE
    desk.inbox.put_back(job.evolve(tries=Tries(by_itself=True)))
    job = desk.get()
    assert job is not None
    assert job.tries == Tries(by_itself=True)
    desk.finish(job.evolve(tries=Tries()))
    desk.offer(desk.write("09/orders.json", "[{}]"), closed=True)
    job = desk.get()
    assert job is not None
    assert job.tries == Tries()


def test_a_file_that_failed_for_now_has_its_tries_when_the_next_scan_finds_it(desk: Desk) -> None:
    desk.offer(desk.write("09/orders.json"), closed=True)
    job = desk.get()
    assert job is not None
    desk.inbox.done(job.evolve(tries=LATE))  # and the tracker knows nothing of it
    assert desk.inbox.size() == 0
    desk.scan()
    desk.clock.now += SETTLE
    job = desk.get()
    assert job is not None
    assert job.tries == LATE


def test_a_file_in_trouble_counts_while_it_is_in_the_inbox(desk: Desk) -> None:
    def trouble(tries: Tries) -> bool:
        return tries.held_up >= 2

    path = desk.write("09/orders.json")
    desk.offer(path, closed=True)
    job = desk.get()
    assert job is not None
    assert not desk.inbox.any_tried(trouble)
    desk.inbox.retry_later(job.evolve(tries=LATE))
    assert desk.inbox.any_tried(trouble)
    path.unlink()
    desk.clock.now += SETTLE
    assert desk.get() is None
    assert not desk.inbox.any_tried(trouble)


def test_tries_of_files_that_never_come_back_are_forgotten_in_the_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "MOST_TRIED", 2)
    for hour in ("07", "08", "09"):
        desk.offer(desk.write(f"{hour}/orders.json"), closed=True)
        job = desk.get()
        assert job is not None
        desk.inbox.done(job.evolve(tries=LATE))
    desk.scan()
    desk.clock.now += SETTLE
    jobs = [desk.get() for _ in range(3)]
    assert [job.tries for job in jobs if job] == [Tries(), LATE, LATE]


def test_what_is_in_hand_may_go_on_for_a_while_after_a_stop() -> None:
    now, stop = [100.0], threading.Event()
    grace = Grace(stop, lambda: now[0])
    now[0] += 1000
    assert not grace.is_over()
    stop.set()
    assert not grace.is_over()
    now[0] += GRACE_SECONDS
    assert not grace.is_over()
    now[0] += 0.1
    assert grace.is_over()


def test_a_long_file_tells_now_and_then_how_far_it_is(
    config: PipelineConfig, caplog: pytest.LogCaptureFixture, desk: Desk
) -> None:
    now = [100.0]
    desk.offer(desk.write("09/orders.json"), closed=True)
    job = desk.get()
    assert job is not None
    progress = Progress(config, lambda: now[0])
    with caplog.at_level("INFO"):
        for rows in range(0, 100, 10):
            progress.tell(job, rows)
            now[0] += PROGRESS_SECONDS / 2
    assert caplog.messages == [f"[runner] orders.json: {rows} rows so far" for rows in (20, 40, 60, 80)]


def test_every_engine_that_the_yaml_may_name_is_there(config: PipelineConfig) -> None:
    field = type(config.execution).model_fields["engine"]
    assert field.annotation is not None
    assert set(field.annotation.__args__) == set(ENGINES)
