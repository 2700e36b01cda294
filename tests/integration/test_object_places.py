"""What operators and contracts ask of input folders holds for those in an object store, too."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from config.expected_file import Contract
from config.model import Feed
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion.file_tracker import FileTracker
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner
from ingestion.master_seeder import seed_master
from ingestion.not_loaded import look_through
from ingestion.scans import scan_days, scan_everything
from ingestion.service import Service
from tests.acceptance import samples
from tests.acceptance.daemon import wait_until
from tests.conftest import with_files
from tests.integration.alerts import caught_alerts, titles
from workbench.status import not_loaded, queue

DAY, OTHER_DAY = dt.date(2026, 2, 20), dt.date(2026, 2, 21)


class Site:
    """All input folders in memory, as an object store has them."""

    def __init__(self, config: PipelineConfig, warehouse: Warehouse, tracker: FileTracker) -> None:
        self.root = f"memory://exports-{uuid4().hex[:8]}"
        watcher = config.watcher
        places = {
            name: getattr(watcher, name).model_copy(update={"dir": f"{self.root}/{name}"})
            for name in ("master", "batch", "stream")
        }
        self.config = config.model_copy(update={"watcher": watcher.model_copy(update=places)})
        self.warehouse = warehouse
        self.tracker = tracker
        for path, rows in samples.master_rows().items():
            self.put(f"master/{Path(path).name}", samples.text_of(Path(path), rows))

    def put(self, key: str, text: str) -> str:
        url = f"{self.root}/{key}"
        with fsspec.open(url, "w") as file:
            file.write(text)
        return url

    def inbox(self) -> Inbox:
        return Inbox(self.config, self.tracker, report=lambda *_: None)

    def load(self, inbox: Inbox, now: dt.datetime | None = None) -> IngestionRunner:
        """Load what is there; `now` is the time that contracts are held against."""
        service = Service(self.config, self.warehouse, self.tracker, inbox)
        runner = IngestionRunner(service, utc_now=lambda: now or dt.datetime.now(dt.UTC))
        runner.drain()
        return runner

    def waiting(self) -> int:
        with self.warehouse.transaction() as tx:
            jobs = not_loaded(tx, look_through(self.config).waiting)
        found: int = queue(self.config, jobs, dt.datetime.now(dt.UTC))["files"]
        return found


@pytest.fixture
def site(config: PipelineConfig, warehouse: Warehouse) -> Iterator[Site]:
    tracker = FileTracker(config.path(config.tracker.db_path))
    site = Site(config, warehouse, tracker)
    inbox = site.inbox()
    seed_master(site.config, inbox)
    site.load(inbox)
    yield site
    tracker.close()


def orders(first: int) -> str:
    return samples.json_text([samples.order(first + n) for n in range(3)])


def test_backfill_loads_the_objects_of_the_days_and_no_others(site: Site) -> None:
    site.put(f"batch/{DAY}/customers.csv", samples.csv_text([samples.customer(900)]))
    site.put(f"stream/{DAY}/09/orders.json", orders(100))
    site.put(f"stream/{DAY}/09/.hidden/orders.json", orders(200))
    site.put(f"stream/{OTHER_DAY}/09/orders.json", orders(300))
    for name, expected in (("orders", {"orders.json"}), (None, {"customers.csv"})):
        inbox = site.inbox()
        scan_days(site.config, inbox, DAY, DAY, name)
        assert {job.path.name for job in inbox.waiting()} == expected
        site.load(inbox)
    inbox = site.inbox()
    scan_everything(site.config, inbox)
    assert [str(job.path) for job in inbox.waiting()] == [f"{site.root}/stream/{OTHER_DAY}/09/orders.json"]


def test_status_counts_the_objects_that_wait(site: Site) -> None:
    wait_until(lambda: not look_through(site.config).waiting, "the tracker's thread has written what is finished")
    site.put(f"stream/{DAY}/09/orders.json", orders(100))
    site.put(f"stream/{DAY}/10/orders.json", orders(200))
    jobs = list(look_through(site.config).waiting)
    found = queue(site.config, jobs, dt.datetime.now(dt.UTC))
    assert (found["files"], found["oldest_seconds"], found["oldest"]) == (2, None, None)
    assert {row["folder"]: row["files"] for row in found["folders"]} == {"master": 0, "batch": 0, "stream": 2}
    inbox = site.inbox()
    scan_everything(site.config, inbox)
    site.load(inbox)
    assert site.waiting() == 0
    site.put(f"stream/{DAY}/11/orders.json", orders(200))
    assert site.waiting() == 0, "its content is in the file log"


def test_an_object_that_came_in_time_is_not_called_late_though_its_content_is_old(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = replace(
        site.config.by_logical_name["customers"],
        contract=Contract.model_validate({"expected_by": "06:00"}),
    )
    assert customers.feed is Feed.BATCH
    others = tuple(spec for spec in site.config.files if spec.name != "customers")
    site.config = with_files(site.config, (*others, customers))
    text = samples.csv_text([samples.customer(900)])
    for day in (DAY, OTHER_DAY):
        site.put(f"batch/{day}/customers.csv", text)
    inbox = site.inbox()
    scan_everything(site.config, inbox)
    runner = site.load(inbox, dt.datetime(2026, 2, 21, 7, tzinfo=dt.UTC))
    with site.warehouse.transaction() as tx:
        tx.execute("UPDATE pipeline_file_log SET processed_at = '2026-02-01 00:00+00'")
    alerts = caught_alerts(monkeypatch)
    runner.aftermath.contracts.turn()
    assert "Late file" not in titles(alerts)
