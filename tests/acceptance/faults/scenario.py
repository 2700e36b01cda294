"""What every fault happens to: a loaded master, and round after round of files with good, bad and early rows."""

from __future__ import annotations

import datetime as dt
import os
import random
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from tests.acceptance import samples
from tests.acceptance.books import Audit
from tests.acceptance.daemon import Product
from tests.acceptance.server import Server

ROWS = 60  # orders in a round, and as many numbers again for its small files
SMALL_FILES, SMALL_ROWS = 3, 6  # that may be loaded together


@dataclass
class Tally:
    """A line of the soak table."""

    fault: str
    injected: int = 0
    in_transaction: int = 0
    lost: int = 0
    doubled: int = 0
    unbalanced: int = 0
    stuck: int = 0

    def add(self, audit: Audit) -> None:
        self.lost += audit.lost
        self.doubled += audit.doubled
        self.unbalanced += audit.unbalanced


class Bench:
    """A server of its own and a product whose master is loaded; `clone` gives a fresh copy of both."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.server = Server().start()
        self.kept = ExitStack()  # what a game made and its audit looks at: closed with the bench
        self._clones = 0
        self.base = Product(folder / "base", self.server.url("base"), **_quick(changes))
        samples.write_master(self.base.home)
        self.base.once(expect=0)

    def clone(self, *, port: int | None = None, **changes: Any) -> Product:
        """A product with the master loaded. `port` is that of a proxy before the server."""
        self._clones += 1
        name = f"clone{self._clones}"
        self.execute("CREATE DATABASE {} TEMPLATE base", name)
        home = self.folder / name
        shutil.copytree(self.base.home, home)
        product = Product(home, self.server.url(name, port=port), **_quick(changes))
        product.watch_url = self.server.url(name)
        return product

    def quick(self, changes: dict[str, Any]) -> dict[str, Any]:
        """The settings of a clone with `changes`, for Product.configure."""
        return _quick(changes)

    def execute(self, statement: str, *identifiers: str) -> None:
        connection = psycopg2.connect(self.server.url())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, identifiers)))
        finally:
            connection.close()

    def close(self) -> None:
        self.kept.close()
        self.server.remove()


Game = Callable[[Bench, random.Random, Tally], Audit]  # of the soak: breaks something, again and again


def _quick(changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "watcher": {"batch": {"catch_up_days": 3650}},
        "reader": {"chunk_rows": 20},
        "quarantine": {"retry_minutes": 0.02, "alert_above": 1},
        **changes,
    }


def put_round(product: Product, number: int) -> None:
    """Orders with bad, twin and early rows, tickets and events of them, last round's customers; and small files.

    The small ones have such rows too. Tickets of the last round come again, closed; and a customer moves.
    """
    first = number * 2 * ROWS
    orders = [samples.order(first + n) for n in range(ROWS)]
    orders[3]["payment_method"] = "gold"
    orders[30]["order_amount"] = -5
    orders[40] = dict(orders[10])
    for n in (5, 25, 45):
        orders[n]["customer_id"] = late_customer(number)
    hour = f"{number // 24:03d}/{number % 24:02d}"
    # The children first: what is early must heal.
    product.stream(hour, "ticket_events.json", [samples.event(first + n) for n in range(0, ROWS, 5)])
    tickets = [samples.ticket(first + n) for n in range(0, ROWS, 5)]
    tickets[2]["status"] = "lost"
    if number:
        tickets += [samples.ticket(first - 2 * ROWS + n, status="Closed") for n in (0, 15)]
    product.stream(hour, "tickets.csv", tickets)
    product.stream(hour, "orders.json", orders)
    for part in range(SMALL_FILES):
        few = [samples.order(first + ROWS + part * SMALL_ROWS + n) for n in range(SMALL_ROWS)]
        few[1]["order_amount"] = -5
        few[2]["customer_id"] = late_customer(number)
        few[4] = dict(few[3])
        product.stream(f"{hour}/{part}", "orders.json", few)
    if number:
        newcomers = [samples.customer(late_customer(number - 1)), samples.customer(500_000 + number, gender="?")]
        since = dt.datetime(2026, 2, 20, 9) + dt.timedelta(minutes=number)
        mover = samples.customer(1 + number % samples.CUSTOMERS, region_id=2 - number // 20 % 2, updated_at=since)
        product.batch("customers.csv", [*newcomers, mover], day=str(dt.date(2020, 1, 1) + dt.timedelta(number)))


def files_of(rounds: int) -> int:
    """How many files the master and so many rounds are; the first of them brings no customers."""
    return len(samples.master_rows()) + rounds * (4 + SMALL_FILES) - 1


def put_rounds(product: Product, numbers: Iterable[int]) -> None:
    for number in numbers:
        put_round(product, number)


def late_customer(number: int) -> int:
    """A customer whom round `number` names and round `number + 1` brings."""
    return 100_000 + number


def settle(product: Product) -> Audit:
    """Let the product finish in peace, and audit it.

    A fault may put off the healing of orphans beyond the next file, whose rows then have to wait, too: which
    rows had to wait is not asked, only that all of them got where they belong.
    """
    done = product.once()
    assert done.returncode in {0, 1}, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return Audit(product, in_order=False)


def backends(product: Product) -> list[int]:
    """Process ids of the server's backends that serve the product, those in a transaction first."""
    rows = product.rows(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend' ORDER BY backend_xid IS NULL, xact_start IS NULL"
    )
    return [row["pid"] for row in rows]


def in_transaction(product: Product) -> bool:
    """Has the product written something that it has not committed yet?"""
    count = product.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
    )
    return bool(count)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
