"""What users do with the tables: triggers, columns and names of their own; and keys that no parent can have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import ConfigError
from config.file_spec import FileSpec
from config.file_specs import build_file_specs
from config.jobs import FileJob, FileOutcome
from config.key import ForeignKey
from config.model import Dtype, Feed
from config.schema import Column, Schema
from config.settings import ConfigFile, PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema import user_triggers
from datawarehouse.schema_init import init_schema
from ingestion.file_load import FileLoad
from ingestion.group_load import GroupLoad
from tests.conftest import with_files
from validation.pii_handler import PiiHandler

PII = PiiHandler("a key for the tests")


def spec(name: str, columns: Sequence[Column], **more: Any) -> FileSpec:
    schema = Schema(name=name, primary_key=columns[0].name, columns=tuple(columns))
    return FileSpec(
        name=name, feed=Feed.STREAM, pattern=f"{name}*.csv", table=f"fact_{name}", schema=schema, **more
    )


def key(name: str, dtype: Dtype = Dtype.INT, sql_type: str | None = None) -> Column:
    return Column(name=name, dtype=dtype, nullable=False, sql_type=sql_type)


class Place:
    """A warehouse with tables of its own."""

    def __init__(self, warehouse: Warehouse, config: PipelineConfig, folder: Path, *specs: FileSpec) -> None:
        self.warehouse, self.folder = warehouse, folder
        self.config = with_files(config, specs)
        init_schema(warehouse, self.config)

    def job(self, name: str, lines: Sequence[str]) -> FileJob:
        path = self.folder / f"{name}.csv"
        path.write_text("\n".join(lines) + "\n")
        found = next(s for s in self.config.files if name.startswith(s.name))
        return FileJob(path, found, 0, 0)

    def load(self, name: str, *lines: str) -> FileOutcome:
        return FileLoad(self.warehouse, self.config, PII).run(self.job(name, lines))

    def execute(self, statement: str) -> None:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.warehouse.transaction() as tx:
            tx.execute(statement)
            return tx.fetchall()


# ---------------------------------------------------------------- triggers

NAME = Column(name="name", dtype=Dtype.STR)
THINGS = ("id,name", "1,a", "2,bad", "3,c", "4,skip", "5,e")
TRIGGER = """
CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.name = 'bad' THEN RAISE EXCEPTION 'not this one: %', NEW.name; END IF;
    IF NEW.name = 'skip' THEN RETURN NULL; END IF;
    NEW.name := upper(NEW.name);
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT ON fact_things FOR EACH ROW EXECUTE FUNCTION guard();
CREATE TABLE audit (id integer);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER INSERT ON fact_things FOR EACH ROW EXECUTE FUNCTION audit()"""


@pytest.fixture
def guarded(any_warehouse: Warehouse, config: PipelineConfig, tmp_path: Path) -> Place:
    place = Place(any_warehouse, config, tmp_path, spec("things", [key("id"), NAME]))
    place.execute(TRIGGER)
    return place


def refused(place: Place) -> dict[int, str]:
    return dict(place.rows("SELECT row_number, rejection_reason FROM quarantine WHERE resolution IS NULL"))


def test_a_users_trigger_fires_and_costs_the_row_that_it_refuses_and_no_other(guarded: Place) -> None:
    outcome = guarded.load("things", *THINGS)
    assert (outcome.inserted, outcome.quarantined) == (3, 2)
    assert guarded.rows("SELECT id, name FROM fact_things ORDER BY 1") == [(1, "A"), (3, "C"), (5, "E")]
    assert guarded.rows("SELECT id FROM audit ORDER BY 1") == [(1,), (3,), (5,)]
    why = refused(guarded)
    assert "P0001" in why[2]
    assert "trigger" in why[4]
    assert "not this one" not in str(why)


def test_files_together_fare_with_a_trigger_as_one_by_one(guarded: Place) -> None:
    jobs = [guarded.job(f"things{n}", ["id,name", f"{n},a", f"{10 + n},bad"]) for n in (1, 2)]
    loaded, _ = GroupLoad(guarded.warehouse, guarded.config, PII).run(jobs)
    left = [FileLoad(guarded.warehouse, guarded.config, PII).run(job) for job in jobs[len(loaded) :]]
    assert [(o.inserted, o.quarantined) for o in (*loaded, *left)] == [(1, 1), (1, 1)]
    assert guarded.rows("SELECT id FROM audit ORDER BY 1") == [(1,), (2,)]


def test_the_start_names_triggers_and_refuses_rules(guarded: Place) -> None:
    with guarded.warehouse.transaction() as tx:
        (told,) = [sentence for _, sentence in user_triggers.told(tx, guarded.config)]
    assert "trigger audit, trigger guard" in told
    guarded.execute("CREATE RULE quiet AS ON INSERT TO fact_things DO INSTEAD NOTHING")
    with pytest.raises(ConfigError, match="rule quiet"):
        init_schema(guarded.warehouse, guarded.config)


# ---------------------------------------------------------------- columns that only the table has


@pytest.mark.parametrize("column", ["note text", "at timestamptz NOT NULL DEFAULT now()", "n integer DEFAULT 3"])
def test_a_column_that_only_the_table_has_is_left_alone(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path, column: str
) -> None:
    place = Place(warehouse, config, tmp_path, spec("things", [key("id"), NAME]))
    place.execute(f"ALTER TABLE fact_things ADD {column}")
    init_schema(place.warehouse, place.config)
    assert place.load("things", "id,name", "1,a").inserted == 1
    place.execute("UPDATE fact_things SET name = 'b'")
    assert place.load("things_again", "id,name", "1,a", "2,c").already_present == 1


def test_one_that_every_row_must_have_is_refused_at_the_start(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    place = Place(warehouse, config, tmp_path, spec("things", [key("id"), NAME]))
    place.execute("ALTER TABLE fact_things ADD must text NOT NULL")
    with pytest.raises(ConfigError, match="must: the table has it as NOT NULL"):
        init_schema(place.warehouse, place.config)


# ---------------------------------------------------------------- names

ODD = st.one_of(
    st.sampled_from(["_row", "_line", "_may_repeat", "key", "number", "Select", "t", "s", "a%b", 'q"t', "ü" * 20]),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=15).map(str.strip).filter(bool),
)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=st.lists(ODD, min_size=2, max_size=4, unique_by=str.lower))
def test_a_column_may_have_any_name(
    names: list[str], warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    columns = [key(names[0]), *(Column(name=name, dtype=Dtype.STR) for name in names[1:])]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    with warehouse.transaction() as tx:
        tx.execute("DROP TABLE IF EXISTS fact_things")
        tx.execute("DELETE FROM quarantine")
        tx.execute("DELETE FROM pipeline_file_log")
    place = Place(warehouse, config, tmp_path, spec("things", columns, indexes=tuple(names[1:])))
    lines = [",".join([str(n), *["x"] * (len(names) - 1)]) for n in (1, 2, 2)]
    outcome = place.load("things", header, *lines)
    assert (outcome.inserted, outcome.duplicates) == (2, 1)
    assert place.load("things_more", header, *lines[:1], "3" + ",y" * (len(names) - 1)).already_present == 1


def test_a_long_header_is_stored_under_a_shorter_name_and_long_indexes_do_not_collide(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    question = "How satisfied are you with the delivery time of your most recent order, on a scale of 1 to 5?"
    long = "x" * 60
    columns = [
        key("id"),
        Column(name=question, dtype=Dtype.INT, stored_as="satisfied"),
        *(Column(name=f"{long}{n}", dtype=Dtype.STR) for n in (1, 2)),
    ]
    place = Place(warehouse, config, tmp_path, spec("things", columns, indexes=(f"{long}1", f"{long}2")))
    assert place.load("things", f'id,"{question}",{long}1,{long}2', "1,4,a,b").inserted == 1
    assert place.rows("SELECT satisfied FROM fact_things") == [(4,)]


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("fact_things", {"name": "xmin"}, "PostgreSQL's own"),
        ("fact_things", {"name": "CTID", "stored_as": "ctid"}, "PostgreSQL's own"),
        ("fact_things", {"name": "_malformed"}, "can't be a column"),
        ("fact_things", {"name": "x" * 64}, "stored_as"),
        ("pg_class", {"name": "a"}, "PostgreSQL's own"),
    ],
)
def test_a_name_that_can_not_be_is_refused_with_the_way_out(
    table: str, column: dict[str, str], words: str
) -> None:
    file = ConfigFile.model_validate(
        {
            "watcher": {"batch": {"expected_files": {"things.csv": {"table": table}}}, "stream": {}},
            "schemas": {
                "things": {
                    "primary_key": "id",
                    "columns": [{"name": "id", "dtype": "int", "nullable": False}, {**column, "dtype": "str"}],
                }
            },
        }
    )
    _, problems = build_file_specs(file)
    assert any(words in problem for problem in problems), problems


# ---------------------------------------------------------------- keys that no parent can have


def test_a_key_beyond_the_parents_type_is_an_orphan(
    any_warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    parents = spec("parents", [key("pid", sql_type="smallint")])
    refers = (ForeignKey.of("pid", "parents"),)
    big = Column(name="pid", dtype=Dtype.INT, sql_type="bigint")
    place = Place(any_warehouse, config, tmp_path, parents, spec("kids", [key("id"), big], foreign_keys=refers))
    place.load("parents", "pid", "7")
    outcome = place.load("kids", "id,pid", "1,5000000000", "2,7", "3,8")
    assert (outcome.inserted, outcome.orphans) == (1, 2)
    assert place.load("parents_more", "pid", "8").inserted == 1
    assert OrphanRetry(place.warehouse, place.config).after("fact_parents") == 1
    assert place.rows("SELECT id FROM fact_kids ORDER BY 1") == [(2,), (3,)]


def test_orphans_that_no_parent_can_heal_wait_and_healing_ends(
    any_warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    """A cast to the parent's type would cut their key to one that is there."""
    parents = spec("parents", [key("code", Dtype.STR, "varchar(5)")])
    refers = (ForeignKey.of("code", "parents"),)
    child = spec("kids", [key("id"), Column(name="code", dtype=Dtype.STR)], foreign_keys=refers)
    place = Place(any_warehouse, config, tmp_path, parents, child)
    rows = [f"{n},ABCDEFGH" for n in range(10_050)]
    assert place.load("kids", "id,code", *rows, "20000,ABCDE").orphans == 10_051
    place.load("parents", "code", "ABCDE")
    assert OrphanRetry(place.warehouse, place.config).after("fact_parents") == 1
    assert place.rows("SELECT id FROM fact_kids") == [(20000,)]


def test_loading_works_on_while_statistics_say_that_the_table_is_empty(
    any_warehouse: Warehouse, config: PipelineConfig, tmp_path: Path
) -> None:
    """ANALYZE amid a first load makes reltuples 0: no plan may read the whole table for each staged row."""
    things = dataclasses.replace(spec("things", [key("id", Dtype.STR), NAME]))
    place = Place(
        any_warehouse,
        config.model_copy(update={"reader": config.reader.model_copy(update={"chunk_rows": 500})}),
        tmp_path,
        things,
    )

    def analyze(_job: FileJob, rows: int) -> None:
        if rows < 1_500:
            with any_warehouse.transaction() as other:
                other.execute("ANALYZE fact_things")

    lines = [f"k{n if n % 50 else n // 100 * 10:05d},x" for n in range(6_000)]
    job = place.job("things", ["id,name", *lines])
    before = place.rows("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'fact_things'")
    outcome = FileLoad(any_warehouse, place.config, PII, progress=analyze).run(job)
    assert outcome.inserted == len({line.split(",")[0] for line in lines})
    assert outcome.inserted + outcome.duplicates == len(lines)
    place.execute("SELECT pg_stat_clear_snapshot()")
    after = place.rows("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'fact_things'")
    assert after[0][0] - before[0][0] < 10 * len(lines)
