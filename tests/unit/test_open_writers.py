"""Whether somebody writes a file is asked of the kernel, which does no writer any harm."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.places import open_writers
from ingestion.places.open_writers import descriptor_has_writer, has_writer, stamp_of

pytestmark = pytest.mark.skipif(has_writer(Path(__file__)) is None, reason="this file system tells of no writers")

# Opens the file for writing again and again; prints how often that came about and was refused, waiting and not.
HAMMER = """
import os, sys, time
path, until = sys.argv[1], time.monotonic() + 1.5
opened, refused = {0: 0, os.O_NONBLOCK: 0}, {0: 0, os.O_NONBLOCK: 0}
print("go", flush=True)
while time.monotonic() < until:
    for flags in opened:
        try:
            os.close(os.open(path, os.O_WRONLY | flags))
            opened[flags] += 1
        except BlockingIOError:
            refused[flags] += 1
print(*opened.values(), *refused.values())
"""


def test_a_writer_is_seen_for_as_long_as_it_has_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id\n")
    assert has_writer(path) is False
    with path.open("a"):
        assert has_writer(path) is True
    assert has_writer(path) is False
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 1):
        file.close()
        assert has_writer(path) is True, "what is mapped can be written"
    with path.open("rb"):
        assert has_writer(path) is False, "who reads is no writer"


def test_of_what_is_no_file_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(Path(__file__))
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "gone", tmp_path / "link", tmp_path / "pipe", Path("/proc/self/status")):
        assert not has_writer(path)


def test_a_file_system_that_is_not_known_as_a_disk_of_this_machine_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id\n")
    monkeypatch.setattr(open_writers, "OWN_DISKS", set())  # as if it were NFS
    with path.open("a") as file:
        assert has_writer(path) is None
        assert descriptor_has_writer(file.fileno()) is None
        assert stamp_of(path, path.lstat()).inode == 0, "a network file system may give another one at any time"


def test_asking_hurts_neither_who_writes_nor_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id\n")
    asker = "import sys\nfrom pathlib import Path\nfrom ingestion.places.open_writers import has_writer\n"
    asker += "while True:\n    has_writer(Path(sys.argv[1]))"
    with (
        subprocess.Popen([sys.executable, "-c", asker, str(path)]) as asking,
        subprocess.Popen([sys.executable, "-c", HAMMER, str(path)], stdout=subprocess.PIPE) as hammering,
    ):
        try:
            out, _ = hammering.communicate(timeout=30)
            assert asking.poll() is None, "no signal has ended it"
        finally:
            asking.kill()
    waiting, not_waiting, refused, _ = map(int, out.split()[1:])
    assert refused == 0, "who waits, as programs do, never knows of the lease"
    assert waiting > 100
    assert not_waiting > 100, "the lease is held for moments only, even if it is asked for without a pause"
