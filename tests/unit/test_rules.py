"""What keeps each record rule, and what breaks it; what the YAML may say beside a rule."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from config.config_loader import get_config
from config.errors import ConfigError
from config.file_spec import FileSpec
from config.model import Dtype, Feed
from config.schema import Column, Schema
from tests.integration.small import settings_of
from validation.batch import Chunk
from validation.earlier_rows import EarlierRows
from validation.rules import RULES, problems
from validation.rules.registry import typed_as
from validation.validation_runner import validate

NOW = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0)
DAY = dt.timedelta(days=1)
DATES = (dt.date(1900, 1, 1), dt.date(2200, 1, 1))
S, I, F, B, T, D, C, U = (  # noqa: E741
    Dtype.STR, Dtype.INT, Dtype.FLOAT, Dtype.BOOL, Dtype.DATETIME, Dtype.DATE, Dtype.TIME, Dtype.UUID
)  # fmt: skip
BIG = 2**53 + 1

CASES: list[tuple[str, Any, Dtype, list[Any], list[Any]]] = [
    ("at_least", 3, I, [3, 4, None], [2, -9]),
    ("at_least", 2.5, I, [3], [2]),
    ("at_least", BIG, I, [BIG], [BIG - 1]),
    ("at_least", 0.1, F, [0.1, 1e300], [0.0999, -0.1]),
    ("at_least", "2025-01-31 12:00:00", T, [dt.datetime(2025, 1, 31, 12)], [dt.datetime(2025, 1, 31, 11, 59)]),
    ("at_least", dt.date(2025, 1, 31), D, [dt.date(2025, 1, 31)], [dt.date(2025, 1, 30)]),
    ("at_least", "08:30:00", C, [dt.time(8, 30)], [dt.time(8, 29, 59)]),
    ("at_most", 3, I, [3, -4, None], [4]),
    ("at_most", 2.5, I, [2], [3]),
    ("at_most", 5, F, [5.0, -1.0], [5.0001]),
    ("greater_than", 3, I, [4, None], [3, 2]),
    ("greater_than", 2.5, I, [3], [2]),
    ("greater_than", 0, F, [1e-9], [0.0, -1.0]),
    ("less_than", 3, I, [2, None], [3, 4]),
    ("less_than", 2.5, I, [2], [3]),
    ("less_than", "2025-01-31", D, [dt.date(2025, 1, 30)], [dt.date(2025, 1, 31)]),
    ("between", [1, 3], I, [1, 2, 3, None], [0, 4]),
    ("between", [0.5, 1], F, [0.5, 1.0], [0.49, 1.01]),
    ("equals", 3, I, [3, None], [4]),
    ("equals", "x", S, ["x", None], ["X", ""]),
    ("equals", True, B, [True, None], [False]),
    ("differs_from", 3, I, [4, None], [3]),
    ("differs_from", "x", S, ["X", None], ["x"]),
    ("in", ["a", "b"], S, ["a", "b", None], ["c", "", "A"]),
    ("in", [1, 2], I, [1, None], [3]),
    ("in", [dt.date(2025, 1, 1)], D, [dt.date(2025, 1, 1)], [dt.date(2025, 1, 2)]),
    ("not_in", ["a"], S, ["b", "A", None], ["a"]),
    ("not_in", [0], F, [0.5], [0.0]),
    ("multiple_of", 5, I, [0, 5, -10, None], [1, 6]),
    ("multiple_of", 0.05, F, [0.15, 1.0, 1234.55, None], [0.16, 0.001]),
    ("decimals", 2, F, [1.0, 0.25, 1e20, 19.99, None], [0.125, 1e-9]),
    ("length", 3, S, ["abc", "äöü", None], ["ab", "abcd", ""]),
    ("length", {"min": 2, "max": 3}, S, ["ab", "abc", None], ["a", "abcd"]),
    ("length", {"min": 2}, S, ["a" * 99], ["a"]),
    ("matches", "[A-Z]{2}[0-9]+", S, ["AB1", None], ["AB", "xAB1", "AB1\n"]),
    ("not_matches", "test.*", S, ["a test", None], ["test", "tester"]),
    ("starts_with", "ab", S, ["abc", "ab", None], ["a", "AB", " ab"]),
    ("starts_with", ["a", "b"], S, ["a1", "b1"], ["c1"]),
    ("ends_with", [".csv", ".txt"], S, ["x.csv", "x.txt", None], ["x.csv.gz", "csv"]),
    ("contains", "-", S, ["a-b", None], ["ab"]),
    ("not_contains", ["<", ">"], S, ["ab", None], ["a<b", ">"]),
    ("not_blank", True, S, ["a", " a ", None], ["", " ", "\t\n"]),
    ("trimmed", True, S, ["a", "a b", "", None], [" a", "a ", "a\u00a0"]),
    ("single_line", True, S, ["a b", "", None], ["a\nb", "a\r", "a\tb", "a\x00"]),
    ("lower", True, S, ["abc 1", "ß", None], ["Abc", "Ä"]),
    ("upper", True, S, ["ABC 1", None], ["ABc", "ä"]),
    ("digits", True, S, ["0123", None], ["", "12a", "-1", "1.0", "\u0661"]),
    ("digits", 3, S, ["012"], ["12", "1234", "abc"]),
    ("digits", {"min": 2, "max": 3}, S, ["12", "123"], ["1", "1234"]),
    ("ascii", True, S, ["abc~", "", None], ["é", "a\u200b"]),
    ("email", True, S, ["a@b.co", "A.b+c@x.y.org", None], ["a@b", "a b@c.de", "@x.de", ""]),
    ("email", {"domains": ["com", "example.org"]}, S, ["a@b.com", "a@example.org"], ["a@b.org", "a@bcom"]),
    ("phone", {"region": "EG", "kind": "mobile"}, S, ["01012345678", "1012345678", None], ["0212345678", "x"]),
    ("url", True, S, ["http://a", "https://x.org:80/p?q=1#f", "https://[::1]/", None], ["x.org", "ftp://a", "http://"]),
    ("url", {"schemes": ["ftp"]}, S, ["ftp://a/b"], ["http://a"]),
    ("hostname", True, S, ["a", "a-b.example.org", None], ["-a", "a_b", "a..b", "a b", ""]),
    ("uuid", True, S, ["123e4567-e89b-12d3-a456-426614174000", None], ["123e4567e89b12d3a456426614174000", "x"]),
    ("ip", True, S, ["10.0.0.1", "::1", None], ["10.0.0.256", "1.2.3", ""]),
    ("ip", {"version": 4}, S, ["10.0.0.1"], ["::1"]),
    ("iban", True, S, ["DE89 3704 0044 0532 0130 00", None], ["DE88370400440532013000", "GB82", "x"]),
    ("iban", {"countries": ["GB"]}, S, ["GB82WEST12345698765432"], ["DE89370400440532013000"]),
    ("checked_id", "isbn", S, ["978-0-471-11709-4", None], ["978-0-471-11709-5", "x"]),
    ("checked_id", ["luhn", "ean"], S, ["79927398713", "73513537"], ["79927398714"]),
    ("not_in_future", True, T, [NOW, NOW - DAY, None], [NOW + DAY]),
    ("not_in_future", True, D, [NOW.date() - DAY, None], [NOW.date() + 2 * DAY]),
    ("not_in_future", {"tolerance": "2d"}, T, [NOW + DAY], [NOW + 3 * DAY]),
    ("not_in_past", True, T, [NOW + DAY, None], [NOW - DAY]),
    ("within", "36h", T, [NOW - DAY, NOW + DAY, None], [NOW - 2 * DAY, NOW + 2 * DAY]),
    ("required", True, S, ["a"], [None, "", " "]),
    ("required", True, I, [0], [None]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "parameter", "dtype", "good", "bad"), CASES)
def test_each_rule_is_kept_and_broken(
    rule: str, parameter: Any, dtype: Dtype, good: list[Any], bad: list[Any]
) -> None:
    assert dtype in RULES[rule].dtypes
    broken = RULES[rule].broken(pa.array([*good, *bad], typed_as(dtype)), parameter, {})
    assert [bool(one) for one in broken.to_pylist()] == [False] * len(good) + [True] * len(bad)
    if RULES[rule].parameter.validate_python(parameter) is True:
        off = RULES[rule].broken(pa.array([*good, *bad], typed_as(dtype)), False, {})
        assert not any(off.to_pylist()) or rule == "equals"


def test_every_rule_is_tried() -> None:
    elsewhere = {"required_when", "empty_when", "unique", "increasing"}
    assert {rule for rule, *_ in CASES} | elsewhere == RULES.keys()


def broken_by(columns: list[Column], rows: list[tuple[Any, ...]], chunk_rows: int = 100) -> list[list[str]]:
    """The rules that each row breaks, as `column: rule`; rows are text, and come in chunks."""
    schema = Schema(name="things", primary_key="id", columns=(Column(name="id", dtype=Dtype.STR), *columns))
    spec = FileSpec("things", Feed.BATCH, "things.csv", "dim_things", schema)
    found: list[list[str]] = [[] for _ in rows]
    earlier = EarlierRows()
    for start in range(0, len(rows), chunk_rows):
        part = rows[start : start + chunk_rows]
        texts = {c.name: pa.array([row[n] for row in part], pa.string()) for n, c in enumerate(columns)}
        numbers = np.arange(start + 1, start + len(part) + 1)
        texts["id"] = pa.array([str(number) for number in numbers])
        for one in validate(Chunk(numbers, texts), spec, DATES, earlier).rejections():
            found[one.number - 1] = [f"{reason.column}: {reason.rule}" for reason in one.reasons]
    return found


def column(name: str, dtype: Dtype, **rules: Any) -> Column:
    return Column.model_validate({"name": name, "dtype": dtype, "rules": rules})


def test_columns_are_compared_with_each_other_and_nulls_break_nothing() -> None:
    columns = [
        column("a", Dtype.DATETIME),
        column("b", Dtype.DATE, greater_than={"column": "a"}, differs_from={"column": "a"}),
        column("n", Dtype.INT),
        column("f", Dtype.FLOAT, between=[{"column": "n"}, 9]),
    ]
    rows = [
        ("2025-01-01 10:00", "2025-01-02", "1", "1.5"),
        ("2025-01-02 10:00", "2025-01-02", "2", "1.5"),
        ("2025-01-02", "2025-01-02", "1", "9.5"),
        (None, "2025-01-02", None, "1.5"),
        ("2025-01-01 10:00", None, "1", None),
    ]
    assert broken_by(columns, rows) == [
        [],
        ["b: greater_than", "f: between"],
        ["b: greater_than", "b: differs_from", "f: between"],
        [],
        [],
    ]


@pytest.mark.parametrize(
    ("when", "applies"),
    [
        ({"status": "sent"}, [1, 2]),
        ({"status": ["sent", "paid"]}, [1, 2, 3]),
        ({"status": None}, [4]),
        ({"n": {"at_least": 5}}, [2, 3]),
        ({"n": 7}, [3]),
        ({"status": "sent", "n": {"at_least": 5, "required": True}}, [2]),
        ({"n": {"at_most": {"column": "m"}}}, [1]),
        ("n >= 5", [2, 3]),
        ("status = 'sent' and n > m", [2]),
        ("10 / (n - 5) > 0", [2, 3]),  # it counts where that can't be worked out
    ],
)
def test_a_rule_counts_where_the_other_columns_say_so(when: dict[str, Any] | str, applies: list[int]) -> None:
    rule = {"value": True, "when": when}
    columns = [column("status", Dtype.STR), column("n", Dtype.INT), column("m", Dtype.INT)]
    rows = [("sent", "1", "1", ""), ("sent", "5", "1", ""), ("paid", "7", "1", ""), (None, None, "1", "")]
    found = broken_by([*columns, column("x", Dtype.STR, not_blank=rule)], rows)
    assert [number for number, broken in enumerate(found, 1) if broken] == applies


def test_required_or_empty_by_other_columns() -> None:
    columns = [
        column("status", Dtype.STR),
        column("at", Dtype.DATETIME, required_when={"status": ["done"]}, empty_when={"status": ["open"]}),
    ]
    rows = [("done", None), ("done", "2025-01-01"), ("open", None), ("open", "2025-01-01"), (None, None)]
    assert broken_by(columns, rows) == [["at: required_when"], [], [], ["at: empty_when"], []]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([None, *"abcd"]), max_size=12), st.integers(1, 4))
def test_unique_says_the_same_whatever_the_chunks(values: list[str | None], chunk_rows: int) -> None:
    found = broken_by([column("v", Dtype.STR, unique=True)], [(value,) for value in values], chunk_rows)
    expected = [value is not None and value in values[:n] for n, value in enumerate(values)]
    assert [bool(broken) for broken in found] == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.integers(-3, 3), max_size=12), st.integers(1, 4), st.booleans())
def test_increasing_says_the_same_whatever_the_chunks(
    values: list[int | None], chunk_rows: int, strictly: bool
) -> None:
    rule = "strictly" if strictly else True
    texts = [(None if value is None else str(value),) for value in values]
    found = broken_by([column("v", Dtype.INT, increasing=rule)], texts, chunk_rows)
    expected, greatest = [], None
    for value in values:
        passed = (
            value is not None and greatest is not None and (value < greatest or (strictly and value == greatest))
        )
        expected.append(passed)
        if value is not None:
            greatest = value if greatest is None else max(value, greatest)
    assert [bool(broken) for broken in found] == expected


@pytest.mark.parametrize(
    ("dtype", "rules", "told"),
    [
        ("int", {"at_least": "soon"}, "at_least: 'soon' is not of the column's kind, int"),
        ("datetime", {"at_most": 5}, "at_most: 5 is not of the column's kind, datetime"),
        ("int", {"at_least": {"column": "s"}}, "at_least: 's' is not a float or int column of this schema"),
        ("int", {"in": ["a"]}, "in: 'a' is not of the column's kind, int"),
        ("int", {"multiple_of": 0.5}, "multiple_of: 0.5 is no whole number"),
        ("str", {"checked_id": "nope"}, "checked_id: is no kind of number that python-stdnum checks"),
        ("datetime", {"within": "soon"}, "within: is no span of time, as in 90s, 15m, 24h or 30d"),
        ("str", {"lower": {"then": "shout"}}, "then: Input should be 'refuse', 'warn' or 'fail'"),
        ("str", {"lower": {"at_most_pct": 101}}, "at_most_pct: Input should be less than or equal to 100"),
        (
            "str",
            {"lower": {"then": "warn", "when": {"z": 1}}},
            "lower.when: 'z' is not a column of schemas.things",
        ),
        ("str", {"lower": {"when": "z > 1"}}, "lower.when: at character 1, z: is no column of this schema"),
        ("str", {"lower": {"when": {"n": "x"}}}, "lower.when.n: 'x' is not of the column's kind, int"),
        ("str", {"lower": {"when": {"n": {"nope": 1}}}}, "lower.when.n.nope: no such rule"),
        ("str", {"lower": {"when": {"n": {"unique": True}}}}, "lower.when.n.unique: looks at other rows"),
    ],
)
def test_what_a_rule_can_not_be_told_is_refused_at_start(
    tmp_path: Path, dtype: str, rules: dict[str, Any], told: str
) -> None:
    columns = {"id": "int", "n": "int", "s": "str", "x": {"dtype": dtype, "rules": rules}}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings_of({"things": {"key": "id", "columns": columns}})))
    with pytest.raises(ConfigError) as refused:
        get_config(path, checks=[problems])
    assert told in str(refused.value)
