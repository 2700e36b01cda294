"""Every file is seen, whole and once, on a real file system: by events, by rescans, in time."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD

from config.jobs import FileJob
from config.model import Feed
from config.settings import PipelineConfig
from ingestion import file_watcher
from ingestion.file_tracker import FileTracker
from ingestion.file_watcher import BatchWatcher, StreamWatcher
from ingestion.inbox import Inbox
from ingestion.places.folder import FolderScanner
from ingestion.places.folder_watch import FolderWatch
from tests.acceptance.daemon import wait_until

SETTLE, RESCAN = 0.45, 0.2  # seconds
NEVER = 3600.0  # a rescan that does not come within the test: only events can find a file


def observer_of(watcher: StreamWatcher) -> BaseObserver | None:
    return watcher.watch.observer if isinstance(watcher.watch, FolderWatch) else None


class Desk:
    """An inbox on real folders, with a runner that only notes what it gets."""

    def __init__(self, config: PipelineConfig, tracker: FileTracker) -> None:
        self.config = config
        self.stream = config.path(config.watcher.stream.dir)
        self.batch = config.path(config.watcher.batch.dir)
        self.outside = config.home / "outside"
        self.outside.mkdir()
        self.reports: list[tuple[str, str]] = []
        self.tracker = tracker
        self.inbox = Inbox(config, tracker, lambda kind, path, _: self.reports.append((kind, path.name)))
        self.got: list[tuple[str, int]] = []  # path below home, size

    def with_rescan(self, seconds: float, *, polling: bool = False) -> PipelineConfig:
        watcher = self.config.watcher
        stream = watcher.stream.model_copy(update={"polling": polling})
        changed = watcher.model_copy(update={"rescan_seconds": seconds, "stream": stream})
        return self.config.model_copy(update={"watcher": changed})

    def let_nothing_settle(self) -> None:
        watcher = self.config.watcher.model_copy(update={"settle_seconds": NEVER})
        self.inbox = Inbox(self.config.model_copy(update={"watcher": watcher}), self.tracker, lambda *_: None)

    @contextmanager
    def watching(self, rescan: float = NEVER, *, polling: bool = False) -> Iterator[StreamWatcher]:
        watcher = StreamWatcher(self.with_rescan(rescan, polling=polling), self.inbox)
        watcher.start()
        try:
            self.wait_until_watched()
            yield watcher
        finally:
            watcher.stop()

    def probe(self) -> Path:
        """A file that is moved in as a whole; the stream is being watched when it is seen."""
        probe = self.outside / "probe" / "orders.json"
        probe.parent.mkdir()
        probe.write_text("[]")
        os.utime(probe, (1, 1))
        self.stream.mkdir(parents=True, exist_ok=True)
        return probe.parent.rename(self.stream / "probe") / probe.name

    def wait_until_watched(self) -> None:
        """Move a probe in, again and again, until an event tells of it, which says that it is whole."""
        probe, outside = self.probe(), self.outside / "probe.json"
        deadline = time.monotonic() + 15
        while not self.got:
            assert time.monotonic() < deadline
            probe.rename(outside)
            outside.rename(probe)
            self.note(self.inbox.get(timeout=0.3))
            if not self.got:  # perhaps there are no events, and it has to settle
                self.note(self.inbox.get(timeout=3 * SETTLE))
        self.work(0.3)
        self.got.clear()

    def write(self, name: str, text: str = "[]") -> Path:
        path = self.stream / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def work(self, seconds: float) -> None:
        """Take and finish what comes within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.note(self.inbox.get(timeout=left))

    def note(self, job: FileJob | None) -> None:
        if job is not None:
            self.got.append((str(job.path.relative_to(self.config.home)), job.size))
            self.tracker.mark_as_done(job)
            self.inbox.done(job)

    def wait_for(self, *paths: Path, times: int = 1) -> None:
        """Work until each of `paths` came `times` times, then a little more; nothing else may come."""
        names = {str(path.relative_to(self.config.home)) for path in paths}
        deadline = time.monotonic() + 15
        while any([name for name, _ in self.got].count(name) < times for name in names):
            assert time.monotonic() < deadline, f"missing {names - {name for name, _ in self.got}}"
            self.note(self.inbox.get(timeout=0.05))
        self.work(0.15)
        assert sorted(name for name, _ in self.got) == sorted(list(names) * times)


@pytest.fixture
def desk(config: PipelineConfig, tmp_path: Path) -> Iterator[Desk]:
    watcher = config.watcher.model_copy(update={"settle_seconds": SETTLE})
    tracker = FileTracker(tmp_path / "tracker.db")
    yield Desk(config.model_copy(update={"watcher": watcher}), tracker)
    tracker.close()


# ---------------------------------------------------------------- events


def test_a_file_present_before_the_start_is_found(desk: Desk) -> None:
    path = desk.write("2026-02-20/09/orders.json")
    watcher = StreamWatcher(desk.with_rescan(NEVER), desk.inbox)
    watcher.start()
    try:
        desk.wait_for(path)
    finally:
        watcher.stop()


def test_a_closed_file_comes_long_before_it_would_have_settled(desk: Desk) -> None:
    desk.let_nothing_settle()
    with desk.watching():
        desk.wait_for(desk.write("orders.json"))


def test_a_slowly_written_file_comes_once_and_whole(desk: Desk) -> None:
    with desk.watching():
        path = desk.stream / "orders.json"
        with path.open("w") as file:
            for part in ("[", "1,", "2", ",3]"):
                file.write(part)
                file.flush()
                desk.work(SETTLE / 3)
            assert desk.got == []
        desk.wait_for(path)
        assert desk.got == [("data/input/stream/orders.json", 7)]


def test_a_file_renamed_within_comes_at_once(desk: Desk) -> None:
    with desk.watching():
        hidden = desk.write("orders.json.part")
        desk.work(0.2)
        desk.wait_for(hidden.rename(desk.stream / "orders.json"))


def test_a_file_renamed_in_from_outside_needs_no_settling(desk: Desk) -> None:
    desk.let_nothing_settle()
    with desk.watching():
        (desk.outside / "x").write_text("[]")
        desk.wait_for((desk.outside / "x").rename(desk.stream / "orders.json"))


def test_a_file_moved_away_is_no_news(desk: Desk) -> None:
    with desk.watching():
        path = desk.write("orders.json")
        desk.wait_for(path)
        path.rename(desk.outside / "orders.json")
        desk.work(0.8)
        assert len(desk.got) == 1
        assert desk.inbox.size() == 0


def test_a_hard_link_settles(desk: Desk) -> None:
    with desk.watching():
        (desk.outside / "x").write_text("[]")
        (desk.stream / "orders.json").hardlink_to(desk.outside / "x")
        desk.wait_for(desk.stream / "orders.json")


def test_new_nested_folders_filled_at_once_hide_nothing(desk: Desk) -> None:
    with desk.watching():
        desk.wait_for(*(desk.write(f"2026-02-20/{n:02d}/deep/er/orders.json") for n in range(24)))


def test_a_folder_moved_in_is_read_with_all_below_it(desk: Desk) -> None:
    for name in ("orders.json", "09/orders.json", "09/tickets.csv"):
        path = desk.outside / "2026-02-20" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[]")
    with desk.watching():
        day = (desk.outside / "2026-02-20").rename(desk.stream / "2026-02-20")
        desk.wait_for(day / "orders.json", day / "09/orders.json", day / "09/tickets.csv")
        later = desk.write("2026-02-20/09/ticket_events.json")
        desk.got.clear()
        desk.wait_for(later)  # the folder is watched now


def test_a_file_overwritten_in_place_comes_again(desk: Desk) -> None:
    with desk.watching():
        path = desk.write("orders.json", "[1]")
        desk.wait_for(path)
        desk.write("orders.json", "[1, 2]")
        desk.wait_for(path, times=2)
        assert [size for _, size in desk.got] == [3, 6]


def test_links_are_not_followed_and_refused_once(desk: Desk) -> None:
    (desk.outside / "orders.json").write_text("[]")
    with desk.watching(RESCAN):
        (desk.stream / "linked").symlink_to(desk.outside)
        (desk.stream / "orders.json").symlink_to(desk.outside / "orders.json")
        os.mkfifo(desk.stream / "tickets.csv")
        desk.write("what.json")
        desk.write(".orders.json")
        desk.write("orders.json.tmp")
        desk.work(1.0)
    assert desk.got == []
    assert sorted(desk.reports) == [
        ("refused", "linked"),
        ("refused", "orders.json"),
        ("refused", "tickets.csv"),
        ("unexpected", "what.json"),
    ]


def test_the_stream_folder_itself_may_be_a_link(desk: Desk) -> None:
    desk.stream.parent.mkdir(parents=True)
    (desk.outside / "target/a").mkdir(parents=True)
    desk.stream.symlink_to(desk.outside / "target")
    watcher = StreamWatcher(desk.with_rescan(NEVER), desk.inbox)
    watcher.start()
    try:
        desk.probe()
        probe, late = desk.outside / "target/probe/orders.json", desk.outside / "target/a/orders.json"
        desk.wait_for(probe)
        late.write_text("[]")
        desk.wait_for(probe, late)
    finally:
        watcher.stop()


# ---------------------------------------------------------------- rescans


def test_without_events_the_rescan_finds_new_files_and_overwritten_ones(desk: Desk) -> None:
    with desk.watching(RESCAN, polling=True):
        path = desk.write("2026-02-20/09/orders.json", "[1]")
        desk.wait_for(path)
        desk.write("2026-02-20/09/orders.json", "[1, 2]")
        desk.wait_for(path, times=2)


def test_lost_events_are_made_good(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    handle, queues = InotifyFD.handle_event, list[InotifyFD]()
    path = desk.write("orders.json", "[1]")
    os.utime(desk.stream, (1, 1))  # an old folder, which an ordinary rescan skips
    watcher = StreamWatcher(desk.with_rescan(RESCAN), desk.inbox)
    watcher.start()
    try:
        desk.wait_for(path)
        with monkeypatch.context() as patch:
            patch.setattr(InotifyFD, "handle_event", lambda queue, _event: queues.append(queue))
            path.write_text("[1, 2]")
            desk.work(SETTLE + 3 * RESCAN)
        assert len(desk.got) == 1
        handle(queues[-1], InotifyEvent(-1, InotifyConstants.IN_Q_OVERFLOW, 0, b""))  # type: ignore[arg-type]
        desk.wait_for(path, times=2)
    finally:
        watcher.stop()


@pytest.mark.parametrize("limit", [errno.ENOSPC, errno.EMFILE])
def test_when_there_are_no_watches_left_it_says_so_once_and_rescans(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(limit, "inotify limit reached")

    monkeypatch.setattr(InotifyFD, "__init__" if limit == errno.EMFILE else "add_callback", refuse)
    with desk.watching(RESCAN):
        path = desk.write("orders.json", "[1]")
        desk.wait_for(path)
        path.write_text("[1, 2]")
        desk.wait_for(path, times=2)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_folder_that_vanishes_and_comes_back_is_watched_again(desk: Desk) -> None:
    desk.let_nothing_settle()  # only an event can tell that a file is whole
    with desk.watching(RESCAN) as watcher:
        for _ in range(2):
            shutil.rmtree(desk.stream)
            old = observer_of(watcher)
            deadline = time.monotonic() + 10
            while observer_of(watcher) is old or observer_of(watcher) is None or not desk.stream.exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(2 * RESCAN)
        desk.wait_for(desk.write("orders.json"))


def test_events_go_on_after_their_reader_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.let_nothing_settle()
    with desk.watching(RESCAN) as watcher:
        old = observer_of(watcher)
        with monkeypatch.context() as patch:
            patch.setattr(InotifyFD, "should_keep_running", lambda _: False)
            (desk.stream / "wake-up").mkdir()
            deadline = time.monotonic() + 10
            while observer_of(watcher) is old:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        time.sleep(2 * RESCAN)
        desk.wait_for(desk.write("orders.json"))


def test_a_rescan_skips_folders_that_did_not_change(desk: Desk) -> None:
    for folder in ("a", "b", "c/d"):
        desk.write(f"{folder}/orders.json")
    scanner = FolderScanner(desk.stream)

    def listed(*, full: bool) -> list[str]:
        return sorted(str(Path(e.path).parent.relative_to(desk.stream)) for e in scanner.entries(full=full))

    def age() -> None:
        for folder in (desk.stream, *desk.stream.glob("**/")):
            os.utime(folder, (1, 1))

    assert listed(full=False) == ["a", "b", "c/d"]
    assert listed(full=False) == ["a", "b", "c/d"], "they changed just now, and may again within one tick"
    age()
    assert listed(full=False) == ["a", "b", "c/d"]
    assert listed(full=False) == []
    desk.write("b/tickets.csv")
    desk.write("c/e/orders.json")
    assert listed(full=False) == ["b", "b", "c/e"]
    assert listed(full=True) == ["a", "b", "b", "c/d", "c/e"]
    shutil.rmtree(desk.stream / "c")
    assert "c/d" not in listed(full=False)


def test_finished_files_cost_a_scan_one_stat_each(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """That they cost no more is seen by taking the rest away."""
    paths = [desk.write(f"{n // 50}/{name}") for n in range(200) for name in ("orders.json", "tickets.csv")]
    for path in set(paths):
        found = path.stat()
        spec = desk.config.by_logical_name["orders"]
        desk.tracker.mark_as_done(FileJob(path, spec, found.st_size, found.st_mtime_ns, "x"))
    monkeypatch.setattr(os, "access", None)
    monkeypatch.setattr("ingestion.admission.spec_for", None)
    scanner = FolderScanner(desk.stream)
    desk.inbox.offer_found(scanner.entries(full=True), Feed.STREAM)
    assert desk.inbox.size() == 0


def test_a_folder_that_can_not_be_made_is_told_once_and_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alerts: list[tuple[str, str]] = []
    monkeypatch.setattr(file_watcher, "send_alert", lambda *alert: alerts.append(alert))
    desk.stream.parent.mkdir(parents=True)
    desk.stream.write_text("in the way")
    watcher = StreamWatcher(desk.with_rescan(0.02), desk.inbox)
    watcher.start()
    try:
        deadline = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        told = f"stream-watcher: {desk.stream}: File exists"
        assert [record.getMessage() for record in caplog.records] == [f"[watcher] {told}; trying again and again"]
        assert alerts == [("Input folders unavailable", f"{told}. It is tried again and again; nothing is lost.")]
        desk.stream.unlink()
        path = desk.stream / "orders.json"
        while not desk.stream.is_dir() and time.monotonic() < deadline:
            time.sleep(0.01)
        path.write_text("[]")
        desk.wait_for(path)
    finally:
        watcher.stop()


def test_a_fault_of_ours_is_told_once_and_does_not_end_the_watch(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alerts: list[str] = []
    monkeypatch.setattr(file_watcher, "send_alert", lambda title, _: alerts.append(title))
    faults = iter([RuntimeError("secret")] * 4)
    whole = desk.inbox.offer_found

    def faulty(*args: Any) -> None:
        for fault in faults:
            raise fault
        whole(*args)

    monkeypatch.setattr(desk.inbox, "offer_found", faulty)
    path = desk.write("2026-02-20/09/orders.json")
    watcher = StreamWatcher(desk.with_rescan(0.02), desk.inbox)
    watcher.start()
    try:
        desk.wait_for(path)
    finally:
        watcher.stop()
    assert alerts == ["Pipeline exception", "Input folders available again"]
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("CRITICAL", "[watcher] stream-watcher: RuntimeError; trying again and again")
    ]


def test_each_lasting_trouble_of_a_watcher_is_told_and_the_end_of_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts: list[tuple[str, str]] = []
    monkeypatch.setattr(file_watcher, "send_alert", lambda *alert: alerts.append(alert))
    desk.stream.mkdir(parents=True)
    watcher = StreamWatcher(desk.with_rescan(0.01, polling=True), desk.inbox)
    denied = PermissionError(errno.EACCES, "Permission denied", str(desk.stream))
    blip, lasting = OSError(errno.ESTALE, "Stale file handle", str(desk.stream)), RuntimeError()
    troubles = iter([blip, None, *[denied] * 30, *[lasting] * 30])
    found = threading.Event()
    finds_files: list[bool] = []
    scandir = os.scandir

    def scanned(path: Any) -> Any:
        if path == desk.stream:  # the scanner, which asks for text, is not meant
            finds_files.append(watcher.finds_files())
            trouble = next(troubles, None)
            if trouble is not None:
                raise trouble
            if len(alerts) == 3:
                found.set()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scanned)
    watcher.start()
    try:
        wait_until(lambda: len(alerts) == 3, "three alerts")
        assert found.wait(10)
    finally:
        watcher.stop()
    where = f"stream-watcher: {desk.stream}: Permission denied. It is tried again and again; nothing is lost."
    assert alerts[0] == ("Input folders unavailable", where)
    assert [title for title, _ in alerts[1:]] == ["Pipeline exception", "Input folders available again"]
    assert finds_files[0], "before anything went wrong"
    assert not finds_files[20]
    assert finds_files[-1]


# ---------------------------------------------------------------- batch


class Calendar:
    """A clock that is set by hand."""

    def __init__(self, now: str) -> None:
        self.now = dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture
def at_six(desk: Desk) -> Callable[[Calendar], BatchWatcher]:
    """A batch watcher whose trigger hour is 6 and that catches up 2 days."""

    def make(calendar: Calendar) -> BatchWatcher:
        batch = desk.config.watcher.batch.model_copy(update={"trigger_hour": 6, "catch_up_days": 2})
        watcher = desk.config.watcher.model_copy(update={"batch": batch, "rescan_seconds": RESCAN})
        return BatchWatcher(desk.config.model_copy(update={"watcher": watcher}), desk.inbox, calendar)

    return make


def put(desk: Desk, day: str, name: str = "cities.json") -> Path:
    path = desk.batch / day / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[]")
    os.utime(path, (1, 1))
    return path


def test_a_day_is_due_at_its_hour_and_missed_days_are_caught_up(
    desk: Desk, at_six: Callable[[Calendar], BatchWatcher]
) -> None:
    calendar = Calendar("2026-02-20T05:59:59")
    watcher = at_six(calendar)
    _too_old, before, yesterday, today, tomorrow = (
        put(desk, f"2026-02-{day}") for day in ("17", "18", "19", "20", "21")
    )
    watcher.turn()
    desk.wait_for(before, yesterday)
    assert [name for name, _ in desk.got] == [str(p.relative_to(desk.config.home)) for p in (before, yesterday)]
    desk.got.clear()
    calendar.now = dt.datetime(2026, 2, 20, 6, tzinfo=dt.UTC)
    watcher.turn()
    desk.wait_for(today)
    desk.got.clear()
    calendar.now = dt.datetime(2026, 2, 21, 6, tzinfo=dt.UTC)
    watcher.turn()
    desk.wait_for(tomorrow)


def test_a_late_file_of_the_day_is_found(desk: Desk, at_six: Callable[[Calendar], BatchWatcher]) -> None:
    watcher = at_six(Calendar("2026-02-20T18:00:00"))
    watcher.start()
    try:
        early = put(desk, "2026-02-20")
        desk.wait_for(early)
        late = desk.batch / "2026-02-20/customers.csv"
        late.write_text("customer_id\n")  # nobody tells that it was closed: it settles
        desk.wait_for(early, late)
    finally:
        watcher.stop()


def test_a_day_is_queued_parents_first(desk: Desk, at_six: Callable[[Calendar], BatchWatcher]) -> None:
    names = ("agents.csv", "cities.json", "customers.csv", "regions.csv", "segments.csv", "teams.csv")
    for day in ("2026-02-20", "2026-02-19"):
        for name in names:
            put(desk, day, name)
    at_six(Calendar("2026-02-20T18:00:00")).turn()
    desk.work(SETTLE + 0.3)
    got = [name.removeprefix("data/input/batch/") for name, _ in desk.got]
    order = ("cities.json", "segments.csv", "teams.csv", "agents.csv", "regions.csv", "customers.csv")
    assert got == [f"{day}/{name}" for day in ("2026-02-19", "2026-02-20") for name in order]


def test_what_is_no_day_is_reported_once(desk: Desk, at_six: Callable[[Calendar], BatchWatcher]) -> None:
    put(desk, "20260220")
    put(desk, "backup")
    put(desk, ".", "cities.json")
    put(desk, "2026-02-20", "orders.json")
    watcher = at_six(Calendar("2026-02-20T18:00:00"))
    for _ in range(3):
        watcher.turn()
    assert sorted(desk.reports) == [
        ("unexpected", "20260220"),
        ("unexpected", "backup"),
        ("unexpected", "cities.json"),
        ("unexpected", "orders.json"),
    ]
    assert desk.inbox.size() == 0
