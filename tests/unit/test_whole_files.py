"""A file is handed out when nobody writes it any more, whatever its times say; and again when it was corrected."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from config.jobs import FileJob
from config.settings import PipelineConfig
from ingestion.file_tracker import FileTracker
from ingestion.inbox import LONG_OPEN_SECONDS, Inbox
from ingestion.places import open_writers
from ingestion.places.open_writers import has_writer
from tests.unit.test_inbox import SETTLE, Desk

kernel_tells = pytest.mark.skipif(has_writer(Path(__file__)) is None, reason="no read leases here")


@pytest.fixture
def desk(config: PipelineConfig, tracker: FileTracker) -> Desk:
    return Desk(config, tracker)


@pytest.fixture
def network_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's files are as on a file server, of whose writers nobody can tell."""
    monkeypatch.setattr(open_writers, "OWN_DISKS", set())


# ---------------------------------------------------------------- a writer has it open


@kernel_tells
@pytest.mark.parametrize("age", [0.0, 86_400.0], ids=["new", "old times"])
def test_a_file_that_a_writer_has_open_is_not_handed_out_however_long_it_pauses(desk: Desk, age: float) -> None:
    path = desk.write("orders.json")
    with path.open("a") as writer:
        writer.write("[1")
        writer.flush()
        desk.touch(path, age)
        for _ in range(5):
            desk.scan()
            assert desk.get() is None
            desk.clock.now += 10 * SETTLE
        assert [made for made, _ in desk.inbox.in_the_making()] == [path]
        assert desk.inbox.size() == 1
        assert desk.inbox.can_be_finished() == 0
    desk.offer(path, closed=True)
    assert desk.get() is not None
    assert desk.inbox.in_the_making() == []


@kernel_tells
def test_one_of_two_writers_that_closes_makes_no_file_whole(desk: Desk) -> None:
    path = desk.write("orders.json")
    with path.open("a"):
        desk.offer(path, closed=True)
        assert desk.get() is None
        desk.clock.now += 2 * SETTLE
        assert desk.get() is None
    desk.clock.now += 2 * SETTLE
    assert desk.get() is not None, "without an event, too"


@kernel_tells
def test_a_file_that_is_opened_again_while_it_is_in_hand_has_to_settle(desk: Desk) -> None:
    path = desk.write("orders.json")
    desk.offer(path, closed=True)
    job = desk.get()
    assert job is not None
    with path.open("a"):
        desk.inbox.retry_later(job)
        desk.clock.now += 2 * SETTLE
        assert desk.get() is None
    desk.clock.now += 2 * SETTLE
    assert desk.get() is not None


@kernel_tells
def test_a_writer_that_takes_long_is_told_once(desk: Desk) -> None:
    path = desk.write("orders.json")
    with path.open("a"):
        desk.offer(path)
        for _ in range(4):
            desk.clock.now += LONG_OPEN_SECONDS / 2 + 1
            desk.get()
        assert desk.reports == [("open", "orders.json")]


# ---------------------------------------------------------------- nobody can tell


@pytest.mark.usefixtures("network_disk")
def test_where_nobody_can_tell_a_file_has_to_stay_the_same_for_two_looks_whatever_its_time_says(
    desk: Desk,
) -> None:
    path = desk.write("orders.json", "[", age=86_400)
    for text in ("[1", "[1, 2", "[1, 2]"):
        desk.scan()
        assert desk.get() is None
        desk.clock.now += SETTLE - 0.1
        assert desk.get() is None
        desk.write("orders.json", text, age=86_400)
        desk.clock.now += 0.2
        assert desk.get() is None
    desk.clock.now += SETTLE
    job = desk.get()
    assert job is not None
    assert (job.path, job.size) == (path, 6)


@pytest.mark.usefixtures("network_disk")
def test_where_nobody_can_tell_a_close_still_says_that_the_file_is_whole(desk: Desk) -> None:
    desk.offer(desk.write("orders.json"), closed=True)
    assert desk.get() is not None


@pytest.mark.usefixtures("network_disk")
def test_old_files_that_have_to_settle_do_so_all_at_once(desk: Desk) -> None:
    for number in range(500):
        desk.write(f"{number:03d}/orders.json", age=86_400)
    desk.scan()
    assert desk.get() is None
    desk.clock.now += SETTLE
    assert len(desk.drain()) == 500


def test_a_file_that_is_closed_between_two_parts_has_to_rest_though_its_time_is_set_back(
    config: PipelineConfig, tracker: FileTracker
) -> None:
    """The system's own time of change can't be set."""
    desk = Desk(config, tracker)
    desk.clock.now = time.time()
    desk.write("orders.json", "[1", age=86_400)
    desk.scan()
    assert desk.get() is None
    desk.clock.now += SETTLE + 1
    assert desk.get() is not None


# ---------------------------------------------------------------- corrected, with the same size and time


def finished(desk: Desk) -> Path:
    path = desk.write("orders.json", "[1]", age=60)
    desk.scan()
    assert desk.drain() == ["data/input/stream/orders.json"]
    time.sleep(0.01)  # the kernel's clock ticks a hundred times a second at least
    return path


@pytest.mark.parametrize("how", ["in place", "renamed over it"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_corrected_file_of_the_same_size_and_time_is_handed_out_again(
    desk: Desk, how: str, restarted: bool, tmp_path: Path
) -> None:
    path = finished(desk)
    found = path.stat()
    target = path if how == "in place" else desk.config.home / "corrected.json"
    target.write_text("[2]")
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    target.rename(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns)
    if restarted:
        desk.tracker.close()
        desk.tracker = FileTracker(tmp_path / "tracker.db")
        desk.inbox = Inbox(desk.config, desk.tracker, lambda *_: None, desk.clock)
    desk.scan()
    assert desk.drain() == ["data/input/stream/orders.json"]
    desk.scan()
    assert desk.get() is None, "it is remembered as it is now"
    if restarted:
        desk.tracker.close()


def test_what_an_older_version_finished_is_not_read_again_and_known_better_from_then_on(
    desk: Desk, tracker: FileTracker
) -> None:
    path = desk.write("orders.json", "[1]", age=60)
    found = path.stat()
    spec = desk.config.by_logical_name["orders"]
    tracker.mark_as_done(FileJob(path, spec, found.st_size, found.st_mtime_ns, "x"))  # as it knew them
    desk.scan()
    assert desk.get() is None
    path.chmod(0o600)
    desk.scan()
    assert desk.get() is not None
