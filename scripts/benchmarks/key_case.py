"""Case: the same rows with a key of one column and with one of two."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import yaml
from psycopg2 import sql

from config.config_loader import get_config
from config.jobs import Status
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from scripts.benchmarks.load_cases import job_of
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import Bench, Database, check, environment
from validation.pii_handler import PiiHandler

ROWS, LINES = 500_000, 4  # lines of an order
KEYS: dict[str, str | list[str]] = {
    "number": "id",
    "numbers": ["order_id", "line_no"],
    "text": "code",
    "texts": ["order_code", "line_code"],
}
COLUMNS = {
    "id": "int",
    "order_id": "int",
    "line_no": "int",
    "code": "str",
    "order_code": "str",
    "line_code": "str",
    "amount": "float",
    "at": "datetime",
    "note": "str",
}


def key_case(bench: Bench) -> list[Measure]:
    """A key of one column and one of two, in turn; CPU seconds of the load and of the server together."""
    rows = bench.size(ROWS, least=100)
    taken: dict[str, list[float]] = {name: [] for name in KEYS}
    with bench.database("keys") as database, database.warehouse() as warehouse:
        variables = _configure(database)
        with environment(variables):
            init_schema(warehouse, get_config())
        _write(database.home, rows)
        for _ in range(bench.runs):
            for name, samples in taken.items():
                database.run(f"TRUNCATE fact_{name}, pipeline_file_log CASCADE", "CHECKPOINT")
                with environment(variables):
                    samples.append(_cpu_of_load(warehouse, database.home / f"{name}.csv", rows))
    about = f"{rows:,} rows"
    return [
        *(Measure("keys", f"key: {name}", "s", tuple(samples), about) for name, samples in taken.items()),
        Measure("keys", "two numbers / one", RATIO, ratios(taken["numbers"], taken["number"]), about),
        Measure("keys", "two texts / one", RATIO, ratios(taken["texts"], taken["text"]), about),
    ]


def _configure(database: Database) -> dict[str, str]:
    key_columns = {name for key in KEYS.values() for name in ([key] if isinstance(key, str) else key)}
    columns: list[dict[str, Any]] = [
        {"name": name, "dtype": dtype, "nullable": name not in key_columns} for name, dtype in COLUMNS.items()
    ]
    expected = {f"{name}.csv": {"table": f"fact_{name}"} for name in KEYS}
    schemas = {name: {"primary_key": key, "columns": columns} for name, key in KEYS.items()}
    path = database.home / "keys.yaml"
    path.write_text(
        yaml.safe_dump({"watcher": {"batch": {"expected_files": expected}, "stream": {}}, "schemas": schemas}),
        encoding="utf-8",
    )
    return database.variables() | {"FASTFEAST_CONFIG": str(path)}


def _write(home: Path, rows: int) -> None:
    number = pa.array(range(rows), pa.int64())
    order = pc.divide(number, LINES)
    line = pc.add(pc.subtract(number, pc.multiply(order, LINES)), 1)
    order_code = pc.binary_join_element_wise("order-", pc.utf8_lpad(pc.cast(order, pa.string()), 10, "0"), "")
    line_code = pc.binary_join_element_wise("line-", pc.cast(line, pa.string()), "")
    table = pa.table(
        {
            "id": number,
            "order_id": order,
            "line_no": line,
            "code": pc.binary_join_element_wise(order_code, line_code, "/"),
            "order_code": order_code,
            "line_code": line_code,
            "amount": pc.divide(pc.cast(number, pa.float64()), 4),
            "at": pa.array(["2026-01-05 10:00:00"] * rows),
            "note": pc.binary_join_element_wise("note", pc.cast(number, pa.string()), " "),
        }
    )
    for name in KEYS:
        pacsv.write_csv(table, home / f"{name}.csv")


def _cpu_of_load(warehouse: Warehouse, path: Path, rows: int) -> float:
    config = get_config()
    job = job_of(path, config.by_logical_name[path.stem])

    def load() -> None:
        outcome = FileLoad(warehouse, config, PiiHandler(config.pii.hash_key)).run(job)
        check(f"rows of {path.name}", (outcome.status, outcome.inserted), (Status.SUCCESS, rows))

    seconds = cpu_seconds(warehouse, load)
    with warehouse.transaction() as tx:
        tx.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(f"fact_{path.stem}")))
        check("rows in the table", tx.fetchone(), (rows,))
    return seconds


def cpu_seconds(warehouse: Warehouse, load: Callable[[], None]) -> float:
    """What `load` takes of this process and of the server's."""
    before = _cpu_of_server(warehouse) + time.process_time()
    load()
    return _cpu_of_server(warehouse) + time.process_time() - before


def _cpu_of_server(warehouse: Warehouse) -> float:
    """CPU seconds of the server's processes for sessions that are open, by Linux's /proc."""
    with warehouse.transaction() as tx:
        tx.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
        pids = [pid for (pid,) in tx.fetchall()]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime, proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")
