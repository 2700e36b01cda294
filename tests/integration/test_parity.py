"""One road: whatever brings a row, wherever it runs, and wherever the file lies, the outcome is the same.

A file alone or in a group, a parent that came, a replay or a reprocess; here or on a cluster; from a folder or an
object store: the same rows, refusals with reasons, and books. Each case is a small file. On the roads `heal`,
`replay` and `reprocess` its rows are all refused at first: their parent is missing, or the YAML of that time shuts
a gate that every row has to pass.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pytest
import yaml
from typer.testing import CliRunner

import main
from config.config_loader import get_config
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from ingestion.pipeline import Pipeline
from tests.conftest import SETTINGS_FROM_OUTSIDE, fresh_database
from tests.object_store import BUCKET, object_store
from tests.workbooks import CellError, ods, packed, parquet, xlsx

ROADS = ("load", "group", "heal", "replay", "reprocess")
WORLDS = ("local-folder", "local-store", "dask-folder", "dask-store")
# All cases are played where most sites are; on a cluster and on a store, where other code reads, these are enough.
CROSSED = (
    *(
        "good",
        "warned",
        "bad_values",
        "duplicates_among_versions",
        "twins",
        "newer",
        "packed_workbook",
        "elements",
    ),
    *("missing_parent", "no_key", "key_of_two_columns", "tree", "circle", "refused_parent"),
)
DAY = "2026-02-20"
COLUMNS = ("id", "shelf_id", "gate", "name", "amount", "mail", "seen_at", "line", "up")

Row = dict[str, Any]


def row(
    number: Any,
    name: Any = "x",
    *,
    amount: Any = "1.50",
    shelf: Any = 1,
    seen: str = "2026-01-05",
    line: Any = "",
    up: Any = "",
) -> Row:
    """`line` may be of the key, `up` refers to a row of the same table."""
    return {
        "id": number,
        "shelf_id": shelf,
        "gate": "open",
        "name": name,
        "amount": amount,
        "mail": f"p{number}@mail.com",
        "seen_at": seen,
        "line": line,
        "up": up,
    }


def typed(number: Any, name: Any = "x", *, amount: Any = 1.5, shelf: Any = 1) -> Row:
    """A row of a format whose values have types."""
    return {**row(number, name, amount=amount, shelf=shelf), "seen_at": dt.datetime(2026, 1, 5, 8, 30)}


def content(rows: Sequence[Row], columns: Sequence[str], ending: str) -> bytes:
    """A file of these rows, in the format that its ending says."""
    extension, packing = f".{ending.split('.')[1]}", ending.partition(ending.split(".")[1])[2]
    values = [[row[name] for name in columns] for row in rows]
    match extension:
        case ".csv":
            text = io.StringIO()
            csv.writer(text).writerows([columns, *values])
            data = text.getvalue().encode()
        case ".json":  # one record, whose array holds the rows
            elements = [dict(zip(columns, of_row, strict=True)) for of_row in values]
            data = json.dumps([{"record": zlib.crc32(repr(values).encode()) >> 1, "rows": elements}]).encode()
        case ".parquet":
            data = parquet({name: [row[name] for row in rows] for name in columns})
        case _:
            data = {".xlsx": xlsx, ".ods": ods}[extension]([columns, *values])
    return packed(data, packing, f"member{extension}")


@dataclass(frozen=True)
class Case:
    """A file, what is there before it, and what has to come of it: rows of the table, refusals by row, books."""

    rows: tuple[Row, ...]
    table: dict[Any, str | None]  # key → name
    refused: dict[int, tuple[str, ...]] = field(default_factory=dict)  # row number → column: rule
    books: tuple[int, int, int] = (0, 0, 0)  # inserted, updated, already present
    before: tuple[Row, ...] = ()
    newest: bool = False  # update_if_newer by seen_at
    ddl: str = ""  # on the table {table}
    ending: str = ".csv"  # of its file's name
    key: str | list[str] = "id"  # as in the YAML; of rows without one, `table` has their numbers in the file
    foreign_keys: dict[str, str] = field(default_factory=dict)  # beside that to a shelf; {type} is the case's own
    checks: dict[str, dict[str, str]] = field(default_factory=dict)
    warned: tuple[int, ...] = ()  # numbers of the loaded rows that a rule warns of

    @property
    def is_of_elements(self) -> bool:
        """Are its rows the elements of an array in the file's record?"""
        return self.ending.startswith(".json")

    @property
    def key_columns(self) -> str:
        """What tells its rows apart, in SQL; as one value."""
        if isinstance(self.key, list):
            return f"concat_ws('/', {', '.join(self.key)})"
        return "_row" if self.key == "row" else self.key


class Outcome(NamedTuple):
    table: dict[Any, str | None]
    refused: dict[int, tuple[str, ...]]
    books: tuple[int, int, int]
    warned: tuple[int, ...]


Outcomes = Mapping[tuple[str, str], Outcome]  # by case and road

CASES: dict[str, Case] = {
    "good": Case((row(1, "a"), row(2, "b")), {1: "a", 2: "b"}, books=(2, 0, 0)),
    "warned": Case(
        (row(1, "odd"), row(2, "b"), row(3, "odd", amount="-1"), row(4, "odd"), row(4, "odd")),
        {1: "odd", 2: "b", 4: "odd"},
        {3: ("amount: at_least",), 5: ("id: duplicate",)},
        (3, 0, 0),
        warned=(1, 4),
    ),
    "bad_values": Case(
        (
            row(1, "a"),
            row(2, "b", amount="-1"),
            row(3, "c", amount="much"),
            row("x", "d"),
            row(5, "e", amount="-2"),
        ),
        {1: "a"},
        {2: ("amount: at_least",), 3: ("amount: dtype",), 4: ("id: dtype",), 5: ("amount: at_least",)},
        (1, 0, 0),
    ),
    "checks": Case(
        (row(1, "a"), row(2, "free"), row(3, "c", amount="7"), row(4, "d"), row(5, "e", amount="0")),
        {1: "a", 3: "c"},
        {2: ("not_free",), 4: ("no_stranger",), 5: ("ratio",)},
        (2, 0, 0),
        checks={
            "not_free": {"row": "name <> 'free'"},
            "ratio": {"row": "id / amount::int < 3"},
            "no_stranger": {"row": "mail not like 'p4@%'"},
        },
    ),
    "duplicates": Case(
        (row(1, "first"), row(1, "second"), row(2, "b")),
        {1: "first", 2: "b"},
        {2: ("id: duplicate",)},
        (2, 0, 0),
    ),
    "duplicates_of_a_known_key": Case(
        (row(1, "new"), row(1, "second"), row(1, "third")),
        {1: "old"},
        {2: ("id: duplicate",), 3: ("id: duplicate",)},
        (0, 0, 1),
        before=(row(1, "old"),),
    ),
    "duplicates_among_versions": Case(
        (
            row(1, "older", seen="2026-01-04"),
            row(1, "newest", seen="2026-01-07"),
            row(1, "older again", seen="2026-01-04"),
            row(1, "newest again", seen="2026-01-07"),
        ),
        {1: "newest"},
        {3: ("id: duplicate",), 4: ("id: duplicate",)},
        (0, 1, 1),
        before=(row(1, "old"),),
        newest=True,
    ),
    "bad_then_good": Case(
        (row(1, "bad", amount="-1"), row(1, "good")), {1: "good"}, {1: ("amount: at_least",)}, (1, 0, 0)
    ),
    "twins": Case(
        (row(1, "forbidden"), row(1, "good"), row(2, "b")),
        {1: "good", 2: "b"},
        {1: ("PostgreSQL: 23514 check_violation",)},
        (2, 0, 0),
        ddl="ALTER TABLE {table} ADD CHECK (name <> 'forbidden')",
    ),
    "known": Case((row(1, "new"), row(2, "b")), {1: "old", 2: "b"}, books=(1, 0, 1), before=(row(1, "old"),)),
    "newer": Case(
        (row(1, "new", seen="2026-01-06"), row(2, "late", seen="2026-01-01"), row(3, "c")),
        {1: "new", 2: "old", 3: "c"},
        books=(1, 1, 1),
        before=(row(1, "old"), row(2, "old")),
        newest=True,
    ),
    "workbook": Case(
        (
            typed(1, "a"),
            typed(2, "b", amount=-1),
            typed(3, CellError("#N/A")),
            typed("x", "d"),
            typed(5, "e", amount=CellError("#DIV/0!")),
            typed(1, "again"),
        ),
        {1: "a"},
        {
            2: ("amount: at_least",),
            3: ("name: error_value",),
            4: ("id: dtype",),
            5: ("amount: error_value",),
            6: ("id: duplicate",),
        },
        (1, 0, 0),
        ending=".xlsx",
    ),
    "parquet": Case(
        (typed(1, "a"), typed(2, "b", amount=-1), typed(3, "c", shelf=99), typed(1, "again"), typed(5, None)),
        {1: "a", 5: None},
        {2: ("amount: at_least",), 3: ("shelf_id: parent_missing",), 4: ("id: duplicate",)},
        (2, 0, 0),
        ending=".parquet",
    ),
    "packed_workbook": Case(
        (typed(1, "new"), typed(2, "b", amount=-1)),
        {1: "old"},
        {2: ("amount: at_least",)},
        (0, 0, 1),
        before=(typed(1, "old"),),
        ending=".ods.zip",
    ),
    "packed": Case(
        (row(1, "a"), row(2, "b", amount="-1")), {1: "a"}, {2: ("amount: at_least",)}, (1, 0, 0), ending=".csv.zst"
    ),
    "elements": Case(
        (
            row(1, "new", seen="2026-01-06"),
            row(2, "b", amount="-1"),
            row(3, "c", shelf=99),
            row(1, "newest", seen="2026-01-07"),
            row("x", "d"),
            row(4, "e"),
        ),
        {1: "newest", 4: "e"},
        {2: ("amount: at_least",), 3: ("shelf_id: parent_missing",), 5: ("id: dtype",)},
        (1, 1, 1),
        before=(row(1, "old"),),
        newest=True,
        ending=".json.gz",
    ),
    "elements_without_a_key": Case(
        (row(1, "a"), row(1, "forbidden"), row(1, "a"), row(2, "b", shelf=99)),
        {1: "a", 3: "a"},
        {2: ("PostgreSQL: 23514 check_violation",), 4: ("shelf_id: parent_missing",)},
        (2, 0, 0),
        ending=".json",
        key="row",
        ddl="ALTER TABLE {table} ADD CHECK (name <> 'forbidden')",
    ),
    "missing_parent": Case(
        (row(1, "a"), row(2, "b", shelf=99)), {1: "a"}, {2: ("shelf_id: parent_missing",)}, (1, 0, 0)
    ),
    "key_of_two_columns": Case(
        (
            row(1, "a", line="x"),
            row(1, "b", line=' "y" '),
            row("1.0", "again", line="x"),
            row(1, "bad", line="z", amount="-1"),
            row(1, "good", line="z"),
        ),
        {"1/x": "a", '1/"y"': "b", "1/z": "good"},
        {3: ("id, line: duplicate",), 4: ("amount: at_least",)},
        (3, 0, 0),
        key=["id", "line"],
    ),
    "key_of_two_columns_known": Case(
        (row(1, "new", line="x"), row(1, "b", line="y"), row(1, "again", line="x")),
        {"1/x": "old", "1/y": "b"},
        {3: ("id, line: duplicate",)},
        (1, 0, 1),
        before=(row(1, "old", line="x"),),
        key=["id", "line"],
    ),
    "key_of_two_columns_newer": Case(
        (
            row(1, "new", line="x", seen="2026-01-06"),
            row(1, "late", line="y", seen="2026-01-01"),
            row(1, "newest", line="x", seen="2026-01-07"),
            row(2, "c", line="x"),
        ),
        {"1/x": "newest", "1/y": "old", "2/x": "c"},
        books=(1, 1, 2),
        before=(row(1, "old", line="x"), row(1, "old", line="y")),
        newest=True,
        key=["id", "line"],
    ),
    "no_key": Case(
        (row(1, "a"), row(1, "b"), row(1, "bad", amount="-1"), row(1, "a"), row("", "c", shelf=99)),
        {1: "a", 2: "b", 4: "a"},
        {3: ("amount: at_least",), 5: ("shelf_id: parent_missing",)},
        (3, 0, 0),
        key="row",
    ),
    "no_key_and_a_refusal": Case(
        (row(1, "a"), row(2, "forbidden"), row(1, "a")),
        {1: "a", 3: "a"},
        {2: ("PostgreSQL: 23514 check_violation",)},
        (2, 0, 0),
        before=(row(1, "before"),),
        key="row",
        ddl="ALTER TABLE {table} ADD CHECK (name <> 'forbidden')",
    ),
    "tree": Case(
        (row(3, "c", up=2), row(2, "b", up=1), row(1, "a"), row(5, "e", up=99), row(6, "f", up=5)),
        {1: "a", 2: "b", 3: "c"},
        {4: ("up: parent_missing",), 5: ("up: parent_missing",)},
        (3, 0, 0),
        foreign_keys={"up": "{type}"},
    ),
    "circle": Case(
        (
            row(1, "a", up=2),
            row(2, "b", up=3),
            row(3, "c", up=1),
            row(4, "d", up=4),
            row(5, "bad", up=1, amount="-1"),
        ),
        {1: "a", 2: "b", 3: "c", 4: "d"},
        {5: ("amount: at_least",)},
        (4, 0, 0),
        foreign_keys={"up": "{type}"},
    ),
    "tree_of_a_key_of_two_columns": Case(
        (
            row(3, "c", up=2, line="x"),
            row(2, "b", up=1, line="x"),
            row(1, "a", line="x"),
            row(4, "d", up=1, line="y"),
        ),
        {"1/x": "a", "2/x": "b", "3/x": "c"},
        {4: ("up, line: parent_missing",)},
        (3, 0, 0),
        key=["id", "line"],
        foreign_keys={"up, line": "{type}"},
    ),
    "refused_parent": Case(
        (row(2, "b", up=1), row(1, "forbidden"), row(3, "c")),
        {3: "c"},
        {1: ("up: parent_missing",), 2: ("PostgreSQL: 23514 check_violation",)},
        (1, 0, 0),
        foreign_keys={"up": "{type}"},
        ddl="ALTER TABLE {table} ADD CHECK (name <> 'forbidden')",
    ),
}


# ---------------------------------------------------------------- worlds


def cases_of(world: str) -> dict[str, Case]:
    return CASES if world == "local-folder" else {name: CASES[name] for name in CROSSED}


class World:
    """A home, a database and a place for the files; one type of file a case and road."""

    def __init__(self, name: str, home: Path, database: DatabaseConfig, env: pytest.MonkeyPatch) -> None:
        self.engine, _, place = name.partition("-")
        self.cases = cases_of(name)
        self._home = home
        self._store = self._root(place, home)
        self._env = env
        self._warehouse = Warehouse(database, home)
        self._warehouse.open()

    def _root(self, place: str, home: Path) -> str:
        if place == "folder":
            return str(home / "data")
        return f"s3://{BUCKET}" if self.engine == "dask" else f"memory://{home.name}"

    def close(self) -> None:
        self._warehouse.close()

    def configure(self, *, gate_shut: bool, gated: tuple[str, ...]) -> None:
        """Write the YAML; types on the roads of `gated` refuse every row while the gate is shut."""
        stream: dict[str, Any] = {}
        schemas: dict[str, Any] = {}
        shelf = {"name": "shelf_id", "dtype": "int"}
        for case_name, case in self.cases.items():
            for road in ROADS:
                name = f"{case_name}_{road}"
                shut = gate_shut and road in gated
                of_elements = {"from_child": {"of": f"{name}_file", "path": "rows"}} if case.is_of_elements else {}
                stream[name if of_elements else f"{name}*{case.ending}"] = {
                    **of_elements,
                    "table": f"fact_{name}",
                    "foreign_keys": {
                        "shelf_id": f"shelves_{road}",
                        **{columns: parent.format(type=name) for columns, parent in case.foreign_keys.items()},
                    },
                    **({"on_conflict": "update_if_newer", "newer_by": "seen_at"} if case.newest else {}),
                }
                schemas[name] = {
                    "primary_key": case.key,
                    "checks": case.checks,
                    "columns": [
                        {"name": "id", "dtype": "int", "nullable": case.key == "row"},
                        shelf,
                        {"name": "gate", "dtype": "str", "allowed_values": ["shut" if shut else "open"]},
                        {"name": "name", "dtype": "str", "rules": {"not_in": {"value": ["odd"], "then": "warn"}}},
                        {"name": "amount", "dtype": "float", "sql_type": "numeric(8,2)", "rules": {"at_least": 0}},
                        {"name": "mail", "dtype": "str", "pii": "email"},
                        {"name": "seen_at", "dtype": "datetime"},
                        {"name": "line", "dtype": "str", "nullable": "line" not in case.key},
                        {"name": "up", "dtype": "int"},
                    ],
                }
                if of_elements:
                    stream[f"{name}*{case.ending}"] = {"table": f"fact_{name}_file"}
                    schemas[f"{name}_file"] = {
                        "primary_key": "record",
                        "columns": [{"name": "record", "dtype": "int", "nullable": False}],
                    }
        for road in ROADS:
            stream[f"shelves_{road}*.csv"] = {"table": f"fact_shelves_{road}"}
            schemas[f"shelves_{road}"] = {"primary_key": "shelf_id", "columns": [{**shelf, "nullable": False}]}
        text = {
            "watcher": {
                "settle_seconds": 0.05,
                "batch": {"dir": "data/batch", "expected_files": {}},
                "stream": {"dir": f"{self._store}/stream", "expected_files": stream},
            },
            "reader": {
                "file_type_map": {
                    pattern: pattern.partition("*")[0] + "_file" * ("*.json" in pattern) for pattern in stream
                }
            },
            "schemas": schemas,
            "execution": {"engine": self.engine, "workers": 1},
            "pii": {"hash_key": "a key for the parity of roads"},
            "web": {"enabled": False},
        }
        path = self._home / "config.yaml"
        path.write_text(yaml.safe_dump(text))
        self._env.setenv("FASTFEAST_CONFIG", str(path))

    def put(
        self, name: str, rows: tuple[Row, ...], columns: tuple[str, ...] = COLUMNS, ending: str = ".csv"
    ) -> None:
        path = f"{self._store}/stream/{DAY}/09/{name}{ending}"
        file_system, inner = fsspec.core.url_to_fs(path)
        file_system.makedirs(inner.rpartition("/")[0], exist_ok=True)
        file_system.pipe_file(inner, content(rows, columns, ending))

    def turn(self) -> None:
        """Load all that is there."""
        with Pipeline(get_config()) as pipeline:
            pipeline.run_once()

    def command(self, *arguments: object) -> None:
        """Run a command of the operator's; whether it did its work shows in the outcome."""
        result = CliRunner().invoke(main.app, [str(a) for a in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception

    def execute(self, statement: str) -> None:
        with self._warehouse.transaction() as tx:
            tx.execute(statement)

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._warehouse.transaction() as tx:
            tx.execute(statement, values)
            return tx.fetchall()

    def file_id(self, case: str, road: str) -> int:
        """Of the case's file; of that of the type that is the case, where one file brings two."""
        name = f"{case}_{road}"
        statement = "SELECT file_id FROM pipeline_file_log WHERE (file_name, logical_name) = (%s, %s)"
        ((file_id,),) = self.query(statement, f"{name}{CASES[case].ending}", name)
        return int(file_id)

    def outcome(self, case: str, road: str) -> Outcome:
        name, key = f"{case}_{road}", CASES[case].key_columns
        wanted = "id < 9000 AND name IS DISTINCT FROM 'before'"
        table = dict(self.query(f"SELECT {key}, name FROM fact_{name} WHERE {wanted}"))
        file_id = self.file_id(case, road)
        # Of the parents that an orphan lacked at first, those count for which it waits still.
        refused = self.query(
            "SELECT row_number, (SELECT jsonb_agg(r) FROM jsonb_array_elements(reasons) r"
            " WHERE r ->> 'rule' <> 'parent_missing' OR EXISTS (SELECT FROM orphan_wait w"
            " WHERE (w.file_id, w.row_number, w.fk_column) = (q.file_id, q.row_number, r ->> 'column')))"
            " FROM quarantine q WHERE file_id = %s AND resolution IS NULL",
            file_id,
        )
        named = {
            number: tuple(f"{r['column']}: {r['rule']}" if r["column"] else _sqlstate(r["rule"]) for r in reasons)
            for number, reasons in refused
        }
        books = self.query(
            "SELECT inserted_records, updated_records, already_present, quarantined, warned_records "
            "FROM pipeline_file_log WHERE file_id = %s",
            file_id,
        )[0]
        listed = self.query("SELECT row_number FROM warned_row WHERE file_id = %s ORDER BY 1", file_id)
        warned = tuple(number for (number,) in listed)
        assert books[4] == len(warned), f"{name}: the file log has {books[4]} warned of, {len(warned)} are listed"
        assert books[3] == len(named), f"{name}: the file log has {books[3]} quarantined, quarantine {len(named)}"
        return Outcome(table, named, (books[0], books[1], books[2]), warned)


def _sqlstate(rule: str) -> str:
    """What PostgreSQL refused a row for, without the names of table and constraint, which differ by case."""
    return rule.partition(" (")[0]


def play(world: World) -> dict[tuple[str, str], Outcome]:
    """All cases on all roads."""
    gated = ("replay", "reprocess")
    shelves = ({"shelf_id": 1},)
    world.configure(gate_shut=False, gated=gated)
    for road in ROADS:
        world.put(f"shelves_{road}", shelves if road != "heal" else ({"shelf_id": 2},), ("shelf_id",))
    world.turn()
    for name, case in world.cases.items():
        for road in ROADS:
            if case.ddl:
                world.execute(case.ddl.format(table=f"fact_{name}_{road}"))
            if case.before and road != "heal":
                world.put(f"{name}_{road}_before", case.before, ending=case.ending)
    world.execute("INSERT INTO fact_shelves_heal (shelf_id, _file_id) VALUES (1, 1)")
    for name, case in world.cases.items():
        if case.before:
            world.put(f"{name}_heal_before", case.before, ending=case.ending)
    world.turn()
    # A parent that is referred to can't go; the rows of `heal` refer to it no more while it is away.
    for name in world.cases:
        world.execute(f"UPDATE fact_{name}_heal SET shelf_id = NULL")
    world.execute("DELETE FROM fact_shelves_heal WHERE shelf_id = 1")
    world.configure(gate_shut=True, gated=gated)
    for name, case in world.cases.items():
        for road in ROADS:
            world.put(f"{name}_{road}", case.rows, ending=case.ending)
            if road == "group":
                world.put(f"{name}_{road}_beside", (row(9001, line="z"),), ending=case.ending)
                world.put(f"{name}_{road}_last", (row(9002, line="z"),), ending=case.ending)
    world.turn()
    world.configure(gate_shut=False, gated=gated)
    world.put("shelves_heal_again", shelves, ("shelf_id",))
    world.turn()
    for name in world.cases:
        world.command("reprocess", world.file_id(name, "reprocess"), "--yes")
        world.command("quarantine", "replay", "--table", f"fact_{name}_replay", "--yes")
    return {(name, road): world.outcome(name, road) for name in world.cases for road in ROADS}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, embedded_url: str) -> Callable[[str], Outcomes]:
    """Everything that happened in a world, which is played once."""

    @cache
    def outcomes(name: str) -> Outcomes:
        home = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as env, ExitStack() as stack:
            for setting in SETTINGS_FROM_OUTSIDE:
                env.delenv(setting, raising=False)
            database = stack.enter_context(fresh_database(embedded_url))
            env.setenv("FASTFEAST_HOME", str(home))
            env.setenv("DATABASE_URL", str(database.url))
            if name == "dask-store":
                stack.enter_context(object_store())
            world = World(name, home, database, env)
            stack.callback(world.close)
            return play(world)

    return outcomes


@pytest.mark.timeout(900)  # the first one of a world plays all of it
@pytest.mark.parametrize(("world", "case"), [(world, case) for world in WORLDS for case in cases_of(world)])
def test_a_row_fares_the_same_on_every_road(case: str, world: str, played: Callable[[str], Outcomes]) -> None:
    wanted = Outcome(CASES[case].table, CASES[case].refused, CASES[case].books, CASES[case].warned)
    outcomes = played(world)
    assert {road: outcomes[case, road] for road in ROADS} == dict.fromkeys(ROADS, wanted)
