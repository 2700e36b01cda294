"""JSON records whose values are in objects within, beside the same records with all values at the top."""

from __future__ import annotations

import time
from pathlib import Path

import yaml

from config.config_loader import DEFAULT_CONFIG, get_config
from config.settings import PipelineConfig
from scripts.benchmarks.data import NESTED_PATHS, blocks, write_json
from scripts.benchmarks.load_cases import ALL_CUSTOMERS, ORDERS, empty_tables, timed_load, warm_up
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import Bench, Database, environment


def nested_case(bench: Bench) -> list[Measure]:
    """Records with nested values against flat ones, in CPU time of this process for each byte."""
    rows = bench.size(ORDERS)
    with bench.database("nested") as database, database.warehouse() as warehouse:
        flat, nested = database.home / "orders.json", database.home / "nested/orders.json"
        nested.parent.mkdir()
        expected = write_json(flat, blocks(rows, ALL_CUSTOMERS, bench.seed))
        write_json(nested, blocks(rows, ALL_CUSTOMERS, bench.seed), nested=True)
        warm_up(bench, database, warehouse)
        configs = {flat: database.config(csv=False), nested: nested_config(database)}
        a_byte: dict[Path, list[float]] = {flat: [], nested: []}
        for _ in range(bench.runs):
            for path, samples in a_byte.items():
                empty_tables(database)
                started = time.process_time()
                timed_load(warehouse, configs[path], path, expected)
                samples.append((time.process_time() - started) / path.stat().st_size * 1e9)
        megabytes = nested.stat().st_size / 1e6
    about = f"{rows:,} orders, {megabytes:,.0f} MB"
    return [
        Measure("nested", "CPU for a byte", "ns", tuple(a_byte[nested]), about),
        Measure("nested", "nested / flat JSON", RATIO, ratios(a_byte[nested], a_byte[flat]), about),
    ]


def nested_config(database: Database) -> PipelineConfig:
    """The shipped YAML, but the columns of orders are at the end of their paths."""
    shipped = yaml.safe_load(DEFAULT_CONFIG.read_text(encoding="utf-8"))
    for column in shipped["schemas"]["orders"]["columns"]:
        if path := NESTED_PATHS.get(column["name"]):
            column["from"] = path
    source = database.home / "nested.yaml"
    source.write_text(yaml.safe_dump(shipped, sort_keys=False), encoding="utf-8")
    with environment(database.variables(csv=False)):
        return get_config(source)
