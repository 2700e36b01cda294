"""What checks and profiles cost: the same orders without any, and held to ten conditions, or with figures kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from config.checks import Check
from config.file_spec import FileSpec
from config.severity import Then
from scripts.benchmarks.data import blocks, write_csv
from scripts.benchmarks.load_cases import ALL_CUSTOMERS, ORDERS, empty_tables, timed_load, warm_up
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import Bench

SMALL = 50  # rows
TEN = (
    "delivered_at >= order_created_at",
    "abs(order_amount + delivery_fee - discount_amount - total_amount) <= 0.01",
    "discount_amount <= 0.5 * order_amount",
    "delivered_at - order_created_at < interval '3 hours'",
    "order_status <> 'Cancelled' or delivered_at is null",
    "payment_method in ('card', 'cash', 'wallet')",
    "length(order_id) = 36",
    "total_amount > 0 and order_amount >= 0",
    "coalesce(delivery_fee, 0) < 100",
    "extract(year from order_created_at) >= 2020",
)


def check_case(bench: Bench) -> list[Measure]:
    """Many orders, and few, in turn without checks and with ten that warn."""
    ten = {f"check_{number}": Check(row=text, then=Then.WARN) for number, text in enumerate(TEN)}

    def with_checks(spec: FileSpec, checks: dict[str, Check]) -> FileSpec:
        return replace(spec, schema=spec.schema.changed(checks=checks))

    kinds = {"without": lambda spec: with_checks(spec, {}), "ten checks": lambda spec: with_checks(spec, ten)}
    return _in_turn(bench, "checks", kinds)


def profile_case(bench: Bench) -> list[Measure]:
    """Many orders, and few, in turn without and with the figures that are kept of their columns."""
    kinds = {
        "without": lambda spec: replace(spec, is_profiled=False),
        "profile": lambda spec: replace(spec, is_profiled=True),
    }
    return _in_turn(bench, "profile", kinds)


def _in_turn(bench: Bench, case: str, kinds: dict[str, Callable[[FileSpec], FileSpec]]) -> list[Measure]:
    """The time of loads of the first kind, of the second, and the ratio of the second to the first."""
    measures = []
    first, second = kinds
    with bench.database(case) as database, database.warehouse() as warehouse:
        warm_up(bench, database, warehouse)
        config = database.config()
        specs = {name: of(config.by_logical_name["orders"]) for name, of in kinds.items()}
        for rows in (bench.size(ORDERS), SMALL):
            path = database.home / "orders.csv"
            expected = write_csv(path, blocks(rows, ALL_CUSTOMERS, bench.seed))
            seconds: dict[str, list[float]] = {name: [] for name in specs}
            for _ in range(bench.runs):
                for name, one in specs.items():
                    empty_tables(database)
                    seconds[name].append(timed_load(warehouse, config, path, expected, spec=one))
            about = f"{rows:,} orders"
            measures += [Measure(case, name, "s", tuple(found), about) for name, found in seconds.items()]
            share = ratios(seconds[second], seconds[first])
            measures.append(Measure(case, f"{second} / {first}", RATIO, share, about))
    return measures
