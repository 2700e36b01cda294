"""Two roles: the owner makes the tables, the loader loads, heals and promotes, and can do nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import make_dsn

from config.config_loader import DEFAULT_CONFIG, PROJECT_ROOT, get_config
from config.errors import ConfigError, DataError, NumberTaken, PipelineError
from config.jobs import FileJob, FileOutcome
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse import rights
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.backup import QuarantineBackup
from datawarehouse.quarantine.retry import OrphanRetry
from datawarehouse.schema.calendar import grow_dates
from datawarehouse.schema_init import init_schema
from datawarehouse.sequences import catch_up
from datawarehouse.views import all_views, views_of
from ingestion.file_load import FileLoad
from scripts.create_roles import create_roles
from tests.conftest import fresh_database, opened
from tests.integration.small import Small
from utils.sla_updater_job import update_views
from validation.pii_handler import PiiHandler

PASSWORDS = {"the owner": "own er's", "the loader": "loa\\der", "the reader": "r"}
REASONS = "reason_id,reason_name,reason_category_id,severity_level,typical_refund_pct\n"
CATEGORIES = "reason_category_id,category_name\n"


def one(warehouse: Warehouse, statement: str) -> Any:
    with warehouse.transaction() as tx:
        tx.execute(statement)
        return (tx.fetchone() or (None,))[0]


def wait_until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def url_as(administrator: Warehouse, role: str) -> str:
    dsn: str = make_dsn(**{**administrator.parameters, "user": role, "password": PASSWORDS[role]})
    return dsn


BOTH = pytest.mark.parametrize("administrator", ["embedded_url", "system_url"], indirect=True)


@pytest.fixture
def administrator(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """A database that was made by an administrator at first, and a schema that is nobody else's business.

    On the embedded server, or on the one that the test names.
    """
    url = request.getfixturevalue(getattr(request, "param", "embedded_url"))
    with fresh_database(url) as database, opened(database, tmp_path) as warehouse:
        with warehouse.transaction() as tx:
            tx.execute(
                "CREATE SCHEMA payroll; CREATE TABLE payroll.salary (amount integer); CREATE TABLE notes (t text)"
            )
        yield warehouse
        with warehouse.transaction() as tx:
            for role in PASSWORDS:
                tx.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
                if tx.rowcount:
                    tx.execute(sql.SQL("DROP OWNED BY {0} CASCADE; DROP ROLE {0}").format(sql.Identifier(role)))


@pytest.fixture
def split(administrator: Warehouse, config: PipelineConfig) -> PipelineConfig:
    """The configuration as an administrator has it, with both roles made."""
    database = DatabaseConfig(url=make_dsn(**administrator.parameters))
    config = config.model_copy(update={"database": database})
    create_roles(config, "the owner", "the loader", PASSWORDS, "the reader")
    return config


@pytest.fixture
def loader(administrator: Warehouse, split: PipelineConfig, tmp_path: Path) -> Iterator[Warehouse]:
    with opened(DatabaseConfig(url=url_as(administrator, "the loader")), tmp_path) as warehouse:
        init_schema(warehouse, split)
        yield warehouse


def load(warehouse: Warehouse, config: PipelineConfig, folder: Path, name: str, text: str) -> FileOutcome:
    path = folder / name
    path.write_text(text)
    spec = config.by_logical_name[name.partition(".")[0]]
    return FileLoad(warehouse, config, PiiHandler("k" * 16)).run(FileJob(path, spec, 0, 0))


@BOTH
def test_the_loader_loads_heals_promotes_and_backs_up(
    loader: Warehouse, split: PipelineConfig, tmp_path: Path
) -> None:
    first = load(loader, split, tmp_path, "reasons.csv", REASONS + "1,late,1,2,0.5\n2,cold,9,2,0.5\nx,y,1,2,0.5\n")
    assert (first.inserted, first.orphans, first.quarantined) == (0, 2, 3)
    assert first.file_id is not None
    QuarantineBackup(tmp_path / "quarantine", loader).append([first.file_id], first.job.spec.feed)
    assert load(loader, split, tmp_path, "reason_categories.csv", CATEGORIES + "1,Food\n").inserted == 1
    retry = OrphanRetry(loader, split)
    assert retry.after("dim_reason_category") == 1
    assert retry.everything() == 0
    assert retry.promote(0) == 1
    with loader.transaction() as tx:
        grow_dates(tx, 1999, 2030)
    assert one(loader, "SELECT min(year) FROM dim_date") == 1999
    assert one(loader, "SELECT count(*) FROM true_orphan") == 1
    with loader.transaction() as tx:
        tx.execute("DELETE FROM quarantine WHERE resolution IS NOT NULL")


@BOTH
@pytest.mark.parametrize("keep", ["latest", "history"])
@pytest.mark.parametrize("gone", ["mark", "delete"])
def test_the_loader_takes_away_what_files_lack_or_delete(
    administrator: Warehouse, tmp_path: Path, keep: str, gone: str
) -> None:
    plain = {"key": "id", "keep": keep, "gone": gone}
    columns = {"id": "int", "of": "int"}
    types: dict[str, Any] = {
        "shelf": {"key": "id", "columns": {"id": "int"}},
        "stock": {
            **plain,
            "columns": columns,
            "rows": "snapshot",
            "gone_at_most_pct": 100,
            "foreign_keys": {"of": "shelf"},
        },
        "log": {
            **plain,
            "columns": {**columns, "op": "str"},
            "operation": {"column": "op", "delete": ["D"]},
        },
    }
    small = Small(administrator, tmp_path, types)
    database = DatabaseConfig(url=make_dsn(**administrator.parameters))
    create_roles(small.config.model_copy(update={"database": database}), "the owner", "the loader", PASSWORDS)
    with opened(DatabaseConfig(url=url_as(administrator, "the loader")), tmp_path) as small.warehouse:
        small.load("shelf", [[1]], folder="2026-01-01")
        small.load("stock", [[1, 1], [2, 1], [3, 7]], folder="2026-01-01")
        small.load("log", [[1, 1, "I"], [2, 1, "I"]], folder="2026-01-01")
        assert small.load("stock", [[1, 1]], folder="2026-01-02").gone.rows == 1
        assert small.load("log", [[1, "", "D"]], folder="2026-01-02").gone.rows == 1
        small.load("shelf", [[7]], folder="2026-01-02")
        assert OrphanRetry(small.warehouse, small.config).after("dim_shelf") == 1
        for table, left in (("dim_stock", 1), ("dim_log", 2)):
            assert small.rows(f"SELECT array_agg(id) FROM {table} WHERE _gone_at IS NULL") == [([left],)]


def test_the_loader_gets_past_numbers_that_are_taken(
    administrator: Warehouse, loader: Warehouse, split: PipelineConfig, tmp_path: Path
) -> None:
    for number in range(3):
        load(loader, split, tmp_path, "reason_categories.csv", CATEGORIES + f"x,{number}\n")
    with administrator.transaction() as tx:
        for table, column in (("pipeline_file_log", "file_id"), ("quarantine", "quarantine_id")):
            tx.execute("SELECT setval(pg_get_serial_sequence(%s, %s), 1)", (table, column))
    taken = 0
    while taken < 10:
        try:
            load(loader, split, tmp_path, "reason_categories.csv", CATEGORIES + "x,new\n")
            break
        except NumberTaken:
            taken += 1
            with loader.transaction() as tx:
                catch_up(tx)
    assert taken == 2  # of the two numbers of refused rows: it may not draw those, but each try does
    assert one(loader, "SELECT count(*) FROM quarantine") == 4


@BOTH
def test_a_load_by_the_loader_leaves_out_the_triggers_where_the_server_lets_it(loader: Warehouse) -> None:
    with loader.transaction() as tx:
        tx.execute("SET LOCAL session_replication_role = replica")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE fact_order",
        "TRUNCATE quarantine",
        "DELETE FROM fact_order",
        "UPDATE fact_ticket_event SET new_status = ''",
        "UPDATE dim_region SET region_name = ''",
        "UPDATE pipeline_file_log SET status = 'success'",
        "DELETE FROM contract_breach",
        "CREATE OR REPLACE VIEW v_daily_operations AS SELECT 1",
        "ALTER TABLE dim_city ADD COLUMN x integer",
        "CREATE TABLE mine (x integer)",
        "CREATE SCHEMA mine",
        "SELECT * FROM payroll.salary",
        "SELECT * FROM notes",
        "SELECT rolpassword FROM pg_authid",
        "COPY dim_city TO '/tmp/out'",
        "CREATE ROLE other",
        'SET ROLE "the owner"',
    ],
)
def test_the_loader_can_not(statement: str, loader: Warehouse) -> None:
    with pytest.raises(PipelineError, match="42501"), loader.transaction() as tx:
        tx.execute(statement)


READABLE = (
    "fact_order",
    "dim_customer",
    "dim_customer_history",
    "dim_date",
    "pipeline_file_log",
    "contract_breach",
    *all_views(get_config(DEFAULT_CONFIG)),
)


@BOTH
def test_the_reader_reads_what_reports_need(
    administrator: Warehouse, loader: Warehouse, split: PipelineConfig, tmp_path: Path
) -> None:
    load(loader, split, tmp_path, "reasons.csv", REASONS + "1,late,9,2,0.5\nx,y,1,2,0.5\n")
    with opened(DatabaseConfig(url=url_as(administrator, "the reader")), tmp_path) as reader:
        for name in READABLE:
            one(reader, f"SELECT count(*) FROM {name}")
        assert one(reader, "SELECT rejected_schema + orphans_open FROM v_data_quality_daily") == 2


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM quarantine",
        "SELECT * FROM true_orphan",
        "SELECT * FROM orphan_wait",
        "SELECT * FROM dim_customer_seen",
        "SELECT * FROM pipeline_meta",
        "SELECT * FROM notes",
        "SELECT * FROM payroll.salary",
        "DELETE FROM fact_order",
        "UPDATE contract_breach SET resolved_at = now()",
        "INSERT INTO dim_team VALUES (1, 'x', 0)",
        "CREATE TABLE mine (x integer)",
        "CALL promote_true_orphans(interval '1 day')",
    ],
)
def test_the_reader_can_not(
    statement: str, administrator: Warehouse, split: PipelineConfig, tmp_path: Path
) -> None:
    url = url_as(administrator, "the reader")
    with (
        opened(DatabaseConfig(url=url), tmp_path) as reader,
        pytest.raises(PipelineError, match="42501"),
        reader.transaction() as tx,
    ):
        tx.execute(statement)


def test_without_a_password_there_is_no_reader(administrator: Warehouse, config: PipelineConfig) -> None:
    config = config.model_copy(update={"database": DatabaseConfig(url=make_dsn(**administrator.parameters))})
    passwords = {role: PASSWORDS[role] for role in ("the owner", "the loader")}
    (note, *_) = create_roles(config, "the owner", "the loader", passwords, "the reader")
    assert note == "the owner owns the tables, the loader loads them"
    assert one(administrator, "SELECT count(*) FROM pg_roles WHERE rolname = 'the reader'") == 0


def test_a_view_with_other_columns_is_made_anew_and_keeps_its_owner_and_readers(
    administrator: Warehouse, loader: Warehouse, split: PipelineConfig
) -> None:
    readers = (
        "SELECT array_agg(DISTINCT grantee::text ORDER BY grantee::text) "
        "FROM information_schema.role_table_grants WHERE table_name = %s AND privilege_type = 'SELECT'"
    )
    owner = "SELECT viewowner FROM pg_views WHERE viewname = 'v_ticket_sla_by_team'"
    with administrator.transaction() as tx:
        for view in ("v_ticket_sla_by_team", "v_ticket_sla_performance"):
            tx.execute(readers, (view,))
            assert tx.fetchone() == (["the loader", "the owner", "the reader"],)
        tx.execute(
            "DROP VIEW v_ticket_sla_by_team; CREATE VIEW v_ticket_sla_by_team AS SELECT 1 AS gone, ticket_id "
            'FROM v_ticket_sla_performance; ALTER VIEW v_ticket_sla_by_team OWNER TO "the owner"; '
            'GRANT SELECT ON v_ticket_sla_by_team TO "the loader", PUBLIC'
        )
    assert update_views(administrator.engine(), views_of(split)) == []
    with administrator.transaction() as tx:
        tx.execute("SELECT first_response_breach_min FROM v_ticket_sla_by_team")
        tx.execute(readers, ("v_ticket_sla_by_team",))
        assert tx.fetchone() == (["PUBLIC", "the loader", "the owner"],)
        tx.execute(readers, ("v_ticket_sla_performance",))
        assert tx.fetchone() == (["the loader", "the owner", "the reader"],)
    assert one(administrator, owner) == "the owner"


@BOTH
def test_the_foreign_keys_hold_against_a_delete_at_the_same_time(
    administrator: Warehouse, loader: Warehouse, split: PipelineConfig, tmp_path: Path
) -> None:
    load(loader, split, tmp_path, "reason_categories.csv", CATEGORIES + "1,Food\n2,Driver\n")
    refused: list[Exception] = []

    def delete() -> None:
        try:
            with administrator.transaction() as tx:
                tx.execute("DELETE FROM dim_reason_category WHERE reason_category_id = 1")
        except DataError as error:
            refused.append(error)

    thread = threading.Thread(target=delete)

    def meanwhile(_job: FileJob, _rows: int) -> None:
        thread.start()
        wait_until(lambda: one(administrator, "SELECT count(*) FROM pg_locks WHERE NOT granted"))

    path = tmp_path / "reasons.csv"
    path.write_text(REASONS + "1,late,1,2,0.5\n")
    job = FileJob(path, split.by_logical_name["reasons"], 0, 0)
    assert FileLoad(loader, split, PiiHandler(None), progress=meanwhile).run(job).inserted == 1
    thread.join(10)
    assert len(refused) == 1
    assert "23503" in str(refused[0])
    with administrator.transaction() as tx:
        tx.execute("DELETE FROM dim_reason_category WHERE reason_category_id = 2")
    later = load(loader, split, tmp_path, "reasons.csv", REASONS + "2,cold,2,2,0.5\n")
    assert (later.inserted, later.orphans) == (0, 1)
    assert (
        one(
            administrator,
            "SELECT count(*) FROM dim_reason r LEFT JOIN dim_reason_category c "
            "USING (reason_category_id) WHERE c.reason_category_id IS NULL",
        )
        == 0
    )


def test_the_command_runs_as_the_loader(administrator: Warehouse, split: PipelineConfig, tmp_path: Path) -> None:
    master = tmp_path / "data" / "master"
    master.mkdir(parents=True)
    (master / "reason_categories.csv").write_text(CATEGORIES + "1,Food\n")
    (master / "reasons.csv").write_text(REASONS + "1,late,1,2,0.5\n2,cold,9,2,0.5\n")
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env |= {"FASTFEAST_HOME": str(tmp_path), "DATABASE_URL": url_as(administrator, "the loader")}
    env["PII_HASH_KEY"] = "a key of some length"
    command = [sys.executable, str(PROJECT_ROOT / "main.py"), "once"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert one(administrator, "SELECT count(*) FROM dim_reason") == 1


@BOTH
def test_a_start_as_the_loader_changes_no_definition(
    administrator: Warehouse, loader: Warehouse, split: PipelineConfig
) -> None:
    catalog = (
        "SELECT md5(string_agg(c.xmin::text || c.relname, ',' ORDER BY c.oid)) FROM pg_class c "
        "WHERE relnamespace = 'public'::regnamespace"
    )
    before = one(administrator, catalog), one(administrator, "SELECT max(xmin::text::bigint) FROM pg_proc")
    init_schema(loader, split)
    assert (
        one(administrator, catalog),
        one(administrator, "SELECT max(xmin::text::bigint) FROM pg_proc"),
    ) == before
    with loader.transaction() as tx:
        assert not rights.may_replace_view(tx, "v_ticket_sla_performance")


def test_a_role_without_the_rights_is_refused_with_what_it_lacks(
    administrator: Warehouse, loader: Warehouse, split: PipelineConfig
) -> None:
    with administrator.transaction() as tx:
        tx.execute(
            'REVOKE INSERT ON quarantine FROM "the loader"; '
            'REVOKE UPDATE (_loaded_at) ON dim_region FROM "the loader"; '
            'REVOKE EXECUTE ON PROCEDURE promote_true_orphans FROM "the loader"'
        )
    with pytest.raises(ConfigError) as refusal:
        init_schema(loader, split)
    for part in (
        "the loader",
        "create_roles",
        "INSERT on quarantine",
        "UPDATE on dim_region(_loaded_at)",
        "EXECUTE",
    ):
        assert part in str(refusal.value)
    create_roles(split, "the owner", "the loader", {}, "the reader")
    init_schema(loader, split)


def test_new_tables_wait_for_the_owner(administrator: Warehouse, loader: Warehouse, split: PipelineConfig) -> None:
    with administrator.transaction() as tx:
        tx.execute("DROP TABLE fact_ticket_event")
    with pytest.raises(ConfigError, match=r"(?s)create_roles.*fact_ticket_event"):
        init_schema(loader, split)
    create_roles(split, "the owner", "the loader", {}, "the reader")
    init_schema(loader, split)


def test_the_owner_can_start_too_and_replace_what_is_its_own(
    administrator: Warehouse, split: PipelineConfig, tmp_path: Path
) -> None:
    with opened(DatabaseConfig(url=url_as(administrator, "the owner")), tmp_path) as owner:
        init_schema(owner, split)
        with owner.transaction() as tx:
            assert rights.may_replace_view(tx, "v_ticket_sla_performance")
            tx.execute(all_views(get_config(DEFAULT_CONFIG))["v_ticket_sla_performance"])


def test_passwords_are_stored_as_verifiers_and_never_taken_from_the_command_line(
    administrator: Warehouse, split: PipelineConfig
) -> None:
    verifier = one(administrator, "SELECT rolpassword FROM pg_authid WHERE rolname = 'the loader'")
    assert verifier.startswith("SCRAM-SHA-256$")


def test_a_new_role_without_a_password_is_refused(administrator: Warehouse, config: PipelineConfig) -> None:
    database = DatabaseConfig(url=make_dsn(**administrator.parameters))
    with pytest.raises(ConfigError, match="OWNER_PASSWORD"):
        create_roles(config.model_copy(update={"database": database}), "the owner", "the loader", {})


def test_the_loader_logs_in_with_its_password(
    system_server: Any, request: pytest.FixtureRequest, config: PipelineConfig
) -> None:
    """On TCP the test server asks for it."""
    administrator = request.getfixturevalue("system_url")
    database = DatabaseConfig(url=administrator.format(dbname="fastfeast_roles"))
    config = config.model_copy(update={"database": database})
    create_roles(config, "the owner", "the loader", PASSWORDS, "the reader")
    connection = psycopg2.connect(
        host="127.0.0.1",
        port=system_server.port,
        user="the loader",
        password=PASSWORDS["the loader"],
        dbname="fastfeast_roles",
    )
    connection.close()
    connection = psycopg2.connect(administrator.format(dbname="postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE fastfeast_roles WITH (FORCE)")
        for role in PASSWORDS:
            cursor.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))
    connection.close()
