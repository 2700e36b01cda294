"""Cases that load single files with the product's own code, in this process, and the bare COPY beside it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.jobs import FileJob
from config.read_options import ReadOptions
from config.schema import Schema
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion.file_load import FileLoad
from ingestion.formats.csv_blocks import BLOCK_BYTES, MAX_LINE_BYTES
from ingestion.formats.csv_mend import Mender
from ingestion.formats.csv_records import Grammar
from scripts.benchmarks.data import Expected, blocks, write_copy, write_csv, write_json
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import CUSTOMERS, Bench, Database, check
from validation.pii_handler import PiiHandler

ORDERS = 1_000_000
FK_FILE_ROWS, LARGE_DIMENSION = 200_000, 10_000_000
WARM_UP_ROWS = 100
BARE = "bare_order"
ALL_CUSTOMERS = np.arange(1, CUSTOMERS + 1)
# The same rows have the same figures, whatever order they came in.
_FINGERPRINT = """
SELECT count(*), sum(order_amount), sum(total_amount), sum(customer_id::bigint), sum(date_key::bigint),
       sum(time_key::bigint), sum(hashtext(order_id)::bigint), count(delivered_at), max(order_sk), max(_file_id)
FROM {}
"""

BOOKS = """
SELECT count(*), count(*) FILTER (WHERE status = 'success'), sum(total_records)::bigint,
       sum(inserted_records)::bigint, sum(quarantined)::bigint FROM pipeline_file_log
"""


def csv_case(bench: Bench) -> list[Measure]:
    """One CSV, ours against a bare COPY of the clean rows, with foreign keys by triggers and without."""
    rows = bench.size(ORDERS)
    with bench.database("csv") as database, database.warehouse() as warehouse:
        config = database.config()
        source, clean = database.home / "orders.csv", database.home / "clean.csv"
        expected = write_csv(source, blocks(rows, ALL_CUSTOMERS, bench.seed))
        schema = config.by_logical_name["orders"].schema
        columns = write_copy(clean, blocks(rows, ALL_CUSTOMERS, bench.seed), schema, file_id=1)
        make_bare_table(database)
        ours, keys, replica = [], [], []
        warm_up(bench, database, warehouse)
        for _ in range(bench.runs):
            empty_tables(database)
            ours.append(timed_load(warehouse, config, source, expected))
            keys.append(timed_copy(database, clean, columns, expected, triggers=True))
            check_identical(database)
            replica.append(timed_copy(database, clean, columns, expected, triggers=False))
            check_identical(database)
    about = f"{rows:,} orders"
    return [
        Measure("csv", "ours", "s", tuple(ours), about),
        Measure("csv", "\\copy with keys", "s", tuple(keys), f"{expected.clean:,} clean rows"),
        Measure("csv", "\\copy, triggers off", "s", tuple(replica), f"{expected.clean:,} clean rows"),
        Measure("csv", "ours / \\copy with keys", RATIO, ratios(ours, keys), about),
        Measure("csv", "ours / \\copy, triggers off", RATIO, ratios(ours, replica), about),
        Measure("csv", "rows a second", "/s", tuple(rows / seconds for seconds in ours), about),
    ]


def json_case(bench: Bench) -> list[Measure]:
    """The same rows as a JSON array, and as CSV beside it."""
    rows = bench.size(ORDERS)
    with bench.database("json") as database, database.warehouse() as warehouse:
        as_csv, as_json = database.home / "orders.csv", database.home / "orders.json"
        expected = write_csv(as_csv, blocks(rows, ALL_CUSTOMERS, bench.seed))
        write_json(as_json, blocks(rows, ALL_CUSTOMERS, bench.seed))
        warm_up(bench, database, warehouse)
        seconds: dict[Path, list[float]] = {as_json: [], as_csv: []}
        for _ in range(bench.runs):
            for path, samples in seconds.items():
                empty_tables(database)
                config = database.config(csv=path is as_csv)
                samples.append(timed_load(warehouse, config, path, expected))
        megabytes = as_json.stat().st_size / 1e6
    about = f"{rows:,} orders, {megabytes:,.0f} MB"
    return [
        Measure("json", "JSON array", "s", tuple(seconds[as_json]), about),
        Measure("json", "JSON / CSV", RATIO, ratios(seconds[as_json], seconds[as_csv]), about),
    ]


def quotes_case(bench: Bench) -> list[Measure]:
    """The same rows with every value in quotes and with none, in turn; beside each, judging the quotes alone."""
    rows = bench.size(ORDERS)
    measures = []
    with bench.database("quotes") as database, database.warehouse() as warehouse:
        warm_up(bench, database, warehouse)
        config = database.config()
        schema = config.by_logical_name["orders"].schema
        paths = {quoted: database.home / f"{name}.csv" for name, quoted in (("quoted", True), ("plain", False))}
        expected = {q: write_csv(p, blocks(rows, ALL_CUSTOMERS, bench.seed), quoted=q) for q, p in paths.items()}
        loads: dict[bool, list[float]] = {quoted: [] for quoted in paths}
        checks: dict[bool, list[float]] = {quoted: [] for quoted in paths}
        for _ in range(bench.runs):
            for quoted, path in paths.items():
                empty_tables(database)
                loads[quoted].append(timed_load(warehouse, config, path, expected[quoted]))
                checks[quoted].append(timed_quotes(path, schema))
        for name, quoted in (("every value quoted", True), ("no quotes", False)):
            about = f"{rows:,} orders, {paths[quoted].stat().st_size / 1e6:,.0f} MB"
            of_load = ratios(checks[quoted], loads[quoted])
            measures.append(Measure("quotes", name, "s", tuple(loads[quoted]), about))
            measures.append(Measure("quotes", f"{name}: judging / loading", RATIO, of_load, about))
        both = ratios(loads[True], loads[False])
        measures.append(Measure("quotes", "every value quoted / no quotes", RATIO, both, f"{rows:,} orders"))
    return measures


def timed_quotes(path: Path, schema: Schema) -> float:
    """Seconds to judge the quotes of a file whose lines are its records, block by block as the reader does."""
    mender = Mender(Grammar(schema.columns, schema.primary_key.columns, ","), MAX_LINE_BYTES)
    seconds, rest = 0.0, b""
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            end = block.rfind(b"\n") + 1
            text, rest = rest + block[:end], block[end:]
            started = time.perf_counter()
            used = mender.mend(text, last=False).used
            seconds += time.perf_counter() - started
            check("bytes whose quotes are right", used, len(text))
    return seconds


def fk_case(bench: Bench) -> list[Measure]:
    """One file whose customers are 1,000 of the dimension's, spread over it: a small dimension and a large one."""
    rows, large = bench.size(FK_FILE_ROWS, least=100), bench.size(LARGE_DIMENSION, least=CUSTOMERS)
    step = large // CUSTOMERS
    ids = 1 + step * np.arange(CUSTOMERS)
    last = int(ids[-1])
    with (
        bench.database("fk_small", last, step) as small,
        bench.database("fk_large", large) as big,
        small.warehouse() as small_warehouse,
        big.warehouse() as big_warehouse,
    ):
        check("customers in the small dimension", small.row("SELECT count(*) FROM dim_customer"), (CUSTOMERS,))
        check("customers in the large dimension", big.row("SELECT count(*) FROM dim_customer"), (large,))
        path = bench.folder / "orders.csv"
        expected = write_csv(path, blocks(rows, ids, bench.seed))
        warm_up(bench, small, small_warehouse)
        warm_up(bench, big, big_warehouse)
        of_small: list[float] = []
        of_big: list[float] = []
        for _ in range(bench.runs):
            for database, warehouse, samples in ((small, small_warehouse, of_small), (big, big_warehouse, of_big)):
                empty_tables(database)
                samples.append(timed_load(warehouse, database.config(), path, expected))
        path.unlink()
    about = f"{rows:,} orders"
    return [
        Measure("fk", "small dimension", "s", tuple(of_small), f"{about}, {CUSTOMERS:,} customers"),
        Measure("fk", "large dimension", "s", tuple(of_big), f"{about}, {large:,} customers"),
        Measure("fk", "large / small dimension", RATIO, ratios(of_big, of_small), about),
    ]


# ---------------------------------------------------------------- ours


def empty_tables(database: Database) -> None:
    """Nothing loaded yet, and no write-back of earlier work in the way."""
    tables = "fact_order, quarantine, orphan_wait, pipeline_file_log, column_profile"
    database.run(f"TRUNCATE {tables} RESTART IDENTITY CASCADE", "CHECKPOINT")


def warm_up(bench: Bench, database: Database, warehouse: Warehouse) -> None:
    """Load a small file: a daemon has long imported what it uses, and is connected."""
    path = database.home / "warm_up.csv"
    expected = write_csv(path, blocks(WARM_UP_ROWS, np.array([1]), bench.seed))
    empty_tables(database)
    timed_load(warehouse, database.config(), path, expected)


def job_of(path: Path, spec: FileSpec) -> FileJob:
    """The job that a watcher would make of the file."""
    found = path.stat()
    return FileJob(path, spec, found.st_size, found.st_mtime_ns)


def timed_load(
    warehouse: Warehouse,
    config: PipelineConfig,
    path: Path,
    expected: Expected,
    read: ReadOptions | None = None,
    spec: FileSpec | None = None,
) -> float:
    """Load a file of orders; seconds from the closed file to COMMIT. Raises CountError if the books are wrong.

    `read`: how the file is written, where that is not as the configuration says; `spec` as much for all of it.
    """
    load = FileLoad(warehouse, config, PiiHandler(config.pii.hash_key))
    spec = spec or config.by_logical_name["orders"]
    job = job_of(path, replace(spec, read=read) if read else spec)
    started = time.perf_counter()
    outcome = load.run(job)
    seconds = time.perf_counter() - started
    with warehouse.transaction() as tx:
        check_books(tx_row(tx, BOOKS), expected)
        check("rows in fact_order", tx_row(tx, "SELECT count(*) FROM fact_order"), (expected.clean,))
        check("rows in quarantine", tx_row(tx, "SELECT count(*) FROM quarantine"), (expected.quarantined,))
    check("rows inserted", outcome.inserted, expected.clean)
    return seconds


def check_books(found: tuple[object, ...], expected: Expected, files: int = 1) -> None:
    """`found`: files, files loaded, total, inserted, quarantined."""
    wanted = (files, files, expected.total, expected.clean, expected.quarantined)
    check("books (files, loaded, total, inserted, quarantined)", found, wanted)


def tx_row(tx: Cursor, statement: str) -> tuple[object, ...]:
    """The first row of a query within a transaction."""
    tx.execute(statement)
    return tx.fetchone() or ()


# ---------------------------------------------------------------- bare COPY


def make_bare_table(database: Database) -> None:
    """A table like fact_order: identity, indexes, checks, defaults and foreign keys."""
    database.run(
        f"CREATE TABLE {BARE} (LIKE fact_order INCLUDING ALL)",
        f"""DO $$
        DECLARE definition text;
        BEGIN
            FOR definition IN
                SELECT pg_get_constraintdef(oid) FROM pg_constraint
                WHERE conrelid = 'fact_order'::regclass AND contype = 'f'
            LOOP
                EXECUTE 'ALTER TABLE {BARE} ADD ' || definition;
            END LOOP;
        END $$""",
    )
    counts = "SELECT count(*) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'"
    check("foreign keys of the bare table", database.row(counts, (BARE,)), database.row(counts, ("fact_order",)))


def timed_copy(database: Database, path: Path, columns: list[str], expected: Expected, *, triggers: bool) -> float:
    """Seconds for COPY and COMMIT of the clean rows into the empty bare table."""
    database.run(f"TRUNCATE {BARE}", "CHECKPOINT")
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(sql.Identifier(BARE), names)
    with database.connect() as connection, connection.cursor() as cursor, path.open("rb") as file:
        if not triggers:
            cursor.execute("SET session_replication_role = replica")
        connection.autocommit = False
        started = time.perf_counter()
        cursor.copy_expert(statement, file)
        connection.commit()
        seconds = time.perf_counter() - started
        check("rows copied", cursor.rowcount, expected.clean)
    return seconds


def check_identical(database: Database) -> None:
    """Both ways must have left the same rows."""
    bare, ours = (database.row(_FINGERPRINT.format(table)) for table in (BARE, "fact_order"))
    check("content of the bare table", bare, ours)
