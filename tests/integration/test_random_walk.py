"""What operators, the clock and a changed configuration do, in any order: `verify` adds up after each step.

A walk is short here; CONTRIBUTING.md tells how to make it long. One that fails says its seed and its steps.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema.late_pii import mask_late_columns
from datawarehouse.schema_init import init_schema
from ingestion.file_tracker import FileTracker
from ingestion.retention import Retention
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.conftest import SETTINGS_FROM_OUTSIDE
from tests.integration.putting_right import CUSTOMERS, KEY, ORDERS, PARENTS, Site, customer, order
from validation.pii_handler import PiiHandler
from workbench.verify import run_checks

STEPS = int(os.environ.get("WALK_STEPS", "50"))
SEEDS = [int(seed) for seed in os.environ.get("WALK_SEED", "1,2").split(",")]
WALKED = ("dim_customer", "fact_order", "dim_visit", "fact_note", "dim_basket", "fact_basket_line")
KEYS = 6  # customers and orders, so that they meet again and again
KEPT_DAYS = 30

# Each seeded parent as a row that a file has brought.
BOOKS_OF_PARENTS = """
INSERT INTO pipeline_file_log (file_name, file_path, file_hash, file_size, file_type, logical_name, source_table,
                               status, total_records, valid_records, inserted_records, spec_hash)
VALUES ('{table}', '{table}', '{table}', 0, 'batch', '{table}', '{table}', 'success', 1, 1, 1, '');
UPDATE {table} SET _file_id = (SELECT file_id FROM pipeline_file_log WHERE file_name = '{table}');
"""


# Beside the shipped ones: rows of a key of two columns that refer to each other, rows without a key to them, and
# records with arrays of other rows
OTHERS: dict[str, dict[str, Any]] = {
    "visits": {
        "table": "dim_visit",
        "foreign_keys": {"site, before": "visits", "customer_id": "customers"},
        "key": ["site", "no"],
        "columns": {"site": "str", "no": "int", "before": "int", "customer_id": "int"},
        "keep": "history",
    },
    "prices": {
        "table": "dim_price",
        "foreign_keys": {},
        "key": "id",
        "columns": {"id": "int", "amount": "int"},
        "keep": "latest",
    },
    "people": {
        "table": "dim_person",
        "foreign_keys": {"price": "prices"},
        "key": "id",
        "columns": {"id": "int", "name": "str", "price": "int", "mark": "int", "at": "datetime"},
        "keep": "history",
        "newer_by": "at",
        "track": ["name", "price"],
    },
    "ranks": {
        "table": "dim_rank",
        "foreign_keys": {"person": "people"},
        "key": "id",
        "columns": {"id": "int", "person": "int"},
        "keep": "history",
    },
    "notes": {
        "table": "fact_note",
        "foreign_keys": {"site, no": "visits"},
        "key": "row",
        "columns": {"site": "str", "no": "int"},
    },
    "baskets": {
        "file": "baskets.json",
        "table": "dim_basket",
        "foreign_keys": {"customer_id": "customers"},
        "key": ["basket"],
        "columns": {"basket": "int", "customer_id": "int"},
    },
    "lines": {
        "file": "lines",
        "from_child": {"of": "baskets", "path": "lines"},
        "table": "fact_basket_line",
        "foreign_keys": {"site, no": "visits"},
        "key": ["basket", "position"],
        "columns": {"site": "str", "no": "int"},
    },
}


class Walk:
    """A site at random; each step is a method, and says in words what it did."""

    def __init__(self, site: Site, seed: int, config_path: Path) -> None:
        self.site = site
        self.random = Random(seed)
        self.did: list[str] = []
        self.loaded: list[tuple[str, str]] = []
        self._path = config_path
        self._choices: dict[str, bool] = {}
        self.steps: dict[Callable[[], str], int] = {
            self.load: 8,
            self.load_again: 1,
            self.edit: 5,
            self.replay: 5,
            self.discard: 2,
            self.undo: 4,
            self.reprocess: 8,
            self.erase: 1,
            self.give_orphans_up: 1,
            self.heal: 2,
            self.grow_old: 2,
            self.change_rules: 4,
            self.delete_by_hand: 4,
        }

    def prepare(self) -> None:
        self.site.execute("ALTER TABLE dim_customer ALTER full_name TYPE varchar(64)")
        tables = [line.split()[2] for line in PARENTS.strip().splitlines()]
        self.site.execute(PARENTS + "".join(BOOKS_OF_PARENTS.format(table=table) for table in tables))
        for table in tables:
            self._begin_history(table)
        self._configure(relaxed=False, updates=False, pii=False, cheap=True)
        init_schema(self.site.warehouse, self.site.config)

    def _begin_history(self, table: str) -> None:
        """The version that the file of a seeded parent began, where its table has a history."""
        shared = self.site.one(
            "SELECT string_agg(h.column_name, ', ') FROM information_schema.columns AS h"
            " JOIN information_schema.columns AS t USING (column_name)"
            f" WHERE h.table_name = '{table}_history' AND t.table_name = '{table}'"
        )
        if shared:
            self.site.execute(
                f"INSERT INTO {table}_history ({shared}, valid_from) SELECT {shared}, '-infinity' FROM {table}"
            )

    def step(self) -> None:
        what = self.random.choices(list(self.steps), list(self.steps.values()))[0]
        self.did.append(f"{what.__name__}: ")
        self.did[-1] += what()

    # ---------------------------------------------------------------- files

    def load(self) -> str:
        keys = [self.random.randint(1, KEYS) for _ in range(self.random.randint(1, 8))]
        kinds = ["customers.csv", "orders.csv", "visits.csv", "notes.csv", "baskets.json"]
        name = self.random.choice(kinds)
        if name == "baskets.json":
            return self._load(name, json.dumps([self._basket(key) for key in keys]))
        if name == "customers.csv":
            text = CUSTOMERS + "".join(self._customer(key) for key in keys)
        elif name == "orders.csv":
            text = ORDERS + "".join(self._order(key) for key in keys)
        elif name == "visits.csv":
            text = "site,no,before,customer_id\n" + "".join(self._visit(key) for key in keys)
        elif name == "prices.csv":
            text = "id,amount\n" + "".join(f"{key},{self._key()}\n" for key in keys)
        elif name == "people.csv":
            text = "id,name,price,mark,at\n" + "".join(self._person(key) for key in keys)
        elif name == "ranks.csv":
            text = "id,person\n" + "".join(f"{key},{self.random.choice([key, self._key()])}\n" for key in keys)
        else:
            text = "site,no\n" + "".join(f"{self._site()},{self.random.choice([key, 'x'])}\n" for key in keys)
        if self.random.random() < 0.3:
            text += "1,2\n"
        return self._load(name, text)

    def _load(self, name: str, text: str) -> str:
        self.loaded.append((f"{len(self.loaded)}/2026-02-1{self.random.randint(1, 5)}/{name}", text))
        outcome = self.site.load(*self.loaded[-1])
        return f"file {outcome.file_id}, {text}"

    def load_again(self) -> str:
        if not self.loaded:
            return ""
        relative, text = self.random.choice(self.loaded)
        return f"{relative}: {self.site.load(relative, text).status}"

    def _customer(self, key: int) -> str:
        day = f"2026-03-{self.random.randint(1, 9):02d}"
        line = customer(
            key,
            region=self.random.choice([1, 1, 1, 2]),
            name=f"Person {key} of {day}",
            gender=self.random.choice(["male", "male", "x"]),
        )
        return line.replace("2026-01-01\n", f"{day}\n")

    def _order(self, key: int) -> str:
        return order(f"o{key}", self.random.randint(1, KEYS), amount=self.random.choice([1, 1, -1]))

    def _visit(self, key: int) -> str:
        before, customer_id = (self.random.choice(["", self._key()]) for _ in range(2))
        return f"{self._site()},{key},{before},{customer_id}\n"

    def _basket(self, key: int) -> dict[str, Any]:
        lines: list[Any] = [{"site": self._site(), "no": self._key()} for _ in range(self.random.randint(0, 3))]
        return {"basket": key, "customer_id": self._key(), "lines": [*lines, *self.random.choice([[], [], [5]])]}

    def _person(self, key: int) -> str:
        name, day = self.random.choice("ab"), self.random.randint(1, 4)
        at = self.random.choice(["", *(f"2026-03-0{day}",) * 5])
        return f"{key},{name},{self.random.choice(['', self._key()])},{self.random.choice([1, 2, 'x'])},{at}\n"

    def _site(self) -> str:
        return self.random.choice(["a", "b"])

    # ---------------------------------------------------------------- commands

    def edit(self) -> str:
        field = self.random.choice(
            [
                *(f"no={self._key()}", f"site={self._site()}", f"before={self._key()}"),
                *(
                    "mark=1",
                    "name=c",
                    "gender=male",
                    "order_amount=1",
                    "region_id=1",
                    "region_id=2",
                    "full_name=Person Edited",
                ),
                *(f"customer_id={self._key()}", f"order_id=o{self._key()}", "customer_id=x"),
            ]
        )
        return self._run("quarantine", "edit", self._row(), "--set", field)

    def replay(self) -> str:
        which = self.random.choice([(self._row(),), ("--file", self._file()), ("--stage", "orphan")])
        return self._run("quarantine", "replay", *which)

    def discard(self) -> str:
        return self._run("quarantine", "discard", self._row(), "--reason", "r")

    def undo(self) -> str:
        return self._run("undo", self._file())

    def reprocess(self) -> str:
        return self._run("reprocess", self._file())

    def erase(self) -> str:
        return self._run("erase", "--customer-key", self._key())

    def _run(self, *arguments: object) -> str:
        said = self.site.run(*arguments, "--yes", expect=None)
        assert "PostgreSQL:" not in said, said  # refused with a reason, or done
        return f"{' '.join(map(str, arguments))}: {' '.join(said.split())}"

    def _key(self) -> int:
        return self.random.randint(1, KEYS)

    def _row(self) -> int:
        rows = self.site.rows("SELECT quarantine_id FROM quarantine ORDER BY 1") or [(0,)]
        return int(self.random.choice(rows)[0])

    def _file(self) -> int:
        found = self.site.rows(
            "SELECT file_id FROM pipeline_file_log WHERE source_table = ANY (%s) ORDER BY 1", list(WALKED)
        )
        return int(self.random.choice(found or [(0,)])[0])

    # ---------------------------------------------------------------- the service and its clock

    def give_orphans_up(self) -> str:
        return str(OrphanRetry(self.site.warehouse, self.site.config).promote(0))

    def heal(self) -> str:
        return str(OrphanRetry(self.site.warehouse, self.site.config).everything())

    def grow_old(self) -> str:
        """Three weeks go by, and retention does its work."""
        site, back = self.site, "- interval '21 days'"
        site.execute(f"UPDATE quarantine SET quarantined_at = quarantined_at {back}")
        site.execute(f"UPDATE pipeline_file_log SET processed_at = processed_at {back}, backup_written = false")
        shutil.rmtree(site.home / "data/quarantine", ignore_errors=True)
        site.backup.reconcile(missing_files=True)
        tracker = FileTracker(site.config.path(site.config.tracker.db_path))
        Retention(site.config, site.warehouse, tracker, site.backup).prune()
        tracker.close()
        return ""

    # ---------------------------------------------------------------- the configuration

    def change_rules(self) -> str:
        """Rules are relaxed or not, rows are updated or not, names are sensitive or not; then a start."""
        self._configure(**self._choices | {self.random.choice(list(self._choices)): self.random.random() < 0.5})
        with self.site.warehouse.transaction() as tx:
            mask_late_columns(tx, self.site.config, PiiHandler(KEY))
        self.site.backup.reconcile()
        return str(self._choices)

    def _configure(self, **choices: bool) -> None:
        self._choices = choices
        config: dict[str, Any] = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
        columns = {(schema, c["name"]): c for schema, of in config["schemas"].items() for c in of["columns"]}
        columns["customers", "full_name"]["sql_type"] = "varchar(64)"
        if choices["pii"]:
            columns["customers", "full_name"]["pii"] = "email"
        if choices["relaxed"]:
            columns["customers", "gender"].pop("allowed_values")
        if not choices["cheap"]:
            columns["orders", "order_amount"]["rules"] = {"at_least": 1000}
        if not choices["updates"]:
            config["watcher"]["stream"]["expected_files"]["orders.json"]["keep"] = "first"
        for name, given in OTHERS.items():
            keys = {given["key"]} if isinstance(given["key"], str) else set(given["key"])
            config["schemas"][name] = {
                "primary_key": given["key"],
                "columns": [
                    {"name": column, "dtype": dtype, "nullable": column not in keys}
                    for column, dtype in given["columns"].items()
                ],
            }
            expected = {key: given[key] for key in ("table", "foreign_keys", "from_child") if key in given}
            config["watcher"]["batch"]["expected_files"][given.get("file", f"{name}.csv")] = expected
        config["retention"] = {"quarantine_days": KEPT_DAYS, "logs_days": None, "tracker_days": None}
        self._path.write_text(yaml.safe_dump(config))

    # ---------------------------------------------------------------- by hand

    def delete_by_hand(self) -> str:
        """A row goes; its file is reprocessed, as who finds the difference would."""
        table, key = self.random.choice(
            [("dim_customer", "customer_id"), ("fact_order", "order_id"), ("dim_rank", "id")]
        )
        found = self.site.rows(
            f"SELECT {key}, _file_id FROM {table} t WHERE NOT EXISTS (SELECT FROM fact_order o"
            f" WHERE o.customer_id::text = t.{key}::text) ORDER BY 1"
        )
        if not found:
            return ""
        value, file_id = self.random.choice(found)
        with self.site.warehouse.transaction() as tx:
            tx.execute(f"DELETE FROM {table} WHERE {key} = %s", (value,))
        differences = [
            row["table"]
            for check in run_checks(self.site.warehouse, self.site.config)
            for row in check.differences
        ]
        assert table in differences, "a row is gone, and verify says nothing"
        return f"{table} {value}, " + self._run("reprocess", file_id)

    # ---------------------------------------------------------------- what holds after each step

    def check(self) -> None:
        found = [
            {"check": check.name} | row
            for check in run_checks(self.site.warehouse, self.site.config)
            for row in check.differences
        ]
        assert found == []
        if self._choices["pii"]:
            everything = " UNION ALL ".join(
                f"SELECT to_jsonb(t)::text FROM {table} t"
                for table in ("dim_customer", "quarantine", "quarantine_history", "true_orphan")
            )
            assert [row for (row,) in self.site.rows(everything) if "Person" in row] == []
            for path in (self.site.home / "data/quarantine").rglob("*.csv"):
                assert "Person" not in path.read_text()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_books_hold_whatever_is_done_in_whatever_order(
    warehouse: Warehouse, database: DatabaseConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(tmp_path / "config.yaml"))
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setenv("PII_HASH_KEY", KEY)
    walk = Walk(Site(warehouse, tmp_path), seed, tmp_path / "config.yaml")
    walk.prepare()
    walk.check()
    for number in range(STEPS):
        try:
            walk.step()
            walk.check()
        except Exception as problem:
            raise AssertionError(f"seed {seed}, step {number}: {problem}\n" + "\n".join(walk.did)) from problem
