"""The commands that look: what was loaded, what waits, whether the books are right. Nothing is changed by them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from tests.acceptance import samples
from tests.acceptance.commands import cli
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import ROOT, Product, wait_until

HEALED, ORPHAN, NEGATIVE = 1, 2, 3  # numbers of orders


@pytest.fixture(scope="module")
def loaded(make_product: MakeProduct) -> Product:
    """Orders, one refused, one twice, one healed, one waiting; a ticket that waits for it; a file that failed."""
    product = make_product()
    samples.write_master(product.home)
    orders = [samples.order(n) for n in range(10, 20)]
    orders += [
        samples.order(HEALED, customer_id=901),
        samples.order(ORPHAN, customer_id=902),
        samples.order(NEGATIVE, order_amount=-5),
        samples.order(10),
    ]
    product.stream("09", "orders.json", orders)
    product.stream("09", "tickets.csv", [samples.ticket(10), samples.ticket(ORPHAN)])
    product.stream("10", "tickets.csv", "ticket_id,colour\n1,red\n")
    product.once(expect=1)
    product.batch("customers.csv", [samples.customer(901)], day="2026-02-21")
    product.once(expect=1)  # the file that failed is still there
    assert product.value("SELECT count(*) FROM fact_order") == 11
    return product


def id_of(product: Product, name: str, hour: str) -> int:
    path = f"%/{hour}/{name}"
    return int(product.value("SELECT file_id FROM pipeline_file_log WHERE file_path LIKE %s", path))


# ---------------------------------------------------------------- files


def test_files_are_listed_newest_first_and_filtered(loaded: Product) -> None:
    every = cli(loaded, "files", "--json").json
    assert [file["file_id"] for file in every] == sorted((file["file_id"] for file in every), reverse=True)
    assert {file["status"] for file in cli(loaded, "files", "--status", "failed", "--json").json} == {"failed"}
    assert len(cli(loaded, "files", "--type", "orders", "--json").json) == 1
    assert {file["file_type"] for file in cli(loaded, "files", "--feed", "stream", "--json").json} == {"stream"}
    assert len(cli(loaded, "files", "--text", "/10/TICK", "--json").json) == 1
    assert len(cli(loaded, "files", "--limit", "2", "--json").json) == 2
    assert len(cli(loaded, "files", "--since", "1h", "--json").json) == len(every)
    assert cli(loaded, "files", "--since", "2100-01-01", "--json").json == []
    assert "orders.json" in cli(loaded, "files").out


def test_a_time_that_is_none_is_explained(loaded: Product) -> None:
    assert "give a date" in cli(loaded, "files", "--since", "yesterday", expect=2).err
    assert "give a date" in cli(loaded, "files", "--since", "999999d", expect=2).err


def test_a_filter_that_can_match_nothing_is_refused(loaded: Product) -> None:
    assert "undone" in cli(loaded, "files", "--status", "lost", expect=2).err
    assert "no table" in cli(loaded, "files", "--type", "oders", expect=2).err
    assert "'FILE_ID'" in cli(loaded, "files", "show", 2**63, expect=2).err


def test_a_file_is_shown_with_its_books_reasons_and_orphans(loaded: Product) -> None:
    shown = cli(loaded, "files", "show", id_of(loaded, "orders.json", "09"), "--json").json
    assert (shown["file"]["total_records"], shown["file"]["inserted_records"]) == (14, 11)
    reasons = {(row["rule"], row["column"]): row["rows"] for row in shown["reasons"]}
    assert reasons == {
        ("at_least", "order_amount"): 1,
        ("duplicate", "order_id"): 1,
        ("parent_missing", "customer_id"): 1,
    }
    assert {row["state"]: row["rows"] for row in shown["orphans"]} == {"loaded": 1, "open": 1}
    assert [(row["parent_table"], row["parent_key"]) for row in shown["waits_for"]] == [("dim_customer", "902")]
    screen = cli(loaded, "files", "show", id_of(loaded, "orders.json", "09")).out
    assert "parent_missing" in screen


def test_a_failed_file_is_shown_with_its_error(loaded: Product) -> None:
    shown = cli(loaded, "files", "show", id_of(loaded, "tickets.csv", "10"), "--json", expect=1).json
    assert "columns" in shown["file"]["error"]
    assert "no file 999" in cli(loaded, "files", "show", 999, expect=2).err


# ---------------------------------------------------------------- explain


def explain(product: Product, table: str, key: object, expect: int = 0) -> dict[str, Any]:
    screen = cli(product, "explain", table, key, expect=expect)
    assert screen.out
    found: dict[str, Any] = cli(product, "explain", table, key, "--json", expect=expect).json
    return found


def test_a_loaded_row_is_traced_to_its_line_and_its_derivations(loaded: Product) -> None:
    found = explain(loaded, "fact_ticket", samples.uid("ticket", 10))
    assert found["origin"]["row_number"] == 1
    assert found["origin"]["file_path"].endswith("/09/tickets.csv")
    derived = {row["column"]: row for row in found["derived"]}
    assert (derived["time_key"]["value"], derived["time_key"]["from"]) == (
        1100,
        {"created_at": "2026-02-20T11:00:00"},
    )
    assert derived["region_id"]["rule"] == "lookup of orders.region_id"
    assert derived["first_response_min"]["value"] == "10.00"
    assert all(row["is_there"] for row in found["refers_to"])


def test_of_a_key_that_came_twice_the_row_that_was_loaded_is_named(loaded: Product) -> None:
    found = explain(loaded, "orders", samples.uid("order", 10))
    assert found["origin"]["row_number"] == 1
    assert [(row["row_number"], row["rejection_reason"]) for row in found["refused"]] == [
        (14, "order_id: duplicate")
    ]


def test_a_refused_row_is_found_by_its_key(loaded: Product) -> None:
    (refusal,) = explain(loaded, "orders", samples.uid("order", NEGATIVE), expect=1)["refused"]
    assert (refusal["row_number"], refusal["state"]) == (13, "refused")
    assert refusal["rejection_reason"] == "order_amount: at_least"


def test_an_orphan_is_told_with_what_it_waits_for(loaded: Product) -> None:
    (refusal,) = explain(loaded, "orders", samples.uid("order", ORPHAN), expect=1)["refused"]
    assert refusal["state"] == "waits"
    assert [(wait["parent_table"], wait["parent_key"]) for wait in refusal["waits_for"]] == [
        ("dim_customer", "902")
    ]


def test_a_healed_orphan_is_loaded_from_its_own_line(loaded: Product) -> None:
    found = explain(loaded, "orders", samples.uid("order", HEALED))
    assert found["origin"]["row_number"] == 11
    assert found["refused"][0]["state"] == "loaded"


def test_a_key_that_nobody_saw(loaded: Product) -> None:
    assert explain(loaded, "orders", "nobody", expect=1)["refused"] == []
    assert "whole number" in cli(loaded, "explain", "customers", "x1", expect=2).err
    assert "no table" in cli(loaded, "explain", "costumers", "1", expect=2).err


def test_a_key_written_as_a_decimal_is_the_same_key(make_product: MakeProduct) -> None:
    product = make_product()
    samples.write_master(product.home, customers=[samples.customer(7, customer_id="0077.0", gender="neither")])
    product.once(expect=0)
    (refusal,) = explain(product, "customers", 77, expect=1)["refused"]
    assert refusal["rejection_reason"] == "gender: allowed_values"


def test_a_file_that_is_gone_or_changed_is_said_so(loaded: Product) -> None:
    path = loaded.home / "data/input/stream" / samples.DAY / "09/tickets.csv"
    kept = path.read_bytes()
    key = samples.uid("ticket", 10)
    try:
        path.write_bytes(kept + b"\n")
        assert explain(loaded, "tickets", key)["origin"]["note"] == "the file has other content now"
        path.unlink()
        assert explain(loaded, "tickets", key)["origin"]["note"] == "the file is no longer there"
    finally:
        path.write_bytes(kept)


# ---------------------------------------------------------------- verify


@pytest.fixture
def copy(loaded: Product, make_product: MakeProduct) -> Product:
    """A copy of the loaded database, to be damaged, with a folder of its own."""
    product = make_product()
    assert product.url is not None
    assert loaded.url is not None
    names = [parse_dsn(url)["dbname"] for url in (product.url, loaded.url)]
    connection = psycopg2.connect(**{**parse_dsn(loaded.url), "dbname": "postgres"})
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, names)))
    connection.close()
    shutil.copytree(loaded.home / "data/quarantine", product.home / "data/quarantine")
    return product


def change(product: Product, *statements: str) -> None:
    connection = product.connect()
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            assert cursor.rowcount != 0, statement
    connection.close()


def test_books_that_are_right_are_found_right(loaded: Product) -> None:
    answer = cli(loaded, "verify", "--json").json
    assert answer["differences"] == []
    assert all(check["compared"] for check in answer["checks"])
    assert "Everything adds up." in cli(loaded, "verify").out


REPLICA = "SET LOCAL session_replication_role = replica"


@pytest.mark.parametrize(
    ("check", "statements"),
    [
        ("rows in tables = inserted", [REPLICA, "DELETE FROM fact_order WHERE order_amount = 112.5"]),
        ("rows in tables = inserted", ["UPDATE dim_team SET _file_id = 4711"]),
        (
            "total = valid + quarantined",
            [
                "ALTER TABLE pipeline_file_log DROP CONSTRAINT pipeline_file_log_books",
                "UPDATE pipeline_file_log SET total_records = 99 WHERE logical_name = 'orders'",
            ],
        ),
        ("rows in quarantine = quarantined", ["DELETE FROM quarantine WHERE rejection_reason LIKE '%at_least'"]),
        (
            "rows in quarantine = quarantined",
            ["UPDATE quarantine SET resolution = 'loaded' WHERE row_number = 13"],
        ),
        ("open orphans wait for a parent", ["DELETE FROM orphan_wait WHERE parent_table = 'dim_customer'"]),
        (
            "open orphans wait for a parent",
            ["INSERT INTO orphan_wait VALUES (1, 1, 'x', 'dim_team', 'dim_x', '1')"],
        ),
        (
            "orphans given up are kept",
            [
                "DELETE FROM orphan_wait",
                "UPDATE quarantine SET resolution = 'true_orphan' "
                "WHERE resolution IS NULL AND rejection_stage = 'orphan'",
            ],
        ),
        (
            "orphans given up are kept",
            [
                "INSERT INTO true_orphan (quarantine_id, source_file, source_table, unresolved_fk, raw_data,"
                " first_seen_at, retry_count) VALUES (4711, 'f', 'fact_order', '', '{}', now(), 1)",
            ],
        ),
        (
            "rows in tables = inserted",
            ["UPDATE pipeline_file_log SET status = 'failed' WHERE file_type = 'stream'"],
        ),
        (
            "rows in quarantine = quarantined",
            ["UPDATE pipeline_file_log SET resolved_records = 1 WHERE logical_name = 'orders'"],
        ),
        ("foreign keys hold", [REPLICA, "UPDATE fact_order SET customer_id = 31415 WHERE order_amount = 112.5"]),
        ("foreign keys hold", [REPLICA, "UPDATE fact_order SET date_key = 19990101 WHERE order_amount = 112.5"]),
        ("CSV backup equals quarantine", ["UPDATE quarantine SET rejection_reason = 'x' WHERE row_number = 13"]),
    ],
)
def test_verify_finds_what_is_wrong(copy: Product, check: str, statements: list[str]) -> None:
    change(copy, *statements)
    found = cli(copy, "verify", "--json", expect=1).json["differences"]
    assert check in {row["check"] for row in found}


def test_verify_finds_a_backup_that_lost_a_line(copy: Product) -> None:
    (path,) = (copy.home / "data/quarantine/stream").glob("*.csv")
    assert cli(copy, "verify", "--json").json["differences"] == []
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert "Differences" in cli(copy, "verify", expect=1).out
    (found,) = cli(copy, "verify", "--json", expect=1).json["differences"]
    assert (found["file_name"], found["expected"] - found["found"]) == (path.name, 1)
    path.unlink()
    assert cli(copy, "verify", "--json", expect=1).json["differences"]


def test_rows_that_retention_removed_are_not_missed(copy: Product) -> None:
    change(
        copy,
        "UPDATE pipeline_file_log SET processed_at = now() - interval '9 days' WHERE logical_name = 'orders'",
        "DELETE FROM quarantine WHERE rejection_reason LIKE '%at_least'",
    )
    check = "rows in quarantine = quarantined"
    assert check in {row["check"] for row in cli(copy, "verify", "--json", expect=1).json["differences"]}
    copy.configure(retention={"quarantine_days": 8})
    assert check not in {row["check"] for row in cli(copy, "verify", "--json", expect=None).json["differences"]}


def test_books_with_updates_are_found_right(make_product: MakeProduct) -> None:
    product = make_product()
    samples.write_master(product.home)
    product.batch("customers.csv", [samples.customer(1, updated_at="2026-03-01", gender="male")], day="2026-02-21")
    product.once(expect=0)
    assert product.value("SELECT sum(updated_records) FROM pipeline_file_log") == 1
    assert cli(product, "verify", "--json").json["differences"] == []
    change(product, REPLICA, "DELETE FROM dim_customer WHERE customer_id = 20")
    differences = cli(product, "verify", "--json", expect=1).json["differences"]
    found = [(row["table"], row["what"], row["expected"], row["found"]) for row in differences]
    without_row = ("dim_customer", "versions in force without their row", 0, 1)
    assert found == [("dim_customer", "rows of the table", 20, 19), without_row]


# ---------------------------------------------------------------- sql and psql


def test_sql_gives_a_table_json_and_csv(loaded: Product) -> None:
    statement = "SELECT count(*) AS orders, count(*), 'a,b' AS text FROM fact_order"
    assert cli(loaded, "sql", statement, "--json").json == [{"orders": 11, "count": 11, "text": "a,b"}]
    assert cli(loaded, "sql", statement, "--csv").out == 'orders,count,text\n11,11,"a,b"\n'
    assert "orders" in cli(loaded, "sql", statement).out


@pytest.mark.parametrize("prefix", ["", "COMMIT; "])
def test_sql_changes_nothing_unless_told_so(copy: Product, prefix: str) -> None:
    delete = f"{prefix}DELETE FROM fact_ticket"
    assert "--write" in cli(copy, "sql", delete, expect=2).err
    assert copy.value("SELECT count(*) FROM fact_ticket") == 1
    assert "DELETE 1" in cli(copy, "sql", delete, "--write").out
    assert copy.value("SELECT count(*) FROM fact_ticket") == 0


def test_sql_says_what_is_wrong_with_a_statement(loaded: Product) -> None:
    assert "empty" in cli(loaded, "sql", " ", expect=2).err
    assert 'column "colour" does not exist' in cli(loaded, "sql", "SELECT colour FROM fact_order", expect=2).err


def test_sql_does_not_repeat_values_in_an_error(loaded: Product) -> None:
    answer = cli(loaded, "sql", "SELECT order_id::int FROM fact_order", expect=2)
    assert samples.uid("order", 10) not in answer.err + answer.out


def test_psql_reaches_the_embedded_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a process: psql writes to the terminal itself. The server of this product runs only meanwhile."""
    product = Product(tmp_path_factory.mktemp("p") / "h")
    samples.write(product.home / "data/master/teams.csv", [{"team_id": 1, "team_name": "One"}])
    assert (
        cli(product, "status", "--json", expect=1).json["database"]["problem"].startswith("there is no database")
    )
    assert not (product.home / "data/postgres").exists()
    product.once(expect=0)
    done = product.run("psql", "-At", "-c", "SELECT team_name FROM dim_team", "-c", "SELECT broken")
    assert (done.stdout, done.returncode) == ("One\n", 1)
    assert cli(product, "sql", "SELECT team_name FROM dim_team", "--csv").out == "team_name\nOne\n"
    assert not (product.home / "data/postgres/postmaster.pid").exists()


# ---------------------------------------------------------------- status


def test_status_tells_what_waits_and_how_old_it_is(make_product: MakeProduct) -> None:
    product = make_product()
    samples.write_master(product.home)
    product.once(expect=0)
    status = cli(product, "status", "--json", expect=1).json
    assert status["database"]["up"]
    assert status["waiting"]["files"] == 0
    assert status["last_load"]["seconds_ago"] >= 0
    assert status["last_files"]

    (product.home / "data/tracker/pipeline_tracker.db").unlink()  # a cache: the file log knows them too
    shutil.copy(product.home / "data/master/teams.csv", product.batch("regions.csv", "x\n").with_name("teams.csv"))
    waiting = product.stream("09", "orders.json", [samples.order(1)])
    product.stream("09", "orders.json.part", "[")
    product.stream("09", "notes.txt", "unexpected")
    status = cli(product, "status", "--json", expect=1).json
    files = {folder["folder"]: folder["files"] for folder in status["waiting"]["folders"]}
    assert files == {"master": 0, "batch": 1, "stream": 1}
    assert 0 <= status["waiting"]["oldest_seconds"] < 60
    assert status["waiting"]["bytes"] == waiting.stat().st_size + 2
    assert "2 files" in cli(product, "status", expect=1).out


def test_status_sees_a_service_until_it_ends_even_by_kill(product: Product) -> None:
    samples.write_master(product.home)
    with product.running() as daemon:
        status = cli(product, "status", "--json").json
        assert [one["pid"] for one in status["running"]] == [daemon.process.pid]
        assert f"process {daemon.process.pid}" in cli(product, "status").out
    assert cli(product, "status", "--json", expect=1).json["running"] == []
    killed = product.start().wait_for_banner()
    assert cli(product, "status", "--json").json["running"]
    killed.kill()
    left = list((product.home / "data/tracker").glob("running-*.lock"))
    assert len(left) == 1
    assert cli(product, "status", "--json", expect=1).json["running"] == []
    product.once(expect=0)
    assert list((product.home / "data/tracker").glob("running-*.lock")) == []


def test_status_without_a_database_still_tells_the_rest(product: Product) -> None:
    product.stream("09", "orders.json", [samples.order(1)])
    product.env["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing"
    status = cli(product, "status", "--json", expect=1).json
    assert not status["database"]["up"]
    assert "127.0.0.1" in status["database"]["problem"]
    assert status["waiting"]["files"] == 1
    assert "can't be reached" in cli(product, "status", expect=1).out


def test_the_shell_can_complete_commands(loaded: Product) -> None:
    env = {
        **loaded.environment(),
        "_MAIN.PY_COMPLETE": "complete_bash",
        "COMP_WORDS": "main.py ver",
        "COMP_CWORD": "1",
    }
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = subprocess.run([ROOT / "main.py"], env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == ["verify"], done.stderr


def test_a_command_is_done_within_seconds(loaded: Product) -> None:
    """The smoke test as a process; and what is no command is said."""
    started = time.monotonic()
    done = loaded.run("files", "--json")
    assert done.returncode == 0, done.stderr
    assert '"orders.json"' in done.stdout
    assert time.monotonic() - started < 30
    wait_until(lambda: cli(loaded, "nonsense", expect=2).err, "a message")


def test_every_command_explains_itself_without_a_database(make_product: MakeProduct) -> None:
    product = make_product()
    for command in ("check", "infer", "status", "files", "explain", "verify", "sql", "psql"):
        assert command in cli(product, command, "--help").out
    assert "no database yet" in cli(product, "verify", expect=2).err
    assert "no database yet" in cli(product, "sql", "SELECT 1", expect=2).err
