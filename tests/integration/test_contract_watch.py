"""A broken contract is told once, and its end once, whatever is restarted; a file too dirty fails as a whole."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.expected_file import Contract
from config.jobs import FileJob, FileOutcome, Status
from config.settings import PipelineConfig
from datawarehouse import reports
from datawarehouse.db_connection import Warehouse
from ingestion.file_load import FileLoad
from ingestion.file_tracker import FileTracker
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner
from ingestion.scans import scan_everything
from ingestion.service import Service as Parts
from tests.conftest import with_files
from tests.integration.alerts import caught_alerts
from validation.pii_handler import PiiHandler

HEADER = "category_id,category_name\n"


def at(clock: str, days: int = 0) -> dt.datetime:
    """A time of today, or of another day. The file log's times are the server's: the clock is the test's alone."""
    day = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)
    return dt.datetime.fromisoformat(f"{day}T{clock}:00+00:00")


def held_to(config: PipelineConfig, name: str, **keys: Any) -> PipelineConfig:
    def changed(spec: Any) -> Any:
        contract = Contract.model_validate(keys) if spec.name == name else None
        return dataclasses.replace(spec, contract=contract)

    return with_files(config, tuple(map(changed, config.files)))


class Service:
    """One life of the service: tracker, inbox, runner; the timer's clock is `now`."""

    def __init__(self, warehouse: Warehouse, config: PipelineConfig) -> None:
        self.config = config
        self.tracker = FileTracker(config.path("tracker.db"))
        self.inbox = Inbox(config, self.tracker, report=lambda _kind, _path, _message: None)
        self.runner = IngestionRunner(
            Parts(config, warehouse, self.tracker, self.inbox),
            utc_now=lambda: self.now or dt.datetime.now(dt.UTC),
        )
        self.now: dt.datetime | None = None

    def put(self, relative: str, text: str) -> None:
        path = self.config.path("data/input") / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        scan_everything(self.config, self.inbox)
        self.runner.drain()

    def turn(self, now: dt.datetime) -> None:
        self.now = now
        self.runner.aftermath.contracts.turn()
        self.now = None


class Services:
    """Makes services one after the other, and collects the alerts of all."""

    def __init__(self, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alerts = caught_alerts(monkeypatch)
        self.warehouse = warehouse
        self.running: list[Service] = []

    def start(self, config: PipelineConfig) -> Service:
        self.stop()
        self.running = [Service(self.warehouse, config)]
        return self.running[0]

    def stop(self) -> None:
        for service in self.running:
            service.tracker.close()
        self.running = []

    def told(self) -> list[str]:
        """The titles since the last look."""
        titles = [title for title, _ in self.alerts]
        self.alerts.clear()
        return titles

    def breaches(self, *, open_only: bool = True) -> list[tuple[str, str, bool]]:
        with self.warehouse.transaction() as tx:
            rows = reports.breaches(tx, open_only=open_only)
        return [(row["kind"], row["file"], row["resolved_at"] is None) for row in rows]


@pytest.fixture
def services(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    services = Services(warehouse, monkeypatch)
    yield services
    services.stop()


def rows(first: int, last: int, bad: int = 0) -> str:
    good = "".join(f"{number},c{number}\n" for number in range(first, last + 1))
    return HEADER + good + "".join(f"x{number},bad\n" for number in range(bad))


def tomorrow() -> str:
    return at("00:00", 1).date().isoformat()


def test_a_late_file_is_told_once_and_once_more_when_it_comes(services: Services, config: PipelineConfig) -> None:
    config = held_to(config, "categories", expected_by="06:00")
    service = services.start(config)
    service.turn(at("07:00", 1))
    assert services.told() == [], "nothing was ever loaded: nobody knows the pipeline yet"
    service.put("batch/2026-02-01/teams.csv", "team_id,team_name\n1,a\n")
    with services.warehouse.transaction() as tx:
        tx.execute("UPDATE pipeline_file_log SET processed_at = %s", (at("12:00"),))
    service.turn(at("05:59", 1))
    assert services.told() == [], "the pipeline is younger than today's deadline"
    service.turn(at("06:00", 1))
    service.turn(at("06:05", 1))
    ((title, detail),) = services.alerts
    assert (title, services.told()) == ("Late file", ["Late file"])
    assert detail == f"categories.csv of {tomorrow()} is not loaded; it was expected by 06:00 UTC"
    service = services.start(config)
    service.turn(at("09:00", 1))
    assert services.told() == [], "a restart tells nothing again"
    service.turn(at("09:00", 2))
    assert services.told() == ["Late file"], "another day is another file"
    assert services.breaches() == [("late", "categories.csv", True)] * 2
    service.put(f"batch/{tomorrow()}/categories.csv", rows(1, 3))
    assert services.told() == ["Late file has come"]
    assert services.breaches() == [("late", "categories.csv", True)]
    assert len(services.breaches(open_only=False)) == 2


def test_content_that_was_loaded_before_has_come_but_not_content_that_failed(
    services: Services, config: PipelineConfig
) -> None:
    service = services.start(held_to(config, "categories", expected_by="06:00"))
    service.put("batch/2026-02-01/categories.csv", rows(1, 3))
    service.put("batch/2026-02-02/categories.csv", "wrong\n1\n")
    assert services.told() == ["File failed"]
    service.put(f"batch/{tomorrow()}/categories.csv", rows(1, 3))
    service.turn(at("07:00", 1))
    assert services.told() == [], "its bytes were there: no row in the file log, but it is no later for that"
    service.put(f"batch/{at('00:00', 2).date()}/categories.csv", "wrong\n1\n")
    service.turn(at("07:00", 2))
    assert services.told() == ["File failed", "Late file"], "a file of another name, and so another word"


def test_a_file_that_waits_in_our_own_queue_is_not_late(services: Services, config: PipelineConfig) -> None:
    service = services.start(held_to(config, "categories", expected_by="06:00"))
    service.put("batch/2026-02-01/teams.csv", "team_id,team_name\n1,a\n")
    path = config.path(f"data/input/batch/{tomorrow()}/categories.csv")
    path.parent.mkdir()
    path.write_text(rows(1, 3))
    service.inbox.offer(path, service.config.by_logical_name["categories"].feed, closed=True)
    service.turn(at("07:00", 1))
    assert services.told() == []
    service.runner.drain()
    service.turn(at("07:00", 1))
    assert services.told() == []


def test_a_silent_feed_is_told_and_hours_without_records_are_no_silence(
    services: Services, config: PipelineConfig
) -> None:
    service = services.start(held_to(config, "ticket_events", expected_every="1h"))
    service.put("stream/2026-02-01/09/ticket_events.json", "[]")
    now = dt.datetime.now(dt.UTC)
    service.turn(now + dt.timedelta(minutes=59))
    assert services.told() == []
    service.turn(now + dt.timedelta(minutes=62))
    service.turn(now + dt.timedelta(minutes=70))
    assert services.told() == ["Silent feed"]
    service.put("stream/2026-02-01/10/ticket_events.json", "[]")
    assert services.told() == ["Silent feed is back"]
    assert services.breaches() == []


def test_rows_out_of_bounds_are_told_until_a_file_is_within_them(
    services: Services, config: PipelineConfig
) -> None:
    config = held_to(config, "categories", min_rows=2, rows_band_pct=50, max_reject_pct=25)
    service = services.start(config)
    for day in (1, 2, 3):
        service.put(f"batch/2026-02-0{day}/categories.csv", rows(day, day + 9))
    assert services.told() == []
    service.put("batch/2026-02-04/categories.csv", rows(1, 4))
    service.put("batch/2026-02-05/categories.csv", rows(2, 5))
    assert services.told() == ["Shrunken file"]
    service = services.start(config)
    service.put("batch/2026-02-06/categories.csv", rows(1, 20, bad=1))
    assert services.told() == ["Shrunken file: the next one is not", "Swollen file"]
    service.put("batch/2026-02-07/categories.csv", rows(1, 6, bad=4))
    assert services.told() == ["Swollen file: the next one is not", "Dirty file"]
    assert services.breaches() == [("dirty", "categories.csv", True)]
    services.start(held_to(config, "categories", min_rows=2)).turn(at("12:00"))
    assert (services.told(), services.breaches()) == ([], []), "what nobody asks for is closed without a word"


def test_orphans_are_no_dirt_before_and_after_they_heal(services: Services, config: PipelineConfig) -> None:
    service = services.start(held_to(config, "reasons", max_reject_pct=0))
    header = "reason_id,reason_name,reason_category_id,severity_level,typical_refund_pct\n"
    service.put("batch/2026-02-01/reasons.csv", header + "1,late,1,2,0.5\n2,cold,1,2,0.5\n")
    service.put("batch/2026-02-02/reason_categories.csv", "reason_category_id,category_name\n1,Food\n")
    assert service.runner.summary.healed == 2
    service.turn(dt.datetime.now(dt.UTC))
    assert services.told() == []


def failed(services: Services) -> list[tuple[Any, ...]]:
    with services.warehouse.transaction() as tx:
        tx.execute(
            "SELECT status, total_records, inserted_records, quarantined, error, "
            "(SELECT count(*) FROM quarantine), (SELECT count(*) FROM dim_category) "
            "FROM pipeline_file_log ORDER BY file_id"
        )
        return list(tx.fetchall())


def test_a_file_that_is_too_dirty_fails_as_a_whole_and_loads_when_it_is_mended(
    services: Services, config: PipelineConfig
) -> None:
    small = config.reader.model_copy(update={"chunk_rows": 3})
    config = config.model_copy(update={"reader": small})
    service = services.start(held_to(config, "categories", max_reject_pct=20, abort=True))
    service.put("batch/2026-02-01/categories.csv", rows(1, 7, bad=3))
    ((status, total, inserted, quarantined, error, refused, loaded),) = failed(services)
    assert (status, total, inserted, quarantined, refused, loaded) == ("failed", 0, 0, 0, 0, 0)
    assert error.startswith("too many refused records: 3 of 10 records refused, 30.0 %; at most 20 % is allowed")
    assert services.told() == ["File failed"], "one alert tells it"
    assert services.breaches() == [("dirty", "categories.csv", True)]
    service.put("batch/2026-02-01/categories.csv", rows(1, 8, bad=2))
    assert failed(services)[1][:4] == ("success", 10, 8, 2)
    assert services.told() == ["Dirty file: the next one is clean"]
    assert services.breaches() == []


def test_a_looser_contract_is_a_new_try_for_the_file_that_failed(
    services: Services, warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    def outcome(pct: int) -> FileOutcome:
        (tmp_path / "categories.csv").write_text(rows(1, 7, bad=3))
        service = services.start(held_to(config, "categories", max_reject_pct=pct, abort=True))
        spec = service.config.by_logical_name["categories"]
        load = FileLoad(warehouse, service.config, PiiHandler(service.config.pii.hash_key))
        return load.run(FileJob(tmp_path / "categories.csv", spec, 0, 0))

    assert (outcome(20).status, outcome(20).told) == (Status.FAILED, True)
    assert outcome(30).status is Status.SUCCESS


def test_of_two_services_one_tells(services: Services, warehouse: Warehouse, config: PipelineConfig) -> None:
    config = held_to(config, "categories", expected_by="06:00")
    service = services.start(config)
    service.put("batch/2026-02-01/teams.csv", "team_id,team_name\n1,a\n")
    other = Service(warehouse, config)
    barrier = threading.Barrier(2)

    def turn(one: Service) -> None:
        barrier.wait(10)
        one.turn(at("07:00", 1))

    threads = [threading.Thread(target=turn, args=(one,)) for one in (service, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    other.tracker.close()
    assert services.told() == ["Late file"]
