"""A small installation for the tests of the operator's commands: files in, commands run, books checked."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import main
from config.config_loader import get_config
from config.jobs import FileJob, FileOutcome
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.backup import QuarantineBackup
from datawarehouse.quarantine.retry import OrphanRetry
from ingestion.file_load import FileLoad
from scripts.distribute import as_citus_takes_it
from tests.acceptance.daemon import SHIPPED_CONFIG
from validation.pii_handler import PiiHandler
from workbench.verify import run_checks

KEY = "a key for the tests"
CUSTOMERS = "customer_id,full_name,email,phone,region_id,segment_id,signup_date,gender,created_at,updated_at\n"
ORDERS = (
    "order_id,customer_id,restaurant_id,driver_id,region_id,order_amount,delivery_fee,discount_amount,total_amount,"
    "order_status,payment_method,order_created_at,delivered_at\n"
)
SETTLED = ("loaded", "replayed", "already_present", "duplicate")


def customer(number: Any, email: str = "ali@example.com", region: Any = 1, **changes: Any) -> str:
    values = {"name": f"Person {number}", "phone": "01012345678", "segment": 1, "gender": "male", **changes}
    return (
        f"{number},{values['name']},{email},{values['phone']},{region},{values['segment']},2026-01-01,"
        f"{values['gender']},2026-01-01,2026-01-01\n"
    )


def order(number: Any, customer_id: Any = 1, amount: Any = 10, pay: str = "card") -> str:
    return f"{number},{customer_id},1,1,1,{amount},1,0,11,Pending,{pay},2026-02-20T09:00:00,\n"


def update_if_newer(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """From now on the shipped configuration with updates by batch files of this name."""
    config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    entry = config["watcher"]["batch"]["expected_files"][name]
    del entry["keep"]
    entry.update(on_conflict="update_if_newer", newer_by="updated_at")
    for entry in config["watcher"]["stream"]["expected_files"].values():
        entry["derive"] = {column: how for column, how in entry["derive"].items() if "version_of" not in how}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))


def first_rows_stay(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on the shipped configuration with DO NOTHING: the row that came first stays."""
    config = as_citus_takes_it(yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8")))
    del config["database"]["distributed"]
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))


# Parents of customers and orders
PARENTS = """
INSERT INTO dim_city VALUES (1, 'c', 'E', 'z', 0);
INSERT INTO dim_region VALUES (1, 'r', 1, 1, 'c', 0);
INSERT INTO dim_segment VALUES (1, 'Regular', 0, false, 0);
INSERT INTO dim_category VALUES (1, 'x', 0);
INSERT INTO dim_restaurant (restaurant_id, restaurant_name, _file_id) VALUES (1, 'r', 0);
INSERT INTO dim_driver (driver_id, driver_name, completed_deliveries, _file_id) VALUES (1, 'd', 1, 0);
"""


class Site:
    """A home folder and a database."""

    def __init__(self, warehouse: Warehouse, home: Path) -> None:
        self.warehouse = warehouse
        self.home = home
        self.cli = CliRunner()

    @property
    def config(self) -> PipelineConfig:
        return get_config()

    def seed(self) -> None:
        self.execute(PARENTS)

    def load(self, relative: str, text: str | bytes) -> FileOutcome:
        """Load a file as the service does, with what follows a commit."""
        path = self.home / "data" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        spec = self.config.by_logical_name[path.name.partition(".")[0]]
        outcome = FileLoad(self.warehouse, self.config, PiiHandler(KEY)).run(FileJob(path, spec, 0, 0))
        if outcome.file_id and outcome.quarantined:
            self.backup.append([outcome.file_id], spec.feed)
        if outcome.inserted:
            OrphanRetry(self.warehouse, self.config).after(spec.table)
        return outcome

    @property
    def backup(self) -> QuarantineBackup:
        return QuarantineBackup(self.home / "data/quarantine", self.warehouse)

    def run(self, *arguments: object, expect: int | None = 0) -> str:
        """A command's output on both streams; `expect` is its exit code, None for any that it may have."""
        result = self.cli.invoke(main.app, [str(a) for a in arguments])
        said = f"{arguments}: {result.exit_code} {result.output} {result.exception!r}"
        assert result.exit_code in ({0, 1, 2} if expect is None else {expect}), said
        assert result.exception is None or isinstance(result.exception, SystemExit), said
        return str(result.output)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement, values or None)
            return tx.fetchall()

    def one(self, statement: str, *values: object) -> Any:
        (row,) = self.rows(statement, *values)
        return row if len(row) > 1 else row[0]

    def execute(self, statement: str) -> None:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)

    def quarantined(self, **equal: Any) -> list[int]:
        """quarantine_ids of rows by a value of raw_data."""
        ((name, value),) = equal.items()
        statement = "SELECT quarantine_id FROM quarantine WHERE raw_data ->> %s = %s ORDER BY 1"
        return [row[0] for row in self.rows(statement, name, str(value))]

    def check_books(self) -> None:
        """The file log, the tables, quarantine, its waits and its CSV backup say the same."""
        for file in self._files():
            rows = self.one(f"SELECT count(*) FROM {file['source_table']} WHERE _file_id = %s", file["file_id"])
            assert file["inserted_records"] + file["updated_records"] == rows, file
            found = self._refused(file["file_id"])
            assert file["quarantined"] == found["kept"], (file, found)
            assert file["resolved_orphans"] + file["resolved_records"] == found["settled"], (file, found)
            assert file["orphan_count"] == found["orphans"], (file, found)
            assert file["duplicate_count"] == found["duplicates"], (file, found)
        waits = "SELECT DISTINCT file_id, row_number FROM orphan_wait ORDER BY 1, 2"
        open_orphans = (
            "SELECT file_id, row_number FROM quarantine WHERE rejection_stage = 'orphan' AND resolution IS NULL"
            " ORDER BY 1, 2"
        )
        assert self.rows(waits) == self.rows(open_orphans)
        given_up = "SELECT quarantine_id, raw_data FROM quarantine WHERE resolution = 'true_orphan' ORDER BY 1"
        assert self.rows("SELECT quarantine_id, raw_data FROM true_orphan ORDER BY 1") == self.rows(given_up)
        assert self.rows("SELECT file_id FROM quarantine EXCEPT SELECT file_id FROM pipeline_file_log") == []
        differences = self._verified()
        assert differences == [], differences
        assert self._in_csv() == {
            str(row[0]): tuple(row[1:])
            for row in self.rows("SELECT quarantine_id, rejection_reason, reasons, raw_data FROM quarantine")
        }

    def _verified(self) -> list[dict[str, Any]]:
        """What `verify` finds in the database; seeded parents are of file 0, which no log has."""
        *checks, _backup = run_checks(self.warehouse, self.config)
        found = [row | {"check": check.name} for check in checks for row in check.differences]
        return [row for row in found if row["file_id"] != 0 and row["what"] != "rows of the table"]

    def _files(self) -> list[dict[str, Any]]:
        with self.warehouse.transaction() as tx:
            tx.execute("SELECT * FROM pipeline_file_log ORDER BY file_id")
            names = [column.name for column in tx.description or ()]
            return [dict(zip(names, row, strict=True)) for row in tx]

    def _refused(self, file_id: int) -> dict[str, int]:
        counts = self.one(
            "SELECT count(*) FILTER (WHERE resolution IS NULL OR resolution <> ALL (%s)),"
            " count(*) FILTER (WHERE resolution = ANY (%s)), count(*) FILTER (WHERE rejection_stage = 'orphan'),"
            " count(*) FILTER (WHERE reasons -> 0 ->> 'rule' = 'duplicate') FROM quarantine WHERE file_id = %s",
            list(SETTLED),
            list(SETTLED),
            file_id,
        )
        return dict(zip(("kept", "settled", "orphans", "duplicates"), counts, strict=True))

    def _in_csv(self) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {}
        for path in (self.home / "data/quarantine").rglob("*.csv"):
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    assert line["quarantine_id"] not in found
                    values = (line["rejection_reason"], json.loads(line["reasons"]), json.loads(line["raw_data"]))
                    found[line["quarantine_id"]] = values
        return found


def words(text: str, wanted: Sequence[str]) -> None:
    """All of `wanted` are in `text`, whatever its line breaks."""
    flat = " ".join(text.split())
    assert [word for word in wanted if word not in flat] == [], flat
