"""A killed or stopped pipeline loses nothing, doubles nothing, and its books balance when it is back."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

from tests.acceptance import samples
from tests.acceptance.books import assert_books_balance
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults import kills
from tests.acceptance.faults.scenario import Bench, Tally, files_of, in_transaction, put_round, settle
from tests.acceptance.mails import mail_server

SEED = 20260220


def test_killed_at_every_named_point_it_loses_and_doubles_nothing(bench: Bench, tmp_path: Path) -> None:
    tally = Tally("killed at a named point")
    with mail_server(tmp_path) as mailbox:
        product = bench.clone(alerting=mailbox.alerting)
        reached = kills.kill_at_every_seam(product, random.Random(SEED), tally, first_round=0)
        audit = settle(product)
    assert audit.run() == []
    assert [seam for seam, was in reached.items() if not was] == []
    assert tally.in_transaction > tally.injected // 4


def test_killed_at_random_times_it_loses_and_doubles_nothing(bench: Bench) -> None:
    product = bench.clone()
    dice, tally = random.Random(SEED), Tally("killed at a random time")
    for number in range(4):
        put_round(product, number)
        kills.kill_anywhere(product, dice, tally, within=2.5)
    assert settle(product).run() == []
    assert tally.injected > 0


def test_asked_to_stop_under_load_it_ends_well_and_goes_on_where_it_was(bench: Bench) -> None:
    product = bench.clone(reader={"chunk_rows": 500})
    daemon = product.start().wait_for_banner()
    try:
        product.stream("09", "orders.json", [samples.order(n) for n in range(8_000)])
        for number in range(2):
            put_round(product, 1000 + number)
        wait_until(lambda: in_transaction(product), "it works on a file", every=0.01)
        started = time.monotonic()
        assert daemon.stop(signal.SIGTERM, seconds=10) == 0, daemon.output()[-2000:]
        assert time.monotonic() - started < 10
    finally:
        daemon.kill()
    assert_log_is_whole(product)
    assert settle(product).run() == []


def assert_log_is_whole(product: Product) -> None:
    """Every line of every log file is JSON, the last one too, and says that the pipeline stopped."""
    texts = [path.read_text() for path in sorted((product.home / "logs").glob("pipeline_*.log"))]
    assert texts[-1].endswith("\n")
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    assert "stop" in lines[-1]["msg"].lower()


def test_two_daemons_on_one_folder_load_each_file_once(bench: Bench) -> None:
    product = bench.clone()
    daemons = [product.start().wait_for_banner() for _ in range(2)]
    try:
        for number in range(5):
            put_round(product, number)
        files = files_of(5)
        product.wait_for_files(files, seconds=60)
        assert [daemon.stop() for daemon in daemons] == [0, 0]
    finally:
        for daemon in daemons:
            daemon.kill()
    product.once()
    audit = assert_books_balance(product, in_order=False)
    assert len(audit.books) == files
