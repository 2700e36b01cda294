"""PostgreSQL away while small files arrive, and more files at once than the kernel queues events."""

from __future__ import annotations

import os
import signal
import time

from tests.acceptance import samples
from tests.acceptance.daemon import Daemon, Product
from tests.acceptance.faults.scenario import Bench

MASTER = len(samples.master_rows())
ROWS_OF_A_SMALL_FILE = 3


def put_small_file(product: Product, number: int) -> None:
    """A file of orders in a folder of its own; all of its parents are there."""
    first = 10_000_000 + number * ROWS_OF_A_SMALL_FILE
    rows = [samples.order(first + n) for n in range(ROWS_OF_A_SMALL_FILE)]
    product.stream(f"{number // 1000:03d}/{number % 1000:03d}", "orders.json", rows)


def caught_up_after_outage(
    bench: Bench, product: Product, *, seconds: float, files: int, patience: float
) -> float:
    """Take the server away for `seconds`, in which `files` small files arrive; seconds until they are all in.

    Fails when one is failed or a row is taken for an orphan, or when it takes longer than `patience` seconds.
    """
    with product.running():
        begun = time.monotonic()
        bench.server.stop("immediate")
        for number in range(files):
            put_small_file(product, number)
            time.sleep(max(0.0, begun + seconds * (number + 1) / files - time.monotonic()))
        bench.server.start()
        back = time.monotonic()
        product.wait_for_files(MASTER + files, seconds=patience)
        needed = time.monotonic() - back
        failed = product.value("SELECT count(*) FROM pipeline_file_log WHERE status = 'failed'")
        refused = product.value("SELECT count(*) FROM quarantine")
        assert (failed, refused) == (0, 0), f"{failed} files failed, {refused} rows refused"
    return needed


def overflow(product: Product, daemon: Daemon, *, files: int, real: int) -> None:
    """Stop the daemon, make `files` files at once, `real` of them to be loaded, and let it go on."""
    folder = product.home / "data/input/stream" / samples.DAY / "overflow"
    folder.mkdir(parents=True)
    time.sleep(1)  # the folder is watched by now
    os.kill(daemon.process.pid, signal.SIGSTOP)
    try:
        for number in range(files):
            if number % (files // real) == 0:
                put_small_file(product, 500_000 + number)
            else:
                (folder / f".noise-{number}").touch()
    finally:
        os.kill(daemon.process.pid, signal.SIGCONT)
