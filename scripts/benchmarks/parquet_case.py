"""Parquet whose values have types, beside CSV of the same rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from config.read_options import ReadOptions
from scripts.benchmarks.data import BLOCK_ROWS, KEYS, NUMBERS, TIMES, Orders, make_orders, write_csv
from scripts.benchmarks.load_cases import ALL_CUSTOMERS, ORDERS, empty_tables, timed_load, warm_up
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import Bench

CSV = "CSV"
AMOUNTS = {"Parquet, amounts as doubles": pa.float64(), "Parquet, amounts as decimals": pa.decimal128(12, 2)}


def parquet_case(bench: Bench) -> list[Measure]:
    """The same rows as CSV and as Parquet, in turn; CPU time of this process for the whole load.

    None of them is bad: a bad value has no type.
    """
    rows = bench.size(ORDERS)
    parts = [
        make_orders(min(BLOCK_ROWS, rows - start), ALL_CUSTOMERS, bench.seed + start, bad_share=0)
        for start in range(0, rows, BLOCK_ROWS)
    ]
    with bench.database("parquet") as database, database.warehouse() as warehouse:
        warm_up(bench, database, warehouse)
        config = database.config()
        paths = {CSV: database.home / "orders.csv"}
        expected = write_csv(paths[CSV], parts)
        for number, (name, amounts) in enumerate(AMOUNTS.items()):
            paths[name] = database.home / f"orders_{number}.parquet"
            write_parquet(paths[name], parts, amounts)
        seconds: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(bench.runs):
            for name, path in paths.items():
                empty_tables(database)
                read = ReadOptions(format=path.suffix[1:]).over(config.reader)
                started = time.process_time()
                timed_load(warehouse, config, path, expected, read)
                seconds[name].append(time.process_time() - started)
    about = f"{rows:,} orders, CPU"
    measures = [Measure("parquet", name, "s", tuple(samples), about) for name, samples in seconds.items()]
    base = seconds.pop(CSV)
    return measures + [
        Measure("parquet", f"{name} / CSV", RATIO, ratios(samples, base), about)
        for name, samples in seconds.items()
    ]


def write_parquet(path: Path, parts: Sequence[Orders], amounts: pa.DataType) -> None:
    """The orders with keys as whole numbers, times as timestamps, and amounts of the type given."""
    types = dict.fromkeys(NUMBERS, amounts) | dict.fromkeys(KEYS, pa.int64())
    types |= dict.fromkeys(TIMES, pa.timestamp("us"))
    tables = []
    for part in parts:
        texts = {name: part.rows.column(name) for name in part.rows.column_names}
        columns = {name: pc.if_else(pc.equal(text, ""), None, text) for name, text in texts.items()}
        tables.append(pa.table({name: pc.cast(v, types.get(name, pa.string())) for name, v in columns.items()}))
    pq.write_table(pa.concat_tables(tables), path)
