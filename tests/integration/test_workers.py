"""Several workers load each file once, in an order that makes no orphans, and collide without anybody noticing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from config.errors import WarehouseUnavailable
from config.jobs import FileJob, Status
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion.engines.local import LocalEngine
from ingestion.file_load import FileLoad
from ingestion.file_tracker import FileTracker
from ingestion.group_load import MOST_FILES
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner
from ingestion.master_seeder import seed_master
from ingestion.outage import Outage
from ingestion.scans import scan_everything
from ingestion.service import Service
from tests.acceptance import samples
from tests.integration.alerts import caught_alerts, titles

ROWS = 40


@contextmanager
def workers(
    warehouse: Warehouse,
    config: PipelineConfig,
    count: int,
    *,
    stop: threading.Event | None = None,
    progress: Callable[[FileJob, int], None] = lambda _job, _rows: None,
    most_together: int = MOST_FILES,
    **reader: Any,
) -> Iterator[tuple[IngestionRunner, Inbox]]:
    config = config.model_copy(
        update={
            "execution": config.execution.model_copy(update={"workers": count}),
            "reader": config.reader.model_copy(update=reader),
            "watcher": config.watcher.model_copy(update={"settle_seconds": 0.01}),
        }
    )
    tracker = FileTracker(config.path("tracker.db"))
    # By its clock all files have rested: which of them is ready is not a matter of milliseconds.
    inbox = Inbox(config, tracker, report=lambda *_: None, clock=lambda: time.time() + 60)
    stop = stop or threading.Event()
    engine = LocalEngine(config, warehouse, stop, progress)
    try:
        yield (
            IngestionRunner(
                Service(config, warehouse, tracker, inbox, stop), engine=engine, most_together=most_together
            ),
            inbox,
        )
    finally:
        tracker.close()


def seed(config: PipelineConfig, runner: IngestionRunner, inbox: Inbox) -> None:
    samples.write_master(config.home)
    seed_master(config, inbox)
    runner.drain()


def put(config: PipelineConfig, relative: str, rows: list[dict[str, Any]]) -> None:
    samples.write(config.path(config.watcher.stream.dir) / relative, rows)


def one(warehouse: Warehouse, statement: str) -> Any:
    with warehouse.transaction() as tx:
        tx.execute(statement)
        return (tx.fetchone() or (None,))[0]


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    return caught_alerts(monkeypatch)


def test_what_comes_in_one_run_has_no_orphan_with_any_number_of_workers(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    hours = 12
    for hour in range(hours):
        numbers = range(hour * ROWS, (hour + 1) * ROWS)
        put(config, f"{hour:02d}/orders.json", [samples.order(n) for n in numbers])
        put(config, f"{hour:02d}/tickets.csv", [samples.ticket(n) for n in numbers])
        put(config, f"{hour:02d}/ticket_events.json", [samples.event(n) for n in numbers])
    with workers(warehouse, config, 6) as (runner, inbox):
        seed(config, runner, inbox)
        scan_everything(config, inbox)
        runner.drain()
        assert runner.summary.files[Status.SUCCESS] == len(samples.master_rows()) + 3 * hours
        assert runner.summary.rows == sum(map(len, samples.master_rows().values())) + 3 * hours * ROWS
    assert one(warehouse, "SELECT sum(orphan_count) FROM pipeline_file_log") == 0
    assert one(warehouse, "SELECT count(*) FROM fact_ticket_event") == hours * ROWS


def test_files_with_the_same_keys_in_opposite_order_both_load_without_an_alert(
    warehouse: Warehouse, config: PipelineConfig, alerts: list[tuple[str, str]]
) -> None:
    orders = [samples.order(n) for n in range(ROWS)]
    put(config, "a/orders.json", orders)
    put(config, "b/orders.json", orders[::-1])
    both_began = threading.Barrier(2)
    waited: set[str] = set()

    def progress(job: FileJob, _rows: int) -> None:
        """Each goes on when the other has its first row: now they want each other's."""
        if job.spec.name == "orders" and job.path.parent.name not in waited:
            waited.add(job.path.parent.name)
            both_began.wait(20)

    with workers(warehouse, config, 2, progress=progress, chunk_rows=1) as (runner, inbox):
        seed(config, runner, inbox)
        scan_everything(config, inbox)
        runner.drain()
        assert runner.summary.loaded == ROWS + sum(map(len, samples.master_rows().values()))
    assert one(warehouse, "SELECT count(*) FROM pipeline_file_log WHERE logical_name = 'orders'") == 2
    assert one(warehouse, "SELECT sum(already_present) FROM pipeline_file_log") == ROWS
    assert titles(alerts) == []


def test_a_parent_that_came_while_its_child_was_loaded_heals_it_at_once(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    """The child has looked and found nothing, the parent's worker can't see the child's orphans yet."""
    newcomer = samples.customer(777)
    put(config, "09/orders.json", [samples.order(1, customer_id=777), samples.order(2)])
    elsewhere = config.model_copy(update={"home": config.home / "elsewhere"})
    elsewhere.home.mkdir()

    def progress(job: FileJob, _rows: int) -> None:
        if job.spec.name == "orders":
            path = samples.write(config.home / "customers.csv", [newcomer])
            spec = config.by_logical_name["customers"]
            found = path.stat()
            assert other.process_file(FileJob(path, spec, found.st_size, found.st_mtime_ns)) is not None

    with (
        workers(warehouse, elsewhere, 1) as (other, _),
        workers(warehouse, config, 1, progress=progress) as (runner, inbox),
    ):
        seed(config, runner, inbox)
        scan_everything(config, inbox)
        runner.drain()
        assert (runner.summary.healed, other.summary.healed) == (1, 0)
    assert one(warehouse, "SELECT count(*) FROM fact_order") == 2
    assert one(warehouse, "SELECT count(*) FROM quarantine WHERE resolution IS NULL") == 0


def test_an_outage_is_told_once_however_many_workers_meet_it(
    warehouse: Warehouse, config: PipelineConfig, alerts: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(8):
        put(config, f"{hour:02d}/orders.json", [samples.order(hour)])
    with workers(warehouse, config, 4, most_together=1) as (runner, inbox):  # else one takes them all
        seed(config, runner, inbox)
        away = threading.Event()
        all_in = threading.Barrier(4, action=away.set)
        load = FileLoad.run
        first: set[int] = set()

        def run(engine: FileLoad, job: FileJob) -> Any:
            if threading.get_ident() not in first:
                first.add(threading.get_ident())
                all_in.wait(20)
            if away.is_set():
                raise WarehouseUnavailable("away")
            return load(engine, job)

        looks = 0

        def reachable(_outage: Outage) -> bool:
            nonlocal looks
            looks += 1
            if looks > 6:
                away.clear()
            return not away.is_set()

        monkeypatch.setattr(FileLoad, "run", run)
        monkeypatch.setattr(Outage, "reachable", reachable)
        scan_everything(config, inbox)
        runner.drain()
    assert titles(alerts) == ["Database unavailable", "Database available again"]
    assert one(warehouse, "SELECT count(*) FROM fact_order") == 8


def test_a_stop_ends_every_worker_and_what_they_left_is_loaded_next_time(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    for hour in range(20):
        put(config, f"{hour:02d}/orders.json", json.loads(json.dumps([samples.order(hour)])))
    stop = threading.Event()

    def progress(job: FileJob, _rows: int) -> None:
        if job.spec.name == "orders":
            stop.set()

    with workers(warehouse, config, 3, stop=stop, progress=progress, most_together=1) as (runner, inbox):
        seed(config, runner, inbox)
        scan_everything(config, inbox)
        runner.run_loop()
        loaded = one(warehouse, "SELECT count(*) FROM fact_order")
        assert 1 <= loaded <= 3
    with workers(warehouse, config, 3) as (runner, inbox):
        scan_everything(config, inbox)
        runner.drain()
    assert one(warehouse, "SELECT count(*) FROM fact_order") == 20


def test_a_fault_of_a_worker_itself_ends_the_service(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workers(warehouse, config, 3) as (runner, inbox):
        broken = iter([True])

        def get(timeout: float) -> None:
            if next(broken, None):
                raise RuntimeError("no inbox")
            threading.Event().wait(timeout)

        monkeypatch.setattr(inbox, "get", get)
        with pytest.raises(RuntimeError, match="no inbox"):
            runner.run_loop()
