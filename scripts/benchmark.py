"""Measures the pipeline against its targets and a bare COPY, on a private PostgreSQL in a temporary folder."""

from __future__ import annotations

import datetime as dt
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from config.config_loader import PROJECT_ROOT
from config.errors import PipelineError
from scripts.benchmarks import (
    change_case,
    check_case,
    daemon_cases,
    dialect_case,
    excel_case,
    key_case,
    load_cases,
    nested_case,
    parquet_case,
    report,
    retry_case,
)
from scripts.benchmarks.measures import Measure
from scripts.benchmarks.server import Bench, CountError, private_bench

CASES: dict[str, Callable[[Bench], list[Measure]]] = {
    "csv": load_cases.csv_case,
    "quotes": load_cases.quotes_case,
    "json": load_cases.json_case,
    "dialect": dialect_case.dialect_case,
    "checks": check_case.check_case,
    "profile": check_case.profile_case,
    "nested": nested_case.nested_case,
    "excel": excel_case.excel_case,
    "parquet": parquet_case.parquet_case,
    "small": daemon_cases.small_case,
    "latency": daemon_cases.latency_case,
    "memory": daemon_cases.memory_case,
    "fk": load_cases.fk_case,
    "start": daemon_cases.start_case,
    "retry": retry_case.retry_case,
    "keys": key_case.key_case,
    "changes": change_case.change_case,
}
RESULTS = PROJECT_ROOT / "benchmarks" / "results"
SEED = 20_260_101
TABLE_WIDTH = 150  # characters, when it goes to a file


def measure(bench: Bench, names: Sequence[str], say: Callable[[str], None]) -> list[Measure]:
    """Run the cases `names`, in this order; `say` is told before each. Raises CountError on any wrong figure."""
    measures = []
    for name in names:
        say(f"{name}: {(CASES[name].__doc__ or '').splitlines()[0]}")
        measures += CASES[name](bench)
    return measures


def _end(number: int, _frame: FrameType | None) -> None:
    """End, with everything that was started; a second signal must not cut that short."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def cases_of(text: str) -> list[str]:
    """The names of cases in `text`, separated by commas. Raises BadParameter for one that there is not."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in CASES]:
        raise typer.BadParameter(f"no case is called {', '.join(unknown)}; there are {', '.join(CASES)}")
    return names


def main(
    only: Annotated[str, typer.Option(help="Cases, separated by commas.")] = ",".join(CASES),
    scale: Annotated[
        float, typer.Option(min=0.001, max=1, help="Size of the input; 1 is what targets are for.")
    ] = 1,
    runs: Annotated[int, typer.Option(min=1, help="How often each thing is measured.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same input.")] = SEED,
    work_dir: Annotated[
        Path | None, typer.Option(help="Where the temporary folder is made; 10 GB at full scale.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of the JSON file and the chart.")] = RESULTS,
    name: Annotated[str, typer.Option(help="Name of both. [default: benchmark, with the scale]")] = "",
) -> None:
    """Measure, print a table, write JSON and SVG. Exits with 1, and writes nothing, when any count is wrong."""
    wide = None if sys.stdout.isatty() else TABLE_WIDTH
    console, errors = Console(width=wide), Console(stderr=True, soft_wrap=True)
    names = cases_of(only)
    signal.signal(signal.SIGTERM, _end)
    started = dt.datetime.now(dt.UTC)
    try:
        with private_bench(scale, runs, seed, work_dir) as bench:
            about = {
                "started_at": started.isoformat(timespec="seconds"),
                "scale": scale,
                "runs": runs,
                "seed": seed,
                "machine": report.machine(bench),
            }
            measures = measure(bench, names, errors.print)
    except (CountError, PipelineError) as problem:
        errors.print(f"Nothing is reported: {problem}", markup=False)
        raise typer.Exit(1) from None
    console.print(report.table(measures))
    title = f"FastFeast, scale {scale:g}, median of {runs}, {started:%Y-%m-%d}"
    for path in report.write(output, name or f"benchmark-scale-{scale:g}", measures, about, title):
        console.print(str(path), soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
