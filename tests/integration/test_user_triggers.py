"""Triggers and constraints that users put on a table fire during a load, and cost the rows that they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn

from config.errors import ConfigError
from config.model import Stage
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from tests.conftest import opened
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")

OWNER = {"key": "id", "columns": {"id": "int"}}
ITEM = {
    "key": "id",
    "columns": {"id": "int", "v": "str", "u": {"dtype": "datetime", "nullable": False}, "owner": "int"},
    "foreign_keys": {"owner": "owner"},
    "keep": "latest",
    "newer_by": "u",
}
PARTITIONED = {
    **ITEM,
    "table": "fact_item",
    "partition_by": {"column": "u", "interval": "year", "since": "2024-01-01"},
}
TYPES = {"plain": {"owner": OWNER, "item": ITEM}, "partitioned": {"owner": OWNER, "item": PARTITIONED}}
TRIGGER = """
    CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
    CREATE TRIGGER judge {when} ON {table} FOR EACH ROW EXECUTE FUNCTION judge();
"""
RAISE = "IF NEW.v LIKE 'bad%' THEN RAISE EXCEPTION 'not %', NEW.v USING ERRCODE = '{}'; END IF; RETURN NEW;"


def item(number: int, value: str = "good", day: int = 1) -> tuple[int, str, str, int]:
    return number, value, f"2024-01-{day:02}", 1


def with_trigger(
    warehouse: Warehouse, home: Path, when: str, body: str, kind: str = "plain", role: str | None = None
) -> Small:
    """The tables with a trigger; with `role` they are loaded by a role that may not switch triggers off."""
    small = Small(warehouse, home, TYPES[kind])
    small.load("owner", [[1]])
    small.rows(TRIGGER.format(when=when, body=body, table=small.config.by_logical_name["item"].table))
    return small


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("when", ["BEFORE INSERT OR UPDATE", "AFTER INSERT OR UPDATE"])
def test_a_row_that_a_trigger_refuses_costs_no_other(
    any_warehouse: Warehouse, tmp_path: Path, when: str, kind: str
) -> None:
    small = with_trigger(any_warehouse, tmp_path, when, RAISE.format("P0001"), kind)
    rows = [item(n, "bad" if n in {4, 7} else "good", 2) for n in range(1, 11)]
    outcome = small.load("item", rows)
    assert (outcome.inserted, outcome.rejected_by_stage) == (8, {Stage.LOAD: 2})
    outcome = small.load("item", [item(1, "bad", 3), item(2, "newer", 3), item(3, "older", 1), item(4)])
    assert (outcome.inserted, outcome.updated, outcome.already_present) == (1, 1, 1)
    assert outcome.rejected_by_stage == {Stage.LOAD: 1}
    reasons = {rule for _, rule, *_ in outcome.reasons}
    assert any("P0001 raise_exception" in reason and "function judge" in reason for reason in reasons), reasons
    assert "bad" not in str(reasons)


@pytest.mark.parametrize("code", ["P0001", "P0002", "P0004", "22012", "23514", "2F005", "38000", "44000", "ZZ123"])
def test_whatever_a_trigger_raises_is_about_its_row(warehouse: Warehouse, tmp_path: Path, code: str) -> None:
    small = with_trigger(warehouse, tmp_path, "BEFORE INSERT", RAISE.format(code))
    outcome = small.load("item", [item(1), item(2, "bad"), item(3)])
    assert (outcome.inserted, outcome.rejected_by_stage) == (2, {Stage.LOAD: 1})


@pytest.mark.parametrize("kind", TYPES)
def test_a_row_that_a_trigger_leaves_out_is_refused_and_not_lost(
    any_warehouse: Warehouse, tmp_path: Path, kind: str
) -> None:
    body = "RETURN CASE WHEN NEW.v LIKE 'bad%' THEN NULL ELSE NEW END;"
    small = with_trigger(any_warehouse, tmp_path, "BEFORE INSERT OR UPDATE", body, kind)
    outcome = small.load("item", [item(n, "bad" if n in {2, 3} else "good", 2) for n in range(1, 6)])
    assert (outcome.inserted, outcome.rejected_by_stage) == (3, {Stage.LOAD: 2})
    outcome = small.load("item", [item(1, "bad", 3), item(4, "newer", 3), item(5, "older", 1)])
    assert (outcome.updated, outcome.already_present, outcome.rejected_by_stage) == (1, 1, {Stage.LOAD: 1})
    assert all("not_inserted" in rule for _, rule, *_ in outcome.reasons)
    keys = small.config.by_logical_name["item"].key_table
    assert small.rows(f"SELECT array_agg(id ORDER BY id) FROM {keys}") == [([1, 4, 5],)]


def test_what_a_trigger_changes_is_stored_and_counted(warehouse: Warehouse, tmp_path: Path) -> None:
    body = "NEW.v := upper(NEW.v); RETURN NEW;"
    small = with_trigger(warehouse, tmp_path, "BEFORE INSERT OR UPDATE", body)
    assert small.load("item", [item(1), item(2)]).inserted == 2
    outcome = small.load("item", [item(1, "newer", 2), item(2)])
    assert (outcome.updated, outcome.already_present) == (2, 0)  # what was stored differs from what the file says
    assert small.rows("SELECT v FROM dim_item ORDER BY id") == [("NEWER",), ("GOOD",)]


def test_an_audit_has_every_row_of_files_loaded_together(warehouse: Warehouse, tmp_path: Path) -> None:
    small = with_trigger(
        warehouse, tmp_path, "AFTER INSERT OR UPDATE", "INSERT INTO audit VALUES (NEW.id); RETURN NULL;"
    )
    small.rows("CREATE TABLE audit (id int)")
    small.load_together("item", [[item(1), item(2)], [item(3, "bad")], [item(4)]])
    small.load("item", [item(1, "newer", 2), item(2)])
    assert small.rows("SELECT array_agg(id) FROM audit") == [([1, 2, 3, 4, 1],)]


def test_as_a_plain_role_it_is_the_same(database: DatabaseConfig, warehouse: Warehouse, tmp_path: Path) -> None:
    small = with_trigger(warehouse, tmp_path, "AFTER INSERT OR UPDATE", RAISE.format("P0001"))
    role = f"plain_{warehouse.parameters['dbname']}"
    small.rows(f"CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    small.rows(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")
    plain = DatabaseConfig(url=make_dsn(**{**warehouse.parameters, "user": role}))
    try:
        with opened(plain, tmp_path) as other:
            small.warehouse = other
            outcome = small.load("item", [item(1), item(2, "bad"), item(3)])
            assert (outcome.inserted, outcome.rejected_by_stage) == (2, {Stage.LOAD: 1})
    finally:
        small.warehouse = warehouse
        small.rows(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize(
    "constraint",
    [
        "ADD COLUMN code text GENERATED ALWAYS AS (substr(v, 1, 4)) STORED REFERENCES codes (code)",
        "ADD CONSTRAINT once UNIQUE (v) DEFERRABLE INITIALLY DEFERRED",
        "ADD CONSTRAINT once EXCLUDE (v WITH =)",
        "ADD CHECK (v <> 'bad')",
    ],
)
def test_a_constraint_of_any_kind_costs_the_row_that_breaks_it(
    warehouse: Warehouse, tmp_path: Path, constraint: str
) -> None:
    small = Small(warehouse, tmp_path, TYPES["plain"])
    small.load("owner", [[1]])
    small.rows("CREATE TABLE codes (code text PRIMARY KEY); INSERT INTO codes VALUES ('a'), ('b')")
    small.rows(f"ALTER TABLE dim_item {constraint}")
    bad = "bad" if "codes" in constraint or "CHECK" in constraint else "a"
    outcome = small.load("item", [item(1, "a"), item(2, bad), item(3, "b")])
    assert (outcome.error, outcome.inserted, outcome.rejected_by_stage) == (None, 2, {Stage.LOAD: 1})


def test_a_constraint_trigger_that_waits_for_the_commit_costs_its_row(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    small = Small(warehouse, tmp_path, TYPES["plain"])
    small.load("owner", [[1]])
    trigger = TRIGGER.replace("CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER").format(
        when="AFTER INSERT", body=RAISE.format("P0001"), table="dim_item"
    )
    small.rows(trigger.replace("FOR EACH ROW", "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"))
    outcome = small.load("item", [item(1), item(2, "bad"), item(3)])
    assert (outcome.inserted, outcome.rejected_by_stage) == (2, {Stage.LOAD: 1})


@pytest.mark.parametrize(
    ("how", "fires"),
    [
        ("DISABLE TRIGGER judge", False),
        ("ENABLE ALWAYS TRIGGER judge", True),
        ("ENABLE REPLICA TRIGGER judge", False),
    ],
)
def test_a_trigger_fires_as_it_does_for_everybody(
    warehouse: Warehouse, tmp_path: Path, how: str, fires: bool
) -> None:
    small = with_trigger(warehouse, tmp_path, "BEFORE INSERT", RAISE.format("P0001"))
    small.rows(f"ALTER TABLE dim_item {how}")
    assert small.load("item", [item(1), item(2, "bad")]).inserted == (1 if fires else 2)


def test_a_rule_which_no_load_can_follow_is_refused_at_the_start(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, TYPES["plain"])
    small.rows("CREATE RULE nothing AS ON INSERT TO dim_item DO INSTEAD NOTHING")
    with pytest.raises(ConfigError, match=r"dim_item: loads can't follow its rule nothing .* make it a trigger"):
        init_schema(warehouse, small.config)
