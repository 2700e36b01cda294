"""The tables follow from the YAML: made once, silent then, new columns added, any other difference refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from config.errors import ConfigError
from config.file_spec import FileSpec
from config.model import Dtype
from config.schema import Column, Schema
from config.settings import CalendarConfig, PipelineConfig, Weekday
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema.calendar import grow_dates
from datawarehouse.schema_init import init_schema
from tests.conftest import with_files


def rows(warehouse: Warehouse, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with warehouse.transaction() as tx:
        tx.execute(statement, parameters)
        return list(tx.fetchall())


def with_columns(config: PipelineConfig, name: str, columns: tuple[Column, ...]) -> PipelineConfig:
    """`config` with other columns for one kind of file."""

    def changed(spec: FileSpec) -> FileSpec:
        if spec.name != name:
            return spec
        schema = Schema(name=name, primary_key=spec.schema.primary_key, columns=columns)
        return dataclasses.replace(spec, schema=schema)

    return with_files(config, tuple(map(changed, config.files)))


def columns_of(config: PipelineConfig, name: str) -> tuple[Column, ...]:
    return config.by_logical_name[name].schema.columns


def test_the_second_start_changes_nothing_and_says_nothing(
    any_warehouse: Warehouse, config: PipelineConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with any_warehouse.transaction() as tx:
        tx.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    init_schema(any_warehouse, config)
    oids = rows(any_warehouse, "SELECT relname, oid, relfilenode FROM pg_class WHERE relname !~ '^pg_' ORDER BY 1")
    caplog.clear()
    init_schema(any_warehouse, config)
    assert (
        rows(any_warehouse, "SELECT relname, oid, relfilenode FROM pg_class WHERE relname !~ '^pg_' ORDER BY 1")
        == oids
    )
    assert not caplog.records


def test_a_new_column_is_added_whatever_its_name(warehouse: Warehouse, config: PipelineConfig) -> None:
    added = Column(name='zone "x" %s', dtype=Dtype.STR, sql_type="varchar(9)")
    init_schema(warehouse, with_columns(config, "customers", (*columns_of(config, "customers"), added)))
    found = rows(
        warehouse,
        "SELECT character_maximum_length, is_nullable FROM information_schema.columns "
        "WHERE table_name = 'dim_customer' AND column_name = %s",
        added.name,
    )
    assert found == [(9, "YES")]


def test_an_added_column_has_its_foreign_key_and_index(warehouse: Warehouse, config: PipelineConfig) -> None:
    shape = """SELECT (SELECT count(*) FROM pg_constraint
                WHERE conrelid = 'fact_ticket'::regclass AND contype = 'f'),
               (SELECT count(*) FROM pg_indexes WHERE tablename = 'fact_ticket')"""
    before = rows(warehouse, shape)
    with warehouse.transaction() as tx:
        tx.execute("ALTER TABLE fact_ticket DROP COLUMN agent_id CASCADE")
    assert rows(warehouse, shape)[0] == (before[0][0] - 1, before[0][1] - 1)
    init_schema(warehouse, config)
    assert rows(warehouse, shape) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sql_type": "varchar(50)"},
            "full_name: the table has character varying\\(200\\), the configuration .*50",
        ),
        ({"dtype": Dtype.INT, "sql_type": None}, "full_name: the table has character varying"),
        ({"stored_as": "name"}, "dim_customer.full_name: the table has it as NOT NULL, the configuration not"),
    ],
)
def test_any_other_difference_is_refused_before_anything_is_done(
    warehouse: Warehouse, config: PipelineConfig, change: dict[str, Any], message: str
) -> None:
    columns = tuple(
        Column.model_validate(c.model_dump() | change) if c.name == "full_name" else c
        for c in columns_of(config, "customers")
    )
    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO dim_customer (customer_id, full_name, _file_id) VALUES (1, repeat('x', 60), 0)")
    with pytest.raises(ConfigError, match=message):
        init_schema(warehouse, with_columns(config, "customers", columns))


def test_a_column_that_is_never_null_can_not_come_to_rows_that_lack_it(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    with warehouse.transaction() as tx:
        tx.execute("INSERT INTO dim_team (team_id, _file_id) VALUES (1, 0)")
    added = Column(name="floor", dtype=Dtype.INT, nullable=False)
    with pytest.raises(ConfigError, match="make it nullable"):
        init_schema(warehouse, with_columns(config, "teams", (*columns_of(config, "teams"), added)))


def test_the_calendar_grows_by_whole_years_without_holes(warehouse: Warehouse) -> None:
    year = dt.datetime.now(dt.UTC).year
    with warehouse.transaction() as tx:
        grow_dates(tx, year - 5, year - 5)
        grow_dates(tx, year, year)
    first, last, count = rows(warehouse, "SELECT min(full_date), max(full_date), count(*) FROM dim_date")[0]
    assert (first, last) == (dt.date(year - 5, 1, 1), dt.date(year + 1, 12, 31))
    assert count == (last - first).days + 1
    assert rows(warehouse, "SELECT count(*) FROM dim_time") == [(1440,)]


def test_foreign_keys_are_declared_and_enforced_for_everyone_else(warehouse: Warehouse) -> None:
    from config.errors import DataError

    with pytest.raises(DataError, match="dim_region"), warehouse.transaction() as tx:
        tx.execute("INSERT INTO dim_region VALUES (1, 'x', 99, 1.0, NULL, 0)")


def test_a_database_of_an_earlier_version_gets_the_checks_of_today(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    checks = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'pipeline_file_log'::regclass"
    today = sorted(rows(warehouse, checks))
    with warehouse.transaction() as tx:
        tx.execute(
            "DROP TABLE quarantine_history, erased; DELETE FROM pipeline_meta WHERE key LIKE 'migration %';"
            "ALTER TABLE pipeline_file_log DROP CONSTRAINT pipeline_file_log_states,"
            " DROP COLUMN unchanged_records, DROP COLUMN stale_records, DROP COLUMN resolved_records,"
            " DROP COLUMN as_of, DROP COLUMN modified_at,"
            " ADD CONSTRAINT pipeline_file_log_content UNIQUE (logical_name, file_hash, file_size),"
            " ADD CONSTRAINT pipeline_file_log_status CHECK (status IN ('success', 'failed')),"
            " ADD CONSTRAINT pipeline_file_log_parts CHECK (duplicate_count + orphan_count - resolved_orphans"
            " <= quarantined AND resolved_orphans <= orphan_count AND changed_records <= already_present);"
            "INSERT INTO pipeline_file_log (file_name, file_path, file_hash, file_size, file_type, logical_name,"
            " source_table, status, spec_hash) VALUES ('f', 'f', 'h', 1, 'batch', 'x', 't', 'success', '')"
        )
    init_schema(warehouse, config)
    assert sorted(rows(warehouse, checks)) == today
    with warehouse.transaction() as tx:
        tx.execute("UPDATE pipeline_file_log SET status = 'undone'")
    init_schema(warehouse, config)


def test_the_weekend_is_that_of_the_yaml_and_of_the_calendar_that_is_there(
    warehouse: Warehouse, config: PipelineConfig
) -> None:
    def weekends() -> set[tuple[int, ...]]:
        with warehouse.transaction() as tx:
            tx.execute("SELECT year, array_agg(DISTINCT day_of_week) FROM dim_date WHERE is_weekend GROUP BY 1")
            return {tuple(days) for _, days in tx}

    assert weekends() == {(5, 6)}
    unsaid = config.model_copy(update={"calendar": CalendarConfig()})
    init_schema(warehouse, unsaid)
    with warehouse.transaction() as tx:
        grow_dates(tx, 1990, 1990)
    assert weekends() == {(5, 6)}
    init_schema(warehouse, config.model_copy(update={"calendar": CalendarConfig(weekend=(Weekday.SUN,))}))
    assert weekends() == {(7,)}
    init_schema(warehouse, config.model_copy(update={"calendar": CalendarConfig(weekend=())}))
    with warehouse.transaction() as tx:
        grow_dates(tx, 1989, 1989)
    assert weekends() == set()
