"""After whatever an operator did, the books say what is in the tables, and `verify` adds up."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import pytest
import yaml

from config.jobs import FileOutcome
from ingestion.file_tracker import FileTracker
from ingestion.retention import Retention
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.integration.putting_right import (
    CUSTOMERS,
    ORDERS,
    Site,
    customer,
    first_rows_stay,
    order,
    update_if_newer,
    words,
)
from workbench.verify import run_checks

pytestmark = pytest.mark.usefixtures("first_rows")
BOOKS = (
    "SELECT total_records, valid_records, quarantined, inserted_records, already_present, updated_records"
    " FROM pipeline_file_log WHERE file_id = %s"
)


def relaxed(monkeypatch: pytest.MonkeyPatch, folder: Path, **keys: object) -> None:
    """From now on the shipped configuration, where any gender will do."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    for column in config["schemas"]["customers"]["columns"]:
        if column["name"] == "gender":
            column.pop("allowed_values")
    config |= keys
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))


def prune(site: Site, days: int = 40) -> None:
    """Let retention work, on rows that are so old."""
    age = f"- interval '{days} days'"
    site.execute(f"UPDATE quarantine SET quarantined_at = quarantined_at {age}")
    site.execute(f"UPDATE pipeline_file_log SET processed_at = processed_at {age}, backup_written = false")
    site.backup.reconcile()
    for path in (site.home / "data/quarantine").rglob("quarantined_*.csv"):
        if path.name.endswith(f"{dt.datetime.now(dt.UTC):%Y-%m-%d}.csv"):
            path.unlink()
    config = site.config
    kept = config.retention.model_copy(update={"quarantine_days": 30, "logs_days": None, "tracker_days": None})
    tracker = FileTracker(config.path(config.tracker.db_path))
    config = config.model_copy(update={"retention": kept})
    Retention(config, site.warehouse, tracker, site.backup).prune()
    tracker.close()


def keeping(monkeypatch: pytest.MonkeyPatch, folder: Path, days: int = 30) -> None:
    """From now on a configuration that keeps refused rows for so long."""
    path = folder / "config.yaml"
    path = path if path.exists() else SHIPPED_CONFIG
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["retention"] = {"quarantine_days": days}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(folder / "config.yaml"))


def books(site: Site, file: FileOutcome) -> tuple[int, ...]:
    return tuple(site.one(BOOKS, file.file_id))


# ---------------------------------------------------------------- retention, then reprocess


@pytest.mark.parametrize("discarded", [False, True])
def test_a_pruned_row_that_passes_by_now_is_loaded_and_counted(
    site: Site, discarded: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Retention forgets a discarded row with all that was said of it."""
    file = site.load("customers.csv", CUSTOMERS + customer(1) + customer(2, gender="x"))
    if discarded:
        site.run("quarantine", "discard", *site.quarantined(customer_id=2), "--reason", "no", "--yes")
    keeping(monkeypatch, tmp_path)
    prune(site)
    assert site.rows("SELECT 1 FROM quarantine") == []
    relaxed(monkeypatch, tmp_path, retention={"quarantine_days": 30})
    words(site.run("reprocess", file.file_id, "--yes"), ["1 rows that were in no table any more loaded"])
    assert books(site, file) == (2, 2, 0, 2, 0, 0)
    site.check_books()


def test_a_pruned_row_that_is_refused_again_comes_back_into_quarantine(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Retention had removed its values, not the verdict; a row that is no loaded one is not told as one."""
    lines = customer(1) + customer(2, gender="x") + customer(1) + customer(3, region=9) + "1,2\n"
    file = site.load("customers.csv", CUSTOMERS + lines + customer(1, gender="x"))
    keeping(monkeypatch, tmp_path)
    prune(site)
    before = books(site, file)
    said = site.run("reprocess", file.file_id, "--yes", expect=1)
    assert "break a rule of today" not in " ".join(said.split())
    assert books(site, file) == before == (6, 1, 5, 1, 0, 0)
    found = site.rows("SELECT row_number, rejection_reason FROM quarantine ORDER BY 1")
    assert [number for number, _ in found] == [2, 3, 4, 5, 6]
    site.check_books()
    site.run("reprocess", file.file_id, "--yes", expect=1)
    assert site.rows("SELECT row_number, rejection_reason FROM quarantine ORDER BY 1") == found
    site.execute("INSERT INTO dim_region VALUES (9, 'q', 1, 1, 'c', 0)")
    site.run("reprocess", file.file_id, "--yes", expect=1)
    assert books(site, file) == (6, 2, 4, 2, 0, 0)


def test_replay_after_a_prune_moves_what_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Open orphans outlast retention."""
    lines = customer(1) + customer(2, gender="x") + customer(3, region=9)
    file = site.load("customers.csv", CUSTOMERS + lines)
    keeping(monkeypatch, tmp_path)
    prune(site)
    site.execute("INSERT INTO dim_region VALUES (9, 'q', 1, 1, 'c', 0)")
    site.run("quarantine", "replay", *site.quarantined(customer_id=3), "--yes")
    assert books(site, file) == (3, 2, 1, 2, 0, 0)
    assert [c.differences for c in run_checks(site.warehouse, site.config)[2:3]] == [[]]
    site.run("reprocess", file.file_id, "--yes", expect=1)
    site.check_books()


# ---------------------------------------------------------------- discarded rows


def test_a_discarded_row_stays_discarded_and_in_the_books(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = customer(1, gender="x") + customer(1) + customer(2) + customer(2) + customer(3, region=9)
    file = site.load("customers.csv", CUSTOMERS + lines)
    ids = [row[0] for row in site.rows("SELECT quarantine_id FROM quarantine")]
    site.run("quarantine", "discard", *ids, "--reason", "no", "--yes")
    for _ in range(2):
        site.run("reprocess", file.file_id, "--yes")
        assert books(site, file) == (5, 2, 3, 2, 0, 0)
        site.check_books()
    relaxed(monkeypatch, tmp_path)
    site.run("reprocess", file.file_id, "--yes")
    assert books(site, file) == (5, 2, 3, 2, 0, 0)
    site.check_books()
    site.run("undo", file.file_id, "--yes")
    assert site.rows("SELECT 1 FROM quarantine_history") == []


def test_a_discarded_row_whose_key_another_row_brings_stays_refused(site: Site) -> None:
    file = site.load("customers.csv", CUSTOMERS + customer(1, gender="x") + customer(2))
    site.run("quarantine", "discard", *site.quarantined(customer_id=1), "--reason", "no", "--yes")
    site.load("more/customers.csv", CUSTOMERS + customer(1))
    site.run("reprocess", file.file_id, "--yes")
    assert books(site, file) == (2, 1, 1, 1, 0, 0)
    site.check_books()


# ---------------------------------------------------------------- rows deleted by hand


def test_a_row_deleted_by_hand_comes_back_and_is_counted_once(site: Site) -> None:
    first = site.load("customers.csv", CUSTOMERS + customer(2))
    file = site.load("more/customers.csv", CUSTOMERS + customer(1) + customer(2))
    site.execute("DELETE FROM dim_customer WHERE customer_id = 1")
    words(site.run("reprocess", file.file_id, "--yes"), ["1 rows that were in no table any more loaded"])
    assert books(site, file) == (2, 2, 0, 1, 1, 0)
    assert books(site, first) == (1, 1, 0, 1, 0, 0)
    site.check_books()


def test_a_row_that_another_file_brought_back_is_counted_there(site: Site) -> None:
    first = site.load("customers.csv", CUSTOMERS + customer(2) + customer(3))
    file = site.load("more/customers.csv", CUSTOMERS + customer(1) + customer(2))
    site.execute("DELETE FROM dim_customer WHERE customer_id = 2")
    site.run("reprocess", file.file_id, "--yes")
    assert books(site, file) == (2, 2, 0, 2, 0, 0)
    site.run("reprocess", first.file_id, "--yes")
    assert books(site, first) == (2, 2, 0, 1, 1, 0)
    site.check_books()


def test_a_row_deleted_by_hand_that_is_refused_by_now_goes_to_quarantine(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    relaxed(monkeypatch, tmp_path)
    file = site.load("customers.csv", CUSTOMERS + customer(1, gender="x") + customer(2, gender="y"))
    site.execute("DELETE FROM dim_customer WHERE customer_id = 1")
    first_rows_stay(monkeypatch, site.home)
    said = site.run("reprocess", file.file_id, "--yes", expect=1)
    words(said, ["1 loaded rows break a rule of today (gender: allowed_values)"])
    assert books(site, file) == (2, 1, 1, 1, 0, 0)
    assert len(site.quarantined(customer_id=1)) == 1
    site.check_books()


def test_a_healed_row_that_is_gone_and_refused_by_now_is_open_again(site: Site) -> None:
    file = site.load("orders.csv", ORDERS + order("a", customer_id=7))
    parent = site.load("customers.csv", CUSTOMERS + customer(7))
    assert site.one("SELECT count(*) FROM fact_order") == 1
    site.execute("DELETE FROM fact_order; DELETE FROM dim_customer")
    words(site.run("reprocess", file.file_id, "--yes", expect=1), ["1 refused again"])
    assert books(site, file) == (1, 0, 1, 0, 0, 0)
    site.run("reprocess", parent.file_id, "--yes")
    assert books(site, file) == (1, 1, 0, 1, 0, 0)
    site.check_books()


def test_an_edited_row_deleted_by_hand_is_replayed_as_it_was_edited(site: Site) -> None:
    """The file has it under another key."""
    file = site.load("customers.csv", CUSTOMERS + customer(1, gender="x") + customer(2))
    (bad,) = site.quarantined(customer_id=1)
    site.run("quarantine", "edit", bad, "--set", "gender=male", "--set", "customer_id=5", "--yes")
    site.run("quarantine", "replay", bad, "--yes")
    before = books(site, file)
    site.execute("DELETE FROM dim_customer WHERE customer_id = 5")
    words(site.run("reprocess", file.file_id, "--yes"), ["of its quarantined rows 1 loaded"])
    assert site.rows("SELECT customer_id FROM dim_customer ORDER BY 1") == [(2,), (5,)]
    assert books(site, file) == before == (2, 2, 0, 2, 0, 0)


def test_undo_after_reprocess_takes_the_backup_of_both_days_along(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = site.load("customers.csv", CUSTOMERS + customer(2, gender="x"))
    keeping(monkeypatch, tmp_path)
    prune(site)
    site.run("reprocess", file.file_id, "--yes", expect=1)
    assert len(site.quarantined(customer_id=2)) == 1
    site.run("undo", file.file_id, "--yes")
    assert [check.differences for check in run_checks(site.warehouse, site.config)[-1:]] == [[]]
    assert list((site.home / "data/quarantine").rglob("*.csv")) == []


# ---------------------------------------------------------------- updates


def newer(number: int, day: int, **changes: str) -> str:
    return customer(number, name=f"Person {number} of {day}", **changes).replace(
        "2026-01-01\n", f"2026-03-{day:02d}\n"
    )


def sums_up(site: Site) -> None:
    """`verify` has no difference beside the parents that no file brought; nor has the table."""
    found = [row for check in run_checks(site.warehouse, site.config) for row in check.differences]
    seeded = {"dim_city", "dim_region", "dim_segment", "dim_category", "dim_restaurant", "dim_driver"}
    assert [row for row in found if row["table"] not in seeded and row["file_id"] != 0] == []


def test_what_a_later_file_updated_is_not_taken_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it brought is what the later one replaced: undoing it would leave a row that no books have."""
    update_if_newer(monkeypatch, tmp_path, "customers.csv")
    first = site.load("customers.csv", CUSTOMERS + newer(1, 1) + newer(2, 1))
    second = site.load("more/customers.csv", CUSTOMERS + newer(1, 2) + newer(3, 2))
    said = site.run("undo", first.file_id, "--yes", expect=2)
    words(said, [f"1 of the rows that file {first.file_id} brought", f"files {second.file_id}"])
    assert site.one("SELECT count(*) FROM dim_customer") == 3
    sums_up(site)
    third = site.load("third/customers.csv", CUSTOMERS + newer(4, 1))
    site.run("undo", third.file_id, "--yes")
    sums_up(site)
    sums_are_put_aside(site)


def test_of_a_table_with_updates_a_row_deleted_by_hand_comes_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    update_if_newer(monkeypatch, tmp_path, "customers.csv")
    first = site.load("customers.csv", CUSTOMERS + newer(1, 1) + newer(2, 1))
    second = site.load("more/customers.csv", CUSTOMERS + newer(1, 2) + newer(3, 2))
    for file in (first, second):
        for key in (1, 2, 3):
            site.execute(f"DELETE FROM dim_customer WHERE customer_id = {key}")
            site.run("reprocess", file.file_id, "--yes")
            site.run("reprocess", (second if file is first else first).file_id, "--yes")
            assert site.one("SELECT count(*) FROM dim_customer") == 3
            sums_up(site)
    assert site.rows("SELECT customer_id, full_name FROM dim_customer ORDER BY 1") == [
        (1, "Person 1 of 2"),
        (2, "Person 2 of 1"),
        (3, "Person 3 of 2"),
    ]
    sums_are_put_aside(site)


def sums_are_put_aside(site: Site) -> None:
    """The site's own check at the end knows no updates: the file log is brought to what it expects."""
    site.execute(
        "UPDATE pipeline_file_log l SET inserted_records = n.rows, updated_records = 0,"
        " already_present = valid_records - n.rows, changed_records = 0"
        " FROM (SELECT l.file_id, count(d.customer_id) AS rows FROM pipeline_file_log l"
        "       LEFT JOIN dim_customer d ON d._file_id = l.file_id GROUP BY 1) n WHERE n.file_id = l.file_id"
    )


# ---------------------------------------------------------------- twins


@pytest.mark.parametrize("chunk_rows", [2, 50_000])
def test_of_two_rows_with_one_key_reprocess_loads_the_one_that_the_table_takes(
    site: Site, chunk_rows: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    relaxed(monkeypatch, tmp_path, reader={"chunk_rows": chunk_rows})
    site.execute("ALTER TABLE dim_customer ADD CONSTRAINT polite CHECK (full_name !~ 'bad')")
    lines = customer(1, name="bad", gender="x") + customer(1, gender="x") + customer(1, gender="x")
    first_rows_stay(monkeypatch, site.home)
    file = site.load("customers.csv", CUSTOMERS + lines)
    assert books(site, file) == (3, 0, 3, 0, 0, 0)
    relaxed(monkeypatch, tmp_path, reader={"chunk_rows": chunk_rows})
    words(site.run("reprocess", file.file_id, "--yes", expect=1), ["1 loaded, 0 already there, 2 refused again"])
    assert books(site, file) == (3, 1, 2, 1, 0, 0)
    assert site.rows("SELECT row_number, rejection_stage FROM quarantine WHERE resolution IS NULL ORDER BY 1") == [
        (1, "load"),
        (3, "records"),
    ]
    loaded = site.load("again/customers.csv", CUSTOMERS + lines + "\n")  # a load does the same
    assert loaded.rejected_by_stage
    site.check_books()


def test_a_twin_takes_the_place_of_a_loaded_row_that_the_table_refuses_by_now(site: Site) -> None:
    file = site.load("customers.csv", CUSTOMERS + customer(1, name="bad") + customer(1))
    site.execute("DELETE FROM dim_customer")
    site.execute("ALTER TABLE dim_customer ADD CONSTRAINT polite CHECK (full_name !~ 'bad')")
    words(site.run("reprocess", file.file_id, "--yes", expect=1), ["1 loaded"])
    assert books(site, file) == (2, 1, 1, 1, 0, 0)
    assert site.one("SELECT full_name FROM dim_customer") == "Person 1"
    assert site.rows("SELECT row_number, rejection_stage FROM quarantine WHERE resolution IS NULL") == [
        (1, "load")
    ]


def test_a_record_that_was_loaded_and_is_none_today_is_told_with_the_way_out(site: Site) -> None:
    """As an earlier version read it, which took text behind a closing quote."""
    good = site.load("customers.csv", CUSTOMERS + customer(1) + customer(2, name="Mona"))
    path = site.home / "data/customers.csv"
    text = path.read_text().replace("Mona", '"Mona" B')
    path.write_text(text)
    content = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    site.execute(f"UPDATE pipeline_file_log SET file_hash = '{content}', file_size = {len(text)}")
    told = site.run("reprocess", good.file_id, "--yes", expect=2)
    words(told, ["record 2 was loaded", "can't be read as a record", f"`undo {good.file_id}` first"])
    assert books(site, good) == (2, 2, 0, 2, 0, 0)
    site.run("undo", good.file_id, "--yes")
    site.run("reprocess", good.file_id, "--yes")
    assert site.rows("SELECT customer_id FROM dim_customer") == [(1,)]
    site.check_books()
