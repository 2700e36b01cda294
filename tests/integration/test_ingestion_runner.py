"""What follows a commit is done before the next file, also when the database goes away in between."""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from config.errors import FileRejected, Stopped, WarehouseUnavailable
from config.jobs import FileJob, Status
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse import file_log
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine import backup as quarantine_backup
from datawarehouse.quarantine.retry import OrphanRetry
from ingestion import aftermath, archived, file_load, file_reader, maintenance, trouble
from ingestion.contract_watch import ContractWatch
from ingestion.file_tracker import FileTracker
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner
from ingestion.master_seeder import seed_master
from ingestion.places import registry
from ingestion.scans import scan_everything
from ingestion.service import Service
from tests.acceptance import samples
from tests.conftest import opened
from tests.integration.alerts import caught_alerts, titles
from tests.integration.putting_right import PARENTS


@contextmanager
def runner_of(
    warehouse: Warehouse, config: PipelineConfig, stop: threading.Event | None = None
) -> Iterator[tuple[IngestionRunner, Inbox]]:
    tracker = FileTracker(config.path("tracker.db"))
    inbox = Inbox(config, tracker, report=lambda _kind, _path, _message: None)
    try:
        yield IngestionRunner(Service(config, warehouse, tracker, inbox, stop or threading.Event())), inbox
    finally:
        tracker.close()


def put_master(config: PipelineConfig, **files: str) -> None:
    master = config.path(config.watcher.master.dir)
    master.mkdir(parents=True)
    for name, text in files.items():
        (master / f"{name}.csv").write_text(text)


def test_a_healing_that_an_outage_interrupts_is_repeated_before_the_next_file(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_master(config, categories="category_id,category_name\n1,x\n", teams="team_id,team_name\n1,x\n")
    healed: list[str] = []

    def after(_retry: OrphanRetry, table: str) -> int:
        healed.append(table)
        if len(healed) == 1:
            raise WarehouseUnavailable("away for a moment")
        return 0

    with runner_of(warehouse, config) as (runner, inbox):
        monkeypatch.setattr(OrphanRetry, "after", after)
        seed_master(config, inbox)
        runner.drain()
    assert healed == ["dim_category", "dim_category", "dim_team"]


def test_what_follows_a_file_goes_on_with_the_step_that_was_interrupted(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_master(config, categories="category_id,category_name\n1,x\n-1,y\n")
    steps: list[str] = []

    def backed_up(*_: object) -> None:
        steps.append("backup")

    def healed(*_: object) -> int:
        steps.append("heal")
        return 2

    def judged(*_: object) -> None:
        steps.append("contract")
        if steps.count("contract") < 3:
            raise WarehouseUnavailable("away for a moment")

    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.01)
    with runner_of(warehouse, config) as (runner, inbox):
        monkeypatch.setattr(quarantine_backup.QuarantineBackup, "append", backed_up)
        monkeypatch.setattr(OrphanRetry, "after", healed)
        monkeypatch.setattr(ContractWatch, "after", judged)
        seed_master(config, inbox)
        runner.drain()
        assert runner.summary.healed == 2
    assert steps == ["backup", "heal", "contract", "contract", "contract"]


def test_a_stop_during_what_follows_is_no_fault(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a cluster, where nobody waits for an answer any more."""
    put_master(config, categories="category_id,category_name\n1,x\n")
    alerts, stop = caught_alerts(monkeypatch), threading.Event()

    def stopped(*_: object) -> int:
        stop.set()
        raise Stopped("a worker was still busy when the pipeline stopped")

    with runner_of(warehouse, config, stop) as (runner, inbox):
        monkeypatch.setattr(OrphanRetry, "after", stopped)
        seed_master(config, inbox)
        runner.drain()
        assert runner.summary.files == {Status.SUCCESS: 1}
    assert titles(alerts) == []


def test_a_bug_in_what_follows_a_file_ends_neither_the_service_nor_the_timer(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_master(config, categories="category_id,category_name\n1,x\n", teams="team_id,team_name\n1,x\n")
    alerts = caught_alerts(monkeypatch)

    def fail(*_: object) -> int:
        raise ValueError("a value of the data")

    with runner_of(warehouse, config) as (runner, inbox):
        monkeypatch.setattr(OrphanRetry, "after", fail)
        seed_master(config, inbox)
        runner.drain()
        assert runner.summary.files == {Status.SUCCESS: 2}
        maintenance.attempt(lambda: runner.summary.add_healed(fail()), runner)
    assert titles(alerts) == ["Pipeline exception"] * 2
    assert "a value of the data" not in str(alerts)


def test_content_that_failed_fails_again_and_alerts_once_a_name(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_master(config, teams="team_id,title\n1,x\n")
    alerts = caught_alerts(monkeypatch)
    for _ in range(2):  # with a tracker that starts anew, as after the file log was asked for what is done
        config.path("tracker.db").unlink(missing_ok=True)
        with runner_of(warehouse, config) as (runner, inbox):
            seed_master(config, inbox)
            runner.drain()
            assert runner.summary.files == {Status.FAILED: 1}
    assert titles(alerts) == ["File failed"]


@contextmanager
def locked_by_another(folder: Path) -> Iterator[None]:
    """As by a process that writes this folder's backup."""
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_backup_that_another_writes_for_long_holds_up_no_file_and_is_mended_later(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_master(config, categories="category_id,category_name\n1,x\n-1,y\n", teams="team_id,team_name\n1,x\n")
    monkeypatch.setattr(quarantine_backup, "LOCK_SECONDS", 0.2)
    folder = config.path(config.quarantine.dir) / "batch"
    with runner_of(warehouse, config) as (runner, inbox):
        with locked_by_another(folder):
            seed_master(config, inbox)
            runner.drain()
        assert runner.summary.files == {Status.SUCCESS: 2}
        assert list(folder.glob("quarantined_*.csv")) == []
        assert runner.aftermath.backup.reconcile() == 1
    (path,) = folder.glob("quarantined_*.csv")
    assert len(path.read_text().splitlines()) == 2


# The first COMMIT that notes a backup as written fails, when all is done, as by a server that goes away.
AWAY_AT_THE_COMMIT = """
    CREATE SEQUENCE commits;
    CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('commits') = 1 THEN RAISE 'away' USING ERRCODE = '57P01'; END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER away AFTER UPDATE ON pipeline_file_log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.backup_written AND NOT OLD.backup_written) EXECUTE FUNCTION away()
"""


def test_a_backup_whose_commit_is_lost_has_its_rows_once(warehouse: Warehouse, config: PipelineConfig) -> None:
    put_master(config, teams="team_id,team_name\n1,x\n-1,y\n-2,z\n")
    with warehouse.transaction() as tx:
        tx.execute(AWAY_AT_THE_COMMIT)
    with runner_of(warehouse, config) as (runner, inbox):
        seed_master(config, inbox)
        runner.drain()
    with warehouse.transaction() as tx:
        tx.execute("SELECT last_value FROM commits")
        assert tx.fetchone() == (2,)
    (path,) = config.path(config.quarantine.dir).glob("batch/quarantined_*.csv")
    with path.open(newline="") as file:
        assert [row["row_number"] for row in csv.DictReader(file)] == ["2", "3"]


def test_a_file_that_could_not_be_opened_for_a_moment_is_not_forgotten(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had been readable when it was queued, so the inbox has nothing to say of it."""
    put_master(config, teams="team_id,team_name\n1,x\n")

    def refuse(_path: object) -> object:
        raise FileRejected("can't be opened: Permission denied")

    with runner_of(warehouse, config) as (runner, inbox):
        with monkeypatch.context() as patch:
            patch.setattr(archived, "opened", refuse)
            seed_master(config, inbox)
            runner.drain()
        assert runner.summary.files == {Status.FAILED: 1}
        seed_master(config, inbox)
        runner.drain()
        assert runner.summary.files == {Status.FAILED: 1, Status.SUCCESS: 1}


SLOW = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2.5); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON dim_team EXECUTE FUNCTION dawdle();
ALTER TABLE dim_team ENABLE ALWAYS TRIGGER slow
"""


def test_a_server_that_is_only_slow_is_given_more_time_until_the_file_is_in(
    database: DatabaseConfig, config: PipelineConfig
) -> None:
    database = database.model_copy(update={"answer_seconds": 1})
    config = config.model_copy(update={"database": database})
    put_master(config, teams="team_id,team_name\n1,x\n")
    with opened(database, config.home) as warehouse:
        with warehouse.transaction() as tx:
            tx.execute(SLOW)
        with runner_of(warehouse, config) as (runner, inbox):
            seed_master(config, inbox)
            runner.drain()
        assert runner.summary.files == {Status.SUCCESS: 1}
        with warehouse.transaction() as tx:
            tx.execute("SELECT count(*) FROM dim_team")
            assert tx.fetchone() == (1,)


def soon_settled(config: PipelineConfig) -> PipelineConfig:
    """Files that have to settle do so at once."""
    return config.model_copy(update={"watcher": config.watcher.model_copy(update={"settle_seconds": 0.05})})


def test_a_file_that_the_disk_does_not_give_is_told_of_once_and_holds_up_no_other(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = soon_settled(config)
    put_master(config, categories="category_id,category_name\n1,x\n", teams="team_id,team_name\n1,x\n")
    alerts = caught_alerts(monkeypatch)
    read = file_reader.read_chunks

    def broken(file: Any, name: str, *rest: Any) -> Any:
        if name == "categories.csv":
            raise OSError(errno.EIO, "Input/output error")
        return read(file, name, *rest)

    with runner_of(warehouse, config) as (runner, inbox):
        with monkeypatch.context() as patch:
            patch.setattr(file_load, "read_chunks", broken)
            for _ in range(3):  # the folders are looked at again and again
                seed_master(config, inbox)
                runner.drain()
        assert runner.summary.files == {Status.FAILED: 1, Status.SUCCESS: 1}
        assert titles(alerts) == ["File failed"]
        seed_master(config, inbox)
        runner.drain()
        assert runner.summary.files[Status.SUCCESS] == 2


def test_a_file_that_another_daemon_loads_for_long_is_waited_for_without_an_alert(
    warehouse: Warehouse, database: DatabaseConfig, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = soon_settled(config)
    put_master(config, teams="team_id,team_name\n1,x\n")
    alerts = caught_alerts(monkeypatch)
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.05)
    job = FileJob(config.path(config.watcher.master.dir) / "teams.csv", config.by_logical_name["teams"], 0, 0)
    hurried = database.model_copy(update={"answer_seconds": 1})
    config = config.model_copy(update={"database": hurried})
    with (
        opened(hurried, config.home) as here,
        runner_of(here, config) as (runner, inbox),
        warehouse.transaction() as other,
        registry.opened(job.path) as file,
    ):
        file_log.claim(other, job.evolve(size=file.size, md5=file.md5()))
        seed_master(config, inbox)
        drain = threading.Thread(target=runner.drain)
        drain.start()
        drain.join(5)  # so many seconds, and so many tries
        assert drain.is_alive()
        other.connection.rollback()
        drain.join()
        assert runner.summary.files == {Status.SUCCESS: 1}
    assert titles(alerts) == []


CUSTOMER = """
INSERT INTO dim_customer (customer_id, full_name, region_id, segment_id, _file_id) VALUES (1, 'n', 1, 1, 0)
"""


def test_numbers_that_the_database_gives_again_fail_no_file_and_refuse_no_row(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_master(config, teams="team_id,team_name\n1,x\n-1,y\n", categories="category_id,category_name\n1,x\n-1,y\n")
    stream = config.path(config.watcher.stream.dir)
    alerts = caught_alerts(monkeypatch)
    behind = "SELECT setval(pg_get_serial_sequence('{}', '{}'), 1)"
    numbered = {"pipeline_file_log": "file_id", "quarantine": "quarantine_id", "fact_order": "order_sk"}
    with warehouse.transaction() as tx:
        tx.execute(PARENTS + CUSTOMER)
    with runner_of(warehouse, config) as (runner, inbox):
        seed_master(config, inbox)
        runner.drain()
        for hour in range(4):
            (stream / f"{hour}").mkdir(parents=True)
            ids = dict.fromkeys(("customer_id", "restaurant_id", "driver_id", "region_id"), 1)
            orders = [samples.order(3 * hour + number, **ids) for number in range(3)]
            orders[1]["order_amount"] = -5
            (stream / f"{hour}/orders.json").write_text(json.dumps(orders))
            if hour:
                with warehouse.transaction() as tx:
                    for table, column in numbered.items():
                        tx.execute(behind.format(table, column))
            scan_everything(config, inbox)
            runner.drain()
        assert runner.summary.files == {Status.SUCCESS: 6}
    with warehouse.transaction() as tx:
        tx.execute("SELECT count(*), count(DISTINCT _file_id) FROM fact_order")
        assert tx.fetchone() == (8, 4)
        tx.execute("SELECT rejection_stage, count(*) FROM quarantine GROUP BY 1")
        assert tx.fetchall() == [("records", 6)]
    assert titles(alerts) == []


def test_a_fault_of_ours_is_alerted_once(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_master(config, teams="team_id,team_name\n1,x\n")
    alerts = caught_alerts(monkeypatch)

    def fail(*_: object) -> None:
        raise ValueError("a value of the data")

    with runner_of(warehouse, config) as (runner, inbox):
        monkeypatch.setattr(file_load, "judged", fail)
        seed_master(config, inbox)
        runner.drain()
        assert runner.summary.files == {Status.FAILED: 1}
    assert titles(alerts) == ["Pipeline exception"]


def test_a_fault_of_ours_that_can_not_be_recorded_either_leaves_the_file_for_the_next_scan(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_master(config, teams="team_id,team_name\n1,x\n")
    alerts = caught_alerts(monkeypatch)

    def fail(*_: object) -> None:
        raise ValueError

    with runner_of(warehouse, config) as (runner, inbox):
        with monkeypatch.context() as faulty:
            faulty.setattr(file_load, "judged", fail)
            faulty.setattr(aftermath, "record_failure", fail)
            for _ in range(3):
                seed_master(config, inbox)
                runner.drain()
        seed_master(config, inbox)
        runner.drain()
        assert runner.summary.files == {Status.FAILED: 1, Status.SUCCESS: 1}
    assert titles(alerts) == ["Pipeline exception"]


def test_a_file_in_trouble_that_is_taken_away_does_not_hide_the_next_trouble(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = soon_settled(config)
    put_master(config, categories="category_id,category_name\n1,x\n")
    alerts = caught_alerts(monkeypatch)
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.01)
    folder = config.path(config.watcher.master.dir)
    run = file_load.FileLoad.run

    def no_room(load: file_load.FileLoad, job: FileJob) -> Any:
        if job.path.name == "teams.csv":
            return run(load, job)
        tries.append(job.path.name)
        if len(tries) == 4:
            job.path.unlink()
        raise WarehouseUnavailable("no room")

    tries: list[str] = []
    monkeypatch.setattr(file_load.FileLoad, "run", no_room)
    with runner_of(warehouse, config) as (runner, inbox):
        seed_master(config, inbox)
        runner.drain()
        assert titles(alerts) == ["Loading held up"]
        (folder / "teams.csv").write_text("team_id,team_name\n1,x\n")
        (folder / "segments.csv").write_text("segment_id,segment_name\n1,x\n")
        tries.clear()
        seed_master(config, inbox)
        runner.drain()
    assert titles(alerts) == ["Loading held up"] * 2
