"""`plan` and `apply`: each difference between tables and YAML has a step; what is safe a start does by itself."""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, WarehouseUnavailable
from datawarehouse.db_connection import Warehouse
from datawarehouse.rights import Right, loader_rights
from datawarehouse.schema.catalog import Catalog
from datawarehouse.schema.changes import apply
from datawarehouse.schema.plan import Plan, plan
from datawarehouse.schema.steps import Cost, Kind
from datawarehouse.schema_init import bring_up, init_schema
from tests.integration.mishap import MISHAP
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")
SHOP: dict[str, Any] = {"key": "id", "columns": {"id": "int", "name": {"dtype": "str", "sql_type": "varchar(20)"}}}
SALE: dict[str, Any] = {
    "key": "n",
    "table": "fact_sale",
    "columns": {"n": "int", "shop": "int", "sum": {"dtype": "int"}, "at": "datetime"},
    "foreign_keys": {"shop": "shop"},
}


def changed(
    types: dict[str, Any], name: str, columns: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """The same types, one of them with other keys; a column of None is gone."""
    found = copy.deepcopy(types)
    found[name].update(more)
    for column, how in (columns or {}).items():
        if how is None:
            del found[name]["columns"][column]
        else:
            found[name]["columns"][column] = how
    return found


class Model:
    """Tables of a YAML with rows, and how they come to another YAML."""

    def __init__(self, warehouse: Warehouse, home: Path) -> None:
        self.types = {"shop": SHOP, "sale": SALE}
        self.small = Small(warehouse, home, self.types)
        self.small.load("shop", [(1, "north"), (2, "south")])
        self.small.load("sale", [(1, 1, 100, "2026-01-01"), (2, 2, 70000, None), (3, None, None, None)])

    def change(self, name: str, columns: dict[str, Any] | None = None, **more: Any) -> None:
        self.small.config = self.small.read(changed(self.types, name, columns, **more))

    def plan(self) -> Plan:
        with self.small.warehouse.transaction() as tx:
            tx.execute("SET TRANSACTION READ ONLY")
            return plan(tx, self.small.config)

    def apply(self) -> Plan:
        """Do all, and find nothing left to do."""
        todo = self.plan()
        config = self.small.config
        apply(self.small.warehouse, config, todo.steps, lambda tx: bring_up(tx, config))
        assert self.plan().steps == ()
        return todo


@pytest.fixture
def model(warehouse: Warehouse, tmp_path: Path) -> Model:
    return Model(warehouse, tmp_path)


def kinds(todo: Plan) -> list[tuple[str, str]]:
    return [(step.kind.value, step.cost.value) for step in todo.steps]


def test_a_start_does_what_is_safe_and_names_plan_for_the_rest(model: Model) -> None:
    model.change("shop", {"name": {"dtype": "str", "sql_type": "varchar(60)"}, "floor": "int"})
    assert kinds(model.plan()) == [("add column", "safe"), ("change type", "safe")]
    init_schema(model.small.warehouse, model.small.config)
    assert model.plan().steps == ()
    model.change("shop", {"name": {"dtype": "str", "sql_type": "varchar(4)"}})
    with pytest.raises(
        ConfigError, match=r"(?s)main.py plan.*dim_shop.name: the table has character varying\(60\)"
    ):
        init_schema(model.small.warehouse, model.small.config)
    (step,) = model.plan().steps
    assert step.misfits is not None
    assert (step.cost, step.misfits.count) == (Cost.LOSING, 2)
    assert step.misfits.first == (("1", "north"), ("2", "south"))


def test_tables_and_columns_get_other_names_with_their_rows(model: Model) -> None:
    renamed = changed(model.types, "sale", {"shop": None, "place": {"dtype": "int", "was": "shop"}})
    renamed["sale"] |= {"table": "fact_deal", "was": "fact_sale", "foreign_keys": {"place": "shop"}}
    renamed["shop"] |= {"table": "dim_place", "was": "dim_shop"}
    model.small.load("sale", [(9, 9, 1, None)])
    model.small.rows("UPDATE pipeline_file_log SET backup_written = true")
    model.small.config = model.small.read(renamed)
    todo = model.apply()
    assert model.small.rows("SELECT count(*) FROM pipeline_file_log WHERE NOT backup_written") == [(1,)]
    assert {kind for kind, _ in kinds(todo)} == {"rename table", "rename column"}
    assert {cost for _, cost in kinds(todo)} == {"safe"}
    assert model.small.rows("SELECT deal_sk, n, place FROM fact_deal ORDER BY n") == [
        (1, 1, 1),
        (2, 2, 2),
        (3, 3, None),
    ]
    assert model.small.load("shop", [(2, "south"), (4, "x")]).inserted == 1
    assert model.small.load("sale", "n,place,sum,at\n4,4,1,\n5,9,1,\n").inserted == 1
    assert model.small.rows("SELECT DISTINCT source_table FROM pipeline_file_log ORDER BY 1") == [
        ("dim_place",),
        ("fact_deal",),
    ]


def test_a_column_that_is_gone_from_the_yaml_stays_and_may_be_null(model: Model) -> None:
    model.change("shop", {"name": {"dtype": "str", "sql_type": "varchar(20)", "nullable": False}})
    assert kinds(model.apply()) == [("not null", "slow")]
    model.change("shop", {"name": None})
    with pytest.raises(ConfigError, match="it stays"):
        init_schema(model.small.warehouse, model.small.config)
    assert kinds(model.apply()) == [("retire", "losing")]
    assert model.plan().others == ("dim_shop.name",)
    assert model.small.load("shop", [(3,)]).inserted == 1
    assert model.small.rows("SELECT name FROM dim_shop ORDER BY id") == [("north",), ("south",), (None,)]


def test_keys_references_and_indexes_come_and_go(model: Model) -> None:
    model.change("sale", foreign_keys={}, indexes=["shop"])
    assert kinds(model.apply()) == [("drop foreign key", "safe"), ("index", "safe")]
    model.small.load("sale", [(4, 7, 1, None)])
    model.change("sale", indexes=[])
    todo = model.plan()
    assert [step.kind for step in todo.steps] == [Kind.DROP_INDEX, Kind.FOREIGN_KEY, Kind.VALIDATE]
    assert todo.steps[1].misfits is not None
    assert todo.steps[1].misfits.first == (("4", "7"),)
    with pytest.raises(ConfigError, match="rows are against it"):
        model.apply()
    model.small.load("shop", [(7, "west")])
    model.apply()


# ---------------------------------------------------------------- cut off, and beside loads


def test_an_apply_that_is_killed_at_any_step_is_done_or_not_begun_or_goes_on(model: Model) -> None:
    small = model.small
    model.change("shop", {"name": {"dtype": "str", "sql_type": "varchar(60)"}, "floor": "int"}, indexes=["name"])
    wanted = changed(model.types, "sale", {"sum": {"dtype": "int", "sql_type": "bigint"}}, foreign_keys={})
    types = changed(
        wanted, "shop", {"name": {"dtype": "str", "was": "name", "stored_as": "title"}}, indexes=["name"]
    )
    small.config = small.read(types)
    before = model.plan()
    assert len(before.steps) >= 5
    small.rows(MISHAP)
    for step in range(1, 100):
        small.rows(f"SELECT setval('mishap.step', {step}, false)")
        at_start = model.plan()
        try:
            apply(small.warehouse, small.config, at_start.steps, lambda tx: bring_up(tx, small.config), tries=1)
            break
        except WarehouseUnavailable:
            left = [one.kind for one in model.plan().steps]
            assert left == [one.kind for one in at_start.steps] or set(left) <= {Kind.INDEX, Kind.DROP_INDEX}
    assert step >= 5
    small.rows("DROP EVENT TRIGGER mishap")
    model.apply()
    assert small.rows("SELECT id, title FROM dim_shop ORDER BY id") == [(1, "north"), (2, "south")]
    assert small.rows("SELECT n, sum FROM fact_sale ORDER BY n") == [(1, 100), (2, 70000), (3, None)]


def test_no_file_fails_while_apply_changes_its_table(model: Model) -> None:
    """Loads by the former YAML go on, or wait; whoever waits goes on by the new one."""
    small, done = model.small, threading.Event()
    former, pauses, problems = small.config, [0.0], []

    def load_steadily() -> None:
        numbers = itertools.count(100)
        while not done.is_set():
            begun, n = time.monotonic(), next(numbers)
            while True:
                try:
                    outcome = small.load("sale", f"n,shop,sum,at\n{n},1,1,\n")
                    problems.extend([outcome.error] if outcome.inserted != 1 else [])
                    break
                except WarehouseUnavailable:
                    time.sleep(0.05)
            pauses.append(time.monotonic() - begun)

    loads = threading.Thread(target=load_steadily)
    loads.start()
    try:
        wanted = changed(model.types, "sale", {"sum": {"dtype": "int", "sql_type": "bigint"}}, indexes=["at"])
        wanted["sale"]["columns"]["more"] = {"dtype": "int", "optional": True}
        wanted["shop"]["columns"]["name"] = {"dtype": "str", "was": "name", "stored_as": "title"}
        future = small.read(wanted)
        with small.warehouse.transaction() as tx:
            steps = plan(tx, future).steps
        apply(small.warehouse, future, steps, lambda tx: bring_up(tx, future))
        small.config = future
    finally:
        done.set()
        loads.join()
    assert problems == []
    assert max(pauses) < 20
    assert former is not future
    assert model.plan().steps == ()


def test_views_that_read_a_column_are_made_anew_with_their_grants(model: Model) -> None:
    small = model.small
    small.rows(
        "CREATE VIEW sums AS SELECT n, sum FROM fact_sale; CREATE VIEW most AS SELECT max(sum) FROM sums;"
        "GRANT SELECT ON most TO PUBLIC"
    )
    model.change("sale", {"sum": {"dtype": "int", "sql_type": "bigint"}})
    model.apply()
    assert small.rows("SELECT * FROM most") == [(70000,)]
    assert small.rows("SELECT has_table_privilege('pg_monitor', 'most', 'SELECT')") == [(True,)]
    small.rows("DROP VIEW most; CREATE MATERIALIZED VIEW most AS SELECT max(sum) FROM sums")
    model.change("sale", {"sum": {"dtype": "float", "sql_type": "numeric"}})
    with pytest.raises(ConfigError, match="most read what is to change"):
        model.apply()


def test_a_history_follows_its_table(model: Model) -> None:
    small = model.small
    model.change("shop", keep="history")
    assert kinds(model.apply()) == [("create table", "safe"), ("create table", "safe"), ("history", "safe")]
    small.load("shop", [(1, "east")])
    names = {"name": None, "title": {"dtype": "str", "was": "name", "sql_type": "varchar(60)"}}
    model.change("shop", names, keep="history", table="dim_place", was="dim_shop")
    model.apply()
    small.load("shop", [(1, "west")])
    assert small.rows("SELECT title FROM dim_place_history WHERE id = 1 ORDER BY valid_from") == [
        ("north",),
        ("east",),
        ("west",),
    ]
    model.change(
        "shop", {**names, "id": {"dtype": "int", "sql_type": "bigint"}}, keep="history", table="dim_place"
    )
    model.apply()
    assert small.load("shop", [(1, "x"), (5_000_000_000, "y")]).quarantined == 0


def test_what_files_told_to_delete_follows_its_table(model: Model) -> None:
    small = model.small
    visit = {
        "key": "id",
        "table": "dim_visit",
        "columns": {"op": "str", "id": "int"},
        "keep": "latest",
        "operation": {"column": "op", "delete": "D"},
    }
    small.config = small.read({**model.types, "visit": visit})
    model.apply()
    assert Right("dim_visit_gone", "INSERT") in loader_rights(small.config)
    small.load("visit", [["I", 1], ["I", 2]])
    small.load("visit", [["D", 1]])
    moved = {**visit, "table": "dim_call", "was": "dim_visit"}
    moved["columns"] = {"op": "str", "no": {"dtype": "int", "sql_type": "bigint", "was": "id"}}
    moved["key"] = "no"
    small.config = small.read({**model.types, "visit": moved})
    model.apply()
    assert small.rows("SELECT no FROM dim_call_gone") == [(1,)]
    assert small.rows("SELECT to_regclass('dim_visit_gone') IS NULL") == [(True,)]
    small.load("visit", [["D", 2]])
    assert small.rows("SELECT no FROM dim_call_gone ORDER BY no") == [(1,), (2,)]


def test_another_way_to_partition_has_no_step_and_says_what_to_do(model: Model) -> None:
    small = model.small
    at = {"at": {"dtype": "datetime", "nullable": False}}
    model.change("sale", at, partition_by={"column": "at", "interval": "month"})
    assert model.plan().refusals == (
        "fact_sale: the table is not partitioned, the configuration says partitioned by RANGE (at); "
        "`python -m scripts.partition` prints the SQL that moves its rows (docs/scaling.md)",
    )
    parts = {**at, "On": {"dtype": "datetime", "nullable": False}}
    visit: dict[str, Any] = {"key": "n", "table": "fact_visit", "columns": {"n": "int", **parts}}

    def by(column: str, interval: str = "month", **more: Any) -> None:
        visit_by = {**visit, "partition_by": {"column": column, "interval": interval}, **more}
        small.config = small.read({**model.types, "visit": visit_by})

    by("On")
    model.apply()
    small.load("visit", [(1, "2026-01-01", "2026-01-02")])
    by("On", "week")
    assert model.plan() == Plan()
    by("at")
    (refusal,) = model.plan().refusals
    assert 'partitioned by RANGE ("On"), the configuration says partitioned by RANGE (at)' in refusal
    assert "leave partition_by as it was" in refusal
    columns = {"n": "int", "at": parts["at"], "day": {**parts["On"], "was": "On", "from": "On"}}
    by("day", columns=columns, table="fact_call", was="fact_visit")
    model.apply()
    assert small.load("visit", "n,at,On\n2,2026-01-01,2026-01-02\n").inserted == 1
    assert small.rows("SELECT n, day::date::text FROM fact_call_key ORDER BY n") == [
        (1, "2026-01-02"),
        (2, "2026-01-02"),
    ]


class _Meanwhile:
    """A cursor before whose question for sizes another transaction does something."""

    def __init__(self, tx: Any, do: Callable[[], object]) -> None:
        self.tx = tx
        self.do = do

    def execute(self, statement: Any, *parameters: Any) -> None:
        if "reltuples" in str(statement):
            self.do()
        self.tx.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tx, name)


def test_a_table_that_is_made_while_the_catalog_is_read_is_not_there_yet(warehouse: Warehouse) -> None:
    """As while a dump is restored beside a service, which asks what is lacking."""

    def make() -> None:
        with warehouse.transaction() as tx:
            tx.execute("CREATE TABLE made_meanwhile (id int)")

    with warehouse.transaction() as tx:
        found = Catalog(cast("Cursor", _Meanwhile(tx, make)))
        assert "made_meanwhile" not in found.tables
        assert "fact_order" in found.tables
        assert "made_meanwhile" in Catalog(tx).tables
