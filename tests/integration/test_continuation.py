"""A file that was loaded before it was whole, where no kernel knows its writer, is put right by the whole one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.file_spec import FileSpec
from config.model import Keep
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion.file_tracker import FileTracker
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner
from ingestion.master_seeder import seed_master
from ingestion.places import open_writers
from ingestion.scans import scan_everything
from ingestion.service import Service
from tests.acceptance import samples
from tests.conftest import with_files
from tests.integration.alerts import caught_alerts, titles
from tests.partitioned import make_anew, with_partitions
from workbench.verify import run_checks

Alerts = list[tuple[str, str]]


class Site:
    """Input folders as on a file server, and one run after the other over them."""

    def __init__(self, warehouse: Warehouse, config: PipelineConfig) -> None:
        watcher = config.watcher.model_copy(update={"settle_seconds": 0.01})
        self.config = config.model_copy(update={"watcher": watcher})
        self.warehouse = warehouse
        for name, rows in samples.master_rows().items():
            path = self.config.path(config.watcher.master.dir) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            samples.write(path, rows)

    def batch(self, name: str, text: str) -> None:
        self.write(self.config.path(self.config.watcher.batch.dir) / samples.DAY / name, text)
        self.run()

    def stream(self, name: str, text: str) -> None:
        self.write(self.config.path(self.config.watcher.stream.dir) / samples.DAY / "09" / name, text)
        self.run()

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self) -> None:
        tracker = FileTracker(self.config.path(self.config.tracker.db_path))
        try:
            inbox = Inbox(self.config, tracker, report=lambda *_: None)
            runner = IngestionRunner(Service(self.config, self.warehouse, tracker, inbox))
            for scan in (seed_master, scan_everything):
                scan(self.config, inbox)
                runner.drain()
        finally:
            tracker.close()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            return tx.fetchall()

    def names(self) -> dict[int, str]:
        return dict(self.rows("SELECT customer_id, full_name FROM dim_customer WHERE customer_id >= 900"))

    def differences(self) -> list[Any]:
        return [row for check in run_checks(self.warehouse, self.config) for row in check.differences]


@pytest.fixture
def site(warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(open_writers, "OWN_DISKS", set())
    site = Site(warehouse, config)
    site.run()
    return site


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> Alerts:
    return caught_alerts(monkeypatch)


NAME_LAST = ("customer_id", "email", "phone", "region_id", "segment_id", "signup_date", "gender")


def customers(*numbers: int, **changes: Any) -> str:
    """A file of customers, whose last column is the name; it ends without a newline."""
    rows = [samples.customer(number, **changes) for number in numbers]
    columns = [*(c for c in rows[0] if c != "full_name"), "full_name"]
    return "\n".join([",".join(columns), *(",".join(str(row[c]) for c in columns) for row in rows)])


WHOLE = customers(900, 901, 902, 903)
CUT_IN_NAME = WHOLE[: WHOLE.index("Customer 901") + len("Customer 9")]  # …,Customer 9


def test_a_value_that_was_cut_is_what_the_whole_file_says(site: Site, alerts: Alerts) -> None:
    site.batch("customers.csv", CUT_IN_NAME)
    assert site.names() == {900: "Customer 900", 901: "Customer 9"}
    site.batch("customers.csv", WHOLE)
    assert site.names() == {number: f"Customer {number}" for number in range(900, 904)}
    assert site.differences() == []
    assert titles(alerts) == ["File continued"]
    assert "corrected: record 2" in alerts[0][1]
    assert "Customer" not in alerts[0][1]


def test_a_file_that_comes_in_many_parts_is_right_in_the_end(site: Site, alerts: Alerts) -> None:
    for length in range(len(CUT_IN_NAME) - 3, len(WHOLE) + 1, 37):
        site.batch("customers.csv", WHOLE[:length])
    site.batch("customers.csv", WHOLE)
    assert site.names() == {number: f"Customer {number}" for number in range(900, 904)}
    assert site.differences() == []
    open_rows = site.rows("SELECT count(*) FROM quarantine WHERE resolution IS NULL")
    assert open_rows == [(0,)], "what was cut is closed, for it came again"


def test_a_file_that_only_grows_is_not_told_of(site: Site, alerts: Alerts) -> None:
    for numbers in ((900,), (900, 901), (900, 901, 902)):
        site.batch("customers.csv", customers(*numbers))  # the last line has no newline, and is whole
    site.batch("customers.csv", customers(900, 901, 902, 903) + "\n")
    assert sorted(site.names()) == [900, 901, 902, 903]
    assert alerts == []
    assert site.differences() == []


def key_last(*numbers: int) -> str:
    rows = [samples.customer(number) for number in numbers]
    columns = [*(c for c in rows[0] if c != "customer_id"), "customer_id"]
    return "\n".join([",".join(columns), *(",".join(str(row[c]) for c in columns) for row in rows)])


def test_a_row_of_a_cut_key_is_taken_back(site: Site, alerts: Alerts) -> None:
    whole = key_last(900, 90155, 902)
    site.batch("customers.csv", whole[: whole.rindex("90155") + 3])
    assert sorted(site.names()) == [900, 901]
    site.batch("customers.csv", whole)
    assert sorted(site.names()) == [900, 902, 90155]
    assert site.differences() == []
    assert titles(alerts) == ["File continued"]


def test_a_row_of_a_cut_key_on_which_others_depend_stays_and_is_told(site: Site, alerts: Alerts) -> None:
    whole = key_last(900, 90155, 902)
    site.batch("customers.csv", whole[: whole.rindex("90155") + 3])
    site.stream("orders.json", samples.json_text([samples.order(1, customer_id=901)]))
    site.batch("customers.csv", whole)
    assert sorted(site.names()) == [900, 901, 902, 90155]
    assert site.differences() == []
    assert titles(alerts) == ["File continued"]
    assert "record 2 is left as it was: other rows depend on it" in alerts[0][1]


def test_a_cut_row_on_which_others_depend_is_exchanged_under_them(site: Site, alerts: Alerts) -> None:
    site.batch("customers.csv", CUT_IN_NAME)
    site.stream("orders.json", samples.json_text([samples.order(1, customer_id=901)]))
    site.batch("customers.csv", WHOLE)
    assert site.names()[901] == "Customer 901"
    assert site.differences() == []
    assert site.rows("SELECT count(*) FROM fact_order o JOIN dim_customer c USING (customer_id)") == [(1,)]
    assert titles(alerts) == ["File continued"]


def test_a_cut_row_that_is_refused_as_a_whole_is_not_kept(site: Site, alerts: Alerts) -> None:
    whole = WHOLE.replace("Customer 901", "Customer 9" + "x" * 1000)  # longer than the column
    site.batch("customers.csv", CUT_IN_NAME)
    site.batch("customers.csv", whole)
    assert sorted(site.names()) == [900, 902, 903]
    assert site.differences() == []
    assert "File continued" in titles(alerts)


def test_a_cut_row_that_was_refused_is_closed(site: Site, alerts: Alerts) -> None:
    cut = WHOLE[: WHOLE.index("Customer 901") - 12]
    site.batch("customers.csv", cut)
    assert site.rows("SELECT count(*) FROM quarantine WHERE resolution IS NULL") == [(1,)]
    site.batch("customers.csv", WHOLE)
    assert site.rows("SELECT resolution FROM quarantine") == [("discarded",)]
    assert sorted(site.names()) == [900, 901, 902, 903]
    assert site.differences() == []
    assert titles(alerts) == ["File continued"]


@pytest.mark.parametrize("known", [False, True])
def test_a_cut_row_of_a_type_that_is_updated_is_put_right(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch, alerts: Alerts, known: bool
) -> None:
    def updated(spec: FileSpec) -> FileSpec:
        is_customer = spec.name == "customers"
        return replace(spec, keep=Keep.LATEST, newer_by="updated_at") if is_customer else spec

    monkeypatch.setattr(open_writers, "OWN_DISKS", set())
    site = Site(warehouse, with_files(config, tuple(map(updated, config.files))))
    site.run()
    if known:
        old = customers(900, 901, updated_at="2025-01-01T00:00:00", full_name="old")
        site.write(site.config.path(config.watcher.batch.dir) / "2026-02-19/customers.csv", old)
        site.run()
        assert site.names() == {900: "old", 901: "old"}
    site.batch("customers.csv", CUT_IN_NAME)
    assert site.names()[901] == "Customer 9"
    site.batch("customers.csv", WHOLE)
    assert site.names() == {number: f"Customer {number}" for number in range(900, 904)}
    assert site.differences() == []
    assert titles(alerts) == ["File continued"]


def test_a_cut_row_of_a_partitioned_fact_is_exchanged(
    warehouse: Warehouse, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch, alerts: Alerts
) -> None:
    monkeypatch.setattr(open_writers, "OWN_DISKS", set())
    config = with_partitions(config, name="tickets", column="created_at")
    make_anew(warehouse, config)
    site = Site(warehouse, config)
    site.run()
    site.stream("orders.json", samples.json_text([samples.order(n) for n in range(3)]))
    rows = [samples.ticket(n) for n in range(3)]
    columns = [*(c for c in rows[0] if c != "refund_amount"), "refund_amount"]
    lines = [",".join("" if row[c] is None else str(row[c]) for c in columns) for row in rows]
    lines[1] = lines[1].rpartition(",")[0] + ",12.50"
    whole = "\n".join([",".join(columns), *lines])
    site.stream("tickets.csv", whole[: whole.rindex("12.50") + 2])
    assert site.rows("SELECT count(*) FROM fact_ticket WHERE refund_amount = 12") == [(1,)]
    site.stream("tickets.csv", whole)
    assert site.rows("SELECT count(*) FROM fact_ticket WHERE refund_amount = 12.5") == [(1,)]
    assert site.rows("SELECT count(*) FROM fact_ticket") == [(3,)]
    assert site.differences() == []
    assert titles(alerts) == ["File continued"]


def test_lines_of_a_text_that_was_cut_are_no_rows(site: Site, alerts: Alerts) -> None:
    """The half has a quote without its end, and what follows it looks like a record."""
    inner = customers(905).splitlines()[1]
    whole = customers(900, 901) + "\n" + customers(902).splitlines()[1].replace("Customer 902", f'"x\n{inner},y"')
    site.batch("customers.csv", whole[: whole.rindex(",y")])
    site.batch("customers.csv", whole)
    assert set(site.names()) == {900, 901, 902}
    assert site.differences() == []
