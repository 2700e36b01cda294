"""Rights and tables that go and come back, a standby that takes over, an older dump: how they are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from tests.acceptance.daemon import Product
from tests.acceptance.faults.proxy import Proxy
from tests.acceptance.faults.scenario import Bench
from tests.acceptance.server import Server, Standby

LOADER = "ff_loader"
RIGHTS = {
    "right": ("REVOKE INSERT ON fact_order FROM ff_loader", "GRANT INSERT ON fact_order TO ff_loader"),
    "table": ("ALTER TABLE fact_order RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO fact_order"),
    "column": (
        "ALTER TABLE fact_order RENAME COLUMN order_amount TO amount",
        "ALTER TABLE fact_order RENAME COLUMN amount TO order_amount",
    ),
    "schema": (
        "REVOKE USAGE ON SCHEMA public FROM ff_loader, public",
        "GRANT USAGE ON SCHEMA public TO ff_loader",
    ),
}


def change(product: Product, *statements: str) -> None:
    """Run statements as the tables' owner."""
    connection = product.connect()
    try:
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def with_a_loader(bench: Bench, **changes: Any) -> Product:
    """A product whose role owns nothing and has the rights that loading needs."""
    product = bench.clone(**changes)
    if not product.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", LOADER):
        bench.execute("CREATE ROLE {} LOGIN", LOADER)
    change(
        product,
        "GRANT USAGE ON SCHEMA public TO ff_loader",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ff_loader",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO ff_loader",
    )
    assert product.url is not None
    product.url = product.url.replace("postgres@", f"{LOADER}@")
    return product


@contextmanager
def standby_of(server: Server) -> Iterator[Standby]:
    standby = Standby(server).start()
    try:
        assert isinstance(standby, Standby)
        yield standby
    finally:
        standby.remove()


def fail_over(product: Product, server: Server, standby: Standby, proxy: Proxy) -> None:
    """The server is lost for good; the standby, which was stopped, takes its place as it was."""
    server.stop("immediate")
    standby.start()
    standby.promote()
    lead_to(product, standby, proxy)
    proxy.cut()


def lead_to(product: Product, standby: Standby, proxy: Proxy) -> None:
    """New connections of the product go to `standby`, and the test looks there."""
    proxy.target = standby.port
    assert product.watch_url is not None
    product.watch_url = standby.url(product.watch_url.rpartition("/")[2])


def replayed(primary: Server, standby: Server) -> bool:
    """Has the standby got all that the primary has written?"""
    at = value(primary.url(), "SELECT pg_current_wal_lsn()::text")
    return bool(value(standby.url(), f"SELECT pg_last_wal_replay_lsn() >= '{at}'::pg_lsn"))


def value(url: str, query: str) -> Any:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            (found,) = cursor.fetchone() or (None,)
            return found
    finally:
        connection.close()


def restored(bench: Bench, dump: Path, name: str) -> None:
    """Restore beside the loading; again where PostgreSQL ended a deadlock with a load at the restore's expense."""
    for again in (True, True, True, False):
        try:
            bench.server.run("pg_restore", "--clean", "--if-exists", "--dbname", bench.server.url(name), dump)
        except AssertionError as error:
            if not (again and "deadlock detected" in str(error)):
                raise
        else:
            return
