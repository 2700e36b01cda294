"""JSON in columns: what a file holds is in the table, digit for digit, on every road that a row may take."""

from __future__ import annotations

import csv
import json
from typing import Any

import openpyxl
import pytest
import yaml

from config.jobs import FileJob
from config.model import Feed
from datawarehouse.schema_init import init_schema
from ingestion.group_load import GroupLoad
from tests.acceptance.daemon import SHIPPED_CONFIG
from tests.integration.putting_right import CUSTOMERS, KEY, Site, customer, words
from validation.pii_handler import PiiHandler

COLUMNS: list[dict[str, Any]] = [
    {"name": "note_id", "dtype": "int", "nullable": False},
    {"name": "body", "dtype": "json"},
    {"name": "source", "dtype": "json", "sql_type": "json", "rules": {"required": True}},
    {"name": "plain", "dtype": "str"},
    {"name": "who", "dtype": "json", "personal": True},
    {"name": "customer_id", "dtype": "int"},
    {"name": "kind", "dtype": "str", "allowed_values": ["a", "b"]},
    {"name": "written_at", "dtype": "datetime", "nullable": False},
]
KINDS: dict[str, dict[str, Any]] = {
    "first": {"table": "dim_note"},
    "newer": {"table": "dim_note", "on_conflict": "update_if_newer", "newer_by": "written_at"},
    "partitioned": {
        "table": "fact_note",
        "on_conflict": "update_if_newer",
        "newer_by": "written_at",
        "partition_by": {"column": "written_at", "interval": "day"},
    },
}


def use_notes(monkeypatch: pytest.MonkeyPatch, site: Site, changes: dict[str, Any], **columns: Any) -> str:
    """From now on there are notes, too; the name of their table."""
    config = yaml.safe_load(SHIPPED_CONFIG.read_text(encoding="utf-8"))
    entry = {"foreign_keys": {"customer_id": "customers"}, **changes}
    if entry["table"].startswith("dim") and "body" not in columns:
        entry["indexes"] = ["body"]
    for pattern in ("notes.json", "notes.ndjson", "notes.csv"):
        config["watcher"]["stream"]["expected_files"][pattern] = entry
    described = [column | columns.get(column["name"], {}) for column in COLUMNS]
    config["schemas"]["notes"] = {"primary_key": "note_id", "columns": described}
    path = site.home / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("FASTFEAST_CONFIG", str(path))
    return str(entry["table"])


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def table(kind: str, monkeypatch: pytest.MonkeyPatch, site: Site) -> str:
    found = use_notes(monkeypatch, site, KINDS[kind])
    init_schema(site.warehouse, site.config)
    site.load("customers.csv", CUSTOMERS + customer(1))
    return found


def note(number: int, nested: str = '{"n": 1}', day: int = 1, **changes: str) -> str:
    """A record, by the source text of its values."""
    values = {
        "note_id": str(number),
        "body": nested,
        "source": nested,
        "plain": nested,
        "who": nested,
        "customer_id": "1",
        "kind": '"a"',
        "written_at": f'"2026-01-0{day}"',
        **changes,
    }
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


def texts(site: Site, table: str, number: int) -> Any:
    return site.one(f"SELECT body::text, source::text, plain FROM {table} WHERE note_id = %s", number)


NESTED = [
    ('{"n": 400, "lat": 12.50}', '{"n": 400, "lat": 12.50}'),
    ('[1, 1.10, "1", 1e3]', '[1, 1.10, "1", 1000]'),
    ('{"city":"Köln",  "a" : [ ]}', '{"a": [], "city": "Köln"}'),
    ('{"city": "K\\u00f6ln"}', '{"city": "Köln"}'),
    ("[12345678901234567890123456789.123456789, -0.10]", "[12345678901234567890123456789.123456789, -0.10]"),
    ("true", "true"),
    ("1.10", "1.10"),
]


def test_nested_values_are_in_the_table_as_they_were_written(site: Site, table: str) -> None:
    records = [note(number, source) for number, (source, _) in enumerate(NESTED)]
    assert site.load("notes.json", f"[{', '.join(records[:3])}]").inserted == 3
    assert site.load("notes.ndjson", "\n".join(records[3:])).inserted == len(records) - 3
    for number, (source, as_jsonb) in enumerate(NESTED):
        assert texts(site, table, number) == (as_jsonb, source, source)


def test_a_string_a_null_and_a_missing_key(site: Site, table: str) -> None:
    lines = [note(1, '"12"'), note(2, body="null"), note(3).replace('"body": {"n": 1}, ', "")]
    assert site.load("notes.ndjson", "\n".join(lines)).inserted == 3
    assert texts(site, table, 1) == ('"12"', '"12"', "12")
    assert site.rows(f"SELECT note_id FROM {table} WHERE body IS NULL ORDER BY 1") == [(2,), (3,)]


def test_json_in_a_csv(site: Site, table: str) -> None:
    path = site.home / "data" / "notes.csv"
    values = [1, '{"n": 1.10}', "[1, 1e3]", '{"n": 1.10}', "", 1, "a", "2026-01-01"]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([column["name"] for column in COLUMNS])
        rows.writerows([values, [2, "{n: 1}", *values[2:]], [3, "", *values[2:]], [4, "[NaN]", *values[2:]]])
    outcome = site.load("notes.csv", path.read_text())
    assert (outcome.inserted, outcome.quarantined) == (2, 2)
    assert texts(site, table, 1) == ('{"n": 1.10}', "[1, 1e3]", '{"n": 1.10}')
    assert site.one("SELECT array_agg(DISTINCT rejection_reason) FROM quarantine") == ["body: dtype"]


@pytest.mark.parametrize(
    ("nested", "rule"),
    [
        ("[NaN]", "dtype"),
        ("[Infinity]", "dtype"),
        (r'["\u0000"]', "nul_character"),
        (r'{"\u0000": 1}', "nul_character"),
        (r'["\ud800"]', "lone_surrogate"),
        (r'[{"x": ["\udc00\ud800"]}]', "lone_surrogate"),
        ("[1e131072]", "out_of_range"),
        ("[1e-16384]", "out_of_range"),
        ("[1e999999999999999]", "out_of_range"),
        (f"[{'9' * 131_073}]", "out_of_range"),
        ('[{"a": 1, "a": 2}]', "key_given_twice"),
    ],
)
def test_what_jsonb_can_not_hold_is_refused_by_row_and_json_holds_it(
    monkeypatch: pytest.MonkeyPatch, site: Site, nested: str, rule: str
) -> None:
    table = use_notes(monkeypatch, site, KINDS["first"] | {"foreign_keys": {}})
    init_schema(site.warehouse, site.config)
    kept = '{"n": 1}' if rule == "dtype" else nested
    lines = [note(1), note(2, nested, who="null", source="1"), note(3, body="1", who="null", source=kept)]
    outcome = site.load("notes.ndjson", "\n".join(lines))
    assert (outcome.inserted, outcome.quarantined) == (2, 1)
    assert site.one("SELECT row_number, reasons -> 0 ->> 'rule' FROM quarantine") == (2, rule)
    assert texts(site, table, 3)[1] == kept
    site.check_books()


@pytest.mark.parametrize("nested", ["[1e131071]", "[1e-16383]", "[0e200000]", "[1e999]", '["\\ud83d\\ude00"]'])
def test_what_jsonb_can_just_hold_is_loaded(monkeypatch: pytest.MonkeyPatch, site: Site, nested: str) -> None:
    use_notes(monkeypatch, site, KINDS["first"] | {"foreign_keys": {}})
    init_schema(site.warehouse, site.config)
    assert site.load("notes.ndjson", note(1, nested)).inserted == 1


def test_the_same_json_is_no_change_and_another_is_one(site: Site, table: str, kind: str) -> None:
    site.load("notes.json", f"[{note(1)}, {note(2)}, {note(3)}]")
    again = site.load("notes.ndjson", "\n".join([note(1), note(2, source='{"n":1}'), note(3, body="[2]")]))
    counts = (again.updated, again.already_present, again.changed)
    assert counts == ((0, 3, 2) if kind == "first" else (2, 1, 0))  # of one day the later file's row stands
    newer = site.load("notes.ndjson", "\n".join([note(1, day=2), note(2, "[2.0]", day=2)]))
    assert (newer.updated, newer.already_present) == ((0, 2) if kind == "first" else (2, 0))
    assert texts(site, table, 2)[1] == ('{"n": 1}' if kind == "first" else "[2.0]")
    # Site's books know no row that went from one file to another.
    keys = site.config.by_logical_name["notes"].key_table
    beside = "dim_customer, dim_customer_history, dim_customer_seen, pipeline_file_log"
    site.execute(f"TRUNCATE {table}, {beside} CASCADE; TRUNCATE {keys} CASCADE")


def test_a_refused_row_with_json_is_edited_replayed_healed_and_reprocessed(
    monkeypatch: pytest.MonkeyPatch, site: Site, table: str
) -> None:
    nested = '{"city": "Köln", "lat": 12.50}'
    lines = [
        note(1, nested, customer_id="2"),
        note(2, nested, kind='"c"'),
        note(3, nested, body="[NaN]"),
        note(4, nested, kind='"d"'),
        note(5, '"text"', kind='"c"'),
    ]
    outcome = site.load("notes.ndjson", "\n".join(lines))
    assert outcome.quarantined == 5
    site.load("more/customers.csv", CUSTOMERS + customer(2))
    as_jsonb = '{"lat": 12.50, "city": "Köln"}'
    assert texts(site, table, 1) == (as_jsonb, nested, nested)

    sheet = site.home / "refused.xlsx"
    site.run("quarantine", "export", sheet)
    book = openpyxl.load_workbook(sheet)
    cells = {row[2].value: row for row in book.worksheets[0].iter_rows(min_row=2)}
    names = [cell.value for cell in book.worksheets[0][1]]
    assert cells["2"][names.index("body")].value == nested
    cells["2"][names.index("kind")].value = "b"
    cells["3"][names.index("body")].value = "[1.10]"
    cells["5"][names.index("kind")].value = "b"
    book.save(sheet)
    words(site.run("quarantine", "edit", "--from", sheet, "--yes"), ["3 rows changed"])
    words(site.run("quarantine", "replay", "--table", table, "--yes", expect=None), ["3 loaded"])
    assert texts(site, table, 2) == (as_jsonb, nested, nested)
    assert texts(site, table, 3) == ("[1.10]", nested, nested)
    assert texts(site, table, 5) == ('"text"', '"text"', "text")
    site.check_books()

    changes = KINDS["first"] if table == "dim_note" else KINDS["partitioned"]
    use_notes(monkeypatch, site, changes, kind={"allowed_values": ["a", "b", "d"]})
    site.run("reprocess", outcome.file_id, "--yes", expect=None)
    assert texts(site, table, 4) == (as_jsonb, nested, nested)
    site.check_books()
    shown = json.loads(site.run("explain", "notes", 4, "--json"))["row"]
    assert (shown["body"], shown["source"], shown["plain"]) == (as_jsonb, nested, nested)
    assert "12.50" in site.run("explain", "notes", 4)


def test_personal_json_is_blanked_with_its_person(site: Site, table: str) -> None:
    site.load("notes.ndjson", "\n".join([note(1), note(2, kind='"c"')]))
    site.run("erase", "--table", "dim_customer", "--key", 1, "--yes")
    assert site.one(f"SELECT who IS NULL, body::text FROM {table} WHERE note_id = 1") == (True, '{"n": 1}')
    assert site.one("SELECT raw_data ->> 'who', raw_data ->> 'body' FROM quarantine") == (None, '{"n": 1}')
    site.load("notes.json", f"[{note(3)}]")
    assert site.one(f"SELECT who IS NULL FROM {table} WHERE note_id = 3") is True


def test_files_with_json_load_together_as_one_by_one(site: Site, table: str) -> None:
    contents = [note(1), note(2, "[1.0]").replace(', "kind": "a"', ""), note(3, "[NaN]") + "\n" + note(4)]
    jobs = []
    for number, text in enumerate(contents):
        path = site.home / "data" / str(number) / "notes.ndjson"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        jobs.append(FileJob(path, site.config.by_logical_name["notes"], 0, 0))
    loaded = GroupLoad(site.warehouse, site.config, PiiHandler(KEY)).run(jobs).loaded
    assert [(one.inserted, one.quarantined) for one in loaded] == [(1, 0), (1, 0), (1, 1)]
    assert texts(site, table, 2) == ("[1.0]", "[1.0]", "[1.0]")
    site.backup.append([one.file_id for one in loaded if one.file_id], Feed.STREAM)


@pytest.mark.parametrize(
    ("changes", "columns", "problem"),
    [
        ({"indexes": ["source"]}, {}, "'source' is of type json, which PostgreSQL can't index"),
        ({}, {"body": {"sql_type": "text"}}, "sql_type text does not hold dtype json"),
        ({}, {"plain": {"sql_type": "jsonb"}}, "sql_type jsonb does not hold dtype str"),
        ({}, {"body": {"pii": "text"}}, "pii goes with dtype str"),
        ({}, {"note_id": {"dtype": "json"}}, "must be int, str, date"),
        ({}, {"body": {"rules": {"at_least": 1}}}, "does not judge dtype json"),
    ],
)
def test_what_a_json_column_can_not_be_is_said_at_start(
    monkeypatch: pytest.MonkeyPatch, site: Site, changes: Any, columns: Any, problem: str
) -> None:
    use_notes(monkeypatch, site, {"table": "fact_note", **changes}, **columns)
    words(site.run("config", "check", expect=1), [problem])
    monkeypatch.delenv("FASTFEAST_CONFIG")


def test_a_start_changes_the_type_of_a_column_without_values(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    use_notes(monkeypatch, site, KINDS["first"])
    init_schema(site.warehouse, site.config)
    init_schema(site.warehouse, site.config)  # the same again is no difference
    use_notes(monkeypatch, site, KINDS["first"], body={"sql_type": "json"}, source={"sql_type": "jsonb"})
    config = site.config
    spec = config.by_logical_name["notes"]
    assert str(spec.schema.by_name["body"].sql) == "json"
    init_schema(site.warehouse, config)
    with site.warehouse.transaction() as tx:
        tx.execute(
            "SELECT atttypid::regtype::text FROM pg_attribute"
            " WHERE attrelid = 'dim_note'::regclass AND attname = 'body'"
        )
        assert tx.fetchall() == [("json",)]
    use_notes(monkeypatch, site, KINDS["first"])
