"""Small files that come together: what is wrong with one of them costs the others nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.errors import WarehouseUnavailable
from config.model import Contract, DatabaseConfig, FileJob, FileOutcome, FileSpec, PipelineConfig, Status
from datawarehouse import file_log
from datawarehouse.db_connection import Warehouse
from ingestion import ingestion_runner
from ingestion.file_load import FileLoad
from ingestion.file_watcher import scan_everything, scan_master
from ingestion.group_load import GroupLoad
from tests.acceptance import samples
from tests.conftest import opened, with_files
from tests.integration.test_ingestion_runner import runner_of
from validation.pii_handler import PiiHandler


class Site:
    """Input folders, and a runner that loads what is in them."""

    def __init__(self, warehouse: Warehouse, config: PipelineConfig) -> None:
        self.warehouse = warehouse
        self.config = config
        for name, rows in samples.master_rows().items():
            path = config.path(config.watcher.master.dir) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            samples.write(path, rows)

    def put(self, folder: str, rows: list[dict[str, Any]] | str, name: str = "orders.json") -> Path:
        """A file of the stream that was closed long ago."""
        path = self.config.path(self.config.watcher.stream.dir) / samples.DAY / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rows) if isinstance(rows, str) else samples.write(path, rows)
        os.utime(path, (1_700_000_000, 1_700_000_000))
        return path

    def drain(self) -> dict[str, str]:
        """Load everything; the status of each stream file by its folder."""
        with runner_of(self.warehouse, self.config) as (runner, inbox):
            scan_master(self.config, inbox)
            runner.drain()
            scan_everything(self.config, inbox)
            runner.drain()
        with self.warehouse.transaction() as tx:
            tx.execute("SELECT file_path, status FROM pipeline_file_log WHERE file_type = 'stream'")
            return {Path(path).parent.name: status for path, status in tx.fetchall()}

    def one(self, statement: str) -> Any:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            (row,) = tx.fetchall()
        return row[0] if len(row) == 1 else row


@pytest.fixture
def site(warehouse: Warehouse, config: PipelineConfig) -> Site:
    return Site(warehouse, config)


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[list[FileOutcome]]:
    """What was loaded together, group by group."""
    groups: list[list[FileOutcome]] = []
    run = GroupLoad.run

    def noted(group: GroupLoad, jobs: Any) -> list[FileOutcome]:
        groups.append(run(group, jobs))
        return groups[-1]

    monkeypatch.setattr(GroupLoad, "run", noted)
    return groups


def orders(hour: int, count: int = 4, **changes: Any) -> list[dict[str, Any]]:
    return [samples.order(100 * hour + n, **changes) for n in range(count)]


def test_a_bad_file_is_left_out_and_the_others_load_together(
    site: Site, together: list[list[FileOutcome]]
) -> None:
    for hour in range(8):
        site.put(f"{hour}", orders(hour))
    site.put("3", "[{broken")
    site.put("5", orders(0))  # the content of the first
    site.put("6", [*orders(6), samples.order(100)])  # has an order of another file: it comes after that one
    found = site.drain()
    assert found.pop("3") == "failed"
    assert set(found.values()) == {"success"}
    assert sorted(found) == ["0", "1", "2", "4", "6", "7"]
    (group,) = [outcomes for outcomes in together if outcomes and outcomes[0].job.spec.name == "orders"]
    assert [outcome.job.path.parent.name for outcome in group] == ["0", "1", "2", "4", "7"]
    assert site.one("SELECT count(*) FROM fact_order") == 24
    assert site.one("SELECT sum(already_present) FROM pipeline_file_log WHERE file_type = 'stream'") == 1


def test_each_file_has_its_own_rows_orphans_and_backup(site: Site, together: list[list[FileOutcome]]) -> None:
    late = {"customer_id": 77}
    site.put("0", [*orders(0), samples.order(50, **late)])
    site.put("1", [*orders(1), samples.order(150, payment_method="gold"), samples.order(151, **late)])
    site.put("2", samples.json_text(orders(2)).replace("[", "[17,", 1))
    site.drain()
    assert [len(outcomes) for outcomes in together if outcomes][-1] == 3
    query = (
        "SELECT array_agg((split_part(l.file_path, '/', -2) || ':' || q.row_number) ORDER BY 1) FROM quarantine q"
    )
    assert site.one(f"{query} JOIN pipeline_file_log l USING (file_id)") == ["0:5", "1:5", "1:6", "2:1"]
    backup = next(site.config.path(site.config.quarantine.dir).glob("stream/quarantined_*.csv"))
    assert len(backup.read_text().splitlines()) == 1 + 4
    assert site.one("SELECT bool_and(backup_written) FROM pipeline_file_log")
    customers = site.config.path(site.config.watcher.batch.dir) / samples.DAY / "customers.csv"
    customers.parent.mkdir(parents=True)
    samples.write(customers, [samples.customer(77)])
    os.utime(customers, (1_700_000_000, 1_700_000_000))
    site.drain()
    assert site.one("SELECT count(*) FROM fact_order WHERE customer_id = 77") == 2
    assert site.one("SELECT sum(resolved_orphans) FROM pipeline_file_log") == 2


def test_a_file_too_dirty_for_its_contract_fails_alone(site: Site, together: list[list[FileOutcome]]) -> None:
    contract = Contract.model_validate({"max_reject_pct": 20, "abort": True})
    site.config = with_files(site.config, tuple(_held_to(contract, spec) for spec in site.config.files))
    for hour in range(3):
        site.put(f"{hour}", orders(hour))
    site.put("3", orders(3, payment_method="gold"))
    assert site.drain() == {"0": "success", "1": "success", "2": "success", "3": "failed"}
    assert [len(outcomes) for outcomes in together if outcomes][-1] == 3
    assert site.one("SELECT count(*) FROM fact_order") == 12


def _held_to(contract: Contract, spec: FileSpec) -> FileSpec:
    return replace(spec, contract=contract) if spec.name == "orders" else spec


def test_a_bug_that_shows_with_many_files_is_met_by_loading_them_one_by_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[FileOutcome]:
        raise ValueError("a value of the data")

    monkeypatch.setattr(GroupLoad, "run", fail)
    for hour in range(3):
        site.put(f"{hour}", orders(hour))
    assert site.drain() == {"0": "success", "1": "success", "2": "success"}
    assert site.one("SELECT count(*) FROM fact_order") == 12


def test_a_file_that_changes_while_it_is_read_waits_and_the_others_load(
    site: Site, monkeypatch: pytest.MonkeyPatch, together: list[list[FileOutcome]]
) -> None:
    paths = [site.put(f"{hour}", orders(hour)) for hour in range(3)]
    _at_claim(monkeypatch, lambda: samples.write(paths[1], orders(1, 5)))
    assert site.drain() == {"0": "success", "1": "success", "2": "success"}
    assert [len(outcomes) for outcomes in together if outcomes][-1] == 2
    assert site.one("SELECT count(*) FROM fact_order") == 13


def _at_claim(monkeypatch: pytest.MonkeyPatch, event: Callable[[], object]) -> None:
    """Do `event` once, when orders are claimed together."""
    claim = file_log.claim_new
    done: list[object] = []

    def claim_new(tx: Any, jobs: Any) -> Any:
        if jobs[0].spec.name == "orders" and not done:
            done.append(event())
        return claim(tx, jobs)

    monkeypatch.setattr(file_log, "claim_new", claim_new)


def test_files_in_another_daemons_hands_are_waited_for_one_by_one(
    site: Site, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch, together: list[list[FileOutcome]]
) -> None:
    paths = [site.put(f"{hour}", orders(hour)) for hour in range(4)]
    with opened(database, site.config.home) as other:
        spec = site.config.by_logical_name["orders"]
        load = FileLoad(other, site.config, PiiHandler(site.config.pii.hash_key))

        def load_elsewhere() -> Status:
            return load.run(FileJob(paths[2], spec, 0, 0)).status

        _at_claim(monkeypatch, load_elsewhere)
        assert set(site.drain().values()) == {"success"}
    assert [len(outcomes) for outcomes in together if outcomes][-1] == 3
    assert site.one("SELECT count(*) FROM fact_order") == 16
    assert site.one("SELECT sum(inserted_records) FROM pipeline_file_log WHERE file_type = 'stream'") == 16


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(ingestion_runner, "send_alert", lambda kind, _text: told.append(kind))
    return told


def test_a_database_that_goes_away_takes_no_file_along(
    site: Site, monkeypatch: pytest.MonkeyPatch, alerts: list[str]
) -> None:
    run = GroupLoad.run
    tried: list[list[str]] = []

    def away_at_first(group: GroupLoad, jobs: Any) -> list[FileOutcome]:
        if jobs[0].spec.name == "orders":
            tried.append([job.path.parent.name for job in jobs])
            if len(tried) == 1:
                monkeypatch.setattr(ingestion_runner.IngestionRunner, "_reachable", answers)
                raise WarehouseUnavailable("away")
        return run(group, jobs)

    answered: list[bool] = []

    def answers(_runner: object) -> bool:
        answered.append(len(answered) >= 3)
        return answered[-1]

    monkeypatch.setattr(GroupLoad, "run", away_at_first)
    for hour in range(5):
        site.put(f"{hour}", orders(hour))
    assert len(site.drain()) == 5
    assert tried == [["0", "1", "2", "3", "4"]] * 2
    assert alerts == ["Database unavailable", "Database available again"]
    assert site.one("SELECT count(*) FROM fact_order") == 20
