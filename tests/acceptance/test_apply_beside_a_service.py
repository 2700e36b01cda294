"""`apply` beside a service that loads steadily: no file fails, and the pause is short."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import yaml

from config.settings import DatabaseConfig
from tests.acceptance.daemon import BANNER, QUICK, Product, wait_until
from tests.integration.small import settings_of

MOST_SECONDS = 15  # from a file's arrival to its commit, on a machine that is busy with other tests
FORMER: dict[str, Any] = {
    "table": "fact_sale",
    "extension": ".*.csv",
    "key": "n",
    "columns": {
        "n": "int",
        "sum": {"dtype": "int"},
        "name": {"dtype": "str", "sql_type": "varchar(20)"},
        "place": "str",
    },
}
NEW: dict[str, Any] = {
    **FORMER,
    "indexes": ["town"],
    "columns": {
        "n": "int",
        "sum": {"dtype": "int", "sql_type": "bigint"},
        "name": {"dtype": "str", "sql_type": "varchar(60)"},
        "town": {"dtype": "str", "was": "place", "from": "place"},
        "more": {"dtype": "int", "optional": True},
    },
}


class Sales:
    """Files that come all the time, each with rows of its own."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.put_at: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._steadily)

    def put(self, rows: int) -> None:
        number = next(self._numbers)
        lines = (f"{number * 100_000 + row},1,a shop,north\n" for row in range(rows))
        name = f"sale.{number}.csv"
        self.put_at[name] = time.time()
        self.product.batch(name, "n,sum,name,place\n" + "".join(lines))

    def _steadily(self) -> None:
        while not self._done.wait(0.03):
            self.put(3)

    def __enter__(self) -> Sales:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def configure(product: Product, sale: dict[str, Any]) -> None:
    reader = {"file_type_map": {"sale.*.csv": "sale"}}
    settings = settings_of({"sale": sale}, reader=reader)
    settings["watcher"] |= QUICK["watcher"]
    product.config.write_text(yaml.safe_dump({**settings, "web": QUICK["web"]}))


def test_no_file_fails_and_none_waits_long(database: DatabaseConfig, tmp_path: Path) -> None:
    product = Product(tmp_path / "home", str(database.url))
    configure(product, FORMER)
    sales = Sales(product)
    sales.put(20_000)
    with product.running() as daemon:
        wait_until(lambda: product.value("SELECT count(*) FROM fact_sale") == 20_000, "the first file")
        with sales:
            configure(product, NEW)
            told = product.run("apply", "--yes", expect=0).stdout
            for step in ("add column", "change type", "rename column", "index"):
                assert step in told
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: daemon.output().count(BANNER) == 2, "the service goes on with the new YAML")
            time.sleep(0.5)
        count = len(sales.put_at)
        files = "SELECT file_name, status, extract(epoch FROM processed_at)::float AS at FROM pipeline_file_log"
        wait_until(lambda: len(product.rows(files)) == count, "all files")
        found = product.rows(files)
    assert {row["status"] for row in found} == {"success"}
    waited = max(row["at"] - sales.put_at[row["file_name"]] for row in found if row["file_name"] != "sale.1.csv")
    sys.stdout.write(f"{count} files, of which the longest waited {waited:.1f} s\n")  # pytest -s shows it
    assert waited < MOST_SECONDS
    assert product.value("SELECT count(*) FROM fact_sale WHERE town = 'north'") == 20_000 + 3 * (count - 1)
