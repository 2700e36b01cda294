"""What a dialect costs: the same rows as plain CSV, and as files that need keys of `read`."""

from __future__ import annotations

from pathlib import Path

from config.read_options import ReadOptions
from scripts.benchmarks.data import blocks, write_csv
from scripts.benchmarks.load_cases import ALL_CUSTOMERS, ORDERS, empty_tables, timed_load, warm_up
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import Bench

COMMENT_EVERY = 100  # lines
DIALECTS: dict[str, dict[str, object]] = {
    "plain CSV": {},
    "cp1252": {"encoding": "cp1252"},
    "UTF-16": {"encoding": "utf-16-le"},
    "other signs": {"delimiter": ";", "quote": "'", "escape": "\\"},
    "lines that are no rows": {"skip_lines": 2, "skip_footer": 1, "comment": "#"},
}


def dialect_case(bench: Bench) -> list[Measure]:
    """The same rows as plain CSV and in other dialects, in turn."""
    rows = bench.size(ORDERS)
    with bench.database("dialect") as database, database.warehouse() as warehouse:
        warm_up(bench, database, warehouse)
        config = database.config()
        plain = database.home / "orders.csv"
        expected = write_csv(plain, blocks(rows, ALL_CUSTOMERS, bench.seed))
        paths = {name: write_as(plain, name, read) for name, read in DIALECTS.items()}
        seconds: dict[str, list[float]] = {name: [] for name in DIALECTS}
        for _ in range(bench.runs):
            for name, path in paths.items():
                empty_tables(database)
                read = ReadOptions.model_validate(DIALECTS[name]).over(config.reader)
                seconds[name].append(timed_load(warehouse, config, path, expected, read))
    about = f"{rows:,} orders"
    measures = [Measure("dialect", name, "s", tuple(samples), about) for name, samples in seconds.items()]
    base = seconds.pop("plain CSV")
    measures += [
        Measure("dialect", f"{name} / plain CSV", RATIO, ratios(samples, base), about)
        for name, samples in seconds.items()
    ]
    return measures


def write_as(plain: Path, name: str, read: dict[str, object]) -> Path:
    """The rows of `plain` in another dialect, beside it."""
    if not read:
        return plain
    path = plain.with_name(f"{name.replace(' ', '_')}.csv")
    with (
        plain.open(encoding="utf-8", newline="") as source,
        path.open("w", encoding=str(read.get("encoding", "utf-8")), newline="") as target,
    ):
        target.write("some title\n\n" if "skip_lines" in read else "")
        for number, line in enumerate(source):
            if "comment" in read and number % COMMENT_EVERY == 0:
                target.write("# a comment\n")
            target.write(line.replace(",", ";") if "delimiter" in read else line)
        target.write("some total\n" if "skip_footer" in read else "")
    return path
