"""The faults for as long as one likes: `python -m tests.acceptance.faults.soak --minutes 60` prints a table."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from operator import attrgetter
from pathlib import Path

import psycopg2

from tests.acceptance.books import Audit
from tests.acceptance.daemon import Daemon, Product
from tests.acceptance.faults import kills, soak_availability, soak_input
from tests.acceptance.faults.outage import MASTER, caught_up_after_outage, overflow
from tests.acceptance.faults.proxy import Proxy
from tests.acceptance.faults.scenario import (
    Bench,
    Game,
    Tally,
    backends,
    files_of,
    in_transaction,
    put_round,
    settle,
)
from tests.acceptance.mails import mail_server

ROUNDS = 8
DRAIN_SECONDS = 120
STUCK = AssertionError, subprocess.TimeoutExpired, psycopg2.Error
SESSIONS = """
SELECT pid, state, wait_event_type, wait_event, now() - xact_start AS age, left(query, 80) AS query
FROM pg_stat_activity WHERE datname = current_database()"""


def named_kills(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    with tempfile.TemporaryDirectory() as folder, mail_server(Path(folder)) as mailbox:
        product = bench.clone(alerting=mailbox.alerting)
        reached = kills.kill_at_every_seam(product, dice, tally, first_round=0)
        for seam in (seam for seam, was in reached.items() if not was):
            _say(f"never came by: {seam}")
        return settle(product)


def random_kills(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    product = bench.clone()
    for number in range(2 * ROUNDS):
        put_round(product, number)
        kills.kill_anywhere(product, dice, tally, within=3)
    return settle(product)


def daemon_kills(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """The daemon is killed while files arrive, and started again."""
    product = bench.clone()
    for number in range(ROUNDS):
        daemon = product.start()
        with suppress(AssertionError):
            daemon.wait_for_banner()
        put_round(product, number)
        time.sleep(dice.uniform(0, 0.6))
        daemon.process.send_signal(signal.SIGSTOP)
        tally.in_transaction += in_transaction(product)
        daemon.kill()
        tally.injected += 1
    return settle(product)


def server_crashes(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    product = bench.clone()
    with product.running() as daemon:
        for number in range(ROUNDS):
            put_round(product, number)
            time.sleep(dice.uniform(0, 1))
            tally.in_transaction += in_transaction(product)
            bench.server.stop("immediate")
            tally.injected += 1
            time.sleep(dice.uniform(0, 3))
            bench.server.start()
            if dice.random() < 0.5:  # what a crash leaves behind must not be mended by the next one
                _drain(product, daemon, rounds=number + 1)
        _drain(product, daemon)
    return settle(product)


def terminated_backends(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    product = bench.clone()
    with product.running() as daemon:
        for number in range(ROUNDS):
            put_round(product, number)
            for _ in range(5):
                time.sleep(dice.uniform(0, 0.2))
                tally.in_transaction += in_transaction(product)
                with suppress(psycopg2.Error):
                    for pid in backends(product):
                        tally.injected += bool(product.value("SELECT pg_terminate_backend(%s)", pid))
        _drain(product, daemon)
    return settle(product)


def spoiled_commits(
    spoil: Callable[[Proxy, int], None],
    spoiled: Callable[[Proxy], int],
    bench: Bench,
    dice: random.Random,
    tally: Tally,
) -> Audit:
    with Proxy(bench.server.port) as proxy:
        product = bench.clone(port=proxy.port)
        with product.running() as daemon:
            for number in range(ROUNDS):
                spoil(proxy, dice.randint(1, 3))
                put_round(product, number)
                time.sleep(dice.uniform(0, 1))
            _drain(product, daemon)
            tally.injected += spoiled(proxy)
            tally.in_transaction += spoiled(proxy)
        return settle(product)


def cut_connections(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    with Proxy(bench.server.port) as proxy:
        product = bench.clone(port=proxy.port)
        with product.running() as daemon:
            for number in range(ROUNDS):
                put_round(product, number)
                for _ in range(5):
                    time.sleep(dice.uniform(0, 0.2))
                    tally.in_transaction += in_transaction(product)
                    tally.injected += proxy.cut()
            _drain(product, daemon)
        return settle(product)


def stops_under_load(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    product = bench.clone()
    for number in range(ROUNDS):
        daemon = product.start()
        try:
            daemon.wait_for_banner()
            put_round(product, number)
            time.sleep(dice.uniform(0, 1))
            tally.in_transaction += in_transaction(product)
            assert daemon.stop(seconds=10) == 0, daemon.output()[-2000:]
            tally.injected += 1
        finally:
            daemon.kill()
    return settle(product)


def overflowing_events(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    product = bench.clone()
    with product.running() as daemon:
        overflow(product, daemon, files=20_000, real=200)
        tally.injected += 1
        product.wait_for_files(MASTER + 200, seconds=120)
    return settle(product)


def long_outage(minutes: float, bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """12,000 small files in 10 minutes without a database; in a short soak, fewer at the same rate."""
    seconds = 600 if minutes >= 30 else minutes * 6
    files = round(20 * seconds)
    product = bench.clone()
    needed = caught_up_after_outage(bench, product, seconds=seconds, files=files, patience=3600)
    tally.injected += 1
    _say(f"{files} files after {seconds:.0f} s: caught up in {needed:.0f} s, {files / needed:.0f} files/s")
    return settle(product)


GAMES: dict[str, Game] = {
    "kill -9 at named points": named_kills,
    "kill -9 at random times, catching up": random_kills,
    "kill -9 at random times, daemon": daemon_kills,
    "SIGTERM under load": stops_under_load,
    "PostgreSQL crashes": server_crashes,
    "backends terminated": terminated_backends,
    "connections cut": cut_connections,
    "COMMIT's answer lost": partial(spoiled_commits, Proxy.swallow_commits, attrgetter("swallowed")),
    "COMMIT cancelled": partial(spoiled_commits, Proxy.cancel_commits, attrgetter("cancelled")),
    "20,000 files at once, daemon stopped": overflowing_events,
    **soak_availability.GAMES,  # more games: a module with such a table, and a line here
    **soak_input.GAMES,
}
ONLY_ONCE = ("long outage, small files arriving", "20,000 files at once, daemon stopped")


def _drain(product: Product, daemon: Daemon, rounds: int = ROUNDS) -> None:
    """Wait until all files of `rounds` are in the file log; what doesn't come in time is looked into."""
    try:
        product.wait_for_files(files_of(rounds), seconds=DRAIN_SECONDS)
    except AssertionError:
        known = {row["file_path"] for row in product.file_log()}
        files = [path for path in (product.home / "data/input").rglob("*") if path.is_file()]
        _say(f"missing: {[str(path) for path in files if str(path) not in known]}")
        _say(f"exit code: {daemon.process.poll()}; sessions: {product.rows(SESSIONS)}")
        daemon.process.send_signal(signal.SIGUSR1)  # what each thread is at goes to the console
        time.sleep(1)
        raise


def soak(minutes: float, seed: int, only: str = "") -> list[Tally]:
    """Play all games, again and again, for `minutes`, each at least once.

    A game that can't go on ends the turn, and leaves its folder for whoever wants to know why.
    """
    every: dict[str, Game] = {**GAMES, ONLY_ONCE[0]: partial(long_outage, minutes)}
    games = {name: game for name, game in every.items() if only in name}
    tallies = {name: Tally(name) for name in games}
    dice = random.Random(seed)
    deadline = time.monotonic() + 60 * minutes
    turn = 0
    while turn == 0 or time.monotonic() < deadline:
        folder = Path(tempfile.mkdtemp(prefix="fastfeast-soak-"))
        bench = Bench(folder)
        kept = False
        try:
            for name, game in games.items():
                if turn and time.monotonic() > deadline:
                    break
                if turn and name in ONLY_ONCE:
                    continue
                try:
                    audit = game(bench, dice, tallies[name])
                    for difference in audit.run()[:20]:
                        _say(f"{name}: {difference}")
                except STUCK as problem:
                    tallies[name].stuck += 1
                    kept = True
                    with suppress(OSError):
                        shutil.copy(bench.server.log, folder)
                    _say(f"{name}: it can't go on; see {folder}: {problem}")
                    break
                tallies[name].add(audit)
                _say(f"turn {turn + 1}: {name}: {tallies[name].injected} so far")
        finally:
            bench.close()
            if not kept:
                shutil.rmtree(folder)
        turn += 1
    return list(tallies.values())


def table(tallies: list[Tally]) -> str:
    """The soak table in Markdown."""
    heads = (
        "fault",
        "times injected",
        "hit an open transaction",
        "rows lost",
        "rows doubled",
        "files out of balance",
        "games stuck",
    )
    lines = [
        f"| {t.fault} | {t.injected} | {t.in_transaction} | {t.lost} | {t.doubled} | {t.unbalanced} | {t.stuck} |"
        for t in tallies
    ]
    return "\n".join([f"| {' | '.join(heads)} |", "|---|---:|---:|---:|---:|---:|---:|", *lines])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the soak; exits with 1 when anything was lost, doubled, out of balance or stuck."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", default="", help="games with this in their names")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    options = parser.parse_args()
    _say(f"seed {options.seed}")
    tallies = soak(options.minutes, options.seed, options.only)
    _say(table(tallies))
    sys.exit(any(tally.lost or tally.doubled or tally.unbalanced or tally.stuck for tally in tallies))


if __name__ == "__main__":
    main()
