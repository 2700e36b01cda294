"""Case: rows that are new, that nothing changed in, and that have all changed, by the ways of keeping them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import yaml

from config.config_loader import get_config
from config.jobs import Status
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from scripts.benchmarks.key_case import cpu_seconds
from scripts.benchmarks.load_cases import job_of
from scripts.benchmarks.measures import RATIO, Measure, ratios
from scripts.benchmarks.server import Bench, Database, check, environment
from validation.pii_handler import PiiHandler

ROWS = 1_000_000
COLUMNS = {"id": "int", "amount": "float", "status": "str", "changed_at": "datetime", "note": "str"}
BARE = "bare_change"
KEPT: dict[str, dict[str, Any]] = {
    "first": {},
    "latest": {"keep": "latest", "newer_by": "changed_at"},
    "file": {"keep": "latest"},
    "history": {"keep": "history", "newer_by": "changed_at"},
}
TIMES = {"new": "2026-01-05 10:00:00", "again": "2026-01-05 10:00:00", "changed": "2026-01-06 10:00:00"}
# What each type is measured with, one after the other, in tables that are empty at first
STEPS = {
    "fact_first": ("new", "again"),
    "fact_latest": ("new", "again", "changed"),
    "fact_file": ("new", "again"),
    "fact_history": ("new", "again", "changed"),
    "dim_first": ("new",),
    "dim_latest": ("new",),
    "dim_history": ("new", "again"),
}
RATIOS = {
    "latest: unchanged / new": ("fact_latest again", "fact_latest new"),
    "latest by file: unchanged / new": ("fact_file again", "fact_file new"),
    "history: unchanged / new": ("fact_history again", "fact_history new"),
    "latest: all changed / INSERT … DO UPDATE": ("fact_latest changed", "bare"),
    "facts: new under latest / first": ("fact_latest new", "fact_first new"),
    "facts: new under history / first": ("fact_history new", "fact_first new"),
    "dimensions: new under latest / first": ("dim_latest new", "dim_first new"),
    "dimensions: new under history / first": ("dim_history new", "dim_first new"),
}


def change_case(bench: Bench) -> list[Measure]:
    """Rows that change, kept by each way, in turn; CPU seconds of the load and of the server together."""
    rows = bench.size(ROWS, least=100)
    taken: dict[str, list[float]] = {}
    with bench.database("changes") as database, database.warehouse() as warehouse:
        variables = _configure(database)
        with environment(variables):
            init_schema(warehouse, get_config())
            _make_bare_table(database)
            for step in TIMES:
                for name in STEPS:
                    _write(_path(database.home, name, step), rows, step)
            for _ in range(bench.runs):
                _empty(database)
                for name, steps in STEPS.items():
                    for step in steps:
                        path = _path(database.home, name, step)
                        seconds = cpu_seconds(warehouse, _load(warehouse, path, name, step, rows))
                        taken.setdefault(f"{name} {step}", []).append(seconds)
                taken.setdefault("bare", []).append(_cpu_of_upsert(warehouse, database, rows))
    about = f"{rows:,} rows"
    return [
        *(Measure("changes", name, "s", tuple(samples), about) for name, samples in taken.items()),
        *(
            Measure("changes", name, RATIO, ratios(taken[over], taken[under]), about)
            for name, (over, under) in RATIOS.items()
        ),
    ]


def _configure(database: Database) -> dict[str, str]:
    columns = [{"name": name, "dtype": dtype, "nullable": name != "id"} for name, dtype in COLUMNS.items()]
    expected = {f"{name}.csv": {"table": name, **KEPT[name.partition("_")[2]]} for name in STEPS}
    schemas = {name: {"primary_key": "id", "columns": columns} for name in STEPS}
    path = database.home / "changes.yaml"
    path.write_text(
        yaml.safe_dump({"watcher": {"batch": {"expected_files": expected}, "stream": {}}, "schemas": schemas}),
        encoding="utf-8",
    )
    return database.variables() | {"FASTFEAST_CONFIG": str(path)}


def _path(home: Path, name: str, step: str) -> Path:
    return home / f"2026-01-0{5 + [*TIMES].index(step)}" / f"{name}.csv"


def _write(path: Path, rows: int, step: str) -> None:
    number = pa.array(range(rows), pa.int64())
    table = pa.table(
        {
            "id": number,
            "amount": pc.divide(pc.cast(number, pa.float64()), 4),
            "status": pa.array(["closed" if step == "changed" else "open"] * rows),
            "changed_at": pa.array([TIMES[step]] * rows),
            "note": pc.binary_join_element_wise("note", pc.cast(number, pa.string()), " "),
        }
    )
    path.parent.mkdir(exist_ok=True)
    pacsv.write_csv(table, path)
    if step == "again":
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")  # another file than the first


def _load(warehouse: Warehouse, path: Path, name: str, step: str, rows: int) -> Callable[[], None]:
    def load() -> None:
        config = get_config()
        outcome = FileLoad(warehouse, config, PiiHandler(config.pii.hash_key)).run(
            job_of(path, config.by_logical_name[name])
        )
        counts = (outcome.inserted, outcome.already_present, outcome.updated)
        wanted = tuple(rows if step == one else 0 for one in ("new", "again", "changed"))
        check(f"rows of {path.parent.name}/{path.name}", (outcome.status, counts), (Status.SUCCESS, wanted))

    return load


def _empty(database: Database) -> None:
    names = [name for table in STEPS for name in (table, *([f"{table}_history"] if "history" in table else []))]
    database.run(f"TRUNCATE {', '.join(names)}, {BARE}, pipeline_file_log, file_keys CASCADE", "CHECKPOINT")


def _make_bare_table(database: Database) -> None:
    """A table like a fact's, with rows as they are before all of them change."""
    database.run(f"CREATE TABLE {BARE} (LIKE fact_latest INCLUDING ALL)")


def _cpu_of_upsert(warehouse: Warehouse, database: Database, rows: int) -> float:
    """COPY to a temporary table and INSERT … ON CONFLICT DO UPDATE, of the rows of the file where all changed."""
    columns = ", ".join(COLUMNS)
    assignments = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")
    paths = {step: _path(database.home, "fact_latest", step) for step in ("new", "changed")}

    def run(step: str) -> Callable[[], None]:
        def load() -> None:
            with warehouse.transaction() as tx, paths[step].open("rb") as file:
                tx.execute(
                    f"CREATE TEMPORARY TABLE bare ON COMMIT DROP AS SELECT {columns} FROM {BARE} WITH NO DATA"
                )
                tx.copy_expert(f"COPY bare ({columns}) FROM STDIN (FORMAT csv, HEADER)", file)
                tx.execute(
                    f"INSERT INTO {BARE} ({columns}, _file_id) SELECT {columns}, 1 FROM bare"
                    f" ON CONFLICT (id) DO UPDATE SET {assignments}"
                )
                check("rows of the bare table", tx.rowcount, rows)

        return load

    run("new")()
    return cpu_seconds(warehouse, run("changed"))
