"""The soak's games with input that is half, disguised, hidden or damaged, and with a crowd at the web port."""

from __future__ import annotations

import itertools
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ingestion.places.open_writers import has_writer
from tests.acceptance import samples
from tests.acceptance.books import Audit
from tests.acceptance.crowd import CROWD, PROBES, crowd, limited, port_of, status_of
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults.inputs import (
    HIDDEN,
    corrected_by_rename,
    corrected_in_place,
    folder_of,
    loaded,
    logged,
    orders,
    with_amount,
)
from tests.acceptance.faults.scenario import Bench, Game, Tally, files_of, put_rounds, settle
from tests.acceptance.mess import NEVER_WHOLE

ROUNDS = 2
FILES = 8
STALL = 2.0  # seconds, of a settle time of 0.3
APART = 600  # between the numbers of two files: all that is made of them is of the same length
LONG_PAST = (1_700_000_000, 1_700_000_000)
SECONDS = 60  # for what takes a few when nobody else needs the machine

# A cast of the child's key to the type of its parent's would find a parent.
POISON: dict[str, Any] = {
    "watcher": {
        "stream": {
            "expected_files": {
                "codes.csv": {"table": "fact_code"},
                "kids.csv": {"table": "fact_kid", "foreign_keys": {"code": "codes"}},
            }
        }
    },
    "schemas": {
        "codes": {
            "primary_key": "code",
            "columns": [{"name": "code", "dtype": "str", "nullable": False, "sql_type": "varchar(5)"}],
        },
        "kids": {
            "primary_key": "kid_id",
            "columns": [{"name": "kid_id", "dtype": "int", "nullable": False}, {"name": "code", "dtype": "str"}],
        },
    },
    "reader": {"chunk_rows": 2000},
}
POISONED = 10_050  # more than are healed in one step


def stalling_writers(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """Writers hold their files open in mid-value, for longer than any settle time, with times of any age (row 19).

    Where the kernel tells nobody of a writer this isn't promised, and nothing is injected.
    """
    polling = dice.random() < 0.5
    product = bench.clone(watcher={"stream": {"polling": polling}})
    if has_writer(Path(__file__)) is None:
        return settle(product)
    with product.running(), ExitStack() as stack:
        parents = [product.stream(f"00/{n}", "orders.json", orders(n * APART)) for n in range(FILES)]
        writers = []
        for number in range(FILES):
            half, rest = with_amount(number * APART)
            path = folder_of(product, f"09/{number}") / "tickets.csv"
            writer = stack.enter_context(path.open("w"))
            writer.write(half)
            writer.flush()
            if dice.random() < 0.5:
                os.utime(path, LONG_PAST)
            writers.append((path, writer, rest))
            tally.injected += 1
        _all_logged(product, parents)
        time.sleep(STALL)
        early = [path for path, _, _ in writers if logged(product, path)]
        assert early == [], f"loaded while it was written: {early}"
        for path, writer, rest in writers:
            writer.write(rest)
            writer.close()
            product.keep(path)
        _all_logged(product, [path for path, _, _ in writers])
        whole = product.value("SELECT count(*) FROM fact_ticket WHERE refund_amount = 12.5")
        assert whole == FILES, f"{whole} of {FILES} values are whole"
    return settle(product)


def disguised_corrections(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """Other content of the same size and time, in place or renamed over, while the service runs (row 20)."""
    product = bench.clone(watcher={"stream": {"polling": dice.random() < 0.5}})
    with product.running():
        paths = [product.stream(f"{n:02d}", "orders.json", orders(n * APART)) for n in range(FILES)]
        _all_logged(product, paths)
        time.sleep(dice.uniform(0, 2))
        for number, path in enumerate(paths):
            correct: Callable[[Path, str], None] = dice.choice((corrected_in_place, corrected_by_rename))
            before = path.stat()
            correct(path, samples.json_text(orders((FILES + number) * APART)))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            product.keep(path)
            after = path.stat()
            assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
            tally.injected += 1
        for number in range(FILES):
            _rows_loaded(product, orders((FILES + number) * APART), "a correction")
    return settle(product)


def hidden_folders(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """Copies in hidden folders and those of storage systems; some are moved out when they are whole (row 21)."""
    product = bench.clone()
    numbers = itertools.count()
    with product.running():
        moved: list[Path] = []
        for hour, name in itertools.product(range(3), HIDDEN):
            hidden = product.stream(f"{hour:02d}/{name}", "orders.json", orders(next(numbers) * APART))
            tally.injected += 1
            if dice.random() < 0.3:
                path = folder_of(product, f"{hour:02d}/{len(moved)}") / hidden.name
                moved.append(hidden.rename(path))
            if dice.random() < 0.3:
                time.sleep(dice.uniform(0, 0.5))
        moved.append(product.stream("23", "orders.json", orders(next(numbers) * APART)))
        _all_logged(product, moved)
        time.sleep(1.5)  # a rescan and more
    return settle(product)


def damaged_and_poisoned(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """JSON cut off anywhere, and orphans that no parent can heal; asked to stop, it stops (row 24)."""
    product = bench.clone(**POISON)
    kids = [{"kid_id": n, "code": "ABCDEFGH"} for n in range(POISONED)]
    product.stream("00/0", "kids.csv", [*kids, {"kid_id": POISONED, "code": "ABCDE"}])
    product.stream("00/1", "codes.csv", [{"code": "ABCDE"}])
    names = itertools.count(1)
    array = samples.json_text(orders(0))
    cuts = iter(dice.sample(range(1, len(array)), 3 * FILES))
    endless = iter(
        [NEVER_WHOLE[name] for name in dice.sample(("one", "rows", "blanks", "brackets", "numbers"), 3)]
    )
    for stop in range(3):
        daemon = product.start()
        try:
            daemon.wait_for_banner()
            for _ in range(FILES):
                product.stream(f"01/{next(names)}", "orders.json", array[: next(cuts)])
                number = next(names)
                lines = samples.ndjson_text(orders(number * APART))
                product.stream(f"01/{number}", "orders.json", lines[: dice.randrange(100, len(lines))])
                tally.injected += 2
            product.stream(f"01/{next(names)}", "orders.json", next(endless))
            tally.injected += 1
            healthy = orders((10_000 + stop) * APART)
            product.stream(f"02/{stop}", "orders.json", healthy)
            _rows_loaded(product, healthy, "the healthy neighbour")
            time.sleep(dice.uniform(0, 1))
            assert daemon.stop(seconds=10) == 0, daemon.output()[-2000:]
        finally:
            daemon.kill()
    audit = settle(product)
    healed = product.rows("SELECT kid_id FROM fact_kid")
    assert healed == [{"kid_id": POISONED}], f"{len(healed)} rows"
    return audit


def idle_crowd(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """1,300 connections that say nothing, or half a header, while files come (row 25)."""
    product = bench.clone(web={"enabled": True, "port": 0})
    said = dice.choice((b"", b"GET / HTTP/1.1\r\nHost: loc"))
    with _descriptors(CROWD + 500), limited(product, 1024) as daemon, ExitStack() as stack:
        port = port_of(daemon)
        crowd(stack, port, said)
        tally.injected += 1
        put_rounds(product, range(ROUNDS))
        product.wait_for_files(files_of(ROUNDS), seconds=SECONDS)
        answers = [status_of(port, probe) for probe in PROBES]
        assert answers == [200, 200, 200], answers
    return settle(product)


@contextmanager
def _descriptors(count: int) -> Iterator[None]:
    """Room for the clients' ends, which are the soak's own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _all_logged(product: Product, paths: list[Path]) -> None:
    wait_until(
        lambda: all(logged(product, path) for path in paths),
        lambda: f"not loaded: {[str(path) for path in paths if not logged(product, path)]}",
        seconds=SECONDS,
    )


def _rows_loaded(product: Product, rows: list[samples.Fields], what: str) -> None:
    wait_until(lambda: loaded(product, rows), what, seconds=SECONDS)


GAMES: dict[str, Game] = {
    "writers that stall with the file open": stalling_writers,
    "corrections of the same size and time": disguised_corrections,
    "hidden and NAS folders": hidden_folders,
    "damaged JSON and orphans that can't heal, SIGTERM obeyed": damaged_and_poisoned,
    "1,300 idle connections": idle_crowd,
}
