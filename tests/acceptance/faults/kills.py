"""Kill -9: at every named point, and at random times. Used by the tests and, for longer, by the soak."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from pathlib import Path

from tests.acceptance.daemon import ROOT, Product, wait_until
from tests.acceptance.faults import crash_driver
from tests.acceptance.faults.scenario import Tally, in_transaction, put_round

DRIVER = Path(crash_driver.__file__)
ONCE_A_ROUND = {"before the versions are placed", "after the versions are placed"}


def kill_at(product: Product, seam: str, count: int, tally: Tally, *, seconds: float = 120) -> bool:
    """Run everything pending and die at the `count`-th time that it comes by `seam`; False if it never does."""
    report = product.home / "crash.json"
    report.unlink(missing_ok=True)
    driver = [sys.executable, str(DRIVER), seam, str(count), str(report), str(ROOT / "main.py"), "once"]
    daemon = product.start(*driver)
    try:
        code = daemon.process.wait(seconds)
    finally:
        daemon.kill()
    if code != -signal.SIGKILL:
        assert code in {0, 1}, daemon.output()[-3000:]
        return False
    tally.injected += 1
    tally.in_transaction += json.loads(report.read_text())["open_transaction"]
    return True


def kill_anywhere(product: Product, dice: random.Random, tally: Tally, *, within: float) -> bool:
    """Start it, stop it at a random moment to see what it is at, and kill it; False if it was done before.

    One time in three the moment is any within `within` seconds, else it is soon after the work on files began.
    """
    daemon = product.start(*product.command("once"))
    try:
        if dice.random() < 1 / 3:
            time.sleep(dice.uniform(0.2, within))
        else:
            wait_until(
                lambda: daemon.process.poll() is not None or in_transaction(product), "it works", every=0.005
            )
            time.sleep(dice.expovariate(5))
        if daemon.process.poll() is not None:
            return False
        daemon.process.send_signal(signal.SIGSTOP)
        tally.in_transaction += in_transaction(product)
    finally:
        daemon.kill()
    tally.injected += 1
    return True


def kill_at_every_seam(product: Product, dice: random.Random, tally: Tally, first_round: int) -> dict[str, bool]:
    """Kills at each seam, one after the other, on one product, with new files for each; was each reached?"""
    reached = {}
    number = first_round
    for seam in crash_driver.SEAMS:
        # Mostly not the first visit, so that some work is done before; the first where there is no other.
        for count in (1,) if seam in ONCE_A_ROUND else (dice.randint(2, 4), 1):
            put_round(product, number)
            number += 1
            reached[seam] = kill_at(product, seam, count, tally)
            if reached[seam]:
                break
    return reached
