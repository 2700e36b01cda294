"""Refused rows mended and replayed: the books hold after each step, and no value is judged or hashed twice."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from datawarehouse.quarantine import replay as quarantine_replay
from datawarehouse.quarantine.replay import replay
from datawarehouse.quarantine.retry import OrphanRetry
from tests.integration.putting_right import CUSTOMERS, KEY, ORDERS, Site, customer, order, update_if_newer, words
from validation.pii_handler import PiiHandler
from workbench.verify import run_checks


def hashed(text: str) -> str:
    return PiiHandler(KEY).hash_text(text)


def test_a_mended_row_is_loaded_under_its_own_file_and_counted_once(site: Site) -> None:
    site.load("customers.csv", CUSTOMERS + customer(1))
    outcome = site.load("orders.csv", ORDERS + order("a") + order("b", amount=-5, pay="crad"))
    (row,) = site.quarantined(order_id="b")
    words(site.run("quarantine", "list"), ["orders.csv", "fact_order", "payment_method: allowed_values"])
    assert "crad" in site.run("quarantine", "show", row)

    site.run("quarantine", "replay", row, "--yes", expect=1)
    site.check_books()
    words(site.run("quarantine", "edit", row, "--set", "payment_method=card", "--yes"), ["1 rows changed"])
    site.check_books()
    site.run("quarantine", "replay", row, "--yes", expect=1)
    assert site.one("SELECT rejection_reason FROM quarantine") == "order_amount: at_least"
    site.check_books()
    site.run("quarantine", "edit", row, "--set", "order_amount=5", "--yes")
    words(site.run("quarantine", "replay", "--stage", "records", "--yes"), ["1 rows replayed: 1 loaded"])

    assert site.one("SELECT _file_id, order_amount FROM fact_order WHERE order_id = 'b'") == (outcome.file_id, 5)
    log = "SELECT total_records, inserted_records, quarantined, resolved_records FROM pipeline_file_log"
    assert site.one(f"{log} WHERE file_id = %s", outcome.file_id) == (2, 2, 0, 1)
    shown = json.loads(site.run("quarantine", "show", row, "--json"))
    assert [(step["action"], step["outcome"].partition(":")[0]) for step in shown["history"]] == [
        ("replay", "refused"),
        ("edit", "edited"),
        ("replay", "refused"),
        ("edit", "edited"),
        ("replay", "replayed"),
    ]
    assert shown["history"][3]["changes"] == {"order_amount": ["-5", "5"]}
    assert shown["resolution"] == "replayed"
    origin = json.loads(site.run("explain", "orders", "b", "--json"))["origin"]
    assert (origin["file_id"], origin["row_number"]) == (outcome.file_id, 2)
    words(site.run("explain", "orders", "b"), ["row 2 (it was refused first, and replayed)", "loaded by a replay"])
    words(site.run("quarantine", "replay", row, "--yes"), ["1 closed"])
    assert site.run("quarantine", "list") == "No such rows.\n"


def test_what_was_refused_for_a_sensitive_value_stays_refused_until_it_is_edited(site: Site) -> None:
    site.load("customers.csv", CUSTOMERS + customer(1, "no address") + customer(2, "no address", phone="12"))
    one, two = site.quarantined(full_name="Person 1") + site.quarantined(full_name="Person 2")
    site.run("quarantine", "replay", one, two, "--yes", expect=1)
    assert site.rows("SELECT rejection_reason FROM quarantine ORDER BY 1") == [
        ("email: email",),
        ("email: email; phone: phone",),
    ]
    site.check_books()
    words(
        site.run("quarantine", "edit", one, "--set", "email=still none", "--yes", expect=2),
        ["nothing was changed", f"{one} email: email"],
    )
    site.run("quarantine", "edit", one, "--set", "email= Ali@Example.COM ", "--yes")
    site.run("quarantine", "edit", two, "--set", "email=b@example.com", "--yes")
    site.run("quarantine", "replay", one, two, "--yes", expect=1)
    assert site.one("SELECT email, phone, full_name FROM dim_customer") == (
        hashed("ali@example.com"),
        hashed("01012345678"),
        "Person 1",
    )
    assert site.one("SELECT rejection_reason FROM quarantine WHERE resolution IS NULL") == "phone: phone"
    everything = site.one("SELECT string_agg(to_jsonb(h)::text, '') FROM quarantine_history h")
    assert "xample" not in everything


def test_a_value_that_was_hashed_where_it_had_strayed_is_never_loaded(site: Site) -> None:
    site.load("customers.csv", CUSTOMERS + customer(1, "no address", name="ali@example.com"))
    (row,) = site.quarantined(customer_id=1)
    site.run("quarantine", "edit", row, "--set", "email=ali@example.com", "--yes")
    site.run("quarantine", "replay", row, "--yes", expect=1)
    assert site.one("SELECT rejection_reason FROM quarantine") == "full_name: masked"
    words(
        site.run("quarantine", "edit", row, "--set", "full_name=ali@example.com", "--yes", expect=2),
        ["looks like an e-mail"],
    )
    site.run("quarantine", "edit", row, "--set", "full_name=Ali", "--yes")
    site.run("quarantine", "replay", row, "--yes")
    assert site.one("SELECT full_name FROM dim_customer") == "Ali"


def test_an_orphan_that_heals_is_loaded_as_it_would_have_been_at_once(site: Site) -> None:
    """Of a row that is good but for its parent, only the sensitive columns are hashed."""
    site.execute("DELETE FROM dim_driver; DELETE FROM dim_restaurant; DELETE FROM dim_region")
    site.load("customers.csv", CUSTOMERS + customer(1, name="Ali 0100 123 4567"))
    site.load("regions.csv", "region_id,region_name,city_id,delivery_base_fee\n1,r,1,1\n")
    assert site.one("SELECT full_name, email FROM dim_customer") == (
        "Ali 0100 123 4567",
        hashed("ali@example.com"),
    )


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_an_export_mended_in_a_spreadsheet_comes_back(site: Site, tmp_path: Path, suffix: str) -> None:
    text = CUSTOMERS + customer("=1+1", name="=cmd") + customer(2, gender="x") + customer(3, gender="y")
    site.load("customers.csv", text)
    out = tmp_path / f"out.{suffix}"
    words(site.run("quarantine", "export", out, "--table", "dim_customer"), ["3 rows written"])
    assert out.stat().st_mode & 0o077 == 0
    words(site.run("quarantine", "export", out, expect=2), ["File exists"])
    lines = _lines(out)
    assert (lines[1][2], lines[1][3]) == ("'=1+1", "'=cmd")
    assert lines[0][:3] == ["quarantine_id", "reason", "customer_id"]
    words(site.run("quarantine", "edit", "--from", out, "--yes"), ["no changes"])
    column = lines[0].index("gender")
    for line in lines[2:]:
        line[column] = "female"
    lines[1][2] = "1"
    _write(out, lines)
    words(site.run("quarantine", "edit", "--from", out, "--yes"), ["3 rows changed"])
    site.check_books()
    assert site.one("SELECT raw_data ->> 'full_name' FROM quarantine ORDER BY 1 LIMIT 1") == "=cmd"
    words(site.run("quarantine", "replay", "--table", "dim_customer", "--yes"), ["3 loaded"])
    assert site.rows("SELECT customer_id, full_name, email FROM dim_customer ORDER BY 1") == [
        (1, "=cmd", hashed("ali@example.com")),
        (2, "Person 2", hashed("ali@example.com")),
        (3, "Person 3", hashed("ali@example.com")),
    ]


def _lines(path: Path) -> list[list[Any]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))
    book = openpyxl.load_workbook(path)
    return [list(line) for line in book.worksheets[0].iter_rows(values_only=True)]


def _write(path: Path, lines: list[list[Any]]) -> None:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)
        return
    book = openpyxl.Workbook()
    for number, line in enumerate(lines):
        book.worksheets[0].append([int(cell) if number and str(cell).isdigit() else cell for cell in line])
    book.save(path)


def test_a_true_orphan_is_replayed_when_its_parent_came_too_late(site: Site) -> None:
    site.load("orders.csv", ORDERS + order("a", customer_id=7) + order("b", customer_id=8))
    site.execute("UPDATE quarantine SET quarantined_at = quarantined_at - interval '1 microsecond'")
    OrphanRetry(site.warehouse, site.config).promote(0)
    assert site.one("SELECT count(*) FROM true_orphan") == 2
    site.check_books()
    site.load("customers.csv", CUSTOMERS + customer(7))
    ids = site.quarantined(order_id="a") + site.quarantined(order_id="b")
    words(
        site.run("quarantine", "replay", *ids, "--yes", expect=1), ["1 loaded, 0 already there, 1 refused again"]
    )
    assert site.rows("SELECT raw_data ->> 'order_id', resolution FROM quarantine ORDER BY 1") == [
        ("a", "replayed"),
        ("b", "true_orphan"),
    ]
    log = "SELECT resolved_orphans, orphan_count, quarantined FROM pipeline_file_log ORDER BY file_id LIMIT 1"
    assert site.one(log) == (1, 2, 1)


def test_parents_replayed_bring_their_children(site: Site) -> None:
    site.load("customers.csv", CUSTOMERS + customer(7, gender="x") + customer(8, region=2))
    site.load("orders.csv", ORDERS + order("a", customer_id=7) + order("b", customer_id=7, amount=-1))
    (row,) = site.quarantined(customer_id=7)[:1]
    site.run("quarantine", "edit", row, "--set", "gender=female", "--yes")
    words(site.run("quarantine", "replay", row, "--yes"), ["1 loaded", "1 orphans healed"])
    assert site.one("SELECT order_id FROM fact_order") == "a"


def test_a_row_that_turns_into_an_orphan_waits_and_heals(site: Site) -> None:
    site.load("orders.csv", ORDERS + order("a", customer_id=7, amount=-1))
    (row,) = site.quarantined(order_id="a")
    site.run("quarantine", "edit", row, "--set", "order_amount=1", "--yes")
    site.run("quarantine", "replay", row, "--yes", expect=1)
    assert site.one("SELECT rejection_stage FROM quarantine") == "orphan"
    site.check_books()
    site.load("customers.csv", CUSTOMERS + customer(7))
    assert site.one("SELECT resolution FROM quarantine") == "loaded"


def test_a_key_that_is_there_already_is_resolved_as_such(site: Site) -> None:
    site.load("customers.csv", CUSTOMERS + customer(1) + customer(1) + customer(2, gender="x"))
    site.load("more/customers.csv", CUSTOMERS + customer(2))
    twice, bad = site.quarantined(customer_id=1) + site.quarantined(customer_id=2)
    site.run("quarantine", "edit", bad, "--set", "gender=male", "--yes")
    words(
        site.run("quarantine", "replay", twice, bad, "--yes", expect=1),
        ["0 loaded, 1 already there, 1 refused again"],
    )
    assert site.rows("SELECT resolution, rejection_reason FROM quarantine ORDER BY row_number") == [
        (None, "customer_id: duplicate"),
        ("already_present", "gender: allowed_values"),
    ]
    site.check_books()


def test_discarded_rows_are_kept_and_stay_refused_in_the_books(site: Site) -> None:
    outcome = site.load("orders.csv", ORDERS + order("a", customer_id=7) + order("b", amount=-1))
    ids = site.quarantined(order_id="a")
    words(site.run("quarantine", "discard", *ids, "--reason", "a test order", "--yes"), ["1 rows discarded"])
    site.load("customers.csv", CUSTOMERS + customer(7))
    assert site.one("SELECT count(*) FROM fact_order") == 0
    assert site.one("SELECT quarantined FROM pipeline_file_log WHERE file_id = %s", outcome.file_id) == 2
    assert site.one("SELECT action, outcome FROM quarantine_history") == ("discard", "discarded: a test order")
    assert len(json.loads(site.run("quarantine", "list", "--json"))) == 1
    assert len(json.loads(site.run("quarantine", "list", "--json", "--all"))) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("quarantine", "replay", 4711), "no row with quarantine_id 4711"),
        (("quarantine", "discard", 4711, "--reason", "r"), "no row with quarantine_id 4711"),
        (("quarantine", "discard", "--table", "fact_odrer", "--reason", "r"), "there are dim_agent, "),
        (("quarantine", "replay", "--since", "9999999d"), "is no time"),
        (("backfill", "--from", "2026-02-02", "--to", "2026-02-01"), "is before the first"),
    ],
)
def test_what_means_nothing_is_said_and_not_done(site: Site, arguments: tuple[object, ...], said: str) -> None:
    yes = () if arguments[0] == "backfill" else ("--yes",)
    words(site.run(*arguments, *yes, expect=2), [said])


def test_a_table_may_be_told_by_the_logical_name_of_its_files(site: Site) -> None:
    site.load("orders.csv", ORDERS + order("a", amount=-1))
    assert len(json.loads(site.run("quarantine", "list", "--table", "orders", "--json"))) == 1


def test_nothing_is_written_without_consent_or_in_a_dry_run(site: Site) -> None:
    site.load("orders.csv", ORDERS + order("a", amount=-1))
    (row,) = site.quarantined(order_id="a")
    before = site.rows("SELECT * FROM quarantine")
    words(site.run("quarantine", "replay", row, expect=2), ["Nobody can be asked here: add --yes"])
    words(site.run("quarantine", "edit", row, "--set", "order_amount=1", "--dry-run"), ["nothing was changed"])
    words(site.run("quarantine", "replay", row, "--dry-run", expect=1), ["nothing was changed", "1 refused again"])
    words(site.run("quarantine", "discard", row, "--reason", "x", "--dry-run"), ["nothing was changed"])
    words(site.run("quarantine", "replay", "--yes", expect=2), ["either ids or filters"])
    assert site.rows("SELECT * FROM quarantine") == before
    assert site.rows("SELECT * FROM quarantine_history") == []


def test_a_line_that_could_not_be_split_is_mended_by_giving_every_column(site: Site) -> None:
    site.load("categories.csv", "category_id,category_name\n1,a,b\n")
    (row,) = site.one("SELECT array_agg(quarantine_id) FROM quarantine")
    site.run("quarantine", "replay", row, "--yes", expect=1)
    site.run("quarantine", "edit", row, "--set", "category_id=5", "--yes")
    site.run("quarantine", "replay", row, "--yes", expect=1)
    assert site.one("SELECT rejection_reason FROM quarantine") == "too_many_fields"
    site.run("quarantine", "edit", row, "--set", "category_name=a, b", "--yes")
    site.run("quarantine", "replay", row, "--yes")
    assert site.one("SELECT category_name FROM dim_category WHERE category_id = 5") == "a, b"


def test_a_record_of_a_bad_shape_stays_refused_until_it_is_edited(site: Site) -> None:
    record = '{"category_id": %d, "category_name": "a"%s}'
    lines = record % (2, ""), record % (3, ', "extra": "x"'), record % (4, ', "category_id": 5'), "7"
    site.load("categories.json", f"[{', '.join(lines)}]")
    ids = [row[0] for row in site.rows("SELECT quarantine_id FROM quarantine ORDER BY 1")]
    before = site.rows("SELECT reasons, raw_data FROM quarantine ORDER BY quarantine_id")
    words(site.run("quarantine", "replay", *ids, "--yes", expect=1), ["3 refused again"])
    assert site.rows("SELECT reasons, raw_data FROM quarantine ORDER BY quarantine_id") == before
    for q_id, key in zip(ids, (3, 4, 7), strict=True):
        site.run("quarantine", "edit", q_id, "--set", f"category_id={key}", "--set", "category_name=b", "--yes")
    words(site.run("quarantine", "replay", *ids, "--yes"), ["3 loaded"])
    assert site.rows("SELECT category_id FROM dim_category ORDER BY 1") == [(1,), (2,), (3,), (4,), (7,)]


def test_it_is_the_same_in_many_chunks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_replay, "CHUNK_ROWS", 2)
    lines = "".join(customer(number, gender="x") for number in (1, 2, 1, 3, 1, 4))
    outcome = site.load("customers.csv", CUSTOMERS + lines)
    site.load("more/customers.csv", CUSTOMERS + customer(4))
    site.execute('UPDATE quarantine SET raw_data = raw_data || \'{"gender": "male"}\'')
    site.execute("UPDATE pipeline_file_log SET backup_written = false")
    words(
        site.run("quarantine", "replay", "--file", outcome.file_id, "--yes", expect=1),
        ["3 loaded, 1 already there, 2 refused again"],
    )
    assert site.rows("SELECT row_number FROM quarantine WHERE resolution IS NULL ORDER BY 1") == [(3,), (5,)]
    site.check_books()


def test_a_replayed_row_that_updates_an_older_one_is_counted_as_an_update(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor does an orphan that heals so count as a row that was inserted."""
    update_if_newer(monkeypatch, tmp_path, "customers.csv")
    site.load("customers.csv", CUSTOMERS + customer(1) + customer(2))
    bad = customer(1, name="New", gender="x") + customer(2, name="New", region=2)
    outcome = site.load("newer/customers.csv", CUSTOMERS + bad.replace("2026-01-01\n", "2026-03-01\n"))
    (row,) = site.quarantined(gender="x")
    site.run("quarantine", "edit", row, "--set", "gender=male", "--yes")
    words(site.run("quarantine", "replay", row, "--yes"), ["1 loaded"])
    site.execute("INSERT INTO dim_region VALUES (2, 'q', 1, 1, 'c', 0)")
    OrphanRetry(site.warehouse, site.config).after("dim_region")
    assert site.rows("SELECT full_name, _file_id FROM dim_customer") == [("New", outcome.file_id)] * 2
    books = "SELECT valid_records, inserted_records, updated_records, quarantined FROM pipeline_file_log"
    assert site.rows(f"{books} ORDER BY file_id") == [(2, 2, 0, 0), (2, 0, 2, 0)]
    rows = run_checks(site.warehouse, site.config)[1].differences
    assert [row for row in rows if row["file_id"] != 0] == []
    site.execute(  # the rows belong to the newer file now; the books of the older one stay as they were
        "UPDATE pipeline_file_log SET already_present = 2, inserted_records = 0 WHERE updated_records = 0"
    )


def test_a_row_in_the_hands_of_the_service_is_left_to_it(site: Site) -> None:
    """While the service heals an orphan, a replay of the same row neither waits nor loads it a second time."""
    site.load("orders.csv", ORDERS + order("a", customer_id=7))
    ids = site.quarantined(order_id="a")
    site.execute("INSERT INTO dim_customer (customer_id, full_name, _file_id) VALUES (7, 'x', 0)")
    results: list[Any] = []

    def by_operator() -> None:
        with site.warehouse.transaction() as tx:
            results.append(replay(tx, site.config, ids, "tester"))

    with site.warehouse.transaction() as tx:
        tx.execute("SELECT 1 FROM quarantine FOR UPDATE")
        thread = threading.Thread(target=by_operator)
        thread.start()
        thread.join(20)
        assert results[0].skipped == 1
    threads = [threading.Thread(target=by_operator) for _ in range(2)]
    threads.append(threading.Thread(target=lambda: OrphanRetry(site.warehouse, site.config).everything()))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert site.one("SELECT count(*) FROM fact_order") == 1
