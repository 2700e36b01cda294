"""A fact partitioned by time: what is loaded is what would be without, and the keys hold for everybody."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import random
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import make_dsn

from config.errors import Collision, ConfigError, DataError
from config.jobs import FileJob, FileOutcome
from config.model import Keep
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.loader import Loader
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema import partitions
from datawarehouse.schema.partitions import keep_up
from datawarehouse.schema_init import init_schema
from datawarehouse.views import views_of
from ingestion.file_load import FileLoad
from scripts.create_roles import create_roles
from scripts.partition import statements
from tests.acceptance import samples
from tests.acceptance.daemon import SHIPPED_CONFIG, wait_until
from tests.conftest import opened, with_files
from tests.integration.putting_right import ORDERS, Site, order, words
from tests.partitioned import make_anew, with_partitions
from utils.sla_updater_job import update_views
from validation.pii_handler import PiiHandler
from workbench.verify import run_checks

PII = PiiHandler("k" * 16)
NOVEMBER, DECEMBER, JANUARY = "2025-11-30 23:59:59", "2025-12-15 12:00:00", "2026-01-01 00:00:00"
TIMES = (NOVEMBER, DECEMBER, JANUARY)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
FACTS = {"fact_order": "order_id", "fact_ticket": "ticket_id", "fact_ticket_event": "event_id"}


class Place:
    """A database with the parents of orders in it, and files to load."""

    def __init__(self, warehouse: Warehouse, config: PipelineConfig, folder: Path) -> None:
        self.warehouse = warehouse
        self.config = config
        self.folder = folder
        self.numbers = itertools.count()

    def begin(self, config: PipelineConfig | None = None) -> Place:
        """The tables of the configuration, with the master data."""
        self.config = config or self.config
        make_anew(self.warehouse, self.config)
        for name, rows in samples.master_rows().items():
            assert self.load(name, rows).inserted == len(rows)
        return self

    def load(self, name: str, rows: Iterable[samples.Fields]) -> FileOutcome:
        """Load a file, and heal what waited for it."""
        path = samples.write(self.folder / str(next(self.numbers)) / name, list(rows))
        spec = next(spec for spec in reversed(self.config.files) if spec.name == name.partition(".")[0])
        outcome = FileLoad(self.warehouse, self.config, PII).run(FileJob(path, spec, path.stat().st_size, 0))
        assert outcome.error is None
        OrphanRetry(self.warehouse, self.config).after(spec.table)
        return outcome

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement, values or None)
            return list(tx.fetchall()) if tx.description else []

    def where(self) -> dict[str, list[str]]:
        """Order ids by the partition that they are in."""
        found: dict[str, list[str]] = {}
        for table, key in self.rows("SELECT tableoid::regclass::text, order_id FROM fact_order ORDER BY 2"):
            found.setdefault(table, []).append(key)
        return found

    def check(self) -> None:
        """Everything adds up, and each order has its key and no other is there."""
        *checks, _backup = run_checks(self.warehouse, self.config)
        assert [row for check in checks for row in check.differences] == []
        assert self.rows("SELECT order_id, created_at FROM fact_order ORDER BY 1") == self.rows(
            "SELECT order_id, created_at FROM fact_order_key ORDER BY 1"
        )


@pytest.fixture
def by_month(config: PipelineConfig) -> PipelineConfig:
    return with_partitions(config, since=dt.date(2025, 12, 5))


@pytest.fixture
def place(any_warehouse: Warehouse, by_month: PipelineConfig, tmp_path: Path) -> Place:
    """Orders by month, on each server."""
    return Place(any_warehouse, by_month, tmp_path).begin()


@pytest.fixture
def one_place(warehouse: Warehouse, by_month: PipelineConfig, tmp_path: Path) -> Place:
    """Orders by month, on one server."""
    return Place(warehouse, by_month, tmp_path).begin()


def orders(numbers: Iterable[int], **changes: Any) -> list[samples.Fields]:
    """Orders, each in one of three months."""
    return [samples.order(n, **{"order_created_at": TIMES[n % 3], **changes}) for n in numbers]


def contents(place: Place, table: str) -> list[Any]:
    """The rows of a fact without what differs from load to load."""
    surrogate = f"{table.rpartition('_')[2]}_sk"
    rows = place.rows(f"SELECT to_jsonb(t) - %s - '_loaded_at' FROM {table} t ORDER BY {FACTS[table]}", surrogate)
    return [row[0] for row in rows]


def a_day(place: Place) -> dict[str, Any]:
    """Files with everything that happens to keys; what they leave in tables, quarantine and books."""
    reader = place.config.reader.model_copy(update={"chunk_rows": 4})
    place.config = place.config.model_copy(update={"reader": reader})
    early = [samples.ticket(n) for n in range(12)]
    place.load("tickets.csv", early[8:])  # orphans: their orders come later
    place.load("ticket_events.json", [samples.event(n) for n in range(12)])
    place.load("orders.json", orders([*range(8), 3, 5], order_status="Delivered"))  # two are there twice
    place.load("orders.json", orders(range(10), order_status="Refunded"))  # two are new, eight are changed
    place.load(
        "orders.json", [*orders(range(10, 12)), *orders([12], customer_id=999), *orders([13], order_id=None)]
    )
    place.load("tickets.csv", early)
    found: dict[str, Any] = {}
    for table in FACTS:
        found[table] = contents(place, table)
    for table in ("pipeline_file_log", "quarantine", "orphan_wait"):
        volatile = (
            "- 'processed_at' - 'duration_ms' - 'quarantined_at' - 'resolved_at' - 'quarantine_id' - 'file_path'"
            " - 'as_of' - 'modified_at'"
        )
        rows = place.rows(f"SELECT to_jsonb(t) {volatile} FROM {table} t ORDER BY (to_jsonb(t) {volatile})::text")
        found[table] = [row[0] for row in rows]
    return found


def test_the_rows_and_the_books_are_those_of_a_plain_table(
    any_warehouse: Warehouse, config: PipelineConfig, by_month: PipelineConfig, tmp_path: Path
) -> None:
    place = Place(any_warehouse, config, tmp_path)
    plain = a_day(place.begin())
    assert len(plain["fact_order"]) == len(plain["fact_ticket"]) == len(plain["fact_ticket_event"]) == 12
    assert a_day(place.begin(by_month)) == plain
    place.check()
    assert {table: len(keys) for table, keys in place.where().items()} == {
        "fact_order_default": 4,
        "fact_order_p20251201": 4,
        "fact_order_p20260101": 4,
    }
    *_, events = place.config.files
    every = with_partitions(by_month, "week", "tickets", column="created_at")
    every = with_partitions(every, "year", "ticket_events", column="event_ts")
    assert a_day(place.begin(every)) == plain
    place.check()
    assert events.table == "fact_ticket_event"


def updating(config: PipelineConfig) -> PipelineConfig:
    newer = Keep.LATEST
    files = [
        dataclasses.replace(s, keep=newer, newer_by="delivered_at") for s in config.files if s.name == "orders"
    ]
    return with_files(config, tuple(files[0] if spec.name == "orders" else spec for spec in config.files))


@pytest.mark.parametrize("triggers", ["off", "on"])
def test_a_newer_row_moves_to_its_partition_and_its_children_stay(
    place: Place, triggers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if triggers == "on":
        leave_triggers_on(monkeypatch)
    place.config = updating(place.config)
    at = {"delivered_at": "2026-02-20 10:00:00"}
    place.load("orders.json", orders(range(6), **at))
    place.load("tickets.csv", [samples.ticket(n) for n in range(6)])
    surrogates = place.rows("SELECT order_id, order_sk FROM fact_order ORDER BY 1")
    newer = {"order_created_at": JANUARY, "delivered_at": "2026-02-21 10:00:00"}
    older = {"order_created_at": DECEMBER, "delivered_at": "2026-02-19 10:00:00"}
    rows = [*(samples.order(n, **newer) for n in (0, 1, 2)), samples.order(3, **older), *orders([7], **at)]
    outcome = place.load("orders.json", rows)
    assert (outcome.inserted, outcome.updated, outcome.already_present, outcome.stale) == (1, 3, 1, 1)
    moved = {samples.uid("order", n) for n in (0, 1, 2)}
    assert moved <= {*place.where()["fact_order_p20260101"]}
    assert place.rows("SELECT count(*) FROM fact_order WHERE order_id = ANY (%s)", list(moved)) == [(3,)]
    kept = {key: number for key, number in surrogates if key not in moved}
    now = dict(place.rows("SELECT order_id, order_sk FROM fact_order"))
    assert {key: now[key] for key in kept} == kept
    assert place.rows("SELECT count(*) FROM fact_ticket") == [(6,)]
    place.check()


def leave_triggers_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a role that may not switch them off."""
    begin = Loader.__init__

    def with_triggers(self: Loader, tx: Cursor, *args: Any, **options: Any) -> None:
        begin(self, tx, *args, **options)
        tx.execute("SET LOCAL session_replication_role = origin")

    monkeypatch.setattr(Loader, "__init__", with_triggers)


def test_with_the_triggers_on_the_rows_are_the_same(
    place: Place, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_triggers_on(monkeypatch)
    found = a_day(place)
    assert {table: len(found[table]) for table in FACTS} == dict.fromkeys(FACTS, 12)
    place.check()


# ---------------------------------------------------------------- for everybody


def refused(place: Place, statement: str, code: str, *values: Any) -> None:
    with pytest.raises(DataError, match=code):
        place.rows(statement, *values)


def test_postgresql_itself_keeps_a_source_key_unique_in_all_partitions(place: Place) -> None:
    place.load("orders.json", orders([0]))
    columns = "order_id, payment_method, created_at, _file_id"
    again = f"INSERT INTO fact_order ({columns}) VALUES (%s, 'card', %s, 0)"
    (key,) = place.rows("SELECT order_id FROM fact_order")[0]
    refused(place, again, "23503.*fact_order_order_id_created_at_fkey", key, JANUARY)  # its key has another time
    refused(place, again, "23505", key, NOVEMBER)
    refused(place, "INSERT INTO fact_order_key VALUES (%s, %s)", "23505.*fact_order_key_pkey", key, JANUARY)
    refused(place, again, "23503", "without a key", JANUARY)
    place.rows("INSERT INTO fact_order_key VALUES ('by hand', %s)", JANUARY)
    place.rows(again, "by hand", JANUARY)
    refused(place, "UPDATE fact_order SET created_at = %s WHERE order_id = 'by hand'", "23503", DECEMBER)
    place.rows("UPDATE fact_order_key SET created_at = %s WHERE order_id = 'by hand'", DECEMBER)
    assert place.where()["fact_order_p20251201"] == ["by hand"]


def test_foreign_keys_hold_for_everybody(place: Place) -> None:
    place.load("orders.json", orders(range(6)))
    place.load("tickets.csv", [samples.ticket(0)])
    parent, other, third = (samples.uid("order", n) for n in (0, 1, 2))
    insert = "INSERT INTO fact_ticket (ticket_id, order_id, _file_id) VALUES ('t', %s, 0)"
    refused(place, insert, "23503.*fact_ticket_order_id_fkey", "nobody's")
    refused(place, "UPDATE fact_ticket SET order_id = %s", "23503", "nobody's")
    refused(place, "DELETE FROM fact_order WHERE order_id = %s", "23503.*fact_ticket", parent)
    refused(place, "DELETE FROM fact_order_default", "23503.*fact_ticket")
    refused(place, "DELETE FROM fact_order_key", "23503.*fact_ticket")
    refused(place, "UPDATE fact_order SET customer_id = 999", "23503")
    place.rows("DELETE FROM fact_order WHERE order_id = %s", other)
    place.rows("DELETE FROM fact_order_key WHERE order_id = %s", third)
    rows = place.rows("SELECT order_id, created_at FROM fact_order ORDER BY 1")
    assert len(rows) == 4
    assert rows == place.rows("SELECT order_id, created_at FROM fact_order_key ORDER BY 1")


def test_a_parent_can_not_be_deleted_while_its_child_is_loaded(place: Place) -> None:
    place.load("orders.json", orders([0]))
    key = samples.uid("order", 0)
    failed: list[DataError] = []

    def delete() -> None:
        try:
            place.rows("DELETE FROM fact_order WHERE order_id = %s", key)
        except DataError as error:
            failed.append(error)

    thread = threading.Thread(target=delete)
    load, spec = Loader.load, place.config.by_logical_name["tickets"]

    def loading(self: Loader, *args: Any, **options: Any) -> Any:
        if self._spec.name == spec.name:
            thread.start()
            wait_until(lambda: place.rows(WAITING) == [(1,)], "the delete waits for the load")
        return load(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loader, "load", loading)
        assert place.load("tickets.csv", [samples.ticket(0)]).inserted == 1
    thread.join()
    assert len(failed) == 1
    place.check()


def test_two_files_with_one_key_in_two_partitions_leave_one_row(place: Place) -> None:
    """The second waits for the first, and finds the key there."""
    key = samples.uid("order", 0)
    outcomes: list[FileOutcome] = []
    second = threading.Thread(target=lambda: outcomes.append(place.load("orders.json", orders([0, 1]))))
    with place.warehouse.transaction() as tx:
        tx.execute("INSERT INTO fact_order_key VALUES (%s, %s)", (key, JANUARY))
        values = "(%s, 'card', %s, 0)"
        tx.execute(
            f"INSERT INTO fact_order (order_id, payment_method, created_at, _file_id) VALUES {values}",
            (key, JANUARY),
        )
        second.start()
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        wait_until(lambda: place.rows(waits) == [(1,)], "the load waits")
    second.join()
    assert [(o.inserted, o.updated) for o in outcomes] == [(1, 1)]


# ---------------------------------------------------------------- partitions


def test_what_waits_in_the_default_partition_moves_when_its_partition_is_made(place: Place) -> None:
    place.load("orders.json", orders(range(6)))
    place.load("tickets.csv", [samples.ticket(n) for n in range(6)])
    assert len(place.where()["fact_order_default"]) == 2
    before = place.rows("SELECT * FROM fact_order ORDER BY 1")
    assert keep_up(place.warehouse, place.config) == 1
    assert {table: len(keys) for table, keys in place.where().items()} == {
        "fact_order_p20251101": 2,
        "fact_order_p20251201": 2,
        "fact_order_p20260101": 2,
    }
    assert place.rows("SELECT * FROM fact_order ORDER BY 1") == before
    assert keep_up(place.warehouse, place.config) == 0
    refused(place, "DELETE FROM fact_order WHERE created_at < '2025-12-01'", "23503.*fact_ticket")
    place.check()
    place.rows("DELETE FROM fact_ticket")
    place.rows("DELETE FROM fact_order WHERE created_at < '2025-12-01'")
    assert place.rows("SELECT count(*) FROM fact_order_key") == [(4,)]


def test_while_somebody_loads_no_partition_is_made_and_nothing_is_lost(
    one_place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = one_place
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "100ms")
    caplog.set_level("INFO")
    place.load("orders.json", orders(range(3)))
    with place.warehouse.transaction() as tx:
        tx.execute("INSERT INTO fact_order_key VALUES ('in hand', now())")
        assert keep_up(place.warehouse, place.config) == 0
    assert "is put off" in caplog.text
    with place.warehouse.transaction() as tx:
        tx.execute("SELECT FROM fact_order_default")  # a reader holds it up as well
        assert keep_up(place.warehouse, place.config) == 0
    assert len(place.where()["fact_order_default"]) == 1
    place.rows("DELETE FROM fact_order_key WHERE order_id = 'in hand'")
    assert keep_up(place.warehouse, place.config) == 1
    place.check()


def test_partitions_are_made_ahead_and_another_interval_fills_the_gaps(
    one_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = one_place
    names = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'fact_order'::regclass ORDER BY 1"
    found = [name for (name,) in place.rows(names)]
    today = dt.datetime.now(dt.UTC).date()
    months = (today.year - 2025) * 12 + today.month - 12 + 1 + 3  # from December 2025 to three ahead
    assert len(found) == months + 1
    assert found[:2] == ["fact_order_default", "fact_order_p20251201"]
    weekly = with_partitions(place.config, "week", since=dt.date(2025, 11, 17))
    init_schema(place.warehouse, weekly)
    made = {name for (name,) in place.rows(names)} - {*found}
    assert {"fact_order_p20251117"} <= made
    assert "fact_order_p20251201" not in made  # December has one; the week before it would reach into it no day


def test_a_query_by_time_and_the_look_up_of_a_key_read_one_partition(place: Place) -> None:
    place.load("orders.json", orders(range(300)))
    plan = "\n".join(
        row[0] for row in place.rows("EXPLAIN SELECT count(*) FROM fact_order WHERE created_at = '2026-01-01'")
    )
    assert {*re.findall(r"fact_order_(?:p\d+|default)", plan)} == {"fact_order_p20260101"}
    before = scans(place)
    again = [samples.order(n, order_created_at=JANUARY) for n in range(300) if TIMES[n % 3] == JANUARY]
    place.load("orders.json", again)

    def read() -> set[str]:
        """Where as many keys were looked up as there were rows."""
        return {table for table, count in scans(place).items() if count - before[table] >= len(again)}

    wait_until(lambda: len(read()) > 1, "the load of rows that are there is counted")
    assert read() == {"fact_order_key", "fact_order_p20260101"}


def scans(place: Place) -> dict[str, int]:
    """How often the index of each partition, and that of the keys, was read so far."""
    scanned = "SELECT relname, coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname ~ '^fact_order_'"
    found = place.rows(scanned)
    return dict(found)


# ---------------------------------------------------------------- starts, rights, repairs


def test_a_table_that_is_there_is_refused_with_one_message(
    warehouse: Warehouse, config: PipelineConfig, by_month: PipelineConfig
) -> None:
    with pytest.raises(ConfigError) as caught:
        init_schema(warehouse, by_month)
    assert str(caught.value).count("\n  - ") == 1
    assert "fact_order: the table is not partitioned, the configuration says partitioned by" in str(caught.value)
    assert "docs/scaling.md" in str(caught.value)
    make_anew(warehouse, by_month)
    with pytest.raises(ConfigError, match=r"partitioned by RANGE \(created_at\), the configuration says not"):
        init_schema(warehouse, config)


def test_facts_that_are_there_are_partitioned_by_the_printed_statements(
    any_warehouse: Warehouse, config: PipelineConfig, by_month: PipelineConfig, tmp_path: Path
) -> None:
    every = with_partitions(by_month, "week", "tickets", column="created_at")
    place = Place(any_warehouse, config, tmp_path)
    plain = a_day(place.begin())
    with any_warehouse.transaction() as tx:
        printed = statements(tx, every)
    assert (printed[0], printed[-1]) == ("BEGIN", "COMMIT")
    with any_warehouse.transaction() as tx:
        for statement in printed[1:-1]:
            tx.execute(statement)
    init_schema(any_warehouse, every)
    place.config = every
    assert {table: contents(place, table) for table in FACTS} == {table: plain[table] for table in FACTS}
    place.check()
    refused(place, "DELETE FROM fact_order", "23503.*fact_ticket")
    assert place.load("orders.json", orders(range(10, 30))).inserted == 18
    assert place.load("tickets.csv", [samples.ticket(20)]).inserted == 1
    with any_warehouse.transaction() as tx:
        assert statements(tx, every) == []


def test_the_second_start_changes_nothing(
    place: Place, by_month: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    relations = "SELECT relname, oid, relfilenode FROM pg_class WHERE relname !~ '^pg_' ORDER BY 1"
    before = place.rows(relations)
    caplog.clear()
    init_schema(place.warehouse, by_month)
    assert place.rows(relations) == before
    assert not caplog.records


def test_the_views_are_made_and_read(one_place: Place) -> None:
    place = one_place
    place.load("orders.json", orders(range(6)))
    place.load("tickets.csv", [samples.ticket(n) for n in range(6)])
    assert update_views(place.warehouse.engine(), views_of(place.config)) == []
    assert place.rows("SELECT sum(orders), sum(tickets) FROM v_daily_operations") == [(6, 6)]


def test_a_role_without_ddl_rights_loads_and_says_what_is_missing(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dsn = make_dsn(**place.warehouse.parameters)
    config = updating(place.config).model_copy(update={"database": DatabaseConfig(url=dsn)})
    try:
        create_roles(config, "p owner", "p loader", {"p owner": "x", "p loader": "y"})
        owners = place.rows(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname LIKE 'fact_order%'"
        )
        assert owners == [('"p owner"',)]
        url = make_dsn(**{**place.warehouse.parameters, "user": "p loader", "password": "y"})
        with opened(DatabaseConfig(url=url), tmp_path) as loading:
            place.rows("DROP TABLE fact_order_p20260201")
            init_schema(loading, config)
            other = Place(loading, config, tmp_path / "loader")
            at = {"delivered_at": "2026-02-20 10:00:00"}
            assert other.load("orders.json", orders(range(6), **at)).inserted == 6
            newer = {"order_created_at": JANUARY, "delivered_at": "2026-02-21 10:00:00"}
            assert other.load("orders.json", [samples.order(0, **newer)]).updated == 1
            assert other.load("tickets.csv", [samples.ticket(0)]).inserted == 1
            assert keep_up(loading, config) == 0
            assert "fact_order lacks 1 partitions, and this role does not own it" in caplog.text
        create_roles(config, "p owner", "p loader", {})  # as its owner
        assert "fact_order_default" not in place.where()
        place.check()
    finally:
        place.rows('DROP OWNED BY "p owner", "p loader" CASCADE; DROP ROLE "p owner", "p loader"')


def test_a_file_is_undone_with_its_keys_when_nothing_depends_on_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    files = config["watcher"]["stream"]["expected_files"]
    files["orders.json"]["partition_by"] = {"column": "order_created_at", "interval": "month"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(tmp_path / "config.yaml"))
    make_anew(site.warehouse, site.config)
    site.seed()
    site.execute("INSERT INTO dim_customer (customer_id, full_name, _file_id) VALUES (1, 'c', 0)")
    first = site.load("orders.csv", ORDERS + order("a") + order("b") + order("c", amount=-1))
    second = site.load("more/orders.csv", ORDERS + order("b") + order("d"))
    site.execute("INSERT INTO fact_ticket (ticket_id, order_id, _file_id) VALUES ('t', 'a', 0)")
    words(site.run("undo", first.file_id, "--yes", expect=2), ["fact_ticket: 1 rows", "order_id a"])
    words(site.run("undo", second.file_id, "--yes"), ["1 rows and 0 quarantined rows taken back"])
    site.execute("DELETE FROM fact_ticket")
    words(site.run("undo", first.file_id, "--yes"), ["2 rows and 1 quarantined rows taken back"])
    assert site.rows("SELECT * FROM fact_order_key") == []
    words(site.run("reprocess", first.file_id, "--yes"), [])
    assert site.rows("SELECT order_id FROM fact_order_key ORDER BY 1") == [("a",), ("b",)]
    words(site.run("explain", "orders", "a"), ["fact_order", "2026-02-20"])


def test_verify_finds_keys_whose_rows_are_gone(one_place: Place) -> None:
    one_place.load("orders.json", orders(range(6)))
    one_place.rows("TRUNCATE fact_order_p20260101")  # keeps the keys: no trigger sees it
    checks = run_checks(one_place.warehouse, one_place.config)
    (found,) = [row for one in checks for row in one.differences if "without a row" in row["what"]]
    assert (found["table"], found["found"]) == ("fact_order", 2)


def test_loads_side_by_side_that_move_rows_leave_the_newest_of_each_and_its_key(one_place: Place) -> None:
    """While partitions are made, too. Deadlocks are repeated, as the service does."""
    place = one_place
    place.config = updating(place.config)
    place.load("orders.json", orders(range(12), delivered_at="2026-01-01 00:00:00"))
    loads = [(turn, worker) for turn in range(1, 6) for worker in range(3)]
    months = [f"2025-{month:02d}-10 08:00:00" for month in range(4, 13)]

    def newest(number: int) -> tuple[int, int]:
        return max((turn, worker) for turn, worker in loads if (number + turn + worker) % 3)

    def work(worker: int) -> None:
        dice = random.Random(worker)
        for turn in range(1, 6):
            at = {"delivered_at": f"2026-02-{turn:02d} {worker:02d}:00:00"}
            rows = [
                samples.order(n, order_created_at=dice.choice(months), **at)
                for n in range(12)
                if (n + turn + worker) % 3
            ]
            dice.shuffle(rows)
            while True:
                try:
                    place.load("orders.json", rows)
                    break
                except Collision:
                    continue

    def make_partitions() -> None:
        while any(thread.is_alive() for thread in threads):
            keep_up(place.warehouse, place.config)
            time.sleep(0.1)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    maker = threading.Thread(target=make_partitions)
    for thread in (*threads, maker):
        thread.start()
    for thread in (*threads, maker):
        thread.join()
    found = dict(place.rows("SELECT order_id, delivered_at FROM fact_order"))
    assert {key: (at.day, at.hour) for key, at in found.items()} == {
        samples.uid("order", n): newest(n) for n in range(12)
    }
    place.check()
