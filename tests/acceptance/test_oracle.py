"""The oracle's verdicts on its own, on cases that can be judged by eye."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.oracle import FileBook, Oracle
from tests.acceptance.oracle_reader import UnreadableFileError, read_records
from tests.acceptance.oracle_rules import Column, judge_value, rounded

CONFIG = Path(__file__).resolve().parents[2] / "config" / "pipeline_config.yaml"
COLUMNS = ["a", "b"]


@pytest.fixture
def oracle(tmp_path: Path) -> Oracle:
    """An oracle that has loaded the sample master."""
    oracle = Oracle(CONFIG)
    samples.write_master(tmp_path)
    for spec in oracle.specs:
        if spec.feed == "batch":
            load(oracle, tmp_path / "data/master" / f"{spec.name}.csv", feed="master")
    return oracle


def load(oracle: Oracle, path: Path, content: Any = None, *, feed: str = "stream") -> FileBook:
    if content is not None:
        samples.write(path, content)
    spec = oracle.spec_for(path, feed)
    assert spec is not None
    book = oracle.load(path, spec)
    assert book is not None
    return book


def stages(book: FileBook) -> list[str | None]:
    assert book.error is None, book.error
    return [row.stage for row in book.rows]


def column(dtype: str, sql: tuple[Any, ...] = ("text",), **changes: Any) -> Column:
    settings: dict[str, Any] = {
        "nullable": True,
        "allowed": None,
        "pii": None,
        "target": "c",
        "rules": {},
        "rounds": False,
    }
    settings |= changes
    return Column(name="c", dtype=dtype, sql=sql, **settings)


def readable(dtype: str, text: str, sql: tuple[Any, ...] = ("text",)) -> Any:
    value, broken = judge_value(column(dtype, sql), text)
    return "broken" if broken else value


def test_the_sample_master_has_no_fault(oracle: Oracle) -> None:
    assert [(book.spec.name, book.error, len(book.rejected)) for book in oracle.books] == [
        (book.spec.name, None, 0) for book in oracle.books
    ]
    assert {book.spec.name for book in oracle.books} == {s.name for s in oracle.specs if s.feed == "batch"}


@pytest.mark.parametrize("dtype", ["int", "float", "bool", "datetime", "str"])
def test_a_value_is_null_or_read_but_never_both(dtype: str) -> None:
    assert judge_value(column(dtype), None) == (None, [])
    assert judge_value(column(dtype, nullable=False), None) == (None, ["null"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7), ("+7", 7), ("-7", -7), ("370.0", 370), ("370.000", 370), ("3.7", "broken"), ("1e3", "broken"),
        ("9007199254740993", 9007199254740993), ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", "broken"), ("0x10", "broken"), ("1_000", "broken"),
        ("٣", "broken"), ("", "broken"),
    ],
)  # fmt: skip
def test_an_int_is_exact_to_64_bits(text: str, value: object) -> None:
    assert readable("int", text, ("bigint",)) == value


@pytest.mark.parametrize(("text", "fits"), [("2147483647", True), ("2147483648", False), ("-2147483648", True)])
def test_an_integer_column_holds_32_bits(text: str, fits: bool) -> None:
    assert (readable("int", text, ("integer",)) != "broken") == fits


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.50", Decimal("1.5")), ("-.5", Decimal("-0.5")), ("1e2", Decimal(100)), ("1e999", "broken"),
        ("inf", "broken"), ("1,5", "broken"), ("12 EGP", "broken"),
    ],
)  # fmt: skip
def test_a_float_is_decimal_and_finite(text: str, value: object) -> None:
    assert readable("float", text, ("double precision",)) == value


@pytest.mark.parametrize(
    ("text", "rounded_to"),
    [
        ("99999999.99", "99999999.99"),
        ("99999999.994", "99999999.99"),
        ("99999999.995", None),
        ("-10.005", "-10.01"),
        ("1e8", None),
    ],
)
def test_a_numeric_column_holds_what_its_precision_says(text: str, rounded_to: str | None) -> None:
    number = ("numeric", 10, 2)
    value, broken = judge_value(column("float", number, rounds=True), text)
    assert (None if broken else str(value)) == rounded_to
    assert (readable("float", text, number) == "broken") == (text != rounded_to)


def test_rounding_is_half_away_from_zero() -> None:
    assert [rounded(Decimal(text), 2) for text in ("0.125", "-0.125", "0.124")] == [
        Decimal("0.13"),
        Decimal("-0.13"),
        Decimal("0.12"),
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-02-20", dt.datetime(2026, 2, 20)),
        ("2026-02-20 09:05", dt.datetime(2026, 2, 20, 9, 5)),
        ("2026-02-20T09:05:07.123456000", dt.datetime(2026, 2, 20, 9, 5, 7, 123456)),
        ("2026-02-20T09:05:07.123456789", "broken"),
        ("2026-02-20T00:30:00+02:00", dt.datetime(2026, 2, 19, 22, 30)),
        ("2026-02-20T23:30:00-02", dt.datetime(2026, 2, 21, 1, 30)),
        ("2026-02-20 09:05:07Z", dt.datetime(2026, 2, 20, 9, 5, 7)),
        ("2026-02-30", "broken"), ("20/02/2026", "broken"), ("2026-2-3", "broken"), ("2026-02-20T25:00", "broken"),
        ("invalid", "broken"), ("1708387200", "broken"),
    ],
)  # fmt: skip
def test_a_datetime_is_iso_8601_and_ends_as_utc(text: str, value: object) -> None:
    assert readable("datetime", text) == value


def test_bools_are_the_usual_words() -> None:
    truths = ["true", "TRUE", "1", "1.0", "yes", "t", "Y"]
    assert [readable("bool", text) for text in truths] == [True] * len(truths)
    assert [readable("bool", text) for text in ("False", "0", "0.0", "no", "F", "n")] == [False] * 6
    assert [readable("bool", text) for text in ("maybe", "2", "on")] == ["broken"] * 3


def test_text_is_measured_in_characters_and_may_not_hold_nul() -> None:
    assert readable("str", "é" * 10, ("varchar", 10)) == "é" * 10
    assert readable("str", "é" * 11, ("varchar", 10)) == "broken"
    assert readable("str", "a\0b") == "broken"
    assert judge_value(column("str", ("varchar", 3), pii="text"), "longer") == ("longer", [])


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({}, None),
        ({"full_name": " nan "}, "schema"),
        ({"gender": "Female"}, "schema"),
        ({"gender": "N/A"}, "records"),
        ({"full_name": "x" * 201}, "schema"),
        ({"email": "  Person@Mail.EXAMPLE.com "}, None),
        ({"email": "person@mail.org"}, "records"),
        ({"email": "person.mail.com"}, "records"),
        ({"phone": "1012345678"}, None),
        ({"phone": "1012345678.0"}, None),
        ({"phone": "01312345678"}, "records"),
        ({"region_id": -1}, "records"),
        ({"region_id": 9}, "orphan"),
        ({"region_id": 9, "segment_id": "x"}, "schema"),
        ({"signup_date": "1999-12-31"}, "records"),
        ({"signup_date": "2100-12-31T23:59:59"}, None),
        ({"updated_at": "invalid"}, "schema"),
        ({"updated_at": ""}, "records"),
    ],
)
def test_a_customer_is_judged_as_written(
    oracle: Oracle, tmp_path: Path, changes: dict[str, Any], stage: str | None
) -> None:
    path = tmp_path / "customers.csv"
    assert stages(load(oracle, path, [samples.customer(900, **changes)], feed="batch")) == [stage]


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({"status": "Open", "first_response_at": "", "resolved_at": ""}, None),
        ({"status": "Closed", "resolved_at": ""}, "records"),
        ({"refund_amount": -0.01}, "records"),
        ({"refund_amount": ""}, "records"),
    ],
)
def test_a_time_may_be_missing_only_while_it_cannot_be_known(
    oracle: Oracle, tmp_path: Path, changes: dict[str, Any], stage: str | None
) -> None:
    load(oracle, tmp_path / "orders.json", [samples.order(1)])
    assert stages(load(oracle, tmp_path / "tickets.csv", [samples.ticket(1, **changes)])) == [stage]


def test_all_reasons_of_a_row_are_named_and_the_first_stage_is_the_verdict(oracle: Oracle, tmp_path: Path) -> None:
    row = samples.order(1, payment_method="gold", order_amount=-3, delivered_at=None)
    (verdict,) = load(oracle, tmp_path / "orders.json", [row]).rows
    assert verdict.stage == "schema"
    assert {(reason.stage, reason.column) for reason in verdict.reasons} == {
        ("schema", "payment_method"),
        ("records", "order_amount"),
        ("records", "delivered_at"),
    }


def test_of_twins_the_first_faultless_one_is_kept(oracle: Oracle, tmp_path: Path) -> None:
    twins = [
        samples.order(1, order_amount=-1),
        samples.order(1, customer_id=999),
        samples.order(1),
        samples.order(1, total_amount=1),
    ]
    book = load(oracle, tmp_path / "orders.json", twins)
    assert stages(book) == ["records", "orphan", None, "records"]
    assert (book.inserted, book.quarantined, book.duplicates) == (1, 3, 1)


def test_a_known_key_is_valid_and_already_present(oracle: Oracle, tmp_path: Path) -> None:
    load(oracle, tmp_path / "orders.json", [samples.order(1)])
    book = load(oracle, tmp_path / "again" / "orders.json", [samples.order(1), samples.order(2)])
    assert (book.inserted, book.already_present, book.quarantined) == (1, 1, 0)


def test_the_same_content_is_loaded_once_whatever_its_name(oracle: Oracle, tmp_path: Path) -> None:
    load(oracle, tmp_path / "orders.json", [samples.order(1)])
    again = samples.write(tmp_path / "13" / "orders.json", [samples.order(1)])
    os.utime(again, ns=(0, (tmp_path / "orders.json").stat().st_mtime_ns))
    assert oracle.load(again, oracle.by_name["orders"]) is None
    later = samples.write(tmp_path / "2026-02-20" / "13" / "orders.json", [samples.order(1)])
    assert oracle.load(later, oracle.by_name["orders"]), (
        "where the later file is newer, another hour is another file"
    )


def test_healing_cascades_from_customer_to_event(oracle: Oracle, tmp_path: Path) -> None:
    events = load(oracle, tmp_path / "ticket_events.json", [samples.event(1)])
    tickets = load(oracle, tmp_path / "tickets.csv", [samples.ticket(1, customer_id=77)])
    orders = load(oracle, tmp_path / "orders.json", [samples.order(1, customer_id=77), samples.order(2)])
    assert oracle.heal() == 0
    load(oracle, tmp_path / "customers.csv", [samples.customer(77)], feed="batch")
    assert oracle.heal() == 3
    assert [(b.inserted, b.quarantined, b.resolved_orphans) for b in (orders, tickets, events)] == [
        (2, 0, 1),
        (1, 0, 1),
        (1, 0, 1),
    ]
    assert oracle.keys("fact_ticket_event") == {(samples.uid("event", 1),)}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_are_not_data(tmp_path: Path, end: str) -> None:
    path = samples.write(tmp_path / "t.csv", f'\ufeffa,b{end}1,2{end}"x{end}y","q"""{end}{end}')
    assert [record.values for record in read_records(path, COLUMNS)] == [
        {"a": "1", "b": "2"},
        {"a": f"x{end}y", "b": 'q"'},
    ]


def test_a_ragged_line_is_one_malformed_record(tmp_path: Path) -> None:
    path = samples.write(tmp_path / "t.csv", 'a,b\n1,2\n1,2,3\n1\n"x"y,2\n5,6')
    records = read_records(path, COLUMNS)
    assert [(record.number, record.values is None) for record in records] == [
        (1, False), (2, True), (3, True), (4, True), (5, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('1,"2\n3,4\n', [None, ("3", "4")]),
        ('1,"2\n3,"4\n5,6\n', [None, None, ("5", "6")]),
        ('1,"2\n2,2\n3,2\n4,2"\n5,6\n', [None, ("2", "2"), ("3", "2"), ("4", '2"'), ("5", "6")]),
        ('1,"2, 2\n2, 2\n3, 2\n4, 2"\n5,6\n', [("1", "2, 2\n2, 2\n3, 2\n4, 2"), ("5", "6")]),
        ('1,""\n,12" pizza\n', [("1", ""), (None, '12" pizza')]),
    ],
)
def test_a_malformed_record_is_one_line(
    tmp_path: Path, text: str, values: list[tuple[str | None, ...] | None]
) -> None:
    records = read_records(samples.write(tmp_path / "t.csv", f"a,b\n{text}"), COLUMNS)
    assert [record.values and tuple(record.values.values()) for record in records] == values


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b""),
        ("t.csv", b"a,c\n1,2\n"),
        ("t.csv", b"a,b,c\n1,2,3\n"),
        ("t.csv", b"a\n1\n"),
        ("t.csv", b"a,b,a\n1,2,3\n"),
        ("t.csv", "a,b\né,2\n".encode("latin-1")),
        ("t.csv", "a,b\n1,2\n".encode("utf-16-le")),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9]),
        ("t.json", b'[{"a": 1, "b": 2}, {"a": 3'),
        ("t.json", b'[{"a": 1}]'),
        ("t.json", b'[{"a": 1, "b": 2, "c": 3}]'),
    ],
)
def test_a_file_that_fails_as_a_whole(tmp_path: Path, name: str, content: bytes) -> None:
    path = samples.write(tmp_path / name, content)
    with pytest.raises(UnreadableFileError):
        read_records(path, COLUMNS)


@pytest.mark.parametrize(("name", "content"), [("t.csv", "a,b\n"), ("t.json", "[]"), ("t.json", " [\n]\n")])
def test_no_records_is_no_fault(tmp_path: Path, name: str, content: str) -> None:
    assert read_records(samples.write(tmp_path / name, content), COLUMNS) == []


def test_json_values_keep_their_text(tmp_path: Path) -> None:
    text = '[{"a": 464.0, "b": NaN}, {"a": 9007199254740993, "b": true}, {"b": "x", "z": 1}, {"b": 1e999}, 5]'
    records = read_records(samples.write(tmp_path / "t.json", text), COLUMNS)
    assert [(record.values, record.extra) for record in records] == [
        ({"a": "464.0", "b": "NaN"}, ()),
        ({"a": "9007199254740993", "b": "true"}, ()),
        ({"a": None, "b": "x"}, ("z",)),
        ({"a": None, "b": "1e999"}, ()),
        (None, ()),
    ]
    assert [record.bare for record in records] == [{"b"}, set(), set(), set(), set()]


def test_a_broken_line_of_ndjson_is_one_malformed_record(tmp_path: Path) -> None:
    lines = [json.dumps({"a": 1, "b": 2}), '{"a": 3, "b"', json.dumps({"a": 5, "b": 6})]
    records = read_records(samples.write(tmp_path / "t.ndjson", "\n".join(lines)), COLUMNS)
    assert [record.values is None for record in records] == [False, True, False]


def test_the_newest_of_a_key_counts_where_the_yaml_says_so(tmp_path: Path) -> None:
    yaml_text = """
        watcher:
          batch: {expected_files: {items.csv: {table: dim_item, keep: latest, newer_by: u}}}
          stream: {expected_files: {}}
        schemas:
          items:
            primary_key: id
            columns: [{name: id, dtype: int, nullable: false}, {name: v, dtype: str}, {name: u, dtype: datetime}]
    """
    (tmp_path / "config.yaml").write_text(yaml_text)
    oracle = Oracle(tmp_path / "config.yaml")
    fates = []
    for number, lines in enumerate(
        (
            ["1,v2,2024-01-02", "1,v3,2024-01-03", "1,again,2024-01-03", "1,v0,", "2,a,"],
            ["1,v1,2024-01-01", "2,b,2024-01-01", "2,unknown,"],
        )
    ):
        path = tmp_path / str(number) / "items.csv"
        path.parent.mkdir()
        path.write_text("\n".join(["id,v,u", *lines]) + "\n")
        book = load(oracle, path, feed="batch")
        fates.append([row.fate for row in book.rows])
    assert fates == [
        ["already_present", "loaded", "quarantined", "already_present", "loaded"],
        ["already_present", "updated", "already_present"],
    ]
