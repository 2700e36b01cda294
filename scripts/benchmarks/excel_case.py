"""A workbook of orders, beside what calamine alone takes to read the same sheet."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import python_calamine as calamine

from config.file_spec import FileSpec
from config.read_options import ReadOptions
from config.settings import PipelineConfig
from ingestion.file_load import judged
from ingestion.file_reader import read_chunks
from ingestion.places.registry import opened
from scripts.benchmarks.data import blocks
from scripts.benchmarks.load_cases import ALL_CUSTOMERS, empty_tables, timed_load, warm_up
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import Bench, check
from scripts.benchmarks.workbook import write_xlsx

ROWS = 200_000
READ = ReadOptions(format="excel")
CALAMINE, READING, JUDGING, LOADING = "calamine alone", "reading", "reading and judging", "the whole load"


def excel_case(bench: Bench) -> list[Measure]:
    """A workbook: calamine's to_python, our chunks, these judged, and the whole load, in CPU time."""
    rows = bench.size(ROWS, least=100)
    with bench.database("excel") as database, database.warehouse() as warehouse:
        warm_up(bench, database, warehouse)
        config = database.config()
        path = database.home / "orders.xlsx"
        expected = write_xlsx(path, blocks(rows, ALL_CUSTOMERS, bench.seed))
        spec, read = config.by_logical_name["orders"], READ.over(config.reader)
        ways: dict[str, Callable[[], object]] = {
            CALAMINE: lambda: by_calamine(path, rows),
            READING: lambda: read_all(path, spec, config, rows),
            JUDGING: lambda: read_all(path, spec, config, rows, judging=True),
            LOADING: lambda: timed_load(warehouse, config, path, expected, read),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(bench.runs):
            empty_tables(database)
            for name in list(ways)[:: -1 if run % 2 else 1]:
                started = time.process_time()
                ways[name]()
                seconds[name].append(time.process_time() - started)
    about = f"{rows:,} orders in one sheet, CPU"
    measures = [Measure("excel", name, "s", tuple(samples), about) for name, samples in seconds.items()]
    base = seconds.pop(CALAMINE)
    return measures + [
        Measure("excel", f"{name} / {CALAMINE}", RATIO, ratios(samples, base), about)
        for name, samples in seconds.items()
    ]


def by_calamine(path: Path, rows: int) -> None:
    """The cells of the first sheet as Python's objects."""
    with path.open("rb") as file, calamine.load_workbook(file) as book:
        check("rows that calamine reads", len(book.get_sheet_by_index(0).to_python()), rows + 1)


def read_all(path: Path, spec: FileSpec, config: PipelineConfig, rows: int, *, judging: bool = False) -> None:
    """The chunks of the file, as a load reads them, one after the other."""
    read, found = READ.over(config.reader), 0
    with opened(path) as file:
        for chunk in read_chunks(file, path.name, spec.schema, config.reader.chunk_rows, read, path):
            found += len(chunk.numbers)
            if judging:
                judged(chunk, spec, config)
    check("rows read", found, rows)
