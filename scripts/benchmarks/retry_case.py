"""Case: a file of parents comes, and a few of a great many open orphans wait for them."""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import NamedTuple

from config.jobs import Status
from datawarehouse.quarantine.retry import OrphanRetry
from ingestion.file_load import FileLoad
from scripts.benchmarks.daemon import peak_megabytes
from scripts.benchmarks.data import customers_csv
from scripts.benchmarks.load_cases import empty_tables, job_of
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import CUSTOMERS, DRIVERS, REGIONS, RESTAURANTS, Bench, Database, check
from validation.pii_handler import PiiHandler

OPEN_ORPHANS = 1_000_000
RESOLVABLE_SHARE = 0.01
ORPHANS_A_FILE = 10_000
CHILD_SECONDS = 1_200

# Orphan i waits for customer `customers` + i; the files that they came in have books that balance.
_ORPHANS = """
INSERT INTO quarantine (file_id, row_number, source_file, source_table, file_type, rejection_stage,
    rejection_reason, reasons, raw_data)
SELECT (i - 1) / %(a_file)s + 1, i, 'orders.csv', 'fact_order', 'stream', 'orphan', 'customer_id: missing_parent',
    '[{"stage": "orphan", "rule": "missing_parent", "column": "customer_id"}]',
    jsonb_build_object(
        'order_id', md5(i::text), 'customer_id', (%(customers)s + i)::text,
        'restaurant_id', (i %% %(restaurants)s + 1)::text, 'driver_id', (i %% %(drivers)s + 1)::text,
        'region_id', (i %% %(regions)s + 1)::text, 'order_amount', '120.50', 'delivery_fee', '10.00',
        'discount_amount', '0.50', 'total_amount', '130.00', 'order_status', 'Delivered', 'payment_method', 'card',
        'order_created_at', (year + i %% 86400 * interval '1 s')::text,
        'delivered_at', (year + interval '2 days')::text)
FROM generate_series(1, %(open)s) AS i, LATERAL (SELECT date_trunc('year', now() AT TIME ZONE 'utc')) AS t (year)
"""
_WAITS = """
INSERT INTO orphan_wait (file_id, row_number, fk_column, source_table, parent_table, parent_key)
SELECT file_id, row_number, 'customer_id', 'fact_order', 'dim_customer', raw_data ->> 'customer_id' FROM quarantine
"""
_BOOKS = """
INSERT INTO pipeline_file_log (file_id, file_name, file_path, file_hash, file_size, file_type, logical_name,
    source_table, status, total_records, quarantined, orphan_count, rejection_stage, spec_hash)
OVERRIDING SYSTEM VALUE
SELECT file_id, 'orders.csv', 'orders.csv', md5(file_id::text), 1, 'stream', 'orders', 'fact_order', 'success',
    count(*), count(*), count(*), 'orphan', ''
FROM quarantine GROUP BY file_id;
SELECT setval(pg_get_serial_sequence('pipeline_file_log', 'file_id'), max(file_id)) FROM pipeline_file_log
"""
_FIGURES = """
SELECT (SELECT count(*) FROM fact_order), (SELECT count(*) FROM quarantine WHERE resolution = 'loaded'),
       (SELECT count(*) FROM orphan_wait), (SELECT sum(resolved_orphans)::bigint FROM pipeline_file_log),
       (SELECT sum(quarantined)::bigint FROM pipeline_file_log WHERE source_table = 'fact_order')
"""


class Retried(NamedTuple):
    """What one retry took: seconds, and the peak memory of its process in MB."""

    seconds: float
    peak: float


def retry_case(bench: Bench) -> list[Measure]:
    """N open orphans, 1 % of them resolvable; and a tenth of N with just as many resolvable, for the memory."""
    many = bench.size(OPEN_ORPHANS, least=1_000)
    resolvable = round(many * RESOLVABLE_SHARE)
    taken: dict[int, list[Retried]] = {many: [], many // 10: []}
    with bench.database("retry") as database:
        for _ in range(bench.runs):
            for count, samples in taken.items():
                make_orphans(database, count)
                samples.append(_in_own_process(database, count, resolvable))
                figures = (resolvable, resolvable, count - resolvable, resolvable, count - resolvable)
                check(
                    "orphans (loaded, resolved, waiting, in the books, still refused)",
                    database.row(_FIGURES),
                    figures,
                )
    about = f"{many:,} open, {resolvable:,} resolvable"
    peaks, peaks_of_few = ([retried.peak for retried in samples] for samples in taken.values())
    return [
        Measure("retry", "after the parents came", "s", tuple(r.seconds for r in taken[many]), about),
        Measure("retry", "peak memory", "MB", tuple(peaks), about),
        Measure("retry", "peak, N / N:10 open", RATIO, ratios(peaks, peaks_of_few), about),
    ]


def make_orphans(database: Database, count: int) -> None:
    """`count` open orphans, each waiting for a customer of its own, in a warehouse without orders."""
    empty_tables(database)
    sizes = {"customers": CUSTOMERS, "restaurants": RESTAURANTS, "drivers": DRIVERS, "regions": REGIONS}
    sizes |= {"open": count, "a_file": ORPHANS_A_FILE}
    database.run("DELETE FROM dim_customer WHERE customer_id > %(customers)s", parameters=sizes)
    database.run(_ORPHANS, parameters=sizes)
    database.run(_WAITS, _BOOKS, "VACUUM (ANALYZE) quarantine", "VACUUM (ANALYZE) orphan_wait", "CHECKPOINT")


def _in_own_process(database: Database, count: int, resolvable: int) -> Retried:
    """In a new process, whose peak memory is this work's alone."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_retry, args=(database, count, resolvable, sending))
    process.start()
    sending.close()
    try:
        if not receiving.poll(CHILD_SECONDS):
            check("seconds of a retry", f"more than {CHILD_SECONDS}", "less")
        retried: Retried = receiving.recv()
    except EOFError:
        check("the process of the retry", "ended without a result", "a result")
        raise
    finally:
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()
    return retried


def _retry(database: Database, count: int, resolvable: int, answer: object) -> None:
    """Load a file of customers for whom 1 in count / resolvable orphans waits, then retry."""
    config = database.config()
    step = count // resolvable
    path = database.home / "customers.csv"
    path.write_text(customers_csv(CUSTOMERS + step * (i + 1) for i in range(resolvable)), encoding="utf-8")
    spec = config.by_logical_name["customers"]
    with database.warehouse() as warehouse:
        outcome = FileLoad(warehouse, config, PiiHandler(config.pii.hash_key)).run(job_of(path, spec))
        check("customers' file", (outcome.status, outcome.inserted), (Status.SUCCESS, resolvable))
        retry = OrphanRetry(warehouse, config)
        started = time.perf_counter()
        healed = retry.after(spec.table)
        seconds = time.perf_counter() - started
    check("orphans loaded by the retry", healed, resolvable)
    answer.send(Retried(seconds, peak_megabytes(os.getpid())))  # type: ignore[attr-defined]
