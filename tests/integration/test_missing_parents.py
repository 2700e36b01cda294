"""Rows whose parents are not there: they wait, get a placeholder, or refer to nothing, as the YAML says."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.errors import ConfigError
from config.jobs import Content, FileJob, FileOutcome
from config.settings import DatabaseConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.schema_init import init_schema
from datawarehouse.undo import undo
from ingestion.engines.local import LocalEngine
from ingestion.file_load import FileLoad
from ingestion.file_report import Summary, console_line, report
from ingestion.group_load import GroupLoad
from tests.acceptance.daemon import wait_until
from tests.integration.putting_right import KEY, Site, words
from tests.integration.small import settings_of
from validation.pii_handler import PiiHandler

CUSTOMERS = "id,name,city\n"
ORDERS = "order_id,customer_id,amount\n"
TYPES: dict[str, dict[str, Any]] = {
    "cities": {"key": "code", "columns": {"code": {"dtype": "str", "sql_type": "varchar(3)"}}},
    "customers": {
        "key": "id",
        "columns": {"id": "int", "name": {"dtype": "str", "nullable": False}, "city": "str"},
        "foreign_keys": {"city": "cities"},
    },
    "orders": {
        "key": "order_id",
        "table": "fact_sale",
        "columns": {"order_id": "int", "customer_id": "int", "amount": {"dtype": "int", "rules": {"at_least": 0}}},
        "foreign_keys": {"customer_id": "customers"},
        "if_parent_missing": "placeholder",
    },
    "lines": {
        "key": ["order_id", "line_no"],
        "table": "fact_line",
        "columns": {"order_id": "int", "line_no": "int", "at": {"dtype": "datetime", "nullable": False}},
    },
    "parcels": {
        "key": "parcel_id",
        "columns": {"parcel_id": "int", "order_id": "int", "line_no": "int"},
        "foreign_keys": {"order_id, line_no": {"to": "lines", "if_missing": "placeholder"}},
    },
    "staff": {
        "key": "id",
        "columns": {"id": "int", "boss": "int", "name": "str"},
        "foreign_keys": {"boss": {"to": "staff", "if_missing": "placeholder"}},
    },
}
PLACEHOLDERS = "SELECT id FROM dim_customers WHERE _placeholder ORDER BY 1"


class Town(Site):
    """A site of the types above, whose YAML can be changed."""

    monkeypatch: pytest.MonkeyPatch

    def configure(self, **changes: dict[str, Any]) -> None:
        types = {name: {**given, **changes.get(name, {})} for name, given in TYPES.items()}
        path = self.home / "config.yaml"
        path.write_text(yaml.safe_dump(settings_of(types)))
        self.monkeypatch.setenv("FASTFEAST_CONFIG", str(path))
        init_schema(self.warehouse, self.config)

    def job(self, name: str, text: str) -> FileJob:
        path = self.home / f"data/{len(list(self.home.rglob('*.csv')))}/{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return FileJob(path, self.config.by_logical_name[name], 0, 0)

    def bring(self, name: str, text: str, chunk_rows: int = 10_000) -> FileOutcome:
        """Load a file, and heal what follows."""
        reader = self.config.reader.model_copy(update={"chunk_rows": chunk_rows})
        config = self.config.model_copy(update={"reader": reader})
        outcome = FileLoad(self.warehouse, config, PiiHandler(KEY)).run(self.job(name, text))
        LocalEngine(self.config, self.warehouse, threading.Event()).heal([outcome])
        return outcome

    def together(self, name: str, *texts: str) -> list[FileOutcome]:
        jobs = [self.job(name, text) for text in texts]
        loaded = GroupLoad(self.warehouse, self.config, PiiHandler(KEY)).run(jobs).loaded
        assert len(loaded) == len(jobs)
        return loaded

    def undo(self, outcome: FileOutcome) -> None:
        with self.warehouse.transaction() as tx:
            undo(tx, self.config, outcome.file_id or 0, "me", "today")

    def customers(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT id, name, city, _placeholder, _file_id FROM dim_customers ORDER BY 1")

    def placeholders(self) -> list[int]:
        return [row[0] for row in self.rows(PLACEHOLDERS)]

    def adds_up(self) -> None:
        self.backup.reconcile(missing_files=True)
        words(self.run("verify"), ["Everything adds up"])


@pytest.fixture
def town(
    warehouse: Warehouse, database: DatabaseConfig, config: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Town:
    monkeypatch.setenv("DATABASE_URL", str(database.url))
    monkeypatch.setenv("PII_HASH_KEY", KEY)
    town = Town(warehouse, tmp_path)
    town.monkeypatch = monkeypatch
    town.configure()
    return town


def figures(outcome: FileOutcome) -> tuple[int, int, int, int]:
    return outcome.inserted, outcome.updated, outcome.already_present, outcome.quarantined


# ---------------------------------------------------------------- placeholders


def test_a_row_is_loaded_with_a_placeholder_for_its_parent_which_gives_way_to_it(town: Town) -> None:
    child = town.bring("orders", ORDERS + "1,7,10\n2,7,20\n3,8,30\n4,,40\n")
    assert figures(child) == (4, 0, 0, 0)
    assert child.placeholders == {"customers": 2}
    assert town.customers() == [(7, None, None, True, 0), (8, None, None, True, 0)]
    town.adds_up()
    parent = town.bring("customers", CUSTOMERS + "7,Ann,\n9,Bob,\n")
    assert figures(parent) == (2, 0, 0, 0)
    assert town.customers() == [
        (7, "Ann", None, False, parent.file_id),
        (8, None, None, True, 0),
        (9, "Bob", None, False, parent.file_id),
    ]
    town.adds_up()


def test_the_rules_of_the_parents_file_hold_though_its_table_takes_nulls(town: Town) -> None:
    town.bring("orders", ORDERS + "1,7,10\n")
    parent = town.bring("customers", CUSTOMERS + "7,,\n")
    assert figures(parent) == (0, 0, 0, 1)
    assert town.placeholders() == [7]
    town.adds_up()


@pytest.mark.parametrize("keep", ["first", "latest", "history"])
@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_a_placeholder_gives_way_whatever_the_way_of_merging(town: Town, keep: str, chunk_rows: int) -> None:
    changes = {"columns": {**TYPES["customers"]["columns"], "at": "datetime"}}
    if keep != "first":
        changes |= {"keep": keep, "newer_by": "at"}  # type: ignore[dict-item]
    town.execute("DROP TABLE dim_customers CASCADE; DROP TABLE fact_sale")
    town.configure(customers=changes)
    town.bring("customers", "id,name,city,at\n1,Old,,2026-01-01\n")
    town.bring("orders", ORDERS + "1,7,10\n2,8,10\n")
    parent = town.bring(
        "customers", "id,name,city,at\n7,Ann,,\n1,New,,2026-02-01\n9,Bob,,\n8,Cid,,2026-01-01\n", chunk_rows
    )
    assert (parent.inserted, parent.quarantined) == (3, 0)
    assert parent.updated == (0 if keep == "first" else 1)
    assert [row[:2] for row in town.customers()] == [
        (1, "Old" if keep == "first" else "New"),
        (7, "Ann"),
        (8, "Cid"),
        (9, "Bob"),
    ]
    assert town.placeholders() == []
    again = town.bring("customers", "id,name,city,at\n7,Ann,,\n8,Cid,,2026-01-01\n")
    assert (again.inserted, again.updated, again.already_present) == (0, 0, 2)
    if keep == "history":
        versions = "SELECT id, name, valid_from FROM dim_customers_history WHERE id IN (7, 8) ORDER BY 1"
        assert town.rows(versions) == [(7, "Ann", dt.datetime.min), (8, "Cid", dt.datetime(2026, 1, 1))]
    town.adds_up()


def test_a_second_row_of_a_key_is_a_duplicate_though_the_first_took_a_placeholders_place(town: Town) -> None:
    for chunk_rows, key in ((1, 7), (100, 8)):
        town.bring("orders", ORDERS + f"{key},{key},10\n")
        parent = town.bring("customers", CUSTOMERS + f"{key},Ann,\n{key},Other,\n", chunk_rows)
        assert (parent.inserted, parent.duplicates) == (1, 1)
    town.adds_up()


def test_files_in_any_order_give_the_same_tables(town: Town) -> None:
    child, parent = ORDERS + "1,7,10\n2,8,20\n", CUSTOMERS + "7,Ann,\n8,Bob,\n"
    town.bring("orders", child)
    town.bring("customers", parent)
    one = [row[:4] for row in town.customers()]
    town.execute("TRUNCATE fact_sale, dim_customers; DELETE FROM pipeline_file_log")
    town.bring("customers", parent)
    town.bring("orders", child)
    assert [row[:4] for row in town.customers()] == one


def test_no_placeholder_is_made_for_a_row_that_is_not_loaded(town: Town) -> None:
    town.bring("orders", ORDERS + "1,7,10\n")
    again = town.bring("orders", ORDERS + "1,8,10\n2,9,-1\n3,10,5\n3,11,5\n")
    assert figures(again) == (1, 0, 1, 2)
    assert town.placeholders() == [7, 10]
    town.adds_up()


def test_a_row_that_postgresql_refuses_leaves_no_placeholder(town: Town) -> None:
    town.execute("ALTER TABLE fact_sale ADD CHECK (amount < 100)")
    outcome = town.bring("orders", ORDERS + "1,7,10\n2,8,1000\n")
    assert figures(outcome) == (1, 0, 0, 1)
    assert town.placeholders() == [7]
    town.adds_up()


def test_a_row_waits_whose_placeholder_the_parents_table_does_not_take(town: Town) -> None:
    town.execute("ALTER TABLE dim_customers ADD CHECK (id < 100)")
    town.configure(customers={"if_parent_missing": "placeholder"})
    outcome = town.bring("orders", ORDERS + "1,7,10\n2,800,10\n3,900,10\n4,9,10\n")
    assert figures(outcome) == (2, 0, 0, 2)
    assert outcome.orphans == 2
    long = town.bring("customers", CUSTOMERS + "7,Ann,far too long\n9,Bob,ab\n")
    assert figures(long) == (1, 0, 0, 1)
    assert town.rows("SELECT code, _placeholder FROM dim_cities") == [("ab", True)]
    town.adds_up()


def test_files_of_a_group_share_their_placeholders(town: Town) -> None:
    one, other = town.together("orders", ORDERS + "1,7,10\n2,8,20\n", ORDERS + "3,7,10\n4,9,20\n")
    assert (figures(one), figures(other)) == ((2, 0, 0, 0), (2, 0, 0, 0))
    assert (one.placeholders, other.placeholders) == ({"customers": 2}, {"customers": 1})
    parents = town.together("customers", CUSTOMERS + "7,Ann,\n", CUSTOMERS + "8,Bob,\n1,Eve,\n")
    assert [figures(parent) for parent in parents] == [(1, 0, 0, 0), (2, 0, 0, 0)]
    assert town.placeholders() == [9]
    town.adds_up()


def test_rows_of_one_table_are_each_others_parents_before_they_get_placeholders(town: Town) -> None:
    outcome = town.bring("staff", "id,boss,name\n1,2,a\n2,3,b\n4,4,c\n")
    assert (outcome.inserted, outcome.placeholders) == (3, {"staff": 1})
    assert town.rows("SELECT id, boss, _placeholder FROM dim_staff ORDER BY 1") == [
        (1, 2, False),
        (2, 3, False),
        (3, None, True),
        (4, 4, False),
    ]
    late = town.bring("staff", "id,boss,name\n5,6,x\n6,7,y\n3,1,z\n7,5,w\n", chunk_rows=1)
    assert (late.inserted, late.quarantined) == (4, 0)
    assert town.rows("SELECT count(*) FROM dim_staff WHERE _placeholder") == [(0,)]
    town.adds_up()


@pytest.mark.parametrize("partitioned", [False, True])
def test_a_fact_with_a_key_of_two_columns_can_have_placeholders(town: Town, partitioned: bool) -> None:
    if partitioned:
        town.execute("DROP TABLE dim_parcels, fact_line")
        town.configure(lines={"partition_by": {"column": "at", "interval": "month"}})
    town.bring("parcels", "parcel_id,order_id,line_no\n1,5,1\n2,5,2\n3,5,\n")
    marks = "SELECT order_id, line_no, _placeholder FROM fact_line ORDER BY 1, 2"
    assert town.rows(marks) == [(5, 1, True), (5, 2, True)]
    town.adds_up()
    parent = town.bring("lines", "order_id,line_no,at\n5,1,2026-11-01\n6,1,2026-11-01\n")
    assert figures(parent) == (2, 0, 0, 0)
    assert town.rows(marks) == [(5, 1, False), (5, 2, True), (6, 1, False)]
    town.adds_up()
    town.undo(parent)
    assert town.rows(marks) == [(5, 1, True), (5, 2, True)]
    town.adds_up()
    again = town.bring("lines", "order_id,line_no,at\n5,2,2026-10-01\n5,1,2026-11-02\n")
    assert figures(again) == (2, 0, 0, 0)
    town.adds_up()


@pytest.mark.parametrize("keep", ["first", "history"])
@pytest.mark.parametrize("indexes", [[], ["customer_id"]])
def test_what_is_taken_from_a_parent_is_taken_when_it_comes(town: Town, indexes: list[str], keep: str) -> None:
    taken = {"name": {"lookup": {"from": "customers", "by": "customer_id", "take": "name"}}}
    town.execute("DROP TABLE fact_sale")
    town.configure(orders={"derive": taken, "indexes": indexes, "keep": keep})
    town.bring("customers", CUSTOMERS + "9,Eve,\n")
    town.bring("orders", ORDERS + "1,7,10\n2,8,10\n3,9,10\n")
    parent = town.bring("customers", CUSTOMERS + "7,Ann,\n")
    tables = ("fact_sale", "fact_sale_history")[: 1 if keep == "first" else 2]
    names = [town.rows(f"SELECT order_id, name FROM {table} ORDER BY 1") for table in tables]
    assert names == [[(1, "Ann"), (2, None), (3, "Eve")]] * len(tables)
    town.adds_up()
    town.undo(parent)
    names = [town.rows(f"SELECT order_id, name FROM {table} ORDER BY 1") for table in tables]
    assert names == [[(1, None), (2, None), (3, "Eve")]] * len(tables)


def test_what_is_taken_from_a_parent_that_comes_meanwhile_is_taken_at_the_end(town: Town) -> None:
    taken = {"name": {"lookup": {"from": "customers", "by": "customer_id", "take": "name"}}}
    town.execute("DROP TABLE fact_sale")
    town.configure(orders={"derive": taken})
    town.bring("orders", ORDERS + "1,7,10\n")
    job = town.job("orders", ORDERS + "2,7,10\n")

    def while_loaded(_job: object, _rows: int) -> None:
        if town.placeholders():
            town.bring("customers", CUSTOMERS + "7,Ann,\n")

    FileLoad(town.warehouse, town.config, PiiHandler(KEY), progress=while_loaded).run(job)
    assert town.rows("SELECT order_id, name FROM fact_sale ORDER BY 1") == [(1, "Ann"), (2, "Ann")]


# ---------------------------------------------------------------- taking back


def test_undo_of_a_child_takes_placeholders_that_nobody_else_needs(town: Town) -> None:
    one = town.bring("orders", ORDERS + "1,7,10\n2,8,10\n3,9,10\n")
    town.bring("orders", ORDERS + "4,8,10\n")
    town.bring("customers", CUSTOMERS + "9,Ann,\n")
    town.undo(one)
    assert [row[0] for row in town.customers()] == [8, 9]
    assert town.placeholders() == [8]
    town.adds_up()


def test_undo_of_a_parent_leaves_placeholders_for_those_who_refer_to_it(town: Town) -> None:
    parent = town.bring("customers", CUSTOMERS + "7,Ann,\n8,Bob,\n")
    town.bring("orders", ORDERS + "1,7,10\n")
    town.undo(parent)
    assert town.customers() == [(7, None, None, True, 0)]
    town.adds_up()


def test_undo_of_a_parent_is_refused_while_a_row_needs_it(town: Town) -> None:
    parent = town.bring("customers", CUSTOMERS + "7,Ann,\n")
    town.configure(orders={"if_parent_missing": "wait"})
    town.bring("orders", ORDERS + "1,7,10\n")
    with pytest.raises(ConfigError, match="other rows depend on what it brought"):
        town.undo(parent)


def test_the_order_of_files_and_of_what_is_undone_makes_no_difference(town: Town) -> None:
    files = [
        ("orders", ORDERS + "1,7,10\n2,8,20\n"),
        ("customers", CUSTOMERS + "7,Ann,xyz\n"),
        ("cities", "code\nxyz\n"),
    ]
    town.configure(customers={"if_parent_missing": "placeholder"})
    extra = ("orders", ORDERS + "3,8,10\n4,9,10\n")
    seen = set()
    for order in itertools.permutations([*files, extra]):
        loaded = {name_and_text: town.bring(*name_and_text) for name_and_text in order}
        town.undo(loaded[extra])
        town.undo(loaded[files[1]])
        again = town.bring("customers", files[1][1] + "\n")
        assert again.inserted == 1
        seen.add((*(row[:4] for row in town.customers()), *town.rows("SELECT order_id FROM fact_sale ORDER BY 1")))
        assert town.rows("SELECT code, _placeholder FROM dim_cities") == [("xyz", False)]
        town.execute("TRUNCATE fact_sale, dim_customers, dim_cities CASCADE; DELETE FROM pipeline_file_log")
    assert seen == {((7, "Ann", "xyz", False), (8, None, None, True), (1,), (2,))}


def test_a_row_that_was_cut_leaves_no_placeholder(town: Town) -> None:
    text = "order_id,amount,customer_id\n1,10,7\n2,20,1"
    job = town.job("orders", text)
    loader = FileLoad(town.warehouse, town.config, PiiHandler(KEY))
    assert figures(loader.run(job)) == (2, 0, 0, 0)
    assert town.placeholders() == [1, 7]
    former = Content(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), len(text))
    job.path.write_text(text + "5\n3,30,1")
    outcome = loader.run(job.evolve(former=former))
    assert "corrected: record 2" in outcome.continues
    assert town.rows("SELECT order_id, customer_id FROM fact_sale ORDER BY 1") == [(1, 7), (2, 15), (3, 1)]
    assert town.placeholders() == [1, 7, 15]
    job.path.write_text(text + "5\n3,30,19\n")
    loader.run(job.evolve(former=Content(outcome.job.md5, outcome.job.size)))
    assert town.placeholders() == [7, 15, 19]
    town.adds_up()


def test_a_trigger_of_the_users_on_the_parents_table_fires_for_a_placeholder(town: Town) -> None:
    town.execute(
        "CREATE TABLE audit (id int); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NULL; END $$;"
        "CREATE TRIGGER note AFTER INSERT OR UPDATE ON dim_customers FOR EACH ROW EXECUTE FUNCTION note()"
    )
    town.bring("orders", ORDERS + "1,7,10\n")
    assert town.rows("SELECT id FROM audit") == [(7,)]
    town.bring("customers", CUSTOMERS + "7,Ann,\n")
    assert town.rows("SELECT id FROM audit") == [(7,), (7,)]


# ---------------------------------------------------------------- other roads


def test_rows_that_waited_are_replayed_with_placeholders(town: Town) -> None:
    town.configure(orders={"if_parent_missing": "wait"})
    outcome = town.bring("orders", ORDERS + "1,7,10\n2,8,10\n")
    assert outcome.orphans == 2
    town.configure()
    town.run("quarantine", "replay", "--table", "orders", "--yes")
    assert town.placeholders() == [7, 8]
    assert town.rows("SELECT inserted_records, quarantined FROM pipeline_file_log") == [(2, 0)]
    town.adds_up()


def test_a_row_that_heals_gets_a_placeholder_for_its_other_parent(town: Town) -> None:
    town.configure(customers={"if_parent_missing": "wait"}, orders={"foreign_keys": {"customer_id": "customers"}})
    town.bring("customers", CUSTOMERS + "7,Ann,xyz\n")
    town.bring("orders", ORDERS + "1,7,10\n")
    town.bring("cities", "code\nxyz\n")
    assert town.customers()[0][1:3] == ("Ann", "xyz")
    assert town.placeholders() == []
    town.adds_up()


def test_reprocess_puts_back_rows_with_placeholders(town: Town) -> None:
    outcome = town.bring("orders", ORDERS + "1,7,10\n2,8,10\n")
    town.execute("DELETE FROM fact_sale WHERE order_id = 2; DELETE FROM dim_customers WHERE id = 8")
    town.run("reprocess", outcome.file_id, "--yes")
    assert town.rows("SELECT order_id FROM fact_sale ORDER BY 1") == [(1,), (2,)]
    assert town.placeholders() == [7, 8]
    town.adds_up()


# ---------------------------------------------------------------- null


def test_a_row_without_its_parent_is_loaded_and_refers_to_nothing(town: Town) -> None:
    town.configure(orders={"if_parent_missing": None})
    town.bring("customers", CUSTOMERS + "7,Ann,\n")
    outcome = town.bring("orders", ORDERS + "1,7,10\n2,8,20\n3,9,-1\n4,,5\n")
    assert figures(outcome) == (3, 0, 0, 1)
    assert outcome.without_parent == {"customer_id": 1}
    assert town.rows("SELECT order_id, customer_id FROM fact_sale ORDER BY 1") == [(1, 7), (2, None), (4, None)]
    town.adds_up()


def test_all_columns_of_a_key_are_null_without_its_parent(town: Town) -> None:
    town.configure(parcels={"foreign_keys": {"order_id, line_no": {"to": "lines", "if_missing": None}}})
    one, other = town.together(
        "parcels", "parcel_id,order_id,line_no\n1,5,1\n", "parcel_id,order_id,line_no\n2,6,\n3,5,1\n"
    )
    assert (one.without_parent, other.without_parent) == ({"order_id, line_no": 1}, {"order_id, line_no": 1})
    assert town.rows("SELECT parcel_id, order_id, line_no FROM dim_parcels ORDER BY 1") == [
        (1, None, None),
        (2, 6, None),
        (3, None, None),
    ]
    town.adds_up()


# ---------------------------------------------------------------- told


def test_placeholders_are_told_until_the_last_has_gone(town: Town) -> None:
    outcome = town.bring("orders", ORDERS + "1,7,10\n2,8,10\n")
    assert "2 placeholders of customers" in console_line(outcome, "x")
    words(town.run("status", expect=None), ["2 rows of dim_customers are placeholders", "WHERE _placeholder"])
    words(town.run("explain", "customers", 7, expect=0), ["id 7 is a placeholder"])
    words(town.run("explain", "orders", 1), ["customer_id: a placeholder: it has not come yet"])
    town.bring("customers", CUSTOMERS + "7,Ann,\n8,Bob,\n")
    assert "are placeholders" not in town.run("status", expect=None)
    assert "placeholder:" not in town.run("explain", "orders", 1)


def test_a_row_that_lost_its_parent_is_told(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    town.configure(orders={"if_parent_missing": None})
    outcome = town.bring("orders", ORDERS + "1,7,10\n2,8,10\n3,,10\n")
    told = "2 without their parent by customer_id"
    assert told in console_line(outcome, "x")
    report(outcome, "x", Summary(), alert_above=50)
    assert told in caplog.text
    words(town.run("explain", "orders", 2), ["customer_id: null: 8 was not there when the row was loaded"])
    assert "was not there" not in town.run("explain", "orders", 3)


def test_a_check_tells_which_rows_would_be_loaded_without_their_parents(town: Town) -> None:
    town.bring("customers", CUSTOMERS + "7,Ann,\n")
    town.configure(parcels={"foreign_keys": {"order_id, line_no": {"to": "lines", "if_missing": None}}})
    path = town.job("orders", ORDERS + "1,7,10\n2,8,10\n3,9,-1\n").path
    words(
        town.run("check", path, "--database", expect=1), ["1 good rows have no parent by customer_id (customers)"]
    )
    path = town.job("parcels", "parcel_id,order_id,line_no\n1,5,1\n").path
    words(town.run("check", path, "--database"), ["1 good rows", "they will refer to nothing"])
    assert town.placeholders() == []


# ---------------------------------------------------------------- tables that are there


def test_a_start_lets_the_tables_of_an_earlier_configuration_have_placeholders(town: Town) -> None:
    plain: dict[str, dict[str, Any]] = {name: {"if_parent_missing": "wait"} for name in TYPES}
    plain["parcels"] |= {"foreign_keys": {"order_id, line_no": "lines"}}
    plain["staff"] |= {"foreign_keys": {"boss": "staff"}}
    town.execute("DROP TABLE fact_sale, dim_customers, dim_cities, dim_parcels, fact_line, dim_staff")
    town.configure(**plain)
    town.bring("customers", CUSTOMERS + "1,Ann,\n")
    town.configure()
    town.bring("orders", ORDERS + "1,7,10\n")
    assert town.customers()[1] == (7, None, None, True, 0)
    town.adds_up()
    town.configure(**plain)  # and back: those that are there still give way
    town.bring("customers", CUSTOMERS + "7,Bob,\n")
    assert town.customers()[1][:4] == (7, "Bob", None, False)
    town.adds_up()


# ---------------------------------------------------------------- side by side


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize("row", ["(7, NULL, 0, true)", "(7, 'Ann', 99, false)"])
def test_loads_that_bring_one_parent_wait_for_each_other(town: Town, ends: str, row: str) -> None:
    outcomes: list[FileOutcome] = []
    with town.warehouse.transaction() as tx:
        tx.execute(f"INSERT INTO dim_customers (id, name, _file_id, _placeholder) VALUES {row}")
        thread = threading.Thread(target=lambda: outcomes.append(town.bring("orders", ORDERS + "1,7,10\n")))
        thread.start()
        wait_until(lambda: bool(town.rows("SELECT 1 FROM pg_locks WHERE NOT granted")), "a load waits")
        tx.execute(ends)
    thread.join()
    assert [figures(outcome) for outcome in outcomes] == [(1, 0, 0, 0)]
    made = 1 if ends == "ROLLBACK" else 0
    assert sum(outcomes[0].placeholders.values()) == made
    assert town.rows("SELECT customer_id FROM fact_sale") == [(7,)]
    assert town.placeholders() == ([7] if made or "true" in row else [])


def test_a_role_without_rights_beyond_a_loaders_makes_and_fills_placeholders(town: Town) -> None:
    """With the foreign keys' triggers on: it may not leave them out."""
    town.execute(
        "CREATE ROLE plain_loader NOSUPERUSER;"
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO plain_loader;"
        "GRANT DELETE ON pipeline_file_log, quarantine, orphan_wait, true_orphan TO plain_loader;"
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO plain_loader;"
        f"ALTER DATABASE {town.one('SELECT current_database()')} SET role = plain_loader"
    )
    plain = Warehouse(town.config.database, town.home)
    plain.open()
    try:
        town.warehouse, admin = plain, town.warehouse
        assert town.one("SELECT current_user") == "plain_loader"
        town.bring("orders", ORDERS + "1,7,10\n2,8,20\n")
        town.bring("orders", ORDERS + "1,9,10\n")  # what it made for nothing it may not delete
        parent = town.bring("customers", CUSTOMERS + "7,Ann,\n9,Bob,\n")
        assert figures(parent) == (2, 0, 0, 0)
        assert town.placeholders() == [8]
    finally:
        town.warehouse = admin
        plain.close()
        town.execute(
            f"ALTER DATABASE {town.one('SELECT current_database()')} RESET role; DROP OWNED BY plain_loader;"
            "DROP ROLE plain_loader"
        )
    town.adds_up()
