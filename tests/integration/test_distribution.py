"""The way to a warehouse that Citus distributes, checked on one PostgreSQL: stand-ins hold Citus's rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import PROJECT_ROOT, get_config
from config.errors import ConfigError
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from datawarehouse.watched_connection import WatchedCursor
from scripts.distribute import as_citus_takes_it, statements
from tests.acceptance import samples
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.integration.test_partitions import FACTS, Place, a_day, contents
from workbench.verify import run_checks

STAND_INS = (PROJECT_ROOT / "tests/citus_stand_ins.sql").read_text(encoding="utf-8")
KINDS = "SELECT relation::text, kind, distribution_column FROM stand_in WHERE kind <> 'local' ORDER BY 1"


@pytest.fixture
def config(config: PipelineConfig, tmp_path: Path) -> PipelineConfig:
    """The shipped configuration without what Citus refuses, not distributed yet."""
    raw = as_citus_takes_it(yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8")))
    path = tmp_path / "for-citus.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    fits = get_config(path)
    assert fits.database.distributed
    return fits.model_copy(update={"database": config.database})


@pytest.fixture
def distributed(config: PipelineConfig) -> PipelineConfig:
    return config.model_copy(update={"database": config.database.model_copy(update={"distributed": True})})


def distribute(place: Place, printed: list[str]) -> None:
    """Run the printed statements, with stand-ins for what Citus brings; at the end all are looked at once more."""
    with place.warehouse.transaction() as tx:
        tx.execute(STAND_INS)
    with place.warehouse.transaction() as tx:
        for statement in printed:
            text = re.sub(r"^--.*\n", "", statement, flags=re.MULTILINE)
            if text not in {"BEGIN", "COMMIT"}:
                tx.execute(text)
        tx.execute("SELECT stand_in_check(relation) FROM stand_in")


def test_the_printed_statements_break_no_rule_and_the_loads_are_the_same(
    any_warehouse: Warehouse, config: PipelineConfig, distributed: PipelineConfig, tmp_path: Path
) -> None:
    place = Place(any_warehouse, config, tmp_path)
    plain = a_day(place.begin())
    place.begin(distributed)
    distribute(place, statements(distributed))
    init_schema(any_warehouse, distributed)  # what a start compares is as it should be
    found = place.rows(KINDS)
    assert [row for row in found if row[1] == "distributed"] == [
        (t, "distributed", key) for t, key in FACTS.items()
    ]
    assert {table for table, kind, _ in found if kind == "reference"} == {
        "dim_date",
        "dim_time",
        *(spec.table for spec in config.files if not spec.is_fact),
    }
    assert a_day(place) == plain
    *checks, _backup = run_checks(any_warehouse, place.config)
    assert [row for check in checks for row in check.differences] == []


def test_a_warehouse_with_rows_is_distributed_as_it_is(
    any_warehouse: Warehouse, config: PipelineConfig, distributed: PipelineConfig, tmp_path: Path
) -> None:
    place = Place(any_warehouse, config, tmp_path)
    plain = a_day(place.begin())
    distribute(place, statements(config))
    init_schema(any_warehouse, distributed)
    place.config = distributed
    assert {table: contents(place, table) for table in FACTS} == {table: plain[table] for table in FACTS}
    assert place.load("orders.json", [samples.order(n) for n in range(10, 20)]).inserted == 8
    assert place.load("tickets.csv", [samples.ticket(15), samples.ticket(999)]).inserted == 1


RUN = """CREATE FUNCTION pg_temp.run(steps text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE step text;
BEGIN
    FOREACH step IN ARRAY steps LOOP EXECUTE step; END LOOP;
    RETURN 'no rule is broken';
EXCEPTION WHEN raise_exception THEN RETURN SQLERRM;
END $$"""
BETWEEN_FACTS = (
    "ALTER TABLE fact_ticket ADD FOREIGN KEY (order_id) REFERENCES fact_order (order_id)",
    "SELECT stand_in_check('fact_ticket')",
)


@pytest.mark.parametrize(
    ("without", "then", "message"),
    [
        ("nothing of it", (), "no rule is broken"),
        ("_pkey", (), "lacks the distribution column"),
        ("fact_ticket_order_id_fkey", (), "to a distributed table from one that is none"),
        ("nothing of it", BETWEEN_FACTS, "between distributed tables"),
        ("create_reference_table('dim_driver')", ("SELECT stand_in_check('fact_order')",), "to one that is none"),
        ('DROP CONSTRAINT IF EXISTS "fact_order_driver_id_fkey"', (), "identity column"),
    ],
)
def test_the_stand_ins_hold_the_rules(
    warehouse: Warehouse, config: PipelineConfig, without: str, then: tuple[str, ...], message: str
) -> None:
    """Without a step, or with another one after them, a rule is broken."""
    texts = [re.sub(r"^--.*\n", "", step, flags=re.MULTILINE) for step in statements(config)]
    steps = [text for text in texts if text not in {"BEGIN", "COMMIT"} and without not in text]
    with warehouse.transaction() as tx:
        tx.execute(STAND_INS)
        tx.execute(RUN)
        tx.execute("SELECT pg_temp.run(%s)", ([*steps, *then],))
        assert message in str(tx.fetchone())


def refused_by_citus(sent: list[str]) -> set[str]:
    """What Citus is known to refuse, or to answer wrongly, that statements on facts have."""
    found = set()
    for text in sent:
        if re.search(r'LATERAL \(SELECT \* FROM "fact_', text):
            found.add("LATERAL with LIMIT")
        if re.search(r'NOT EXISTS \(SELECT FROM "fact_', text):
            found.add("correlated with a local table")
        parents = re.split(r'"parent_\d+" AS \(', text)[1:]
        if any('FROM "fact_' in parent and "FOR KEY SHARE" in parent for parent in parents):
            found.add("row locks on several servers")
    return found


@pytest.mark.parametrize("is_distributed", [False, True])
def test_a_load_sends_nothing_that_citus_is_known_to_refuse_on_facts(
    warehouse: Warehouse,
    config: PipelineConfig,
    distributed: PipelineConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_distributed: bool,
) -> None:
    place = Place(warehouse, distributed if is_distributed else config, tmp_path).begin()
    sent: list[str] = []
    execute = WatchedCursor.execute

    def noting(cursor: WatchedCursor, query: Any, vars: Any = None) -> None:  # noqa: A002
        execute(cursor, query, vars)
        sent.append(" ".join((cursor.query or b"").decode().split()))

    with warehouse.transaction() as tx:  # rows that PostgreSQL refuses are isolated by way of the stage
        tx.execute("ALTER TABLE fact_order ADD CHECK (order_id <> %s)", (samples.uid("order", 11),))
    with monkeypatch.context() as patch:
        patch.setattr(WatchedCursor, "execute", noting)
        a_day(place)
    everything = {"LATERAL with LIMIT", "correlated with a local table", "row locks on several servers"}
    assert refused_by_citus(sent) == (set() if is_distributed else everything)
    assert any('FROM "dim_' in text and "FOR KEY SHARE" in text for text in sent)  # dimensions are locked as ever


def test_what_does_not_go_with_it_is_refused_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    config["database"]["distributed"] = True
    stream = config["watcher"]["stream"]["expected_files"]
    stream["orders.json"]["partition_by"] = {"column": "order_created_at", "interval": "month"}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError) as caught:
        get_config(path)
    assert "orders.json.partition_by: does not go with database.distributed" in str(caught.value)
    for name, keep in {"customers.csv": "history", "orders.json": "latest"}.items():
        assert f"{name}.keep: {keep} does not go with database.distributed" in str(caught.value)
