"""Connections are there when asked for, what is not committed is not, and every error has one of our names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
import sqlalchemy

from config.errors import (
    Collision,
    ConfigError,
    DataError,
    PipelineError,
    ReadOnlyServer,
    WarehouseUnavailable,
    WarehouseUnfit,
)
from config.settings import DatabaseConfig, PipelineConfig, PoolConfig
from datawarehouse import db_connection
from datawarehouse.db_connection import SHORT_PATIENCE_SECONDS, Warehouse
from datawarehouse.db_errors import translated
from tests.conftest import opened
from tests.servers import PASSWORD, SystemServer

CANARY = "canary@example.com"


def one(warehouse: Warehouse, statement: str) -> Any:
    with warehouse.transaction() as tx:
        tx.execute(statement)
        row = tx.fetchone()
        assert row is not None
        return row[0]


def run(warehouse: Warehouse, statement: str) -> None:
    with warehouse.transaction() as tx:
        tx.execute(statement)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """While inside, the server's process `pid` does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# ---------------------------------------------------------------- sessions


def test_every_session_speaks_utc_and_utf8_and_has_limits(any_warehouse: Warehouse) -> None:
    wanted = {
        "TimeZone": "UTC",
        "client_encoding": "UTF8",
        "application_name": "fastfeast",
        "statement_timeout": "10min",
        "lock_timeout": "30s",
        "idle_in_transaction_session_timeout": "10min",
    }
    found = {name: one(any_warehouse, f"SELECT current_setting('{name}')") for name in wanted}
    assert found == wanted
    with translated(), any_warehouse.engine().connect() as connection:
        shown = {name: connection.scalar(sqlalchemy.text(f"SHOW {name}")) for name in wanted}
    assert shown == wanted


def test_options_of_the_url_are_kept_and_win(database: DatabaseConfig, tmp_path: Path) -> None:
    url = f"{database.url}&options={quote('-c statement_timeout=5000 -c work_mem=8MB')}&application_name=mine"
    with opened(DatabaseConfig(url=url), tmp_path) as warehouse:
        assert one(warehouse, "SHOW statement_timeout") == "5s"
        assert one(warehouse, "SHOW work_mem") == "8MB"
        assert one(warehouse, "SHOW lock_timeout") == "30s"
        assert one(warehouse, "SHOW application_name") == "mine"


# ---------------------------------------------------------------- the pool


def test_five_times_more_borrowers_than_connections_all_get_one(database: DatabaseConfig, tmp_path: Path) -> None:
    few = database.model_copy(update={"pool": PoolConfig(min=1, max=3)})
    with opened(few, tmp_path) as warehouse, ThreadPoolExecutor(15) as threads:
        pids = list(
            threads.map(lambda _: one(warehouse, "SELECT pg_backend_pid() FROM pg_sleep(0.02)"), range(45))
        )
    assert len(pids) == 45
    assert len(set(pids)) <= 3


def test_terminated_backends_are_replaced(any_warehouse: Warehouse) -> None:
    for _ in range(3):
        connections = [any_warehouse.get_conn() for _ in range(5)]
        pids = [connection.info.backend_pid for connection in connections]
        for connection in connections:
            any_warehouse.put_conn(connection)
        administrator = psycopg2.connect(**any_warehouse.parameters)
        administrator.autocommit = True
        with administrator.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", (pids,))
            deadline = time.monotonic() + 10
            while True:
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,))
                if cursor.fetchall() == [(0,)]:
                    break
                assert time.monotonic() < deadline
        administrator.close()
        assert one(any_warehouse, "SELECT pg_backend_pid()") not in pids


def test_a_connection_is_used_again(warehouse: Warehouse) -> None:
    assert one(warehouse, "SELECT pg_backend_pid()") == one(warehouse, "SELECT pg_backend_pid()")


def test_what_a_borrower_did_not_commit_is_rolled_back(warehouse: Warehouse) -> None:
    connection = warehouse.get_conn()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE forgotten ()")
    warehouse.put_conn(connection)
    connection = warehouse.get_conn()
    connection.autocommit = True
    warehouse.put_conn(connection)
    assert one(warehouse, "SELECT to_regclass('forgotten')") is None
    connection = warehouse.get_conn()
    assert not connection.autocommit
    warehouse.put_conn(connection)
    with pytest.raises(PipelineError, match="not borrowed"):
        warehouse.put_conn(connection)


def test_closing_waits_for_borrowers_and_turns_new_ones_away(database: DatabaseConfig, tmp_path: Path) -> None:
    warehouse = Warehouse(database.model_copy(update={"pool": PoolConfig(min=1, max=1)}), tmp_path)
    warehouse.open()
    connection = warehouse.get_conn()
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(warehouse.get_conn)
        closing = threads.submit(warehouse.close)
        with pytest.raises(WarehouseUnavailable, match="not open"):
            waiting.result(timeout=10)
        assert not closing.done()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.commit()
        warehouse.put_conn(connection)
        closing.result(timeout=10)
    assert connection.closed
    warehouse.close()
    with pytest.raises(WarehouseUnavailable, match="not open"):
        warehouse.get_conn()


def test_closing_cuts_a_borrower_that_takes_too_long(database: DatabaseConfig, tmp_path: Path) -> None:
    warehouse = Warehouse(database, tmp_path)
    warehouse.open()
    asleep = threading.Event()

    def sleep() -> None:
        with warehouse.transaction() as tx:
            asleep.set()
            tx.execute("SELECT pg_sleep(60)")

    with ThreadPoolExecutor(1) as threads:
        sleeping = threads.submit(sleep)
        assert asleep.wait(10)
        warehouse.close(timeout_seconds=0.2)
        with pytest.raises(WarehouseUnavailable):
            sleeping.result(timeout=10)
    warehouse.open()
    assert one(warehouse, "SELECT 1") == 1
    warehouse.close()


# ---------------------------------------------------------------- transactions


def test_a_transaction_is_kept_whole_or_not_at_all(any_warehouse: Warehouse) -> None:
    run(any_warehouse, "CREATE TABLE t (n int)")
    run(any_warehouse, "INSERT INTO t VALUES (1)")

    def stop_half_way() -> None:
        with any_warehouse.transaction() as tx:
            tx.execute("INSERT INTO t VALUES (2)")
            raise KeyError

    def fail_half_way() -> None:
        with any_warehouse.transaction() as tx:
            tx.execute("INSERT INTO t VALUES (3)")
            tx.execute("INSERT INTO t VALUES (1 / 0)")

    with pytest.raises(KeyError):
        stop_half_way()
    with pytest.raises(DataError):
        fail_half_way()
    assert one(any_warehouse, "SELECT array_agg(n) FROM t") == [1]


def test_an_error_that_was_swallowed_does_not_pass_for_a_commit(warehouse: Warehouse) -> None:
    run(warehouse, "CREATE TABLE t (n int)")

    def swallow() -> None:
        with warehouse.transaction() as tx:
            tx.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(DataError), translated():
                tx.execute("SELECT 1 / 0")

    with pytest.raises(PipelineError, match="nothing is committed"):
        swallow()
    assert one(warehouse, "SELECT count(*) FROM t") == 0


def test_a_transaction_goes_on_after_a_savepoint(warehouse: Warehouse) -> None:
    run(warehouse, "CREATE TABLE t (n int)")
    with warehouse.transaction() as tx:
        tx.execute("SAVEPOINT row")
        with pytest.raises(DataError), translated():
            tx.execute("INSERT INTO t VALUES ('x')")
        tx.execute("ROLLBACK TO SAVEPOINT row")
        tx.execute("INSERT INTO t VALUES (1)")
    assert one(warehouse, "SELECT count(*) FROM t") == 1


# ---------------------------------------------------------------- errors

TABLES = """
CREATE TABLE parent (id int CONSTRAINT parent_key PRIMARY KEY, email varchar(5) CHECK (email <> 'bad'));
CREATE TABLE child (id int NOT NULL REFERENCES parent, big text UNIQUE);
INSERT INTO parent VALUES (1, 'a')
"""
REFUSED = {
    f"INSERT INTO parent VALUES (2, '{CANARY}')": (DataError, "22001"),
    f"SELECT '{CANARY}'::int": (DataError, "22P02"),
    f"SELECT '{CANARY}'::timestamp": (DataError, "22007"),
    "SELECT 99999999999::int": (DataError, "22003"),
    "INSERT INTO parent VALUES (1)": (DataError, "23505 unique_violation (table parent, constraint parent_key)"),
    "INSERT INTO parent VALUES (3, 'bad')": (DataError, "23514"),
    "INSERT INTO child VALUES (7)": (DataError, "23503"),
    "INSERT INTO child VALUES (NULL)": (DataError, "23502 not_null_violation (table child, column id)"),
    "INSERT INTO child SELECT 1, string_agg(md5(n::text), '') FROM generate_series(1, 9999) n": (
        DataError,
        "54000",
    ),
    f"SELECT '{CANARY}' FROM nowhere": (WarehouseUnfit, "42P01"),
    f"SELEKT '{CANARY}'": (PipelineError, "42601"),
    f"DO $$ BEGIN RAISE EXCEPTION '{CANARY}'; END $$": (
        DataError,
        "P0001",
    ),  # what a trigger of the user's may say
    "SET LOCAL statement_timeout = 20; SELECT pg_sleep(9)": (WarehouseUnavailable, "57014"),
    "DO $$ BEGIN RAISE serialization_failure; END $$": (Collision, "40001"),
    "DO $$ BEGIN RAISE deadlock_detected; END $$": (Collision, "40P01"),
    "DO $$ BEGIN RAISE lock_not_available; END $$": (WarehouseUnavailable, "55P03"),
    "DO $$ BEGIN RAISE disk_full; END $$": (WarehouseUnavailable, "53100"),
    "DO $$ BEGIN RAISE SQLSTATE '25P03'; END $$": (WarehouseUnavailable, "25P03"),
    "DO $$ BEGIN RAISE SQLSTATE '08006'; END $$": (WarehouseUnavailable, "08006"),
    "DO $$ BEGIN RAISE SQLSTATE 'ZZ999'; END $$": (DataError, "ZZ999 raised by a function"),
    "SET TRANSACTION READ ONLY; CREATE TABLE x ()": (ReadOnlyServer, "25006"),
    "SELECT pg_terminate_backend(pg_backend_pid())": (WarehouseUnavailable, "lost"),
}


def test_errors_say_what_to_do_next_and_nothing_of_the_row(any_warehouse: Warehouse) -> None:
    run(any_warehouse, TABLES)
    engine = any_warehouse.engine()

    def by_sqlalchemy(statement: str) -> None:
        with translated(), engine.begin() as tx:
            tx.execute(sqlalchemy.text(statement))

    for statement, (expected, text) in REFUSED.items():
        for execute in (partial(run, any_warehouse), by_sqlalchemy):
            with pytest.raises(PipelineError) as caught:
                execute(statement)
            assert type(caught.value) is expected, statement
            assert text in str(caught.value)
            assert CANARY not in str(caught.value)
            assert caught.value.__suppress_context__


def test_copy_and_parameters_are_covered_too(warehouse: Warehouse) -> None:
    run(warehouse, TABLES)
    with pytest.raises(DataError, match="22001") as caught, warehouse.transaction() as tx:
        tx.execute("INSERT INTO parent VALUES (%s, %s)", (2, CANARY))
    assert CANARY not in str(caught.value)
    with pytest.raises(PipelineError, match="refused a call"), warehouse.transaction() as tx:
        tx.execute("SELECT %s", (object(),))


# ---------------------------------------------------------------- frozen servers


def test_a_frozen_backend_does_not_hold_us(any_warehouse: Warehouse) -> None:
    begun = time.monotonic()
    connection = any_warehouse.get_conn()
    pid = connection.info.backend_pid
    any_warehouse.put_conn(connection)
    with (
        pytest.raises(WarehouseUnavailable, match="lost"),
        any_warehouse.transaction(deadline_seconds=0.5) as tx,
        frozen(pid),
    ):
        tx.execute("SELECT 1")
    assert time.monotonic() - begun < 30
    assert one(any_warehouse, "SELECT pg_backend_pid()") != pid


def test_a_commit_that_is_not_answered_is_an_outage(warehouse: Warehouse) -> None:
    pid = one(warehouse, "SELECT pg_backend_pid()")

    def commit() -> None:
        with warehouse.transaction(deadline_seconds=0.5) as tx:
            tx.execute("CREATE TABLE perhaps ()")
            os.kill(pid, signal.SIGSTOP)

    try:
        with pytest.raises(WarehouseUnavailable):
            commit()
    finally:
        os.kill(pid, signal.SIGCONT)
    deadline = time.monotonic() + 10  # COMMIT had been sent: the server does it when it wakes up
    while one(warehouse, "SELECT to_regclass('perhaps')") is None:
        assert time.monotonic() < deadline


def test_the_deadline_is_each_calls_and_not_the_blocks(warehouse: Warehouse) -> None:
    with warehouse.transaction(deadline_seconds=2) as tx:
        for _ in range(5):
            tx.execute("SELECT pg_sleep(0.5)")
    assert one(warehouse, "SELECT 1 FROM pg_sleep(0.5)") == 1


def test_a_quick_statement_that_takes_too_long_is_ended_by_the_server_and_its_locks_are_free(
    any_warehouse: Warehouse,
) -> None:
    with any_warehouse.quick(0.3):
        with pytest.raises(WarehouseUnavailable, match="57014"):
            run(any_warehouse, "SELECT pg_advisory_xact_lock(7), pg_sleep(20)")
        assert one(any_warehouse, "SELECT pg_try_advisory_xact_lock(7)")
    assert one(any_warehouse, "SELECT 1 FROM pg_sleep(0.6)") == 1, "outside, there is time"
    assert one(any_warehouse, "SHOW lock_timeout") == "30s"


def test_quick_within_quick_leaves_the_outer_one_in_force(warehouse: Warehouse) -> None:
    with warehouse.quick(2):
        with warehouse.quick(1):
            pass
        with warehouse.transaction() as tx:
            tx.execute("SHOW statement_timeout")
            assert tx.fetchone() == ("2s",)


def test_a_backend_that_freezes_in_a_quick_statement_is_given_up_soon(warehouse: Warehouse) -> None:
    pid = one(warehouse, "SELECT pg_backend_pid()")
    begun = time.monotonic()
    with warehouse.quick(0.5), frozen(pid), pytest.raises(WarehouseUnavailable, match="lost"):
        one(warehouse, "SELECT 1")
    assert time.monotonic() - begun < 0.5 + SHORT_PATIENCE_SECONDS + 2


def test_a_lock_is_not_waited_for_longer_because_there_is_more_time(
    database: DatabaseConfig, tmp_path: Path
) -> None:
    with opened(database.model_copy(update={"answer_seconds": 1}), tmp_path) as warehouse:
        with warehouse.transaction() as tx:
            tx.execute("SELECT pg_advisory_xact_lock(7)")
            begun = time.monotonic()
            with warehouse.quick(60), pytest.raises(WarehouseUnavailable, match="55P03"):
                run(warehouse, "SELECT pg_advisory_xact_lock(7)")
        assert time.monotonic() - begun < 10


# ---------------------------------------------------------------- opening

OPEN = """
import sys
from pathlib import Path
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
warehouse = Warehouse(DatabaseConfig(url=sys.argv[1]), Path("/"))
warehouse.open()
with warehouse.transaction() as tx:
    tx.execute("SELECT current_database()")
    print(tx.fetchone()[0])
warehouse.close()
"""


def test_processes_that_create_the_database_at_once_all_open_it(embedded_url: str) -> None:
    url = embedded_url.format(dbname="hostile%22%20name")
    command = [sys.executable, "-c", OPEN, url]
    starting = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0] for process in starting] == ['hostile" name\n'] * 4
    administrator = psycopg2.connect(embedded_url.format(dbname="postgres"))
    administrator.autocommit = True
    administrator.cursor().execute('DROP DATABASE "hostile"" name"')
    administrator.close()


def refusal(url: str, **changes: Any) -> tuple[type[Exception], str]:
    """How open() fails; no thread may be left by it."""
    with pytest.raises(PipelineError) as caught:
        Warehouse(DatabaseConfig(url=url, **changes), Path("/")).open()
    return type(caught.value), str(caught.value)


def test_a_wrong_password_is_named_and_not_shown(system_server: SystemServer) -> None:
    kind, text = refusal(system_server.tcp_url("wr0ng-p4ss").format(dbname="postgres"))
    assert kind is ConfigError
    assert f"127.0.0.1:{system_server.port}" in text
    assert "check the user and PGPASSWORD" in text
    assert "wr0ng-p4ss" not in text
    kind, text = refusal(system_server.tcp_url("").format(dbname="postgres"))
    assert (kind, "set PGPASSWORD" in text) == (ConfigError, True)


def test_the_right_password_opens_by_fields_and_by_url(system_server: SystemServer) -> None:
    fields = DatabaseConfig(
        embedded=False, host="127.0.0.1", port=system_server.port, password=PASSWORD, dbname="by_fields"
    )
    url = system_server.tcp_url("").format(dbname="by_fields")
    for config in (fields, DatabaseConfig(url=url, password=PASSWORD)):
        with opened(config, Path("/")) as warehouse:
            assert one(warehouse, "SELECT current_database()") == "by_fields"
            assert warehouse.parameters["password"] == PASSWORD


def test_a_server_that_is_not_there_is_an_outage_with_host_and_port() -> None:
    kind, text = refusal("postgresql://postgres:s3cret@127.0.0.1:1/x")
    assert kind is WarehouseUnavailable
    assert "127.0.0.1:1 " in text
    assert "s3cret" not in text
    kind, text = refusal("postgresql://postgres@no-such-host.invalid/x", connect_timeout_seconds=2)
    assert (kind, "no-such-host.invalid:5432" in text) == (WarehouseUnavailable, True)


def test_missing_roles_and_rights_are_told_from_outages(embedded_url: str, warehouse: Warehouse) -> None:
    kind, text = refusal(embedded_url.format(dbname="postgres").replace("postgres@", "nobody_here@"))
    assert (kind, "create the role" in text) == (ConfigError, True)
    run(warehouse, "CREATE ROLE modest LOGIN")
    kind, text = refusal(embedded_url.format(dbname="not_there").replace("postgres@", "modest@"))
    assert kind is ConfigError
    assert 'CREATE DATABASE "not_there"' in text
    assert "42501" in text
    run(warehouse, f"REVOKE CONNECT ON DATABASE {warehouse.parameters['dbname']} FROM PUBLIC")
    kind, text = refusal(
        embedded_url.format(dbname=warehouse.parameters["dbname"]).replace("postgres@", "modest@")
    )
    assert (kind, "GRANT CONNECT" in text) == (ConfigError, True)
    run(warehouse, "DROP ROLE modest")


def test_a_database_that_is_not_utf8_is_refused(embedded_url: str) -> None:
    administrator = psycopg2.connect(embedded_url.format(dbname="postgres"))
    administrator.autocommit = True
    with administrator.cursor() as cursor:
        cursor.execute(
            "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"
        )
        kind, text = refusal(embedded_url.format(dbname="latin"))
        cursor.execute("DROP DATABASE latin")
    administrator.close()
    assert (kind, "LATIN1" in text) == (ConfigError, True)


@pytest.mark.parametrize(
    "url",
    ["mysql://root:s3cret@localhost/x", "postgresql://u:s3cret%zz@localhost/x", "sqlite:///x", "s3cret"],
)
def test_a_url_that_is_no_good_is_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as caught:
        Warehouse(DatabaseConfig(url=url), Path("/"))
    assert "s3cret" not in str(caught.value)


# ---------------------------------------------------------------- the default, on the embedded server


def test_the_default_warehouse_serves_the_start_up_check(config: PipelineConfig) -> None:
    with pytest.raises(WarehouseUnavailable, match="init_pool"):
        db_connection.get_conn()
    warehouse = db_connection.init_pool()
    pid_file = config.path(config.database.data_dir) / "postmaster.pid"
    try:
        assert db_connection.init_pool(config) is warehouse
        connection = db_connection.get_conn()
        db_connection.put_conn(connection)
        with db_connection.transaction() as tx:
            tx.execute("SELECT current_database()")
            assert tx.fetchone() == (config.database.dbname,)
        assert Path(warehouse.parameters["host"]) == pid_file.parent
    finally:
        db_connection.close_pool()
    assert not pid_file.exists()
    db_connection.close_pool()


def test_an_embedded_server_that_dies_is_started_again(config: PipelineConfig) -> None:
    with opened(config.database, config.home) as warehouse:
        run(warehouse, "CREATE TABLE kept ()")
        pid_file = config.path(config.database.data_dir) / "postmaster.pid"
        pid = pid_file.read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while pid_file.read_text().split()[:1] in ([], [pid]):
            assert time.monotonic() < deadline
            with suppress(WarehouseUnavailable):
                run(warehouse, "SELECT 1")
        assert one(warehouse, "SELECT to_regclass('kept')") == "kept"
