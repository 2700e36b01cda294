"""Measures how the time to load changes with the number of workers: `python -m scripts.scaling`.

Large files: the rows are the work. Small files: the transactions are. Every run starts from a fresh database on a
private server, is a process of its own, and is checked against what the input must yield.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import yaml

from config.config_loader import PROJECT_ROOT
from scripts.benchmarks.data import Expected, make_orders, write_csv
from scripts.benchmarks.server import CSV_CONFIG, CUSTOMERS, Bench, Database, check, environment, private_bench

LARGE_FILES, LARGE_ROWS = 8, 50_000
SMALL_FILES, SMALL_ROWS = 400, 100


@dataclass(frozen=True, slots=True)
class Run:
    """One run of `main.py once`: seconds by the clock, and of CPU in the pipeline and in PostgreSQL."""

    wall: float
    pipeline_cpu: float
    server_cpu: float


def measure(bench: Bench, engine: str, workers: int, files: int, rows: int, name: str) -> Run:
    """Load `files` files of `rows` orders each with `workers`. Raises CountError when rows are missing."""
    with bench.database(name) as database:
        expected = _put(database, files, rows, bench.seed)
        _configure(database.home / CSV_CONFIG, engine, workers)
        server = _postmaster(bench)
        server_before, own_before = _cpu(server), _children_cpu()
        started = time.perf_counter()
        with environment(database.variables()) as variables:
            done = subprocess.run(
                [sys.executable, str(PROJECT_ROOT / "main.py"), "once"],
                env={**variables, "OMP_NUM_THREADS": "1"},
                check=False,
                capture_output=True,
                text=True,
            )
        wall = time.perf_counter() - started
        check(f"exit code ({done.stdout[-500:]}{done.stderr[-1500:]})", done.returncode, 0)
        check("orders", database.row("SELECT count(*) FROM fact_order")[0], expected.clean)
        time.sleep(0.3)  # the backends end, and their times are handed to the postmaster
        return Run(wall, _children_cpu() - own_before, _cpu(server) - server_before)


def _put(database: Database, files: int, rows: int, seed: int) -> Expected:
    customers = np.arange(1, CUSTOMERS + 1)
    expected = Expected()
    for number in range(files):
        folder = database.home / f"data/input/stream/2026-02-20/{number:04d}"
        folder.mkdir(parents=True)
        expected += write_csv(folder / "orders.csv", [make_orders(rows, customers, seed + number)])
    time.sleep(2.5)  # so none has to settle any more
    return expected


def _configure(path: Path, engine: str, workers: int) -> None:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["execution"] = {"workers": workers} | ({"engine": engine} if engine != "local" else {})
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def _postmaster(bench: Bench) -> psutil.Process:
    return psutil.Process(int((bench.folder / "pg" / "postmaster.pid").read_text().split()[0]))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one line for each kind of file and number of workers: medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--engine", default="local", choices=["local", "dask"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args(arguments)
    print(
        f"{'files':<14} {'workers':>7} {'seconds':>8} {'speed-up':>8} {'rows/s':>8} {'pipeline':>9} {'server':>7}"
    )
    with private_bench(options.scale, options.runs, seed=1) as bench:
        for kind, full, rows in (("large", LARGE_FILES, LARGE_ROWS), ("small", SMALL_FILES, SMALL_ROWS)):
            files, base = bench.size(full, 4), 0.0
            for workers in map(int, options.workers.split(",")):
                runs = [
                    measure(bench, options.engine, workers, files, rows, f"{kind}_{workers}_{number}")
                    for number in range(bench.runs)
                ]
                wall = statistics.median(run.wall for run in runs)
                base = base or wall
                cpu = statistics.median(run.pipeline_cpu for run in runs)
                server = statistics.median(run.server_cpu for run in runs)
                print(
                    f"{files:>4} x {rows:<7} {workers:>7} {wall:>8.2f} {base / wall:>8.2f} "
                    f"{files * rows / wall:>8,.0f} {cpu:>7.2f} s {server:>5.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
