"""Whatever happens to files and folders: whole and once, or refused, and the others load."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.acceptance import samples
from tests.acceptance.books import Audit, assert_books_balance
from tests.acceptance.daemon import Daemon, Product, wait_until
from tests.acceptance.faults.inputs import folder_of, loaded, orders
from tests.acceptance.faults.scenario import Bench, files_of, put_round, put_rounds, settle

MASTER = len(samples.master_rows())


@pytest.fixture(scope="module")
def product(bench: Bench) -> Product:
    return bench.clone()


@pytest.fixture(scope="module")
def daemon(product: Product) -> Iterator[Daemon]:
    with product.running() as daemon:
        yield daemon


# ---------------------------------------------------------------- writers


def test_a_writer_that_dies_half_way_costs_only_its_own_file(product: Product, daemon: Daemon) -> None:
    half = samples.json_text(orders(100, 200))
    path = folder_of(product, "00") / "orders.json"
    path.write_text(half[: len(half) // 2])
    product.keep(path)
    product.stream("01", "orders.json", orders(300))
    wait_until(lambda: loaded(product, orders(300)), "the neighbour loads", seconds=10)
    product.wait_for_files(MASTER + 2)
    (failed,) = product.rows("SELECT * FROM pipeline_file_log WHERE status = 'failed'")
    assert failed["inserted_records"] == 0
    product.stream("00", "orders.json", half)
    wait_until(lambda: loaded(product, orders(100, 200)), "the whole file loads in its place", seconds=10)


def test_a_file_rewritten_while_it_is_read_is_loaded_as_one_of_its_versions(
    product: Product, daemon: Daemon
) -> None:
    path = folder_of(product, "02") / "orders.json"
    for version in range(4):
        rows = orders(10_000 + 2000 * version, 2000)
        hidden = samples.write(product.home / "elsewhere" / "orders.json", rows)
        product.keep(hidden)
        path.write_bytes(hidden.read_bytes())  # in place, not by rename
        time.sleep(0.35 + 0.07 * version)  # about when it has settled and is read
    wait_until(lambda: loaded(product, rows), "the last version loads", seconds=20)
    differences = Audit(product).differences
    assert differences == [], "each logged hash is that of a whole version"


def test_files_that_come_and_go_do_no_harm(product: Product, daemon: Daemon) -> None:
    for number in range(30):
        path = folder_of(product, "03") / "orders.json"
        samples.write(path, orders(20_000 + 10 * number))
        product.keep(path)
        time.sleep(0.03)
        path.unlink()
    product.stream("04", "orders.json", orders(30_000))
    wait_until(lambda: loaded(product, orders(30_000)), "the file after them loads", seconds=10)


# ---------------------------------------------------------------- not regular files


def test_links_pipes_and_sockets_are_refused_and_hold_up_nobody(product: Product, daemon: Daemon) -> None:
    outside = samples.write(product.home / "elsewhere" / "secret.json", orders(40_000))
    os.symlink(outside, folder_of(product, "05") / "orders.json")
    os.symlink("/dev/zero", folder_of(product, "06") / "orders.json")
    os.symlink("orders.json", folder_of(product, "07") / "orders.json")
    os.mkfifo(folder_of(product, "08") / "orders.json")
    (folder_of(product, "09") / "orders.json").mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        here = Path.cwd()
        try:
            os.chdir(folder_of(product, "10"))  # its path may be too long for a socket
            listener.bind("orders.json")
        finally:
            os.chdir(here)
    product.stream("11", "orders.json", orders(50_000))
    wait_until(lambda: loaded(product, orders(50_000)), "a healthy file loads", seconds=5)
    time.sleep(1.5)
    assert not loaded(product, orders(40_000)), "a link leads out of the folder"
    refused = [
        row for row in product.file_log() if any(f"/{hour:02d}/" in row["file_path"] for hour in range(5, 11))
    ]
    assert {row["status"] for row in refused} <= {"failed"}
    log = "".join(path.read_text() for path in (product.home / "logs").glob("*.log"))
    assert "/05/orders.json" in log, "it is said that the link is not read"
    for hour in range(5, 11):
        path = folder_of(product, f"{hour:02d}") / "orders.json"
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


# ---------------------------------------------------------------- monstrous content


def test_monstrous_content_is_refused_and_its_neighbours_load(bench: Bench) -> None:
    product = bench.clone()
    two = samples.json_text(orders(100, 2)).rstrip().removesuffix("]").rstrip()
    depth = "[" * 100_000 + "]" * 100_000
    digits = samples.json_text([samples.order(111, customer_id=424242)]).replace("424242", "9" * 5000)
    contents = {
        "00": f'{two}, {{"order_id": {depth}}}]',
        "01": depth,
        "02": samples.json_text([samples.order(110, payment_method="LONE")]).replace("LONE", "\\ud800"),
        "03": digits,
        "04": samples.json_text([samples.order(112, payment_method="x" * 50_000_000), *orders(113, 2)]),
        "05": samples.json_text([samples.order(120, order_id="a\0b"), *orders(121, 2)]),
    }
    with product.running() as daemon:
        for hour, content in contents.items():
            product.stream(hour, "orders.json", content)
        ticket = samples.csv_text([samples.ticket(121)])
        product.stream("06", "tickets.csv", ticket.replace("Resolved", "y" * 50_000_000, 1))
        product.stream("07", "orders.json", orders(200))
        wait_until(lambda: loaded(product, orders(200)), "the neighbour loads", seconds=30)
        wait_until(lambda: loaded(product, orders(121, 2)), "the good rows beside a bad one load", seconds=30)
        product.wait_for_files(MASTER + 8)
        assert psutil.Process(daemon.process.pid).memory_info().rss < 2_000_000_000
    found = {row["file_path"].split("/")[-2]: row for row in product.file_log() if row["file_type"] == "stream"}
    inserted = {hour: row["inserted_records"] for hour, row in found.items()}
    assert inserted == {**inserted, "01": 0, "02": 0, "03": 0, "05": 2, "06": 0, "07": 3}
    for hour in ("00", "04"):
        whole_file = found[hour]["status"] == "failed" and found[hour]["error"]
        assert inserted[hour] == (0 if whole_file else 2), "either the row is refused or the file, with its reason"


# ---------------------------------------------------------------- events


def test_an_overflowing_event_queue_hides_no_file(product: Product, daemon: Daemon) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    folder = folder_of(product, "20")
    time.sleep(1)  # the folder is watched by now
    os.kill(daemon.process.pid, signal.SIGSTOP)
    try:
        for number in range(min(limit, 20_000) // 2 + 500):  # two events each: created, closed
            (folder / f".noise-{number}").touch()
        product.stream("20", "orders.json", orders(80_000))
        product.stream("21", "orders.json", orders(80_100))
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)
    both = [*orders(80_000), *orders(80_100)]
    wait_until(lambda: loaded(product, both), "files behind the overflow are seen", seconds=10)


# ---------------------------------------------------------------- the tracker


def test_a_tracker_that_vanishes_is_rebuilt(product: Product, daemon: Daemon) -> None:
    for path in (product.home / "data/tracker").iterdir():
        path.unlink()
    product.stream("22", "orders.json", orders(90_000))
    wait_until(lambda: loaded(product, orders(90_000)), "files load without it", seconds=10)


def test_a_locked_tracker_holds_up_no_file(product: Product, daemon: Daemon) -> None:
    with closing(
        sqlite3.connect(product.home / "data/tracker/pipeline_tracker.db", isolation_level=None)
    ) as other:
        other.execute("BEGIN EXCLUSIVE")
        product.stream("23", "orders.json", orders(91_000))
        time.sleep(3)
        other.execute("ROLLBACK")
    wait_until(lambda: loaded(product, orders(91_000)), "the file loads", seconds=10)


def test_a_truncated_tracker_is_rebuilt(bench: Bench) -> None:
    product = bench.clone()
    put_round(product, 0)
    product.once()
    for content in (b"", b"not a database " * 500):
        (product.home / "data/tracker/pipeline_tracker.db").write_bytes(content)
        before = product.file_log()
        product.once()
        assert product.file_log() == before
    assert_books_balance(product)


# ---------------------------------------------------------------- disk full


def test_a_full_disk_pauses_the_work_and_loses_nothing(bench: Bench, tmp_path: Path) -> None:
    product = bench.clone()
    data = product.home / "data"
    kept = tmp_path / "kept"
    shutil.copytree(data, kept)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(data)], check=False)
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here")
    try:
        shutil.copytree(kept, data, dirs_exist_ok=True)
        with product.running() as daemon:
            ballast = data / "ballast"
            put_rounds(product, range(2))
            fill(ballast)
            time.sleep(3)
            assert daemon.process.poll() is None, "a full disk is no reason to die"
            ballast.unlink()
            put_rounds(product, range(2, 4))
            product.wait_for_files(files_of(4), seconds=60)
        assert settle(product).run() == []
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)


def fill(path: Path) -> None:
    """Write to `path` until the file system has no room."""
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return


# ---------------------------------------------------------------- after all of it


def test_afterwards_the_books_balance(product: Product, daemon: Daemon) -> None:
    assert daemon.stop() == 0
    assert settle(product).run() == []
