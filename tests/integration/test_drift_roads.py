"""New and missing columns fare the same on every road, in every format, on a cluster and from an object store.

Each type of file is a policy, a road and a shape. Its file lacks `name`, and has `coupon` and `tip` beside the
schema. On the roads `heal`, `replay` and `reprocess` its rows are all refused at first.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
import yaml
from typer.testing import CliRunner

import main
from config.config_loader import get_config
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from ingestion import drift_report
from ingestion.pipeline import Pipeline
from tests.conftest import SETTINGS_FROM_OUTSIDE, fresh_database
from tests.workbooks import parquet, xlsx

ROADS = ("load", "group", "heal", "replay", "reprocess")
POLICIES = ("keep", "add", "ignore")
ENDINGS = {"csv": "csv", "json": "json", "ndjson": "ndjson", "xlsx": "xlsx", "parquet": "parquet", "parts": "csv"}
WORLDS = {
    "local-folder": tuple(ENDINGS),
    "local-store": ("csv", "json"),
    "dask-folder": ("ndjson", "parts"),
}
KEYS = ("id", "shelf_id", "gate", "seen_at")
EXTRA: dict[str, Any] = {"coupon": "007", "tip": 1.5}
Type = tuple[str, str, str]


def row(number: int, *, gate: str = "open", **beside: Any) -> dict[str, Any]:
    return {"id": number, "shelf_id": 1, "gate": gate, "seen_at": dt.datetime(2026, 1, 5, 8, 30), **beside}


def content(rows: Sequence[dict[str, Any]], ending: str) -> bytes:
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    plain = [{**one, "seen_at": one["seen_at"].isoformat(sep=" ")} for one in rows]
    match ending:
        case "parquet":
            return parquet({name: [one.get(name) for one in rows] for name in names})
        case "xlsx":
            return xlsx([names, *([one.get(name) for name in names] for one in rows)])
        case "json":
            return json.dumps(plain).encode()
        case "ndjson":
            return "\n".join(map(json.dumps, plain)).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(plain)
    return text.getvalue().encode()


@dataclass
class World:
    """A home, a database, and a place for the files. `told`: file type and column of each alert's sentences."""

    engine: str
    root: str
    home: Path
    types: list[Type]
    warehouse: Warehouse
    told: Counter[tuple[str, str]] = field(default_factory=Counter)

    def configure(self, *, shut: bool) -> None:
        """Write the YAML; with the gate shut, types of `replay` and `reprocess` refuse every row."""
        stream: dict[str, Any] = {f"shelves_{road}.csv": {"table": f"fact_shelves_{road}"} for road in ROADS}
        shelf = {"name": "shelf_id", "dtype": "int"}
        schemas: dict[str, Any] = {
            f"shelves_{road}": {"primary_key": "shelf_id", "columns": [{**shelf, "nullable": False}]}
            for road in ROADS
        }
        for policy, road, shape in self.types:
            name = "_".join((policy, road, shape))
            is_shut = shut and road in {"replay", "reprocess"}
            parts = {"partition_by": {"column": "seen_at", "interval": "month", "since": "2026-01-01"}}
            stream[f"{name}*.{ENDINGS[shape]}"] = {
                "table": f"fact_{name}",
                "foreign_keys": {"shelf_id": f"shelves_{road}"},
                "new_columns": policy,
                "missing_columns": "null",
                **(parts if shape == "parts" else {}),
            }
            schemas[name] = {
                "primary_key": "id",
                "columns": [
                    {"name": "id", "dtype": "int", "nullable": False},
                    shelf,
                    {"name": "gate", "dtype": "str", "allowed_values": ["shut" if is_shut else "open"]},
                    {"name": "seen_at", "dtype": "datetime", "nullable": False},
                    {"name": "name", "dtype": "str"},
                ],
            }
        mapped = {pattern: pattern.partition("*")[0] for pattern in stream if "*" in pattern}
        text = {
            "watcher": {
                "settle_seconds": 0.05,
                "batch": {"dir": str(self.home / "batch"), "expected_files": {}},
                "stream": {"dir": f"{self.root}/stream", "expected_files": stream},
            },
            "reader": {"file_type_map": mapped},
            "schemas": schemas,
            "execution": {"engine": self.engine, "workers": 1},
            "web": {"enabled": False},
        }
        (self.home / "config.yaml").write_text(yaml.safe_dump(text))

    def put(self, name: str, rows: Sequence[dict[str, Any]] | str) -> None:
        path = f"{self.root}/stream/2026-02-20/09/{name}"
        file_system, inner = fsspec.core.url_to_fs(path)
        file_system.makedirs(inner.rpartition("/")[0], exist_ok=True)
        data = rows.encode() if isinstance(rows, str) else content(rows, name.rpartition(".")[2])
        file_system.pipe_file(inner, data)

    def turn(self) -> None:
        with Pipeline(get_config()) as pipeline:
            pipeline.run_once()

    def tell(self, _kind: Any, text: str, *, file_type: str, **_: Any) -> None:
        self.told.update(
            (file_type, sentence.split(" is ")[0]) for sentence in text.split("; ") if " is " in sentence
        )

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement, values)
            return tx.fetchall()


def play(world: World) -> None:
    """Every type's file on its road."""
    world.configure(shut=True)
    for road in ROADS:
        world.put(f"shelves_{road}.csv", f"shelf_id\n{2 if road == 'heal' else 1}\n")
    world.turn()
    for policy, road, shape in world.types:
        name, ending = "_".join((policy, road, shape)), ENDINGS[shape]
        world.put(
            f"{name}_1.{ending}", [row(1, **EXTRA), row(2, coupon=None, tip=None), row(3, gate="no", **EXTRA)]
        )
        if road == "group":  # of other shapes
            world.put(f"{name}_2.{ending}", [row(11)])
            world.put(f"{name}_3.{ending}", [{"tip": 2.5, "coupon": "x", **row(12)}])
    world.turn()
    world.configure(shut=False)
    world.put("shelves_heal.csv", "shelf_id\n1\n2\n")
    world.turn()
    for policy, road, shape in world.types:
        name = "_".join((policy, road, shape))
        if road == "reprocess":
            ((file_id,),) = world.rows("SELECT file_id FROM pipeline_file_log WHERE logical_name = %s", name)
            _command("reprocess", file_id, "--yes")
        if road == "replay":
            _command("quarantine", "replay", "--table", f"fact_{name}", "--yes")


def _command(*arguments: object) -> None:
    result = CliRunner().invoke(main.app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception


@pytest.fixture(scope="module", params=WORLDS)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_url: str
) -> Iterator[World]:
    """Everything that happened in one world."""
    if request.param.startswith("dask"):
        pytest.importorskip("distributed")
    home = tmp_path_factory.mktemp(request.param)
    engine, _, place = request.param.partition("-")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name in SETTINGS_FROM_OUTSIDE:
            patch.delenv(name, raising=False)
        database: DatabaseConfig = stack.enter_context(fresh_database(embedded_url))
        patch.setenv("FASTFEAST_HOME", str(home))
        patch.setenv("DATABASE_URL", str(database.url))
        patch.setenv("FASTFEAST_CONFIG", str(home / "config.yaml"))
        warehouse = Warehouse(database, home)
        warehouse.open()
        stack.callback(warehouse.close)
        root = f"memory://{home.name}" if place == "store" else str(home / "data")
        shapes = WORLDS[request.param]
        types = list(itertools.product(("keep", "add"), ROADS, shapes))
        types += [("ignore", road, shapes[0]) for road in ROADS]
        world = World(engine, root, home, types, warehouse)
        patch.setattr(drift_report, "send_alert", world.tell)
        play(world)
        yield world


def shapes_of(world: World, policy: str) -> set[str]:
    return {shape for of_policy, _, shape in world.types if of_policy == policy}


def _wanted(policy: str, road: str, shape: str) -> dict[int, dict[str, Any]]:
    """What each row has beside the schema, as texts; in JSON numbers are numbers where they are kept."""
    if policy == "ignore":
        return {number: {} for number in (1, 2, *((11, 12) if road == "group" else ()))}
    as_number = policy == "keep" and shape in {"json", "ndjson"}
    found: dict[int, dict[str, Any]] = {1: {"coupon": "007", "tip": 1.5 if as_number else "1.5"}, 2: {}}
    if road == "group":
        found |= {11: {}, 12: {"coupon": "x", "tip": 2.5 if as_number else "2.5"}}
    return found


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("policy", POLICIES)
def test_other_columns_fare_the_same_on_every_road_in_every_format(world: World, policy: str, road: str) -> None:
    found, wanted = {}, {}
    for shape in shapes_of(world, policy):
        name = "_".join((policy, road, shape))
        rows = world.rows(
            f"SELECT id, name, coalesce(to_jsonb(t)->'_extra', 'null'), to_jsonb(t) - '_extra' FROM fact_{name} t "
            "ORDER BY id"
        )
        assert {one[1] for one in rows} == {None}
        found[shape] = {
            key: {**(extra or {}), **{n: whole[n] for n in EXTRA if whole.get(n) is not None}}
            for key, _, extra, whole in rows
        }
        wanted[shape] = _wanted(policy, road, shape)
        columns = set(rows[0][3]) & {*EXTRA}
        assert columns == ({*EXTRA} if policy == "add" else set())
    assert found == wanted


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("policy", POLICIES)
def test_each_change_is_listed_and_told_once_on_every_road(world: World, policy: str, road: str) -> None:
    kind = {"keep": "kept", "add": "added", "ignore": "ignored"}[policy]
    for shape in shapes_of(world, policy):
        name = "_".join((policy, road, shape))
        met = world.rows("SELECT column_name, kind, files FROM drift WHERE logical_name = %s ORDER BY 1", name)
        files = 3 if road == "group" else 1
        with_new = 2 if road == "group" else 1
        assert met == [("coupon", kind, with_new), ("name", "null", files), ("tip", kind, with_new)], name
        told = {column: count for (of_type, column), count in world.told.items() if of_type == name}
        assert told == {"coupon": 1, "name": 1, "tip": 1}, name


def test_the_books_add_up(world: World) -> None:
    left = world.rows(
        "SELECT file_name FROM pipeline_file_log WHERE logical_name NOT LIKE 'shelves%%' AND (status <> 'success' "
        "OR total_records <> valid_records + quarantined "
        "OR quarantined <> CASE WHEN file_name ~ '_[23][.]' THEN 0 ELSE 1 END)"
    )
    assert left == []
