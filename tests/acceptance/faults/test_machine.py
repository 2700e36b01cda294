"""What the machine does to the pipeline: no right to read, no room for the database, a clock that jumps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.books import assert_books_balance
from tests.acceptance.daemon import ROOT, Product, wait_until
from tests.acceptance.faults.scenario import Bench
from tests.acceptance.server import NOBODY, Server

MASTER = len(samples.master_rows())


@contextmanager
def private_product(**changes: Any) -> Iterator[Product]:
    """A product with a server of its own, in a folder that other accounts can reach."""
    root = Path(tempfile.mkdtemp(prefix="ff-machine-", dir="/tmp"))
    root.chmod(0o755)
    try:
        product = Product(root / "home", **changes)
        database = product.home / changes.get("database", {}).get("data_dir", "data/postgres")
        product.watch_url = f"postgresql://postgres@:5432/fastfeastapp?host={database}"
        samples.write_master(product.home)
        yield product
    finally:
        shutil.rmtree(root, ignore_errors=True)


def alerts(product: Product, kind: str) -> list[dict[str, Any]]:
    """The alerts of one kind, as logged."""
    text = "".join(path.read_text() for path in (product.home / "logs").glob("*.log"))
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line.get("alert") == kind]


def loaded(product: Product, number: int) -> bool:
    query = "SELECT count(*) FROM fact_order WHERE order_id = %s"
    return bool(product.value(query, samples.uid("order", number)))


# ---------------------------------------------------------------- no right to read


def subject_to_file_modes(product: Product, server: Server) -> list[str]:
    """What to put before a command so that file modes bind it: root may read everything.

    Another account, where that can reach this Python; else root without the two capabilities, who can't use the
    embedded server then, and gets `server`.
    """
    if os.geteuid() != 0:
        return []
    account = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if runs([*account, sys.executable, str(ROOT / "main.py"), "--help"]):
        for path in [product.home, *product.home.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        return account
    weaker = [
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    ]
    if runs([*weaker, "true"]):
        product.url = product.watch_url = server.url("machine")
        return weaker
    pytest.skip(
        "no account to run as that file modes bind: neither nobody reaches this Python, nor has setpriv rights"
    )


def runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, cwd="/", capture_output=True, check=False, timeout=60).returncode == 0
    except OSError:
        return False


def handed_over(product: Product, path: Path) -> Path:
    """`path` and its folders, with the owner that the product runs as."""
    owner = product.home.stat().st_uid
    for item in [path, *path.parents]:
        if item.is_relative_to(product.home):
            os.chown(item, owner, owner)
    return path


def test_what_may_not_be_read_is_said_once_and_loads_when_it_may(bench: Bench) -> None:
    with private_product(watcher={"rescan_seconds": 0.25}) as product:
        prefix = subject_to_file_modes(product, bench.server)
        file = handed_over(product, product.stream("05", "orders.json", [samples.order(5)]))
        folder = handed_over(product, product.stream("06", "orders.json", [samples.order(6)])).parent
        file.chmod(0)
        folder.chmod(0)
        daemon = product.start(*prefix, *product.command())
        try:
            daemon.wait_for_banner()
            handed_over(product, product.stream("07", "orders.json", [samples.order(7)]))
            wait_until(lambda: loaded(product, 7), "a healthy file loads", seconds=5)
            time.sleep(4)  # more than one full rescan
            assert not loaded(product, 5)
            assert not loaded(product, 6)
            refused = [alert["msg"] for alert in alerts(product, "File refused")]
            assert len(refused) == 2, refused
            assert any(f"{samples.DAY}/05/orders.json" in text for text in refused)
            assert any(f"{samples.DAY}/06" in text for text in refused)
            file.chmod(0o400)
            folder.chmod(0o500)
            wait_until(lambda: loaded(product, 5) and loaded(product, 6), "they load when they may", seconds=15)
            assert daemon.stop() == 0
        finally:
            daemon.kill()
            folder.chmod(0o700)
        with product.running():  # its server stopped with it
            assert [row for row in product.file_log() if row["status"] != "success"] == []


# ---------------------------------------------------------------- no room for the database


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[None]:
    path.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], check=False)
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path: Path) -> None:
    """Write to `path` until the file system has no room."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_of_the_database_pauses_the_work_with_one_alert() -> None:
    with (
        private_product(database={"data_dir": "disk/postgres"}) as product,
        small_disk(product.home / "disk", 160),
    ):
        ballast = product.home / "disk/ballast"
        with product.running() as daemon:
            product.wait_for_files(MASTER)
            fill(ballast)
            for hour in range(4):
                rows = [samples.order(10_000 * hour + n) for n in range(5000)]
                product.stream(f"{hour:02d}", "orders.json", rows)
            wait_until(lambda: trouble(product), "it is said that the database has no room", seconds=60)
            time.sleep(2)
            assert len(trouble(product)) == 1, trouble(product)
            assert daemon.process.poll() is None
            ballast.unlink()
            wait_until(
                lambda: files(product) == MASTER + 4, lambda: f"all are loaded; {files(product)}", seconds=90
            )
            assert product.rows("SELECT file_name FROM pipeline_file_log WHERE status <> 'success'") == []
            assert_books_balance(product)


def trouble(product: Product) -> list[dict[str, Any]]:
    return [*alerts(product, "Loading held up"), *alerts(product, "Database unavailable")]


def files(product: Product) -> int:
    return product.value("SELECT count(*) FROM pipeline_file_log") or 0
