"""The tracker remembers finished files, and no fault of its SQLite file reaches anybody or loses anything."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from config.jobs import FileJob
from config.settings import PipelineConfig
from ingestion import file_tracker
from ingestion.file_tracker import FileTracker, compute_hash


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same behaviour, sooner."""
    monkeypatch.setattr(file_tracker, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(file_tracker, "RETRY_SECONDS", 0.05)


@pytest.fixture
def db_path(tmp_path: Path) -> Path:
    return tmp_path / "tracker" / "files.db"


@contextmanager
def tracker_at(path: Path) -> Iterator[FileTracker]:
    tracker = FileTracker(path)
    try:
        yield tracker
    finally:
        tracker.close()


@pytest.fixture
def make_job(config: PipelineConfig) -> Callable[..., FileJob]:
    def make(name: str | Path = "orders.json", size: int = 10, mtime_ns: int = 1, md5: str = "") -> FileJob:
        md5 = md5 or hashlib.md5(os.fsencode(name), usedforsecurity=False).hexdigest()
        return FileJob(Path("/in") / name, config.by_logical_name["orders"], size, mtime_ns, md5)

    return make


MakeJob = Callable[..., FileJob]


def knows(tracker: FileTracker, job: FileJob) -> bool:
    return tracker.is_current(str(job.path), job.size, job.mtime_ns)


def paths_in(db_path: Path) -> set[str]:
    with closing(sqlite3.connect(db_path, timeout=5)) as connection:
        return {os.fsdecode(path) for (path,) in connection.execute("SELECT path FROM processed_files")}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_hash_is_the_md5_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 1_000_000)
    assert compute_hash(path) == hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


# ---------------------------------------------------------------- memory


def test_a_finished_file_is_current_until_it_changes(db_path: Path, make_job: MakeJob) -> None:
    job = make_job()
    with tracker_at(db_path) as tracker:
        assert not knows(tracker, job)
        tracker.mark_as_done(job)
        assert knows(tracker, job)
        assert not knows(tracker, job.evolve(size=11))
        assert not knows(tracker, job.evolve(mtime_ns=2))


def test_a_content_is_processed_under_any_name_but_not_when_it_failed(db_path: Path, make_job: MakeJob) -> None:
    done, failed = make_job("a.json", md5="d"), make_job("b.json", md5="f")
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(done)
        tracker.mark_as_failed(failed, "wrong columns")
        assert tracker.is_processed(done.path, "d")
        assert tracker.is_processed(Path("/elsewhere.json"), "d")
        assert not tracker.is_processed(failed.path, "f")
        assert not tracker.is_processed(done.path, "other")
        assert knows(tracker, failed), "it is not tried again until it changes"


def test_everything_accepted_is_there_at_the_next_start(db_path: Path, make_job: MakeJob) -> None:
    jobs = [make_job(f"{n}.json", size=n) for n in range(2000)]
    with tracker_at(db_path) as tracker:
        for job in jobs:
            tracker.mark_as_done(job)
        tracker.mark_as_failed(jobs[0], "wrong columns")
    with tracker_at(db_path) as tracker:
        assert all(knows(tracker, job) for job in jobs)
        assert not tracker.is_processed(jobs[0].path, jobs[0].md5)
        assert tracker.is_processed(jobs[1].path, jobs[1].md5)


def test_many_files_are_checked_without_any_input_or_output(db_path: Path, make_job: MakeJob) -> None:
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(make_job())
        started = time.process_time()
        for _ in range(100_000):
            tracker.is_current("/in/orders.json", 10, 1)
        assert time.process_time() - started < 2


def test_odd_bytes_times_and_messages_are_kept_or_skipped_and_stop_nothing(
    db_path: Path, make_job: MakeJob
) -> None:
    odd = make_job(Path(os.fsdecode(b"caf\xe9\n'..json")))
    future = make_job("future.json", mtime_ns=2**63)  # beyond SQLite's integers: after the year 2262
    broken = make_job("broken.json")
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(odd)
        tracker.mark_as_done(future)
        tracker.mark_as_failed(broken, os.fsdecode(b"caf\xe9 has the wrong columns"))
        assert knows(tracker, future)
    with tracker_at(db_path) as tracker:
        assert knows(tracker, odd)
        assert knows(tracker, broken)
        assert not knows(tracker, future)


def test_what_postgresql_does_not_know_is_forgotten_for_good(db_path: Path, make_job: MakeJob) -> None:
    kept, lost, failed = (make_job(f"{n}.json") for n in range(3))
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(kept)
        tracker.mark_as_done(lost)
        tracker.mark_as_failed(failed, "wrong columns")
    with tracker_at(db_path) as tracker:
        tracker.keep_only({kept.md5, failed.md5})
        assert [knows(tracker, job) for job in (kept, lost, failed)] == [True, False, False]
    assert paths_in(db_path) == {str(kept.path)}


def test_only_old_files_that_are_gone_are_forgotten(tmp_path: Path, db_path: Path, make_job: MakeJob) -> None:
    there, gone = make_job(tmp_path / "there.json"), make_job(tmp_path / "gone.json")
    there.path.touch()
    now = dt.datetime.now(dt.UTC)
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(there)
        tracker.mark_as_done(gone)
        assert tracker.forget_vanished(now - dt.timedelta(days=1)) == 0
        assert tracker.forget_vanished(now + dt.timedelta(days=1)) == 1
        assert [knows(tracker, job) for job in (there, gone)] == [True, False]
    assert paths_in(db_path) == {str(there.path)}


def test_after_the_end_nothing_hangs(db_path: Path, make_job: MakeJob) -> None:
    tracker = FileTracker(db_path)
    tracker.close()
    tracker.close()
    tracker.mark_as_done(make_job())
    assert not tracker.is_processed(Path("/x"), "unknown")


def test_only_the_owner_may_read_it(db_path: Path, make_job: MakeJob) -> None:
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(make_job())
        wait_until(lambda: paths_in(db_path) != set())
        modes = {stat.S_IMODE(path.stat().st_mode) for path in db_path.parent.iterdir()}
        assert modes == {0o600}, "the write-ahead log too"
    assert stat.S_IMODE(db_path.parent.stat().st_mode) == 0o700


# ---------------------------------------------------------------- faults


def test_a_deleted_file_is_made_anew_with_everything(db_path: Path, make_job: MakeJob) -> None:
    first, second = make_job("1.json"), make_job("2.json")
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(first)
        wait_until(lambda: paths_in(db_path) == {str(first.path)})
        for path in db_path.parent.iterdir():
            path.unlink()
        tracker.mark_as_done(second)
    assert paths_in(db_path) == {str(first.path), str(second.path)}


def test_a_deleted_folder_is_made_anew(db_path: Path, make_job: MakeJob) -> None:
    first, second = make_job("1.json"), make_job("2.json")
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(first)
        wait_until(lambda: paths_in(db_path) == {str(first.path)})
        for path in db_path.parent.iterdir():
            path.unlink()
        db_path.parent.rmdir()
        tracker.mark_as_done(second)
    assert paths_in(db_path) == {str(first.path), str(second.path)}


@pytest.mark.parametrize("content", [b"", b"not a database " * 1000, None], ids=["emptied", "garbage", "cut"])
def test_a_file_spoilt_while_it_is_open_is_healed(db_path: Path, make_job: MakeJob, content: bytes | None) -> None:
    jobs = [make_job(f"{n}.json") for n in range(500)]
    with tracker_at(db_path) as tracker:
        for job in jobs[:-1]:
            tracker.mark_as_done(job)
        wait_until(lambda: len(paths_in(db_path)) == len(jobs) - 1)
        with closing(sqlite3.connect(db_path, timeout=5)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with db_path.open("r+b") as file:
            file.truncate(8000 if content is None else 0)
            file.write(content or b"")
        tracker.mark_as_done(jobs[-1])
        assert all(knows(tracker, job) for job in jobs)
    with tracker_at(db_path) as tracker:  # what was lost with the file, PostgreSQL still knows
        assert all(knows(tracker, job) for job in jobs) or not any(knows(tracker, job) for job in jobs[:-1])
        tracker.mark_as_done(jobs[0])
    assert str(jobs[0].path) in paths_in(db_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a database " * 1000, b"SQLite format 3\0" + b"\x01" * 5000],
    ids=["empty", "garbage", "only the head"],
)
def test_a_file_spoilt_before_the_start_is_made_anew(db_path: Path, make_job: MakeJob, content: bytes) -> None:
    db_path.parent.mkdir()
    db_path.write_bytes(content)
    with tracker_at(db_path) as tracker:
        assert not knows(tracker, make_job())
        tracker.mark_as_done(make_job())
    assert paths_in(db_path) == {"/in/orders.json"}


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE processed_files (file TEXT)",
        "CREATE TABLE processed_files (path, size, mtime_ns, md5, status, error, processed_at);"
        "INSERT INTO processed_files VALUES (1, 'x', NULL, 2, 3, 4, 5)",
    ],
    ids=["other columns", "other types"],
)
def test_a_database_that_is_not_ours_is_made_anew(db_path: Path, make_job: MakeJob, table: str) -> None:
    db_path.parent.mkdir()
    with closing(sqlite3.connect(db_path)) as connection:
        connection.executescript(table)
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(make_job())
    with tracker_at(db_path) as tracker:
        assert knows(tracker, make_job())


def test_while_another_process_locks_it_memory_serves_and_then_it_is_written(
    db_path: Path, make_job: MakeJob
) -> None:
    first, second = make_job("1.json"), make_job("2.json")
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(first)
        wait_until(lambda: paths_in(db_path) == {str(first.path)})
        with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            tracker.mark_as_done(second)
            assert knows(tracker, second)
            assert tracker.is_processed(second.path, second.md5)
            time.sleep(0.3)  # several tries
            other.execute("ROLLBACK")
        wait_until(lambda: paths_in(db_path) == {str(first.path), str(second.path)})


def test_locked_at_the_start_it_starts_empty_and_later_holds_what_was_really_done(
    db_path: Path, make_job: MakeJob
) -> None:
    old, new = make_job("old.json"), make_job("new.json")
    with tracker_at(db_path) as tracker:
        tracker.mark_as_done(old)
    with closing(sqlite3.connect(db_path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with tracker_at(db_path) as tracker:
            assert not knows(tracker, old), "PostgreSQL is asked instead"
            tracker.keep_only(set())
            tracker.mark_as_done(new)
            other.execute("ROLLBACK")
            other.close()
            wait_until(lambda: paths_in(db_path) == {str(new.path)})


def test_a_place_that_can_hold_no_file_costs_only_the_cache(
    tmp_path: Path, make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    for path in (blocked / "files.db", tmp_path):
        caplog.clear()
        with tracker_at(path) as tracker:
            for number in range(50):
                tracker.mark_as_done(make_job(f"{number}.json"))
                time.sleep(0.002)
            assert knows(tracker, make_job("7.json"))
        assert len(caplog.records) == 1, "one warning an outage"
    assert blocked.read_text() == ""
