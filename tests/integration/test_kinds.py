"""A table is a fact where the YAML says so, whatever its name; rules by their former names are still read."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.config_loader import get_config
from config.errors import NumberTaken
from datawarehouse.db_connection import Warehouse
from tests.integration.small import Small

pytestmark = pytest.mark.usefixtures("config")
VISIT = {"key": "id", "columns": {"id": "int", "note": "str"}, "table": "visits", "kind": "fact"}


def test_a_fact_by_another_name_has_a_surrogate_key(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"visit": VISIT})
    outcome = small.load("visit", [(7, "a"), (8, "b"), (7, "again")])
    assert (outcome.inserted, outcome.duplicates) == (2, 1)
    with warehouse.transaction() as tx:
        tx.execute("SELECT visits_sk, id FROM visits ORDER BY 1")
        assert tx.fetchall() == [(1, 7), (2, 8)]


def test_a_number_that_is_given_twice_is_told_from_a_key_that_is_there(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    small = Small(warehouse, tmp_path, {"visit": VISIT})
    small.load("visit", [(7, "a")])
    with warehouse.transaction() as tx:
        tx.execute("ALTER TABLE visits ALTER COLUMN visits_sk RESTART WITH 1")
    with pytest.raises(NumberTaken):
        small.load("visit", [(8, "b")])


def test_a_table_called_fact_may_be_a_dimension(warehouse: Warehouse, tmp_path: Path) -> None:
    small = Small(warehouse, tmp_path, {"sheet": {**VISIT, "table": "fact_sheet", "kind": "dimension"}})
    assert small.load("sheet", [(7, "a")]).inserted == 1
    with warehouse.transaction() as tx:
        tx.execute("SELECT column_name::text FROM information_schema.columns WHERE table_name = 'fact_sheet'")
        assert {name for (name,) in tx.fetchall()} == {"id", "note", "_file_id", "_loaded_at"}


def test_rules_by_their_former_names_are_those_of_today(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "watcher: {batch: {expected_files: {people.csv: {table: dim_person}}}, stream: {}}\n"
        "schemas: {people: {primary_key: id, columns: [{name: id, dtype: int, nullable: false},\n"
        "  {name: a, dtype: str, rules: {egyptian_mobile: true, exact_length: 11}},\n"
        "  {name: b, dtype: str, rules: {egyptian_mobile: false, required: true}}]}}\n"
    )
    _, a, b = get_config(path).by_logical_name["people"].schema.columns
    assert a.rules == {"phone": {"region": "EG", "kind": "mobile"}, "length": 11}
    assert b.rules == {"required": True}
