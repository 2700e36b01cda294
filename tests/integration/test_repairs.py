"""Files undone, reprocessed and backfilled; persons erased: the books hold after each step."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pytest
import yaml

from config.jobs import Status
from config.settings import DatabaseConfig
from datawarehouse.erasure import erase, read_erasures
from datawarehouse.quarantine.retry import OrphanRetry
from tests.acceptance.daemon import SHIPPED_CONFIG, wait_until
from tests.integration.putting_right import (
    CUSTOMERS,
    KEY,
    ORDERS,
    Site,
    customer,
    first_rows_stay,
    order,
    update_if_newer,
    words,
)
from validation.pii_handler import PiiHandler
from workbench.writing import Workplace


def rules(monkeypatch: pytest.MonkeyPatch, folder: Path, schema: str, column: str, **changes: object) -> None:
    """From now on the shipped configuration with another `column`."""
    config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    (found,) = (c for c in config["schemas"][schema]["columns"] if c["name"] == column)
    found.update(changes)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))


# ---------------------------------------------------------------- undo


def test_a_file_is_undone_when_nothing_depends_on_it(site: Site) -> None:
    first = site.load("customers.csv", CUSTOMERS + customer(1) + customer(2) + customer(3, region=9))
    site.load("more/customers.csv", CUSTOMERS + customer(2) + customer(4, gender="x"))
    orders = site.load("orders.csv", ORDERS + order("a") + order("b", customer_id=3) + order("c", amount=-1))
    said = site.run("undo", first.file_id, "--yes", expect=2)
    words(said, ["other rows depend on what it brought", "fact_order: 1 rows of files 3, by customer_id 1"])
    site.check_books()
    words(site.run("undo", orders.file_id, "--dry-run"), ["nothing was changed", "1 rows and 2 quarantined rows"])
    assert site.one("SELECT count(*) FROM fact_order") == 1
    words(site.run("undo", orders.file_id, "--yes"), ["1 rows and 2 quarantined rows taken back"])
    assert site.rows("SELECT * FROM fact_order") == []
    site.check_books()
    said = site.run("undo", first.file_id, "--yes")
    words(said, ["1 rows and 1 quarantined rows", "1 rows as they were before", "1 later files"])
    assert site.rows("SELECT customer_id FROM dim_customer") == [(2,)], "the second file tells of it, too"
    assert site.one("SELECT count(*) FROM quarantine") == 1
    words(site.run("undo", first.file_id, "--yes", expect=2), ["is undone"])
    words(site.run("undo", 999, "--yes", expect=2), ["no file 999"])


def test_undone_content_is_loaded_again_only_by_reprocess(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first_rows_stay(monkeypatch, tmp_path)
    text = CUSTOMERS + customer(1) + customer(2, gender="x")
    first = site.load("customers.csv", text)
    second = site.load("more/customers.csv", CUSTOMERS + customer(1, region=1, name="other") + customer(5))
    site.run("undo", first.file_id, "--yes")
    assert site.load("customers.csv", text).status is Status.ALREADY_DONE
    assert site.load("renamed/customers.csv", text).status is Status.ALREADY_DONE
    # What the second file had counted as there is in no table now.
    words(site.run("reprocess", second.file_id, "--yes"), ["1 rows that were in no table any more loaded"])
    assert site.one("SELECT full_name, _file_id FROM dim_customer WHERE customer_id = 1") == (
        "other",
        second.file_id,
    )
    site.check_books()
    there = "1 already there (1 changed, not applied), 1 quarantined"
    words(site.run("reprocess", first.file_id, "--yes"), [there])
    assert site.rows("SELECT status FROM pipeline_file_log") == [("success",), ("success",)]


def test_a_file_that_updated_rows_is_not_undone(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    update_if_newer(monkeypatch, tmp_path, "customers.csv")
    outcome = site.load("customers.csv", CUSTOMERS + customer(1))
    site.execute("UPDATE pipeline_file_log SET updated_records = 1, inserted_records = 0")
    words(site.run("undo", outcome.file_id, "--yes", expect=2), ["replaced 1 rows of earlier files"])


def test_a_child_that_is_loaded_meanwhile_keeps_its_parent(site: Site) -> None:
    """The foreign keys' triggers are off for the load, and still undo can't take the parent away."""
    outcome = site.load("customers.csv", CUSTOMERS + customer(1))
    said: list[str] = []
    undoing = threading.Thread(target=lambda: said.append(site.run("undo", outcome.file_id, "--yes", expect=2)))
    with site.warehouse.transaction() as tx:
        tx.execute("SELECT 1 FROM dim_customer WHERE customer_id = 1 FOR KEY SHARE")
        undoing.start()
        wait_until(lambda: site.one("SELECT count(*) FROM pg_locks WHERE NOT granted"), "undo waits")
        tx.execute("SET LOCAL session_replication_role = replica")
        tx.execute(
            "INSERT INTO fact_order (order_id, customer_id, payment_method, _file_id) VALUES ('a', 1, 'x', 0)"
        )
    undoing.join(20)
    words(said[0], ["rows that depend on it came meanwhile"])
    assert site.one("SELECT count(*) FROM dim_customer") == 1


def test_undoing_the_last_file_of_a_day_removes_its_backup(site: Site) -> None:
    outcome = site.load("customers.csv", CUSTOMERS + customer(1, gender="x"))
    assert list((site.home / "data/quarantine").rglob("*.csv"))
    site.run("undo", outcome.file_id, "--yes")
    assert list((site.home / "data/quarantine").rglob("*.csv")) == []
    assert site.backup.reconcile(missing_files=True) == 0


def test_what_a_killed_command_leaves_undone_the_service_does(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the CSV backup and the healing of orphans is in the transaction, and these two come again."""
    gone = site.load("customers.csv", CUSTOMERS + customer(1, gender="x"))
    site.load("more/customers.csv", CUSTOMERS + customer(2, gender="x"))
    site.load("orders.csv", ORDERS + order("a", customer_id=2))
    monkeypatch.setattr(Workplace, "follow_up", lambda *_: 0)
    (row,) = site.quarantined(customer_id=2)[:1]
    site.run("quarantine", "edit", row, "--set", "gender=male", "--yes")
    site.run("quarantine", "replay", row, "--yes")
    site.run("undo", gone.file_id, "--yes")
    assert OrphanRetry(site.warehouse, site.config).everything() == 1
    site.backup.reconcile()


# ---------------------------------------------------------------- reprocess


@pytest.mark.parametrize("chunk_rows", [2, 50_000])
def test_reprocess_without_a_changed_rule_changes_nothing(
    site: Site, chunk_rows: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    config["reader"]["chunk_rows"] = chunk_rows
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(tmp_path / "config.yaml"))
    text = CUSTOMERS + customer(1) + customer(1) + customer(2, gender="x") + customer(3, region=9) + "1,2\n"
    site.load("before/customers.csv", CUSTOMERS + customer(4))
    outcome = site.load("customers.csv", text + customer(4) + customer(4))
    tables = "SELECT to_jsonb(q) - 'retry_count' FROM quarantine q ORDER BY quarantine_id"
    log = "SELECT * FROM pipeline_file_log ORDER BY file_id"
    before = site.rows(tables), site.rows(log), site.rows("SELECT * FROM dim_customer ORDER BY 1")
    words(
        site.run("reprocess", outcome.file_id, "--yes", expect=1), ["0 loaded, 0 already there, 5 refused again"]
    )
    assert (site.rows(tables), site.rows(log), site.rows("SELECT * FROM dim_customer ORDER BY 1")) == before


def test_reprocess_judges_the_file_by_todays_rules(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a hash hides is judged too: the file is read, not the quarantine."""
    text = (
        CUSTOMERS
        + customer(1)
        + customer(2, "b@example.org")
        + customer(3, "nothing")
        + customer(4, "@", gender="x")
    )
    outcome = site.load("customers.csv", text)
    (four,) = site.quarantined(customer_id=4)
    site.run("quarantine", "discard", four, "--reason", "no", "--yes")
    rules(monkeypatch, tmp_path, "customers", "email", rules={"matches": ".+@example.(org|net)"})
    said = site.run("reprocess", outcome.file_id, "--yes", expect=1)
    words(
        said,
        ["1 loaded, 0 already there, 1 refused again", "1 loaded rows break a rule of today (email: matches)"],
    )
    assert site.rows("SELECT customer_id, email FROM dim_customer WHERE customer_id = 2") == [
        (2, PiiHandler(KEY).hash_text("b@example.org"))
    ]
    assert site.one("SELECT rejection_reason FROM quarantine WHERE resolution IS NULL") == "email: matches"


def test_reprocess_wants_the_same_content(site: Site) -> None:
    outcome = site.load("customers.csv", CUSTOMERS + customer(1, gender="x"))
    path = site.home / "data/customers.csv"
    path.write_text(CUSTOMERS)
    words(site.run("reprocess", outcome.file_id, "--yes", expect=2), ["has other content by now"])
    path.unlink()
    words(site.run("reprocess", outcome.file_id, "--yes", expect=2), ["not there any more"])


def test_a_failed_file_is_forgotten_and_loaded(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = site.load("categories.csv", "category_id,category_name\n2,a\n".replace("_name", "_title"))
    words(site.run("reprocess", failed.file_id, "--yes", expect=1), ["failed again"])
    failed_id = site.one("SELECT file_id FROM pipeline_file_log WHERE status = 'failed'")
    rules(monkeypatch, tmp_path, "categories", "category_name", name="category_title", stored_as="category_name")
    words(site.run("reprocess", failed_id, "--yes"), ["1 loaded", f"file {failed_id} is file"])


# ---------------------------------------------------------------- backfill


def test_backfill_loads_the_days_asked_for_and_no_others(site: Site) -> None:
    def put(relative: str, text: str) -> None:
        path = site.home / "data/input" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        number = int(day[-1]) + 10
        put(f"batch/{day}/customers.csv", CUSTOMERS + customer(number))
        put(f"stream/{day}/09/orders.json", "[]" if number == 13 else f'[{{"order_id": "{day}"}}]')
    words(
        site.run("backfill", "--from", "2026-01-02", "--to", "2026-01-03", "--type", "customers"),
        ["2 files loaded"],
    )
    assert site.rows("SELECT customer_id FROM dim_customer ORDER BY 1") == [(12,), (13,)]
    said = site.run("backfill", "--from", "2026-01-02", "--to", "2026-01-03", expect=1)
    words(said, ["✗ 2026-01-02/09/orders.json", "1 files loaded, 1 failed, 0 already done"])
    words(
        site.run("backfill", "--from", "2026-01-02", "--to", "2026-01-02", "--type", "x", expect=2),
        ["no file type"],
    )
    assert site.one("SELECT count(*) FROM pipeline_file_log WHERE file_path LIKE '%%2026-01-01%%'") == 0


# ---------------------------------------------------------------- erase


def test_an_erased_person_is_nowhere_and_stays_away(site: Site) -> None:
    lines = customer(1, name="Nadia") + customer(1, name="Nadia Twin") + customer("1.0", name="Nadia", gender="x")
    site.load("customers.csv", CUSTOMERS + lines + customer(11, name="Other", gender="y"))
    site.load("orders.csv", ORDERS + order("a"))
    bad = site.quarantined(gender="x")[0]
    site.run("quarantine", "edit", bad, "--set", "full_name=Nadia B", "--yes")
    words(site.run("erase", "--customer-key", "1", "--dry-run"), ["1 rows and 2 quarantined rows blanked"])
    words(site.run("erase", "--customer-key", "1", "--yes"), ["1 rows and 2 quarantined rows blanked"])
    blank = ("erased", None, None, None, None)
    person = "SELECT full_name, email, phone, gender, signup_date FROM dim_customer WHERE customer_id = 1"
    assert site.one(person) == blank
    assert site.one("SELECT count(*) FROM fact_order WHERE customer_id = 1") == 1
    site.check_books()
    site.load("next/customers.csv", CUSTOMERS + customer(1, name="Nadia") + customer(1, "none", name="Nadia"))
    site.load("third/customers.csv", CUSTOMERS + customer(2) + customer(" 1", name="Nadia", gender="z"))
    site.check_books()
    assert site.one(person) == blank
    words(
        site.run("quarantine", "edit", bad, "--set", "full_name=Nadia", "--yes", expect=2),
        ["this person was erased"],
    )
    site.run("erase", "--customer-key", "5", "--yes")  # nobody yet
    site.load("fourth/customers.csv", CUSTOMERS + customer(5, name="Nadia"))
    assert site.one("SELECT full_name, email FROM dim_customer WHERE customer_id = 5") == ("erased", None)
    found = site.rows(
        "SELECT 1 FROM quarantine q WHERE to_jsonb(q)::text ~* 'nadia' UNION ALL"
        " SELECT 1 FROM quarantine_history h WHERE to_jsonb(h)::text ~* 'nadia'"
    )
    assert found == []
    for path in (site.home / "data/quarantine").rglob("*.csv"):
        assert "Nadia" not in path.read_text()
    assert site.quarantined(full_name="Other")


def test_nobody_is_erased_while_a_file_that_may_name_them_is_loaded(site: Site) -> None:
    site.load("customers.csv", CUSTOMERS + customer(1))
    config, done = site.config, threading.Event()

    def erase_one() -> None:
        with site.warehouse.transaction() as tx:
            erase(tx, config, "dim_customer", "1", "tester")
        done.set()

    thread = threading.Thread(target=erase_one)
    with site.warehouse.transaction() as tx:
        assert not read_erasures(tx, config.by_logical_name["customers"], config)
        thread.start()
        assert not done.wait(0.5)
    assert done.wait(10)
    thread.join()


def test_an_update_does_not_bring_an_erased_person_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    update_if_newer(monkeypatch, tmp_path, "customers.csv")
    site.load("customers.csv", CUSTOMERS + customer(1))
    site.run("erase", "--table", "dim_customer", "--key", "1", "--yes")
    newer = customer(1, name="Nadia").replace("2026-01-01\n", "2026-03-01\n")
    outcome = site.load("newer/customers.csv", CUSTOMERS + newer)
    assert outcome.updated == 1
    person = "SELECT full_name, email, gender, updated_at FROM dim_customer WHERE customer_id = 1"
    assert site.one(person) == ("erased", None, None, dt.datetime(2026, 3, 1))
    # The row belongs to the newer file now; the books of the older one stay as they were.
    site.execute(
        "UPDATE pipeline_file_log SET already_present = 1, inserted_records = 0 WHERE updated_records = 0"
    )


def test_only_persons_can_be_erased(site: Site) -> None:
    words(site.run("erase", "--table", "dim_region", "--key", "1", "--yes", expect=2), ["no table with personal"])
    words(site.run("erase", "--customer-key", "x", "--yes", expect=2), ["are of dtype int"])
    words(site.run("erase", "--key", "1", "--yes", expect=2), ["give --TYPE-key KEY"])
    words(site.run("erase", "--customer-key", "77", "--yes"), ["No row has this key now"])


# ---------------------------------------------------------------- rights


def test_a_role_that_does_not_own_the_tables_is_told_what_it_lacks(
    site: Site, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.load("orders.csv", ORDERS + order("a", amount=-1))
    (row,) = site.quarantined(order_id="a")
    site.execute("CREATE ROLE visitor; GRANT SELECT ON ALL TABLES IN SCHEMA public TO visitor")
    monkeypatch.setenv("DATABASE_URL", f"{database.url}&options=-c%20role%3Dvisitor")
    said = site.run("quarantine", "discard", row, "--reason", "x", "--yes", expect=2)
    words(said, ["needs the role that owns the tables, and visitor does not own pipeline_file_log, quarantine"])
    site.execute("DROP OWNED BY visitor; DROP ROLE visitor")
