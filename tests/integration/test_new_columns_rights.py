"""A role that may not change tables: nothing of a file is lost, and the way out is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql
from psycopg2.extensions import make_dsn

from config.errors import WarehouseUnfit
from config.settings import DatabaseConfig
from datawarehouse import adoption, drift_log
from datawarehouse.db_connection import Warehouse
from datawarehouse.rights import loader_rights
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from tests.conftest import opened
from tests.integration.small import PII, Small

ROLE = "new_columns_loader"
TYPES: dict[str, Any] = {"sale": {"key": "id", "columns": {"id": "int", "name": "str"}}}


@pytest.fixture
def loader(any_warehouse: Warehouse, tmp_path: Path) -> Iterator[Warehouse]:
    with any_warehouse.transaction() as tx:
        tx.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(sql.Identifier(ROLE)))
    dsn = make_dsn(**{**any_warehouse.parameters, "user": ROLE, "password": "p"})
    with opened(DatabaseConfig(url=dsn), tmp_path) as warehouse:
        yield warehouse
    with any_warehouse.transaction() as tx:
        tx.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(ROLE)))


def test_a_loader_leaves_what_was_kept_of_an_adopted_column_to_the_owner(
    any_warehouse: Warehouse, loader: Warehouse, tmp_path: Path
) -> None:
    kept = {"sale": {**TYPES["sale"], "new_columns": "keep"}}
    small = Small(any_warehouse, tmp_path, kept)
    outcome = small.load("sale", "id,name,coupon\n1,a,C\n")
    with any_warehouse.transaction() as tx:
        drift_log.note(tx, outcome, "sale.csv")
    columns = {**kept["sale"]["columns"], "coupon": {"dtype": "str", "optional": True}}
    small.config = small.read({"sale": {**kept["sale"], "columns": columns}})
    init_schema(any_warehouse, small.config)
    with any_warehouse.transaction() as tx:
        for right in loader_rights(small.config):
            tx.execute(right.grant(ROLE))
    with loader.transaction() as tx:
        ((_, told),) = adoption.finish(tx, small.config)
    assert told == "dim_sale.coupon: what was kept of it waits for `adopt` as the owner of dim_sale"
    with any_warehouse.transaction() as tx:
        ((_, told),) = adoption.finish(tx, small.config)
    assert told == "dim_sale.coupon: 1 rows have got what was kept of it"
    assert small.rows("SELECT coupon, _extra FROM dim_sale") == [("C", None)]


def test_a_loader_without_the_right_to_add_names_the_statement_and_loads_when_it_was_run(
    any_warehouse: Warehouse, loader: Warehouse, tmp_path: Path
) -> None:
    small = Small(any_warehouse, tmp_path, {"sale": {**TYPES["sale"], "new_columns": "add"}})
    with any_warehouse.transaction() as tx:
        for right in loader_rights(small.config):
            tx.execute(right.grant(ROLE))
        tx.execute(sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(ROLE)))
    init_schema(loader, small.config)
    load = FileLoad(loader, small.config, PII)
    job = small.job("sale", "id,name,coupon\n1,a,C\n")
    statement = 'ALTER TABLE "dim_sale" ADD COLUMN IF NOT EXISTS "coupon" text'
    with pytest.raises(WarehouseUnfit, match="may not add to dim_sale what files have") as problem:
        load.run(job)
    assert statement in str(problem.value)
    assert "or say new_columns: keep" in str(problem.value)
    assert small.rows("SELECT count(*) FROM pipeline_file_log") == [(0,)]
    with any_warehouse.transaction() as tx:
        tx.execute(statement)
    assert load.run(job).inserted == 1
    assert load.run(small.job("sale", "id,name,coupon\n2,a,D\n")).inserted == 1
    assert small.rows("SELECT coupon FROM dim_sale ORDER BY id") == [("C",), ("D",)]
