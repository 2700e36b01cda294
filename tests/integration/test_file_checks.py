"""Checks of whole files: what their figures amount to is worked out by PostgreSQL, alone or in a group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from config.checks import Check
from config.settings import PipelineConfig
from config.severity import Then
from datawarehouse.db_connection import Warehouse
from tests.acceptance import samples
from tests.conftest import with_files
from tests.integration.test_group_load import Site


def site_with(warehouse: Warehouse, config: PipelineConfig, chunk_rows: int, **checks: Check) -> Site:
    """A site whose orders have `checks`."""
    files = tuple(
        replace(spec, schema=spec.schema.changed(checks=checks)) if spec.name == "orders" else spec
        for spec in config.files
    )
    settle = config.watcher.model_copy(update={"settle_seconds": 0.01})
    reader = config.reader.model_copy(update={"chunk_rows": chunk_rows})
    return Site(warehouse, with_files(config.model_copy(update={"watcher": settle, "reader": reader}), files))


def orders(hour: int, *changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [samples.order(100 * hour + n, **one) for n, one in enumerate(changes)]


CARD, CASH = {"payment_method": "card"}, {"payment_method": "cash"}
BAD = {"payment_method": "gold"}  # refused: it does not count


@pytest.mark.parametrize("chunk_rows", [2, 25_000])
def test_a_file_that_breaks_a_check_fails_as_a_whole_and_costs_no_neighbour(
    warehouse: Warehouse, config: PipelineConfig, chunk_rows: int
) -> None:
    site = site_with(
        warehouse,
        config,
        chunk_rows,
        mostly_card=Check(file="avg((payment_method = 'card')::int) >= 2 / 3.0", says="two of three pay by card"),
        some_cash=Check(file="count(*) filter (where payment_method = 'cash') = 0", then=Then.WARN),
        known_sum=Check(file="sum(order_amount) filter (where payment_method = 'cash') < 10000"),
    )
    site.put("0", orders(0, CARD, CARD, CARD, CASH, BAD))
    site.put("1", orders(1, CARD, CASH, CARD, CASH, CASH))
    site.put("2", orders(2, CARD, CARD, CASH))
    assert site.drain() == {"0": "success", "1": "failed", "2": "success"}
    told = site.one("SELECT error FROM pipeline_file_log WHERE status = 'failed'")
    assert told == "breaks mostly_card (two of three pay by card); nothing of it is loaded or quarantined"
    assert site.one("SELECT count(*) FROM fact_order") == 7
    assert site.one("SELECT count(*) FROM quarantine") == 1
    assert site.one("SELECT array_agg(check_name || rows) FROM file_warning") == ["some_cash0", "some_cash0"]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("count(*) = 6 and count(delivered_at) <= 6", True),
        ("sum(order_amount) = 111.11 + 0.01 * 5", True),
        ("avg(order_amount) = 18.5266666666666667", True),  # as PostgreSQL rounds it
        ("sum(order_amount) / count(*) > 18.5266666666666666", True),
        ("max(order_created_at) - min(order_created_at) <= interval '1 day'", True),
        ("bool_and(order_amount >= 0) and not bool_or(order_amount > 1000)", True),
        ("count(*) / (count(*) - 6) > 1", False),  # can't be worked out
        ("sum((order_amount::int) / (customer_id - customer_id)) > 1", False),
        ("sum(order_amount) filter (where order_amount > 1000) > 1", True),  # null holds
        ("min(customer_id) <> 1 or count(*) filter (where payment_method = '%s') > 0", False),
    ],
)
def test_figures_of_a_file_are_those_of_postgresql(
    warehouse: Warehouse, config: PipelineConfig, text: str, holds: bool
) -> None:
    site = site_with(warehouse, config, 2, it=Check(file=text))
    amounts = ["11.11", "0.05", "99.99", "0.01", "0.00", "0.00"]
    site.put("0", orders(0, *({"order_amount": float(one), "customer_id": 1} for one in amounts)))
    assert site.drain() == {"0": "success" if holds else "failed"}
