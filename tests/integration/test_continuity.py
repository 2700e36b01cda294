"""What a service does when its database is another one than before: nothing is loaded where no start would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from config.jobs import Status
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion import continuity as continuity_module
from ingestion import lacking as lacking_module
from ingestion.continuity import EMPTY_SECONDS, UNFIT_SECONDS
from ingestion.file_tracker import FileTracker
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner
from ingestion.master_seeder import seed_master
from ingestion.service import Service as Parts
from tests.integration.test_ingestion_runner import put_master, soon_settled

TEAMS = "team_id,team_name\n1,x\n"


class Service:
    """A runner with its inbox, and the watch on the warehouse with a clock of the test's own."""

    def __init__(self, config: PipelineConfig, warehouse: Warehouse, tracker: FileTracker) -> None:
        self.now = 1000.0
        self.warehouse = warehouse
        self.inbox = Inbox(config, tracker, report=lambda _kind, _path, _message: None)
        parts = Parts(config, warehouse, tracker, self.inbox)
        self.runner = IngestionRunner(parts, now=lambda: self.now)
        self.continuity = self.runner.continuity
        self.continuity.begin()

    def run(self, statement: str) -> None:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)

    def count(self, table: str) -> int:
        with self.warehouse.transaction() as tx:
            tx.execute(f"SELECT count(*) FROM {table}")
            return int((tx.fetchone() or (0,))[0])


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    titles: list[str] = []
    for module in (continuity_module, lacking_module):
        monkeypatch.setattr(module, "send_alert", lambda title, _text: titles.append(title))
    return titles


@contextmanager
def service_of(config: PipelineConfig, warehouse: Warehouse) -> Iterator[Service]:
    tracker = FileTracker(config.path("tracker.db"))
    try:
        yield Service(config, warehouse, tracker)
    finally:
        tracker.close()


@pytest.fixture
def service(
    warehouse: Warehouse, database: DatabaseConfig, config: PipelineConfig, alerts: list[str]
) -> Iterator[Service]:
    """With one file loaded."""
    config = soon_settled(config.model_copy(update={"database": database}))
    put_master(config, teams=TEAMS)
    with service_of(config, warehouse) as service:
        seed_master(config, service.inbox)
        service.runner.drain()
        assert service.runner.summary.files == {Status.SUCCESS: 1}
        service.continuity.turn()
        assert alerts == []
        yield service


def test_a_file_that_the_file_log_lost_is_loaded_again_and_told_once(service: Service, alerts: list[str]) -> None:
    service.run("DELETE FROM pipeline_file_log; DELETE FROM dim_team")
    service.continuity.turn()
    service.runner.drain()
    service.continuity.turn()
    assert service.count("dim_team") == 1
    assert alerts == ["Database went back in time"]


def test_a_loss_before_the_files_that_were_loaded_since_is_seen(
    service: Service, config: PipelineConfig, alerts: list[str]
) -> None:
    service.run("DELETE FROM pipeline_file_log; DELETE FROM dim_team")
    master = config.path(config.watcher.master.dir)
    (master / "categories.csv").write_text("category_id,category_name\n1,x\n")
    seed_master(config, service.inbox)
    service.runner.drain()  # before anybody asks
    service.continuity.turn()
    service.runner.drain()
    assert service.count("dim_team") == 1
    assert alerts == ["Database went back in time"]


def test_nothing_is_asked_for_that_an_operator_took_back(service: Service, alerts: list[str]) -> None:
    service.run("UPDATE pipeline_file_log SET status = 'undone'")
    service.continuity.turn()
    assert (alerts, service.inbox.size()) == ([], 0)


def test_an_empty_database_gets_its_tables_when_nobody_restores_them_and_all_is_loaded_again(
    service: Service, alerts: list[str]
) -> None:
    service.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    service.continuity.turn()
    assert alerts == ["Loading held up"]
    service.now += EMPTY_SECONDS - 1
    service.continuity.turn()
    assert alerts == ["Loading held up"]
    service.now += 2
    service.continuity.turn()
    service.continuity.turn()
    service.runner.drain()
    assert service.count("dim_team") == 1
    assert alerts == ["Loading held up", "Database was empty", "Database went back in time"]


def test_nothing_is_loaded_into_a_database_of_another_key_until_it_fits(
    service: Service, config: PipelineConfig, alerts: list[str]
) -> None:
    fit = "UPDATE pipeline_meta SET value = '{}' WHERE key = '{}'"
    service.run(fit.format("another", "warehouse_id"))
    service.run("INSERT INTO pipeline_meta VALUES ('pii_key_id', 'strange') ON CONFLICT DO NOTHING")
    service.run(fit.format("strange", "pii_key_id"))
    service.continuity.turn()
    assert not service.continuity.fit.is_set()
    assert alerts == []
    service.now += UNFIT_SECONDS
    service.continuity.turn()
    service.continuity.turn()
    assert alerts == ["Database unfit"]
    service.run("DELETE FROM pipeline_meta WHERE key = 'pii_key_id'")
    service.continuity.turn()
    assert service.continuity.fit.is_set()
    assert alerts == ["Database unfit", "Database fit again"]


def test_the_question_is_cheap(service: Service) -> None:
    """By the planner: an index scan for each mark, and no look at all rows."""
    service.run(
        "INSERT INTO pipeline_file_log (file_id, file_name, file_path, file_hash, file_size, file_type, "
        "logical_name, source_table, status, spec_hash) "
        "SELECT n, file_name, file_path, md5(n::text), file_size, file_type, "
        "logical_name, source_table, status, spec_hash FROM pipeline_file_log l, "
        "generate_series(100, 20000) n; ANALYZE pipeline_file_log"
    )
    from datawarehouse.queries import query

    with service.warehouse.transaction() as tx:
        marks = {"names": ["teams"], "hashes": ["x"], "sizes": [1]}
        tx.execute("EXPLAIN " + query("continuity", "ask"), marks)
        plan = "\n".join(row[0] for row in tx)
    assert "Seq Scan on pipeline_file_log" not in plan
