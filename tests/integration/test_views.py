"""The views say what can be worked out by hand, and exist wherever their tables do."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from config.file_spec import FileSpec
from config.jobs import FileJob
from config.settings import PipelineConfig
from datawarehouse import views
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from tests.conftest import with_files
from utils.sla_updater_job import update_views
from validation.pii_handler import PiiHandler

SAMPLE = """
INSERT INTO dim_city VALUES (1, 'Cairo', 'Egypt', 'Africa/Cairo', 0);
INSERT INTO dim_region VALUES (1, 'North', 1, 10, 'Cairo', 0), (2, 'South', 1, 10, 'Cairo', 0);
INSERT INTO dim_category VALUES (1, 'Grill', 0), (2, 'Sweets', 0);
INSERT INTO dim_restaurant (restaurant_id, restaurant_name, region_id, category_id, _file_id)
VALUES (1, 'Abu', 1, 1, 0), (2, 'Zed', 1, 2, 0);
INSERT INTO dim_team VALUES (1, 'Red', 0), (2, NULL, 0);
INSERT INTO dim_agent (agent_id, agent_name, team_id, _file_id)
VALUES (1, 'Ann', 1, 0), (2, 'Bob', 1, 0), (3, 'Cid', 2, 0), (4, 'Dan', NULL, 0);
INSERT INTO dim_reason_category VALUES (1, 'Food', 0);
INSERT INTO dim_reason (reason_id, reason_name, reason_category_id, reason_category, _file_id)
VALUES (1, 'cold', 1, 'Food', 0), (2, 'late', NULL, NULL, 0);
INSERT INTO fact_order (order_id, restaurant_id, region_id, total_amount, order_status, payment_method, created_at,
                        delivered_at, _file_id) VALUES
    ('a', 1, 1, 100, 'Delivered', 'cash', '2026-03-01 00:00:00', '2026-03-01 00:30:00', 0),
    ('b', 1, 1, 50.50, 'Delivered', 'cash', '2026-03-01 23:59:59.999', '2026-03-02 00:44:59.999', 0),
    ('c', 2, 2, 70, 'Cancelled', 'cash', '2026-03-01 10:15:00', NULL, 0),
    ('d', 2, NULL, NULL, 'Delivered', 'card', '2026-03-01 10:59:00', NULL, 0),
    ('e', NULL, 1, 30, 'Pending', 'card', '2026-03-02 10:00:00', NULL, 0),
    ('f', 1, 1, 20, 'Delivered', 'card', NULL, '2026-03-02 10:00:00', 0);
INSERT INTO fact_ticket (ticket_id, order_id, restaurant_id, region_id, agent_id, reason_id, refund_amount,
                         created_at, first_response_at, resolved_at, sla_first_due_at, sla_resolve_due_at,
                         _file_id) VALUES
    -- answered in time, solved 30 minutes late; refunded on the day after the order
    ('t1', 'a', 1, 1, 1, 1, 25, '2026-03-02 09:00', '2026-03-02 09:05', '2026-03-02 11:30', '2026-03-02 09:10',
     '2026-03-02 11:00', 0),
    -- a second ticket of the same order: 12.5 minutes late, solved in time
    ('t2', 'a', 1, 1, 2, 2, 0, '2026-03-02 10:00', '2026-03-02 10:22:30', '2026-03-02 11:00', '2026-03-02 10:10',
     '2026-03-02 12:00', 0),
    -- nobody answered yet, and there is time until 2999: pending
    ('t3', 'b', 1, 1, 3, 1, NULL, '2026-03-02 23:59:59', NULL, NULL, '2999-01-01', '2999-01-01', 0),
    -- without an order, agent and due times, on a day without orders
    ('t4', NULL, NULL, NULL, NULL, NULL, 10, '2026-03-04 00:00:00', '2026-03-04 00:01', NULL, NULL, NULL, 0),
    ('t5', 'b', 1, 1, 4, 1, 5, '2026-03-04 12:00', '2026-03-04 12:00', '2026-03-04 12:30', '2026-03-04 12:00',
     '2026-03-04 12:30', 0);
"""


@pytest.fixture
def with_views(any_warehouse: Warehouse, config: PipelineConfig) -> Warehouse:
    """Every view, in a session far from UTC."""
    with any_warehouse.transaction() as tx:
        tx.execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Tokyo''', "
            "current_database()); END $$"
        )
    assert update_views(any_warehouse.engine(), views.views_of(config)) == []
    return any_warehouse


@pytest.fixture
def sample(with_views: Warehouse) -> Warehouse:
    with with_views.transaction() as tx:
        tx.execute(SAMPLE)
    return with_views


def rows(warehouse: Warehouse, statement: str) -> list[tuple[Any, ...]]:
    with warehouse.transaction() as tx:
        tx.execute("SET LOCAL timezone = 'Asia/Tokyo'")
        tx.execute(statement)
        return [tuple(map(_plain, row)) for row in tx]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.day if isinstance(value, dt.date) else value


def test_daily_operations(sample: Warehouse) -> None:
    """Days of March; the last row is order f, which has no time. Tickets don't multiply orders."""
    assert rows(
        sample,
        "SELECT day, date_key, orders, delivered, cancelled, cancelled_pct, revenue, timed_deliveries, "
        "avg_delivery_min, tickets, refunds FROM v_daily_operations ORDER BY day",
    ) == [
        # a took 30 minutes, b 45, d is delivered without a time and an amount
        (1, 20260301, 4, 3, 1, 25.0, 150.5, 2, 37.5, 0, 0.0),
        (2, 20260302, 1, 0, 0, 0.0, 0.0, 0, None, 3, 25.0),
        (4, 20260304, 0, 0, 0, None, 0.0, 0, None, 2, 15.0),
        (None, None, 1, 1, 0, 0.0, 20.0, 0, None, 0, 0.0),
    ]


def test_orders_by_region_and_hour(sample: Warehouse) -> None:
    assert rows(
        sample,
        "SELECT day, hour, region_id, region_name, city_name, orders, delivered, cancelled, revenue "
        "FROM v_orders_by_region_hour ORDER BY day, hour, region_id",
    ) == [
        (1, 0, 1, "North", "Cairo", 1, 1, 0, 100.0),
        (1, 10, 2, "South", "Cairo", 1, 0, 1, 0.0),
        (1, 10, None, None, None, 1, 1, 0, 0.0),
        (1, 23, 1, "North", "Cairo", 1, 1, 0, 50.5),
        (2, 10, 1, "North", "Cairo", 1, 0, 0, 0.0),
        (None, None, 1, "North", "Cairo", 1, 1, 0, 20.0),
    ]


SLA = (
    "tickets, first_response_met, first_response_breached, first_response_pending, first_response_met_pct, "
    "first_response_breach_min, resolution_met, resolution_breached, resolution_pending, resolution_met_pct, "
    "resolution_breach_min"
)


def test_ticket_sla_by_team(sample: Warehouse) -> None:
    """t1 and t2 are of team Red, t3 of a team without a name, t4 and t5 of none. In time to the second is met."""
    assert rows(
        sample, f"SELECT day, team_id, team_name, {SLA} FROM v_ticket_sla_by_team ORDER BY day, team_id"
    ) == [
        (2, 1, "Red", 2, 1, 1, 0, 50.0, 12.5, 1, 1, 0, 50.0, 30.0),
        (2, 2, None, 1, 0, 0, 1, None, 0.0, 0, 0, 1, None, 0.0),
        (4, None, None, 2, 1, 0, 0, 100.0, 0.0, 1, 0, 0, 100.0, 0.0),
    ]


def test_ticket_sla_by_agent(sample: Warehouse) -> None:
    found = rows(
        sample,
        f"SELECT day, agent_id, agent_name, team_id, {SLA} FROM v_ticket_sla_by_agent ORDER BY day, agent_id",
    )
    assert found == [
        (2, 1, "Ann", 1, 1, 1, 0, 0, 100.0, 0.0, 0, 1, 0, 0.0, 30.0),
        (2, 2, "Bob", 1, 1, 0, 1, 0, 0.0, 12.5, 1, 0, 0, 100.0, 0.0),
        (2, 3, "Cid", 2, 1, 0, 0, 1, None, 0.0, 0, 0, 1, None, 0.0),
        (4, 4, "Dan", None, 1, 1, 0, 0, 100.0, 0.0, 1, 0, 0, 100.0, 0.0),
        (4, None, None, None, 1, 0, 0, 0, None, 0.0, 0, 0, 0, None, 0.0),
    ]


def test_ticket_sla_by_reason(sample: Warehouse) -> None:
    assert rows(
        sample,
        f"SELECT day, reason_id, reason_name, reason_category, {SLA} FROM v_ticket_sla_by_reason "
        "ORDER BY day, reason_id",
    ) == [
        (2, 1, "cold", "Food", 2, 1, 0, 1, 100.0, 0.0, 0, 1, 1, 0.0, 30.0),
        (2, 2, "late", None, 1, 0, 1, 0, 0.0, 12.5, 1, 0, 0, 100.0, 0.0),
        (4, 1, "cold", "Food", 1, 1, 0, 0, 100.0, 0.0, 1, 0, 0, 100.0, 0.0),
        (4, None, None, None, 1, 0, 0, 0, None, 0.0, 0, 0, 0, None, 0.0),
    ]


def test_a_late_ticket_without_an_answer_breaches_more_by_the_minute(sample: Warehouse) -> None:
    with sample.transaction() as tx:
        tx.execute(
            "UPDATE fact_ticket SET sla_first_due_at = (now() AT TIME ZONE 'utc') - interval '90 minutes' "
            "WHERE ticket_id = 't3'"
        )
    ((breached, pending, minutes),) = rows(
        sample,
        "SELECT first_response_breached, first_response_pending, first_response_breach_min "
        "FROM v_ticket_sla_by_agent WHERE agent_id = 3",
    )
    assert (breached, pending) == (1, 0)
    assert 90 <= minutes < 95


def test_revenue_and_refunds(sample: Warehouse) -> None:
    assert rows(
        sample,
        "SELECT day, region_id, region_name, restaurant_id, restaurant_name, category_name, delivered_orders, "
        "revenue, refunded_tickets, refunds, net_revenue, refund_pct FROM v_revenue_refunds "
        "ORDER BY day, region_id, restaurant_id",
    ) == [
        (1, 1, "North", 1, "Abu", "Grill", 2, 150.5, 0, 0.0, 150.5, 0.0),
        (1, None, None, 2, "Zed", "Sweets", 1, 0.0, 0, 0.0, 0.0, None),
        (2, 1, "North", 1, "Abu", "Grill", 0, 0.0, 1, 25.0, -25.0, None),
        (4, 1, "North", 1, "Abu", "Grill", 0, 0.0, 1, 5.0, -5.0, None),
        (4, None, None, None, None, None, 0, 0.0, 1, 10.0, -10.0, None),
        (None, 1, "North", 1, "Abu", "Grill", 1, 20.0, 0, 0.0, 20.0, 0.0),
    ]
    totals = "SELECT (SELECT sum({}) FROM v_daily_operations) - (SELECT sum({}) FROM v_revenue_refunds)"
    for figure in ("revenue", "refunds"):
        assert rows(sample, totals.format(figure, figure)) == [(0.0,)]


def test_an_order_that_healed_counts_on_its_own_day(
    with_views: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    with with_views.transaction() as tx:
        tx.execute("DELETE FROM fact_order")
        tx.execute(SAMPLE.partition("INSERT INTO fact_order")[0])
        tx.execute(
            "INSERT INTO dim_driver (driver_id, driver_name, completed_deliveries, _file_id) VALUES (1, 'x', 0, 0)"
        )
    order = {"order_id": "h", "customer_id": 9, "restaurant_id": 1, "driver_id": 1, "region_id": 1}
    order |= {"order_amount": 80, "delivery_fee": 0, "discount_amount": 0, "total_amount": 80}
    order |= {"order_status": "Delivered", "payment_method": "cash"}
    order |= {"order_created_at": "2026-03-05T23:30:00", "delivered_at": "2026-03-06T00:10:00"}
    path = tmp_path / "orders.json"
    path.write_text(json.dumps([order, {**order, "order_id": None}]))
    spec = config.by_logical_name["orders"]
    assert FileLoad(with_views, config, PiiHandler(None)).run(FileJob(path, spec, 0, 0)).orphans == 1
    quality = (
        "SELECT records, loaded, quarantined, quarantined_pct, rejected_schema, orphans, orphans_open, "
        "orphans_healed, orphans_expired FROM v_data_quality_daily"
    )
    assert rows(with_views, quality) == [(2, 0, 2, 100.0, 1, 1, 1, 0, 0)]
    assert rows(with_views, "SELECT * FROM v_daily_operations") == []
    with with_views.transaction() as tx:
        tx.execute("INSERT INTO dim_customer (customer_id, full_name, _file_id) VALUES (9, 'x', 0)")
    assert OrphanRetry(with_views, config).after("dim_customer") == 1
    assert rows(
        with_views, "SELECT day, orders, delivered, revenue, avg_delivery_min FROM v_daily_operations"
    ) == [(5, 1, 1, 80.0, 40.0)]
    assert rows(with_views, quality) == [(2, 1, 1, 50.0, 1, 1, 0, 1, 0)]


def test_data_quality(with_views: Warehouse) -> None:
    """Two files on one side of midnight UTC, one on the other; quarantine of the first was pruned in part."""
    with with_views.transaction() as tx:
        tx.execute(
            """
            INSERT INTO pipeline_file_log (file_id, file_name, file_path, file_hash, file_size, file_type,
                logical_name, source_table, status, total_records, valid_records, quarantined, inserted_records,
                already_present, updated_records, changed_records, duplicate_count, orphan_count, resolved_orphans,
                spec_hash, processed_at)
            OVERRIDING SYSTEM VALUE VALUES
                (1, 'f', 'f', '1', 1, 'batch', 'teams', 'dim_team', 'success', 100, 90, 10, 70, 15, 5, 3, 2, 6, 1,
                 '', '2026-03-01 23:59:59.9+00'),
                (2, 'f', 'f', '2', 1, 'batch', 'teams', 'dim_team', 'failed', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '',
                 '2026-03-01 00:00:00+00'),
                (3, 'f', 'f', '3', 1, 'batch', 'teams', 'dim_team', 'success', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '',
                 '2026-03-02 00:00:00+00');
            INSERT INTO quarantine (file_id, row_number, source_file, source_table, file_type, rejection_stage,
                rejection_reason, reasons, raw_data, resolution)
            SELECT 1, n, 'f', 'dim_team', 'batch', stage, '', '[]', '{}', resolution
            FROM (VALUES (1, 'schema', NULL), (2, 'records', NULL), (3, 'records', NULL), (4, 'load', NULL),
                         (5, 'orphan', NULL), (6, 'orphan', NULL), (7, 'orphan', 'loaded'),
                         (8, 'orphan', 'true_orphan')) AS q (n, stage, resolution);
            """
        )
    assert rows(
        with_views,
        "SELECT day, date_key, file_type, logical_name, source_table, files, failed_files, records, loaded, "
        "already_present, quarantined, quarantined_pct, rejected_schema, rejected_records, rejected_load, "
        "orphans, orphans_open, orphans_healed, orphans_expired, duplicates, changed_not_applied "
        "FROM v_data_quality_daily ORDER BY day",
    ) == [
        # of 6 orphans 1 healed and 2 wait; 3 were given up, of which 2 are pruned from quarantine
        (1, 20260301, "batch", "teams", "dim_team", 1, 1, 100, 75, 15, 10, 10.0, 1, 2, 1, 6, 2, 1, 3, 2, 3),
        (2, 20260302, "batch", "teams", "dim_team", 1, 0, 0, 0, 0, 0, None, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    ]


# ---------------------------------------------------------------- which of them there are


def without(config: PipelineConfig, *names: str) -> PipelineConfig:
    """`config` without these kinds of files, and without foreign keys to them."""

    def unbound(spec: FileSpec) -> FileSpec:
        kept = tuple(key for key in spec.foreign_keys if key.parent not in names)
        return dataclasses.replace(spec, foreign_keys=kept)

    return with_files(config, tuple(unbound(spec) for spec in config.files if spec.name not in names))


def test_only_views_whose_tables_are_configured_are_made(config: PipelineConfig) -> None:
    assert list(views.views_of(config)) == list(views.all_views(config))
    assert list(views.views_of(without(config, "tickets", "ticket_events"))) == [
        "v_orders_by_region_hour",
        "v_data_quality_daily",
    ]
    no_agents = views.views_of(without(config, "agents", "teams"))
    assert not {"v_ticket_sla_by_team", "v_ticket_sla_by_agent"} & set(no_agents)
    assert "v_ticket_sla_performance" in no_agents
    assert list(views.views_of(with_files(config, config.files[:1]))) == ["v_data_quality_daily"]


@pytest.fixture
def bare(warehouse: Warehouse) -> Warehouse:
    with warehouse.transaction() as tx:
        tx.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return warehouse


def test_a_table_of_that_name_with_other_columns_leaves_its_views_out_without_a_warning(
    bare: Warehouse, config: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def plain(spec: FileSpec) -> FileSpec:
        if spec.name != "tickets":
            return spec
        columns = tuple(c for c in spec.schema.columns if c.name not in {"sla_first_due_at", "refund_amount"})
        derive = {n: d for n, d in spec.derive.items() if n != "sla_response_breached"}
        schema = spec.schema.model_copy(update={"columns": columns})
        schema.__dict__.pop("by_name", None)
        return dataclasses.replace(spec, schema=schema, derive=derive)

    config = with_files(config, tuple(map(plain, config.files)))
    init_schema(bare, config)
    left_out = update_views(bare.engine(), views.views_of(config))
    assert [name for name in views.all_views(config) if name not in left_out] == [
        "v_orders_by_region_hour",
        "v_data_quality_daily",
    ]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    with bare.transaction() as tx:
        assert views.existing(tx, config) == ["v_orders_by_region_hour", "v_data_quality_daily"]


def test_services_that_start_at_once_make_the_views_once(
    warehouse: Warehouse, config: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    barrier = threading.Barrier(4)

    def update() -> None:
        barrier.wait(10)
        update_views(warehouse.engine(), views.views_of(config))

    threads = [threading.Thread(target=update) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert "failed" not in caplog.text


def test_a_view_of_somebody_elses_that_reads_ours_keeps_it_as_it_is(
    with_views: Warehouse, config: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with with_views.transaction() as tx:
        tx.execute(
            "DROP VIEW v_data_quality_daily; CREATE VIEW v_data_quality_daily AS SELECT 1 AS gone; "
            "CREATE VIEW mine AS SELECT gone FROM v_data_quality_daily"
        )
    update_views(with_views.engine(), views.views_of(config))
    assert "does a view of your own read them?" in caplog.text
    assert rows(with_views, "SELECT gone FROM mine") == [(1,)]
