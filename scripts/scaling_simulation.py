"""Simulates more workers and cores than a test machine has: `python -m scripts.scaling_simulation`.

Every file passes the coordinator (one at a time), a worker's core, and a core of the database, each for the CPU
seconds that scripts.scaling measured; whoever finds all busy waits in line. Locks, disks and networks are left
out: the figures are upper bounds. They say what saturates first, not how fast it will be.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

FILES = 20_000
WORKERS = (1, 2, 4, 10, 100, 1_000)
DATABASE_CORES = (2, 16, 64)


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds that one file takes."""

    coordinator: float
    worker: float
    database: float


@dataclass(frozen=True, slots=True)
class Result:
    """Files a second, and the share of its time that each part was busy."""

    rate: float
    busy: dict[str, float]

    @property
    def bottleneck(self) -> str:
        return max(self.busy, key=lambda part: self.busy[part])


def simulate(costs: Costs, workers: int, database_cores: int, files: int = FILES) -> Result:
    """Run `files` files through; as many are under way as there are workers, each with one file in hand."""
    coordinator = 0.0  # when it is free again
    cores = [0.0] * database_cores  # the same of each; a heap
    free = [0.0] * workers  # when each worker has finished its file; a heap
    end = 0.0
    for _ in range(files):
        coordinator = max(coordinator, heapq.heappop(free)) + costs.coordinator
        judged = coordinator + costs.worker
        done = max(judged, heapq.heappop(cores)) + costs.database
        heapq.heappush(cores, done)
        heapq.heappush(free, done)
        end = max(end, done)
    busy = {
        "coordinator": files * costs.coordinator / end,
        "workers": files * costs.worker / end / workers,
        "database": files * costs.database / end / database_cores,
    }
    return Result(files / end, busy)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each number of database cores and of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True, help="rows in a file")
    parser.add_argument("--worker", type=float, required=True, help="CPU seconds of a file in the worker")
    parser.add_argument("--database", type=float, required=True, help="CPU seconds of a file in PostgreSQL")
    parser.add_argument(
        "--coordinator", type=float, required=True, help="CPU seconds of a file in the coordinator"
    )
    options = parser.parse_args(arguments)
    costs = Costs(options.coordinator, options.worker, options.database)
    print("| database cores | workers | files/s | rows/s | busiest |\n|---|---|---|---|---|")
    for cores in DATABASE_CORES:
        for workers in WORKERS:
            result = simulate(costs, workers, cores)
            busiest = f"{result.bottleneck} {result.busy[result.bottleneck]:.0%}"
            rows = result.rate * options.rows
            print(f"| {cores} | {workers:,} | {result.rate:,.1f} | {rows:,.0f} | {busiest} |")


if __name__ == "__main__":
    main()
