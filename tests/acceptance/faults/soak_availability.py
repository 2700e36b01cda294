"""The soak's games with a warehouse that changes its rights, its server or its past."""

from __future__ import annotations

import random
import time

from tests.acceptance.books import Audit
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults.availability import (
    RIGHTS,
    change,
    fail_over,
    replayed,
    restored,
    standby_of,
    with_a_loader,
)
from tests.acceptance.faults.proxy import Proxy
from tests.acceptance.faults.scenario import (
    Bench,
    Game,
    Tally,
    files_of,
    in_transaction,
    put_round,
    put_rounds,
    settle,
)

ROUNDS = 8
DRAIN_SECONDS = 120


def lost_rights(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """A table or a right on it is gone for seconds, while files come (row 23)."""
    product = with_a_loader(bench)
    with product.running():
        for number in range(ROUNDS):
            spoil, mend = dice.choice(list(RIGHTS.values()))
            change(product, spoil)
            tally.injected += 1
            put_round(product, number)
            time.sleep(dice.uniform(0, 2))
            change(product, mend)
        product.wait_for_files(files_of(ROUNDS), seconds=DRAIN_SECONDS)
        _none_failed(product)
    return settle(product)


def failovers(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """The server is lost, and the standby that takes its place was behind (row 22)."""
    folder = bench.folder / f"own{tally.injected}"
    own = Bench(folder)
    bench.kept.callback(own.close)
    standby = bench.kept.enter_context(standby_of(own.server))
    with Proxy(own.server.port) as proxy:
        product = own.clone(port=proxy.port)
        with product.running():
            put_round(product, 0)
            product.wait_for_files(files_of(1))
            wait_until(lambda: replayed(own.server, standby), "the standby has all so far")
            standby.stop()
            put_rounds(product, range(1, ROUNDS // 2))
            time.sleep(dice.uniform(0, 3))
            tally.in_transaction += in_transaction(product)
            fail_over(product, own.server, standby, proxy)
            tally.injected += 1
            put_rounds(product, range(ROUNDS // 2, ROUNDS))
            product.wait_for_files(files_of(ROUNDS), seconds=DRAIN_SECONDS)
            _none_failed(product)
        return settle(product)


def restores(bench: Bench, dice: random.Random, tally: Tally) -> Audit:
    """An older dump is restored into the running service's database (row 22)."""
    product = bench.clone()
    name = str(product.url).rpartition("/")[2]
    dump = bench.server.dir / f"{name}.dump"
    with product.running():
        put_round(product, 0)
        product.wait_for_files(files_of(1))
        bench.server.run("pg_dump", "-Fc", "-f", dump, "--dbname", bench.server.url(name))
        put_rounds(product, range(1, ROUNDS))
        time.sleep(dice.uniform(0, 3))
        tally.in_transaction += in_transaction(product)
        restored(bench, dump, name)
        tally.injected += 1
        product.wait_for_files(files_of(ROUNDS), seconds=DRAIN_SECONDS)
        _none_failed(product)
    return settle(product)


def _none_failed(product: Product) -> None:
    failed = product.rows("SELECT file_path, error FROM pipeline_file_log WHERE status = 'failed'")
    assert failed == [], failed


GAMES: dict[str, Game] = {
    "rights and tables gone for seconds": lost_rights,
    "failover to a standby that was behind": failovers,
    "older dump restored into the running service": restores,
}
