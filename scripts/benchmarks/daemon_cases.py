"""Cases that drop files into the folders of a running daemon: many, single ones, large ones, after a long past."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from scripts.benchmarks.daemon import daemon
from scripts.benchmarks.data import Expected, blocks, write_csv
from scripts.benchmarks.load_cases import ALL_CUSTOMERS, BOOKS, ORDERS, check_books
from scripts.benchmarks.measures import RATIO, Measure
from scripts.benchmarks.past import make_past
from scripts.benchmarks.server import Bench, CountError, Database, check

SMALL_FILES, SMALL_ROWS = 2_000, 50
SINGLE_FILES, SINGLE_ROWS, LEAST_SINGLES = 100, 100, 20
PAST_FILES = 100_000
WAIT_SECONDS = 120  # for any one file; a large one gets as long again for every 100,000 rows
IDLE_SECONDS = 0.05  # between two single files
SETTLED_SECONDS = 2.5  # the age of a file that was there before the daemon: it need not settle


def small_case(bench: Bench) -> list[Measure]:
    """Many small files, each in a folder that is made for it, from the first one to the last COMMIT."""
    count = bench.size(SMALL_FILES, least=10)
    rates = []
    for run in range(bench.runs):
        with bench.database(f"small_{run}") as database, daemon(database):
            sources, expected = _files(database.home / "made", count, SMALL_ROWS, bench.seed + run)
            places = _folders(database, count)
            with _polling(database) as cursor:
                started = time.perf_counter()
                for source, place in zip(sources, places, strict=True):
                    place.parent.mkdir(parents=True)
                    source.rename(place)
                _wait_for_count(cursor, count, started + WAIT_SECONDS + count / 2)
                rates.append(count / (time.perf_counter() - started))
            check_books(database.row(BOOKS), expected, files=count)
    return [Measure("small", "files a second", "/s", tuple(rates), f"{count:,} files of {SMALL_ROWS} rows")]


def latency_case(bench: Bench) -> list[Measure]:
    """Single files for an idle daemon, from the rename to the row in pipeline_file_log that others see."""
    count = bench.size(SINGLE_FILES, least=LEAST_SINGLES)
    with bench.database("latency") as database, daemon(database):
        samples = _latencies(database, count, bench.seed)
    return _percentiles("latency", "", samples, f"{count} files of {SINGLE_ROWS} rows")


def memory_case(bench: Bench) -> list[Measure]:
    """The daemon's peak after one file of N rows; at full scale also after one of 10 N."""
    sizes = [bench.size(ORDERS)] + ([bench.size(10 * ORDERS)] if bench.scale >= 1 else [])
    peaks = []
    for rows in sizes:
        with bench.database(f"memory_{rows}") as database, daemon(database) as process:
            source = database.home / "made.csv"
            expected = write_csv(source, blocks(rows, ALL_CUSTOMERS, bench.seed))
            place = _folders(database, 1)[0]
            place.parent.mkdir(parents=True)
            with _polling(database) as cursor:
                source.rename(place)
                _wait_for_count(cursor, 1, time.perf_counter() + WAIT_SECONDS * (1 + rows / 100_000))
            peaks.append(process.peak_megabytes())
            check_books(database.row(BOOKS), expected)
            check("rows in fact_order", database.row("SELECT count(*) FROM fact_order"), (expected.clean,))
    names = ("peak, N rows", "peak, 10 N rows")
    measures = [
        Measure("memory", name, "MB", (peak,), f"{rows:,} rows in one CSV")
        for name, peak, rows in zip(names, peaks, sizes, strict=False)
    ]
    if len(peaks) > 1:
        measures.append(Measure("memory", "10 N / N", RATIO, (peaks[1] / peaks[0],)))
    return measures


def start_case(bench: Bench) -> list[Measure]:
    """A start with a long past in the folders, and single files then; beside it the same without a past."""
    past, singles = bench.size(PAST_FILES, least=30), bench.size(SINGLE_FILES, least=LEAST_SINGLES)
    about = f"{past:,} files processed before"
    banners: list[float] = []
    firsts: list[float] = []
    after: npt.NDArray[np.float64] = np.empty(0)
    with bench.database("start") as database:
        make_past(database, past)
        for run in range(bench.runs):
            sources, _ = _files(database.home / f"first_{run}", 1, SINGLE_ROWS, bench.seed + run)
            place = _folders(database, 1, f"first_{run}")[0]
            place.parent.mkdir(parents=True)
            sources[0].rename(place)
            time.sleep(SETTLED_SECONDS)
            with _polling(database) as cursor, daemon(database) as process:
                banners.append(process.ready_seconds)
                _wait_for_count(cursor, past + len(firsts) + 1, process.started + WAIT_SECONDS)
                firsts.append(time.perf_counter() - process.started)
                if run == bench.runs - 1:
                    after = _latencies(database, singles, bench.seed + bench.runs)
        check(
            "files processed",
            database.row("SELECT count(*) FROM pipeline_file_log"),
            (past + bench.runs + singles,),
        )
    with bench.database("start_without") as database, daemon(database):
        without = _latencies(database, singles, bench.seed)
    return [
        Measure("start", "to the banner", "s", tuple(banners), about),
        Measure("start", "to the first file", "s", tuple(firsts), about),
        *_percentiles("start", " of single files", after, f"then {singles} files"),
        *_percentiles("start", " without a past", without, f"{singles} files"),
    ]


# ---------------------------------------------------------------- files and waiting


def _files(folder: Path, count: int, rows: int, seed: int) -> tuple[list[Path], Expected]:
    """Files of orders, not yet where the daemon looks."""
    folder.mkdir()
    expected = Expected()
    paths = []
    for number in range(count):
        path = folder / f"{number}.csv"
        expected += write_csv(path, blocks(rows, ALL_CUSTOMERS, seed * 1_000_003 + number))
        paths.append(path)
    return paths, expected


def _folders(database: Database, count: int, under: str = "") -> list[Path]:
    """A path orders.csv in each of `count` folders of the stream, day by day and hour by hour."""
    stream = database.config().path(database.config().watcher.stream.dir) / under
    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    hours = (first + dt.timedelta(hours=number) for number in range(count))
    return [stream / f"{hour:%Y-%m-%d}" / f"{hour:%H}" / "orders.csv" for hour in hours]


@contextmanager
def _polling(database: Database) -> Iterator[Cursor]:
    with database.connect() as connection, connection.cursor() as cursor:
        yield cursor


def _wait_for_count(cursor: Cursor, count: int, deadline: float) -> None:
    while True:
        cursor.execute("SELECT count(*) FROM pipeline_file_log")
        found = (cursor.fetchone() or (0,))[0]
        if found >= count:
            return
        if time.perf_counter() > deadline:
            raise CountError(f"{found} of {count} files were loaded in time")
        time.sleep(0.01)


def _latencies(database: Database, count: int, seed: int) -> npt.NDArray[np.float64]:
    """Milliseconds of each of `count` single files; their folders are there before."""
    sources, expected = _files(database.home / "singles", count, SINGLE_ROWS, seed)
    places = _folders(database, count, "singles")
    for place in places:
        place.parent.mkdir(parents=True)
    rows_before = database.row("SELECT count(*) FROM fact_order")[0]
    time.sleep(1)  # the daemon has its watches on the new folders
    samples = []
    with _polling(database) as cursor:
        cursor.execute("SELECT coalesce(max(file_id), 0) FROM pipeline_file_log")
        last = (cursor.fetchone() or (0,))[0]
        for source, place in zip(sources, places, strict=True):
            started = time.perf_counter()
            source.rename(place)
            last = _wait_for_next(cursor, last, started + WAIT_SECONDS)
            samples.append((time.perf_counter() - started) * 1_000)
            time.sleep(IDLE_SECONDS)
    rows = database.row("SELECT count(*) FROM fact_order")[0]
    check("rows of the single files in fact_order", rows - rows_before, expected.clean)
    return np.array(samples)


def _wait_for_next(cursor: Cursor, last: int, deadline: float) -> int:
    while True:
        cursor.execute("SELECT file_id FROM pipeline_file_log WHERE file_id > %s", (last,))
        if found := cursor.fetchone():
            return int(found[0])
        if time.perf_counter() > deadline:
            raise CountError("a single file was not loaded in time")
        time.sleep(0.001)


def _percentiles(case: str, suffix: str, samples: npt.NDArray[np.float64], about: str) -> list[Measure]:
    return [
        Measure(case, f"p{percent}{suffix}", "ms", (float(np.percentile(samples, percent)),), about)
        for percent in (50, 99)
    ]
