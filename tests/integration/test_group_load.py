"""Small files that come together: what is wrong with one of them costs the others nothing."""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.errors import Collision, WarehouseUnavailable
from config.expected_file import Contract
from config.file_spec import FileSpec
from config.jobs import FileJob, FileOutcome, Status
from config.model import Feed
from config.schema import Schema
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse import file_log
from datawarehouse.db_connection import Warehouse
from ingestion import aftermath, outage
from ingestion.file_load import FileLoad
from ingestion.group_load import GroupLoad, Together
from ingestion.master_seeder import seed_master
from ingestion.places import registry
from ingestion.scans import scan_everything
from tests.acceptance import samples
from tests.conftest import opened, with_files
from tests.integration.alerts import caught_alerts, titles
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
            seed_master(self.config, inbox)
            runner.drain()
            scan_everything(self.config, inbox)
            time.sleep(2 * self.config.watcher.settle_seconds)  # all of them have settled before one is taken
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
    watcher = config.watcher.model_copy(update={"settle_seconds": 0.01})
    return Site(warehouse, config.model_copy(update={"watcher": watcher}))


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[list[FileOutcome]]:
    """What was loaded together, group by group."""
    groups: list[list[FileOutcome]] = []
    run = GroupLoad.run

    def noted(group: GroupLoad, jobs: Any) -> Together:
        result = run(group, jobs)
        groups.append(result.loaded)
        return result

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


def test_a_database_that_goes_away_takes_no_file_along(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts = caught_alerts(monkeypatch)
    run = GroupLoad.run
    tried: list[list[str]] = []

    def away_at_first(group: GroupLoad, jobs: Any) -> Together:
        if jobs[0].spec.name == "orders":
            tried.append([job.path.parent.name for job in jobs])
            if len(tried) == 1:
                monkeypatch.setattr(outage.Outage, "reachable", answers)
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
    assert titles(alerts) == ["Database unavailable", "Database available again"]
    assert site.one("SELECT count(*) FROM fact_order") == 20


# ---------------------------------------------------------------- the order of files

SHARED = samples.uid("order", 100)
FIRST, SECOND = {"order_amount": 1.0, "total_amount": 16.0}, {"order_amount": 2.0, "total_amount": 17.0}


def amount(site: Site) -> float:
    return float(site.one(f"SELECT order_amount FROM fact_order WHERE order_id = '{SHARED}'"))


def test_a_large_file_is_not_overtaken_by_small_ones_behind_it(site: Site) -> None:
    site.put("0", orders(0))
    site.put("1", [*(samples.order(5000 + n) for n in range(300)), samples.order(100, **FIRST)])
    site.put("2", [*orders(2), samples.order(100, **SECOND)])
    site.drain()
    assert amount(site) == 1.0


def test_a_file_that_has_to_be_tried_again_is_not_overtaken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put("0", orders(0))
    site.put("1", [samples.order(0), samples.order(100, **FIRST)])
    site.put("2", [samples.order(1), samples.order(100, **SECOND)])
    run = FileLoad.run
    hit: list[FileJob] = []

    def collides_once(load: FileLoad, job: FileJob) -> FileOutcome:
        if job.path.parent.name == "1" and not hit:
            hit.append(job)
            raise Collision("a deadlock")
        return run(load, job)

    monkeypatch.setattr(FileLoad, "run", collides_once)
    site.drain()
    assert hit
    assert amount(site) == 1.0


# ---------------------------------------------------------------- what each file is held to


@pytest.mark.parametrize("dirty", range(4))
def test_each_file_is_held_to_its_contract_in_the_order_of_the_files(
    site: Site, monkeypatch: pytest.MonkeyPatch, dirty: int
) -> None:
    contract = Contract.model_validate({"max_reject_pct": 20})
    site.config = with_files(site.config, tuple(_held_to(contract, spec) for spec in site.config.files))
    alerts = caught_alerts(monkeypatch)
    for hour in range(4):
        site.put(f"{hour}", orders(hour, payment_method="gold") if hour == dirty else orders(hour))
    site.drain()
    kept_again = ["Dirty file: the next one is clean"] if dirty < 3 else []
    assert titles(alerts) == ["Nothing loaded", "Dirty file", *kept_again]
    folders = "array_agg(split_part(file_path, '/', -2) ORDER BY file_id)"
    assert site.one(f"SELECT {folders} FROM pipeline_file_log WHERE file_type = 'stream'") == list("0123")


def test_what_is_personal_of_an_erased_person_is_blanked_in_malformed_records_too(site: Site) -> None:
    spec = site.config.by_logical_name["orders"]
    columns = tuple(
        column.model_copy(update={"personal": True}) if column.name == "payment_method" else column
        for column in spec.schema.columns
    )
    changed = replace(spec, schema=Schema(name="orders", primary_key="order_id", columns=columns))
    site.config = with_files(site.config, tuple(changed if s is spec else s for s in site.config.files))
    with site.warehouse.transaction() as tx:
        tx.execute("INSERT INTO erased (source_table, key, erased_by) VALUES ('dim_customer', '5', 'me')")
    site.put("0", [*orders(0), samples.order(1000, customer_id=5, payment_method="CANARY", surplus=1)])
    site.put("1", orders(1))
    site.drain()
    raw = site.one("SELECT raw_data::text FROM quarantine")
    assert "surplus" in raw
    assert "CANARY" not in raw


def test_the_books_are_what_the_database_counted(site: Site) -> None:
    swallow = """
        CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RETURN CASE WHEN NEW.order_id = '{}' THEN NULL ELSE NEW END; END $$;
        CREATE TRIGGER swallow BEFORE INSERT ON fact_order FOR EACH ROW EXECUTE FUNCTION swallow();
        ALTER TABLE fact_order ENABLE ALWAYS TRIGGER swallow
    """
    with site.warehouse.transaction() as tx:
        tx.execute(swallow.format(samples.uid("order", 101)))
    for hour in range(3):
        site.put(f"{hour}", orders(hour))
    assert set(site.drain().values()) == {"success"}
    assert site.one("SELECT count(*) FROM fact_order") == 11
    counted = "SELECT array_agg((inserted_records, quarantined)::text ORDER BY file_path) FROM pipeline_file_log"
    assert site.one(f"{counted} WHERE source_table = 'fact_order'") == ["(4,0)", "(3,1)", "(4,0)"]
    assert "a trigger or rule" in site.one("SELECT rejection_reason FROM quarantine")


def test_a_ragged_last_line_does_not_keep_a_file_from_the_group(
    site: Site, together: list[list[FileOutcome]]
) -> None:
    site.put("0", orders(0, 40))
    site.drain()
    for hour in range(3):
        tickets = [samples.ticket(10 * hour + n) for n in range(3)]
        site.put(f"1{hour}", samples.csv_text(tickets) + "one,two\n", "tickets.csv")
    assert set(site.drain().values()) == {"success"}
    assert [len(outcomes) for outcomes in together if outcomes][-1] == 3
    assert site.one("SELECT array_agg(row_number) FROM quarantine") == [4, 4, 4]


def test_packed_files_are_not_held_together(site: Site, together: list[list[FileOutcome]]) -> None:
    """Nobody knows how much there is in them before they are unpacked."""
    for hour in range(3):
        path = site.put(f"{hour}", "", "orders.json.gz")
        path.write_bytes(gzip.compress(samples.json_text(orders(hour)).encode()))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert set(site.drain().values()) == {"success"}
    assert [outcomes for outcomes in together if outcomes] == []


# ---------------------------------------------------------------- nobody waits for another's trouble


def test_files_in_a_frozen_daemons_hands_hold_up_no_other(
    site: Site, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    stop = threading.Event()
    monkeypatch.setattr(aftermath, "report", lambda outcome, *_: reported.append(outcome.job.path.name))
    with (
        opened(database, site.config.home) as frozen,
        runner_of(site.warehouse, site.config, stop) as (runner, inbox),
        frozen.transaction() as tx,
    ):
        seed_master(site.config, inbox)
        runner.drain()
        for hour in range(6):
            job = FileJob(site.put(f"{hour}", orders(hour)), site.config.by_logical_name["orders"], 0, 0)
            with registry.opened(job.path) as file:
                file_log.claim(tx, job.evolve(size=file.size, md5=file.md5()))
        scan_everything(site.config, inbox)
        # Queued behind them, a file that waits for no orders.
        last = site.config.path(site.config.watcher.batch.dir) / samples.DAY / "customers.csv"
        last.parent.mkdir(parents=True)
        samples.write(last, [samples.customer(77)])
        os.utime(last, (1_700_000_000, 1_700_000_000))
        inbox.offer(last, Feed.BATCH)
        reported.clear()
        worker = threading.Thread(target=runner.run_loop)
        worker.start()
        deadline = time.monotonic() + 5
        while last.name not in reported and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        worker.join()
    assert reported == [last.name]


SAME_KEY = """
    CREATE TEMPORARY TABLE copied AS SELECT * FROM fact_order WHERE order_id = '{there}';
    UPDATE copied SET order_id = '{key}', order_sk = -1;
    INSERT INTO fact_order OVERRIDING SYSTEM VALUE SELECT * FROM copied
"""


def test_files_behind_one_whose_key_is_locked_load_soon(
    site: Site, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    stop = threading.Event()
    monkeypatch.setattr(aftermath, "report", lambda outcome, *_: reported.append(outcome.job.path.parent.name))
    with (
        opened(database, site.config.home) as other,
        runner_of(site.warehouse, site.config, stop) as (runner, inbox),
    ):
        seed_master(site.config, inbox)
        site.put("9", [samples.order(9000)])
        scan_everything(site.config, inbox)
        runner.drain()
        reported.clear()
        for hour in range(5):
            site.put(f"{hour}", orders(hour))
        scan_everything(site.config, inbox)
        with other.transaction() as tx:
            tx.execute(SAME_KEY.format(there=samples.uid("order", 9000), key=samples.uid("order", 0)))
            started = time.monotonic()
            worker = threading.Thread(target=runner.run_loop)
            worker.start()
            while len(reported) < 4 and time.monotonic() < started + 10:
                time.sleep(0.05)
            seconds = time.monotonic() - started
            tx.connection.rollback()
        stop.set()
        worker.join()
    assert seconds < 5
