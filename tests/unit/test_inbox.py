"""A file is handed out when it is whole, once, in the right order; what is no input is said once."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from config.jobs import FileJob
from config.model import Feed
from config.settings import PipelineConfig
from ingestion.file_tracker import FileTracker
from ingestion.inbox import Inbox
from ingestion.master_seeder import seed_master
from ingestion.places.folder import FolderScanner
from ingestion.scans import scan_everything

SETTLE = 2.0  # as shipped


class Clock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.now = time.time() + 3600  # what the test wrote a moment ago has rested: its age is that of `touch`

    def __call__(self) -> float:
        return self.now


class Desk:
    """An inbox with all around it: its clock, its tracker, and what it reported."""

    def __init__(self, config: PipelineConfig, tracker: FileTracker) -> None:
        self.clock = Clock()
        self.tracker = tracker
        self.config = config
        self.stream = config.path(config.watcher.stream.dir)
        self.stream.mkdir(parents=True)
        self.reports: list[tuple[str, str]] = []
        self.inbox = Inbox(
            config, tracker, lambda kind, path, _: self.reports.append((kind, path.name)), self.clock
        )

    def write(self, name: str, text: str = "[]", *, age: float = 0.0) -> Path:
        """A file below the stream folder that was last written `age` seconds ago."""
        path = self.stream / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.touch(path, age)
        return path

    def touch(self, path: Path, age: float) -> None:
        os.utime(path, (self.clock.now - age, self.clock.now - age))

    def offer(self, path: Path, *, closed: bool = False) -> None:
        self.inbox.offer(path, Feed.STREAM, closed=closed)

    def scan(self) -> None:
        self.inbox.offer_found(FolderScanner(self.stream).entries(full=True), Feed.STREAM)

    def get(self) -> FileJob | None:
        return self.inbox.get(timeout=0)

    def finish(self, job: FileJob) -> None:
        self.tracker.mark_as_done(job)
        self.inbox.done(job)

    def drain(self) -> list[str]:
        """The paths handed out until nothing is ready, below the home folder."""
        paths = []
        while (job := self.get()) is not None:
            paths.append(str(job.path.relative_to(self.config.home)))
            self.finish(job)
        return paths


@pytest.fixture
def desk(config: PipelineConfig, tracker: FileTracker) -> Desk:
    return Desk(config, tracker)


# ---------------------------------------------------------------- whole


def test_a_closed_file_is_ready_at_once(desk: Desk) -> None:
    path = desk.write("orders.json", "[1]")
    desk.offer(path, closed=True)
    job = desk.get()
    assert job is not None
    assert (job.path, job.spec.name, job.size) == (path, "orders", 3)
    assert job.mtime_ns == path.stat().st_mtime_ns


def test_a_file_that_nobody_closed_is_ready_when_it_stayed_the_same_for_long_enough(desk: Desk) -> None:
    path = desk.write("orders.json", "[")
    desk.offer(path)
    desk.clock.now += SETTLE - 0.1
    assert desk.get() is None
    desk.write("orders.json", "[1")  # still being written
    desk.clock.now += 0.2
    assert desk.get() is None
    desk.clock.now += SETTLE - 0.3
    desk.offer(path)  # a rescan does not start the waiting anew
    assert desk.get() is None
    desk.clock.now += 0.4
    job = desk.get()
    assert job is not None
    assert job.size == 2


def test_closing_ends_the_waiting(desk: Desk) -> None:
    path = desk.write("orders.json")
    desk.offer(path)
    assert desk.get() is None
    desk.offer(path, closed=True)
    assert desk.get() is not None
    assert desk.inbox.size() == 1, "in hand, and not settling any more"


def test_an_old_file_is_whole_and_one_from_the_future_has_to_settle(desk: Desk) -> None:
    old, future = desk.write("a/orders.json", age=SETTLE + 1), desk.write("b/orders.json", age=-3600)
    desk.offer(old)
    desk.offer(future)
    job = desk.get()
    assert job is not None
    assert job.path == old
    assert desk.get() is None
    desk.clock.now += SETTLE
    assert desk.get() is not None


def test_a_clock_that_is_set_back_holds_up_nothing(desk: Desk) -> None:
    desk.offer(desk.write("orders.json"))
    desk.clock.now -= 86_400
    assert desk.get() is None
    desk.clock.now += SETTLE
    assert desk.get() is not None


def test_a_file_rewritten_while_it_is_queued_is_not_handed_out_half_written(desk: Desk) -> None:
    path = desk.write("orders.json", "[1, 2, 3]")
    desk.offer(path, closed=True)
    desk.write("orders.json", "[1,")
    assert desk.get() is None
    desk.write("orders.json", "[1, 2, 3, 4]")
    desk.clock.now += SETTLE
    assert desk.get() is None
    desk.clock.now += SETTLE
    job = desk.get()
    assert job is not None
    assert job.size == 12


def test_a_file_rewritten_and_closed_while_it_is_queued_is_handed_out_as_it_is_now(desk: Desk) -> None:
    path = desk.write("orders.json", "[1]")
    desk.offer(path, closed=True)
    desk.write("orders.json", "[1, 2]")
    desk.offer(path, closed=True)
    job = desk.get()
    assert job is not None
    assert job.size == 6
    desk.finish(job)
    assert desk.get() is None
    assert desk.inbox.size() == 0


def test_a_file_that_vanishes_is_dropped(desk: Desk) -> None:
    queued, settling, retried = (
        desk.write("a/orders.json"),
        desk.write("b/orders.json"),
        desk.write("c/orders.json"),
    )
    desk.offer(retried, closed=True)
    job = desk.get()
    assert job is not None
    desk.offer(queued, closed=True)
    desk.offer(settling)
    for path in (queued, settling, retried):
        path.unlink()
    desk.inbox.retry_later(job)
    desk.clock.now += SETTLE
    assert desk.get() is None
    assert desk.inbox.size() == 0


# ---------------------------------------------------------------- once


def test_many_hints_make_one_job(desk: Desk) -> None:
    path = desk.write("orders.json")
    for closed in (False, True, True, False):
        desk.offer(path, closed=closed)
    desk.scan()
    assert desk.inbox.size() == 1
    job = desk.get()
    desk.offer(path, closed=True)
    desk.scan()
    assert desk.get() is None, "it is in hand"
    assert job is not None
    desk.finish(job)
    desk.offer(path, closed=True)
    desk.scan()
    assert desk.get() is None, "it is finished"
    assert desk.inbox.size() == 0


def test_new_content_in_the_same_place_is_offered_again(desk: Desk) -> None:
    path = desk.write("orders.json", "[1]")
    desk.offer(path, closed=True)
    assert len(desk.drain()) == 1
    desk.write("orders.json", "[1, 2]")
    desk.offer(path, closed=True)
    assert len(desk.drain()) == 1


def test_what_changed_while_it_was_in_hand_is_queued_when_it_is_done(desk: Desk) -> None:
    path = desk.write("orders.json", "[1]")
    desk.offer(path, closed=True)
    job = desk.get()
    assert job is not None
    desk.write("orders.json", "[1, 2]")
    desk.offer(path, closed=True)
    desk.finish(job)
    again = desk.get()
    assert again is not None
    assert again.size == 6


def test_what_is_still_being_written_when_it_is_done_has_to_settle(desk: Desk) -> None:
    path = desk.write("orders.json", "[1]")
    desk.offer(path, closed=True)
    job = desk.get()
    assert job is not None
    desk.write("orders.json", "[1, 2]")
    desk.offer(path, closed=True)
    desk.write("orders.json", "[1, 2, 3")  # and again, since
    desk.finish(job)
    assert desk.get() is None
    desk.clock.now += SETTLE
    assert desk.get() is not None


def test_a_file_to_be_looked_at_later_settles_first(desk: Desk) -> None:
    path = desk.write("orders.json")
    desk.offer(path, closed=True)
    job = desk.get()
    assert job is not None
    desk.inbox.retry_later(job)
    assert desk.get() is None
    assert desk.inbox.size() == 1
    desk.clock.now += SETTLE
    assert desk.get() is not None


def small(job: FileJob) -> bool:
    return job.size < 500


def test_small_files_of_one_kind_are_handed_out_together_in_their_order(desk: Desk) -> None:
    names = ["00/orders.json", "00/tickets.csv", "01/orders.json", "02/orders.json", "03/tickets.csv"]
    paths = {name: desk.write(name, name) for name in names}
    large = desk.write("04/orders.json", "x" * 1000)
    last = desk.write("05/orders.json", "last")
    for path in (*paths.values(), large, last):
        desk.offer(path, closed=True)
    first = desk.get()
    assert first is not None
    together = desk.inbox.get_alike(first, 9, small)  # up to the large one, or those after it would overtake it
    assert [job.path for job in together] == [paths[f"{n:02d}/orders.json"] for n in (0, 1, 2)]
    assert desk.get().path == large  # type: ignore[union-attr]
    assert desk.get().path == last  # type: ignore[union-attr]
    assert desk.get() is None  # the tickets wait for orders of their folder or an earlier one
    for job in together:
        desk.inbox.done(job)
    tickets = desk.get()
    assert tickets is not None
    assert tickets.path == paths["00/tickets.csv"]
    assert [job.path for job in desk.inbox.get_alike(tickets, 9, small)] == [
        paths["00/tickets.csv"],
        paths["03/tickets.csv"],
    ]


def test_a_file_rewritten_while_it_is_queued_is_not_handed_out_with_others(desk: Desk) -> None:
    paths = [desk.write(f"{hour:02d}/orders.json", str(hour)) for hour in range(3)]
    for path in paths:
        desk.offer(path, closed=True)
    first = desk.get()
    assert first is not None
    desk.write("01/orders.json", "longer than it was")
    assert [job.path for job in desk.inbox.get_alike(first, 9, small)] == [paths[0], paths[2]]


def test_a_file_that_is_put_back_is_the_next_one_again(desk: Desk) -> None:
    first, second = desk.write("a/orders.json"), desk.write("b/orders.json")
    desk.offer(first, closed=True)
    desk.offer(second, closed=True)
    job = desk.get()
    assert job is not None
    desk.inbox.put_back(job)
    assert desk.get() == job
    assert desk.inbox.size() == 2


def test_who_waits_is_woken_by_a_file(desk: Desk) -> None:
    path = desk.write("orders.json")
    found: list[FileJob | None] = []
    waiter = threading.Thread(target=lambda: found.append(desk.inbox.get(timeout=30)))
    waiter.start()
    desk.offer(path, closed=True)
    waiter.join(10)
    assert [job.path for job in found if job] == [path]


# ---------------------------------------------------------------- order


def test_parents_come_before_children_folder_by_folder(desk: Desk) -> None:
    for hour in ("09", "10"):
        for name in ("ticket_events.json", "tickets.csv", "orders.json"):
            desk.write(f"2026-02-20/{hour}/{name}", age=60)
    desk.scan()
    names = ("orders.json", "tickets.csv", "ticket_events.json")
    assert desk.drain() == [f"data/input/stream/2026-02-20/{h}/{n}" for h in ("09", "10") for n in names]


def test_what_settles_together_keeps_its_order(desk: Desk) -> None:
    for name in ("ticket_events.json", "tickets.csv", "orders.json"):
        desk.write(name)
    desk.scan()
    desk.clock.now += SETTLE
    names = [Path(path).name for path in desk.drain()]
    assert names == ["orders.json", "tickets.csv", "ticket_events.json"]


def test_everything_means_each_day_in_order_and_then_the_stream(desk: Desk) -> None:
    desk.write("2026-02-19/23/orders.json", age=60)
    for day, name in [
        ("2026-02-20", "x/cities.json"),
        ("2026-02-20", "customers.csv"),
        ("2026-02-19", "agents.csv"),
    ]:
        desk.write(f"../batch/{day}/{name}", age=60)
    desk.write("../batch/notes.txt")
    desk.write("../batch/2026-02-30/cities.json")
    desk.write("../batch/20260220/cities.json")
    desk.write("../batch/.hidden/cities.json")
    (desk.stream / "../batch/2026-02-18").symlink_to(desk.config.home)
    for _ in range(2):
        scan_everything(desk.config, desk.inbox)
    assert desk.drain() == [
        "data/input/batch/2026-02-19/agents.csv",
        "data/input/batch/2026-02-20/x/cities.json",
        "data/input/batch/2026-02-20/customers.csv",
        "data/input/stream/2026-02-19/23/orders.json",
    ]
    assert sorted(desk.reports) == [
        ("refused", "2026-02-18"),
        ("unexpected", "2026-02-30"),
        ("unexpected", "20260220"),
        ("unexpected", "notes.txt"),
    ]


def test_master_files_are_known_by_name_whatever_their_format(desk: Desk) -> None:
    for name in ("restaurants.csv", "regions.csv.gz", "cities.csv", "metadata.json", "orders.json", "cities.pdf"):
        desk.write(f"../../master/{name}", age=60)
    desk.write("../../master/old/teams.csv", age=60)
    for _ in range(2):
        seed_master(desk.config, desk.inbox)
    jobs = []
    while (job := desk.get()) is not None:
        jobs.append((job.path.name, job.spec.name, job.spec.feed))
        desk.finish(job)
    assert jobs == [
        ("cities.csv", "cities", Feed.BATCH),
        ("regions.csv.gz", "regions", Feed.BATCH),
        ("restaurants.csv", "restaurants", Feed.BATCH),
    ]
    assert sorted(desk.reports) == [("unexpected", n) for n in ("cities.pdf", "old", "orders.json")]


# ---------------------------------------------------------------- not loaded


def test_hidden_files_and_files_in_the_making_are_ignored_in_silence(desk: Desk) -> None:
    for name in (".orders.json", "orders.json.tmp", "orders.json.PART", "orders.json~", ".x.tmp"):
        desk.offer(desk.write(name), closed=True)
    desk.scan()
    assert (desk.get(), desk.inbox.size(), desk.reports) == (None, 0, [])


def test_links_pipes_and_sockets_are_refused_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = desk.write("../../elsewhere/orders.json")
    for hour in ("0", "1", "2", "3"):
        (desk.stream / hour).mkdir()
    (desk.stream / "0/orders.json").symlink_to(outside)
    (desk.stream / "1/orders.json").symlink_to("nowhere")
    os.mkfifo(desk.stream / "2/orders.json")
    (desk.stream / "linked").symlink_to(outside.parent)
    monkeypatch.chdir(desk.stream / "3")  # its path may be too long for a socket
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind("orders.json")
        for _ in range(3):
            desk.scan()
            desk.offer(desk.stream / "0/orders.json", closed=True)
    assert desk.get() is None
    assert sorted(desk.reports) == [("refused", "linked"), *[("refused", "orders.json")] * 4]


def test_a_link_put_in_place_of_a_queued_file_is_not_followed(desk: Desk) -> None:
    path, outside = desk.write("orders.json", age=60), desk.write("../../elsewhere/orders.json", age=60)
    desk.offer(path, closed=True)
    path.unlink()
    path.symlink_to(outside)
    assert desk.get() is None
    assert desk.inbox.size() == 0


def test_an_unexpected_name_is_reported_once(desk: Desk) -> None:
    path = desk.write("Orders.json")
    for _ in range(3):
        desk.offer(path, closed=True)
        desk.scan()
    assert desk.reports == [("unexpected", "Orders.json")]
    assert desk.inbox.size() == 0


def test_a_name_that_is_not_utf8_is_unexpected_even_where_a_pattern_takes_it(
    config: PipelineConfig, tracker: FileTracker
) -> None:
    orders = replace(config.by_logical_name["orders"], pattern="orders*.json")
    desk = Desk(config.model_copy(update={"files": (orders,)}), tracker)
    odd = desk.write(os.fsdecode(b"orders\xff.json"))
    dots = desk.write("orders..\n.json")
    for path in (odd, dots):
        desk.offer(path, closed=True)
    desk.scan()
    os.symlink("x", desk.stream / os.fsdecode(b"\xff"))
    desk.scan()
    job = desk.get()
    assert job is not None
    assert job.path == dots
    assert desk.get() is None
    assert desk.reports == [("unexpected", odd.name), ("unexpected", os.fsdecode(b"\xff"))]


def test_an_unreadable_file_is_reported_once_and_taken_when_it_may_be_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = desk.write("orders.json")
    with monkeypatch.context() as patch:  # root may read everything
        patch.setattr(os, "access", lambda *_: False)
        for _ in range(3):
            desk.offer(path, closed=True)
        desk.write("orders.json", "[1, 2]")
        desk.offer(path, closed=True)
    assert desk.reports == [("unreadable", "orders.json")] * 2, "once more, since it changed"
    assert desk.inbox.size() == 0
    desk.offer(path, closed=True)
    assert desk.get() is not None


def test_a_folder_that_may_not_be_listed_hides_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write("a/orders.json", age=60)
    desk.write("b/orders.json", age=60)
    scandir = os.scandir

    def forbidding(path: str) -> object:
        if path.endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patch:  # root may list everything
        patch.setattr(os, "scandir", forbidding)
        for _ in range(2):
            desk.scan()
    assert desk.drain() == ["data/input/stream/b/orders.json"]
    assert desk.reports == [("unreadable", "a")]
    desk.scan()
    assert desk.drain() == ["data/input/stream/a/orders.json"]
