"""A private PostgreSQL in a temporary folder, databases in it made from one template, and their configuration."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import yaml
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from config.config_loader import DEFAULT_CONFIG, get_config
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.embedded_server import EmbeddedServer
from datawarehouse.schema_init import init_schema

CITIES, REGIONS, RESTAURANTS, DRIVERS, CUSTOMERS = 5, 20, 500, 500, 1_000
TEMPLATE = "benchmark_template"
CSV_CONFIG = "orders_as_csv.yaml"
OUTSIDE = ("FASTFEAST_", "DATABASE_", "PG", "SMTP_", "PII_", "ALERTING_")  # variables that must not leak in

_MASTER = """
INSERT INTO dim_city (city_id, city_name, country, timezone, _file_id)
SELECT i, 'City ' || i, 'Egypt', 'Africa/Cairo', 0 FROM generate_series(1, %(cities)s) AS i;
INSERT INTO dim_region (region_id, region_name, city_id, delivery_base_fee, city_name, _file_id)
SELECT i, 'Region ' || i, i %% %(cities)s + 1, 10, 'City ' || i %% %(cities)s + 1, 0
FROM generate_series(1, %(regions)s) AS i;
INSERT INTO dim_segment (segment_id, segment_name, discount_pct, priority_support, _file_id)
VALUES (1, 'Regular', 0, false, 0), (2, 'VIP', 10, true, 0);
INSERT INTO dim_category (category_id, category_name, _file_id) VALUES (1, 'Grill', 0);
INSERT INTO dim_restaurant (restaurant_id, restaurant_name, region_id, category_id, price_tier, rating_avg,
    prep_time_avg_min, is_active, created_at, updated_at, _file_id)
SELECT i, 'Restaurant ' || i, i %% %(regions)s + 1, 1, 'Mid', 4, 20, true, '2025-01-01', '2025-01-01', 0
FROM generate_series(1, %(restaurants)s) AS i;
INSERT INTO dim_driver (driver_id, driver_name, driver_phone, national_id, region_id, shift, vehicle_type,
    hire_date, rating_avg, on_time_rate, cancel_rate, completed_deliveries, is_active, created_at, updated_at,
    _file_id)
SELECT i, 'Driver ' || i, md5('p' || i) || md5('q' || i), md5('n' || i) || md5('m' || i), i %% %(regions)s + 1,
    'night', 'Bike', '2025-01-01', 4, 0.9, 0.1, 100, true, '2025-01-01', '2025-01-01', 0
FROM generate_series(1, %(drivers)s) AS i;
"""

_CUSTOMERS = """
INSERT INTO dim_customer (customer_id, full_name, email, phone, region_id, segment_id, signup_date, gender,
    created_at, updated_at, _file_id)
SELECT i, 'Customer ' || i, md5(i::text) || md5('e' || i), md5('p' || i) || md5('q' || i), i %% %(regions)s + 1,
    i %% 2 + 1, '2025-01-01', 'female', '2025-01-01', '2025-01-01', 0
FROM generate_series(%(first)s, %(last)s, %(step)s) AS i
"""


class CountError(Exception):
    """A figure in the warehouse is not what the input must yield: the time measured is worth nothing."""


def check(what: str, found: object, expected: object) -> None:
    """Raise CountError unless both are equal."""
    if found != expected:
        raise CountError(f"{what}: found {found}, expected {expected}")


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Within, os.environ has `variables` and no setting of the pipeline from outside; yields a copy of it."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(OUTSIDE):
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield dict(os.environ)
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True, slots=True)
class Database:
    """A database with the shipped tables and a small master, and a home folder beside it."""

    url: str
    home: Path

    def variables(self, *, csv: bool = True) -> dict[str, str]:
        """What a pipeline process needs to use it; with `csv`, orders arrive as orders.csv."""
        source = str(self.home / CSV_CONFIG) if csv else str(DEFAULT_CONFIG)
        return {"FASTFEAST_HOME": str(self.home), "DATABASE_URL": self.url, "FASTFEAST_CONFIG": source}

    def config(self, *, csv: bool = True) -> PipelineConfig:
        """The shipped configuration with this home and database."""
        with environment(self.variables(csv=csv)):
            return get_config()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in autocommit mode, closed at the end."""
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """An open warehouse, as the pipeline has it, closed at the end."""
        warehouse = Warehouse(DatabaseConfig(url=self.url, statement_timeout_seconds=3_600), self.home)
        warehouse.open()
        try:
            yield warehouse
        finally:
            warehouse.close()

    def row(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> tuple[Any, ...]:
        """The first row of a query; () when it has none."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchone() or ()

    def run(self, *statements: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> None:
        """Run statements, each in a transaction of its own."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, parameters)

    def add_customers(self, last: int, step: int = 1) -> None:
        """Customers 1, 1 + step, … up to `last`, by generate_series; their foreign keys are good."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(_CUSTOMERS, {"regions": REGIONS, "first": 1, "last": last, "step": step})
            cursor.execute("VACUUM (ANALYZE) dim_customer")


@dataclass(frozen=True, slots=True)
class Bench:
    """What every case gets. `scale` 1 is the full size; `runs` is how often each thing is measured."""

    folder: Path
    url: str  # with {dbname}
    scale: float
    runs: int
    seed: int

    def size(self, full: int, least: int = 1) -> int:
        """`full`, scaled, but not under `least`."""
        return max(least, round(full * self.scale))

    @contextmanager
    def database(self, name: str, customers: int = CUSTOMERS, step: int = 1) -> Iterator[Database]:
        """A fresh database with customers 1, 1 + step, …; database and home are removed at the end."""
        home = self.folder / name
        home.mkdir()
        _write_csv_config(home / CSV_CONFIG)
        quoted = sql.Identifier(name)
        server = Database(self.url.format(dbname="postgres"), home)
        database = Database(self.url.format(dbname=name), home)
        with server.connect() as administrator, administrator.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(quoted, sql.Identifier(TEMPLATE)))
            try:
                database.add_customers(customers, step)
                yield database
            finally:
                cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))
                shutil.rmtree(home, ignore_errors=True)


@contextmanager
def private_bench(scale: float, runs: int, seed: int, parent: Path | None = None) -> Iterator[Bench]:
    """A server of its own below `parent` (default: the temporary folder); server and folder go at the end."""
    folder = Path(tempfile.mkdtemp(prefix="ffbench-", dir=parent))
    folder.chmod(0o711)  # root runs the server under another account, which must pass through
    server = EmbeddedServer(folder / "pg")
    try:
        found = server.start()
        bench = Bench(
            folder,
            f"postgresql://{found['user']}@:{found['port']}/{{dbname}}?host={found['host']}",
            scale,
            runs,
            seed,
        )
        with environment({}):
            _make_template(bench)
        yield bench
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _make_template(bench: Bench) -> None:
    database = Database(bench.url.format(dbname=TEMPLATE), bench.folder)
    with database.warehouse() as warehouse:  # which creates the database
        init_schema(warehouse, get_config(DEFAULT_CONFIG))
    sizes = {"cities": CITIES, "regions": REGIONS, "restaurants": RESTAURANTS, "drivers": DRIVERS}
    database.run(_MASTER, parameters=sizes)


def _write_csv_config(path: Path) -> None:
    """The shipped YAML, but orders arrive as CSV."""
    shipped = yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))
    expected = shipped["watcher"]["stream"]["expected_files"]
    expected["orders.csv"] = expected.pop("orders.json")
    path.write_text(yaml.safe_dump(shipped, sort_keys=False), encoding="utf-8")
