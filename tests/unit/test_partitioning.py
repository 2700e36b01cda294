"""What a configuration may say of partitions, and the intervals that follow from it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.expected_file import PartitionBy
from config.partitioning import bounds, intervals
from config.settings import PipelineConfig
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.conftest import SETTINGS_FROM_OUTSIDE

ORDERS = "watcher.stream.expected_files.orders.json.partition_by"


@pytest.fixture(autouse=True)
def no_settings_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS_FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    (tmp_path / ".env").touch()


def load(
    folder: Path, partition_by: Any, feed: str = "stream", name: str = "orders.json", **column: Any
) -> PipelineConfig:
    """The shipped configuration with one file partitioned, and the time of orders changed."""
    config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    config["watcher"][feed]["expected_files"][name]["partition_by"] = partition_by
    (placed,) = (c for c in config["schemas"]["orders"]["columns"] if c["name"] == "order_created_at")
    placed.update(column)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return get_config(path)


BY_MONTH = {"column": "order_created_at", "interval": "month"}


def test_a_fact_by_a_time_that_is_never_null(tmp_path: Path) -> None:
    plain = get_config(SHIPPED_CONFIG).by_logical_name["orders"]
    spec = load(tmp_path, BY_MONTH).by_logical_name["orders"]
    assert (spec.key_table, spec.partition_column) == ("fact_order_key", "created_at")
    assert (plain.key_table, plain.partition_column) == ("fact_order", None)
    assert (
        spec.fingerprint == dataclasses.replace(spec, partition_by=None).fingerprint
    )  # files that failed are not tried again for it
    load(tmp_path, BY_MONTH, rules={}, nullable=False)


@pytest.mark.parametrize(
    ("partition_by", "message"),
    [
        ({"column": "order_created_at"}, rf"{ORDERS}.interval: missing"),
        (
            {"column": "order_created_at", "interval": "hour"},
            rf"{ORDERS}.interval: .*'day', 'week', 'month' or 'year'",
        ),
        (
            {"column": "created_at", "interval": "day"},
            rf"{ORDERS}.column: 'created_at' is not a column of schemas.orders",
        ),
        ({"column": "customer_id", "interval": "day"}, rf"{ORDERS}.column: 'customer_id' is int, not datetime"),
        ({"column": "delivered_at", "interval": "day"}, rf"{ORDERS}.column: 'delivered_at' may be null; give it"),
        ({**BY_MONTH, "since": "soon"}, rf"{ORDERS}.since: .*date"),
    ],
)
def test_what_it_can_not_be(tmp_path: Path, partition_by: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, partition_by)


def test_only_facts_are_partitioned_and_by_nothing_personal(tmp_path: Path) -> None:
    updated = {"column": "updated_at", "interval": "year"}
    with pytest.raises(ConfigError, match=r"customers.csv.partition_by: dim_customer is no fact table"):
        load(tmp_path, updated, "batch", "customers.csv")
    with pytest.raises(ConfigError, match=r"partition_by.column: 'order_created_at' is personal"):
        load(tmp_path, BY_MONTH, personal=True)


@pytest.mark.parametrize(
    ("interval", "day", "first", "end"),
    [
        ("day", "2024-02-28", "2024-02-28", "2024-02-29"),
        ("week", "2026-01-01", "2025-12-29", "2026-01-05"),
        ("month", "2025-12-31", "2025-12-01", "2026-01-01"),
        ("month", "2024-01-31", "2024-01-01", "2024-02-01"),
        ("year", "2024-02-29", "2024-01-01", "2025-01-01"),
    ],
)
def test_an_interval_is_whole_and_ends_where_the_next_one_begins(
    interval: str, day: str, first: str, end: str
) -> None:
    assert bounds(interval, dt.date.fromisoformat(day)) == (
        dt.date.fromisoformat(first),
        dt.date.fromisoformat(end),
    )


@pytest.mark.parametrize(("interval", "ahead"), [("day", 14), ("week", 8), ("month", 3), ("year", 1)])
def test_there_are_some_ahead_and_no_gap(interval: Any, ahead: int) -> None:
    today = dt.date(2026, 11, 25)
    found = intervals(PartitionBy(column="c", interval=interval), today)
    assert len(found) == ahead + 1
    assert found[0][0] <= today < found[0][1]
    early = intervals(PartitionBy(column="c", interval=interval, since=dt.date(2024, 2, 29)), today)
    assert early[-1] == found[-1]
    assert all(end == first for (_, end), (first, _) in itertools.pairwise(early))
    assert early[0][0] <= dt.date(2024, 2, 29) < early[0][1]
