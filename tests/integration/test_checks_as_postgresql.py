"""A check means what PostgreSQL means: for generated expressions, its verdict on each row is PostgreSQL's own."""

from __future__ import annotations

import dataclasses
import os
import random
import re
from collections.abc import Iterator

import psycopg2
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from config.checks import Check
from config.model import Dtype
from config.schema import Column
from tests.unit.test_validation import judge, make_spec
from validation.checks import compiled
from validation.expressions.kinds import ExpressionError

EXAMPLES = int(os.environ.get("CHECKS_EXAMPLES", "80"))
ROWS = 40

VALUES = {  # by column: its dtype, its type, and what rows have of it beside null
    "n": (Dtype.INT, "integer", ["0", "1", "-3", "7", "2147483647", "-2147483648"]),
    "m": (Dtype.INT, "integer", ["0", "2", "-2", "3", "60"]),
    "small": (Dtype.INT, "smallint", ["0", "5", "-32768", "32767"]),
    "big": (Dtype.INT, "bigint", ["0", "9", "9007199254740993", "-9223372036854775808"]),
    "price": (Dtype.FLOAT, "numeric(10,2)", ["0", "0.10", "-2.50", "2.5", "99999999.99"]),
    "fee": (Dtype.FLOAT, "numeric(8,3)", ["0", "0.125", "-0.5", "7.005", "-7.005"]),
    "long": (Dtype.FLOAT, "numeric(20,4)", ["0.1", "1234567890123456.7891", "-5.5000"]),
    "rate": (Dtype.FLOAT, "double precision", ["0", "0.1", "2.5", "-3.5", "1e300"]),
    "begun": (Dtype.DATETIME, "timestamp", ["2026-01-31 10:00:00", "2024-02-29", "2026-12-31 23:59:59.999999"]),
    "ended": (Dtype.DATETIME, "timestamp", ["2026-01-31 12:00:00.5", "2026-02-28 10:00", "2000-01-01"]),
    "day": (Dtype.DATE, "date", ["2026-01-31", "2024-02-29", "2027-01-01"]),
    "other_day": (Dtype.DATE, "date", ["2026-01-30", "2023-12-31"]),
    "clock": (Dtype.TIME, "time", ["10:30:00", "23:59:59.5"]),
    "word": (Dtype.STR, "text", ["", "abc", "Abc", "a_b%c", "é👍", " x ", "a\nb", "10-20-30", "ß\\", "a]b-"]),
    "code": (Dtype.STR, "varchar(5)", ["abc", "A1", "x y", "ÄÖ", "a.b"]),
    "flag": (Dtype.BOOL, "boolean", ["true", "false"]),
    "ref": (Dtype.UUID, "uuid", ["B6F5A1B2-0000-4000-8000-000000000001", "00000000-0000-0000-0000-000000000000"]),
}
SPEC = make_spec(*(Column(name=name, dtype=dtype, sql_type=kind) for name, (dtype, kind, _) in VALUES.items()))


def _rows() -> list[dict[str, str | None]]:
    chance = random.Random(1)
    return [
        {"id": str(n), **{name: chance.choice([None, *values]) for name, (_, _, values) in VALUES.items()}}
        for n in range(ROWS)
    ]


VERDICTS = """
CREATE FUNCTION pg_temp.verdict(expression text, wanted int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE found boolean;
BEGIN
    EXECUTE format('SELECT %s FROM pg_temp.facts WHERE id = %s', expression, wanted) INTO found;
    RETURN CASE WHEN found IS FALSE THEN 1 ELSE 0 END;
EXCEPTION WHEN data_exception OR feature_not_supported THEN RETURN 1;  -- can't be worked out: the row breaks it
END $$
"""


@pytest.fixture(scope="module")
def server(embedded_url: str) -> Iterator[Connection]:
    connection = psycopg2.connect(embedded_url.format(dbname="postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'UTC'")
        kinds = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, (_, kind, _) in VALUES.items()
        )
        cursor.execute(sql.SQL("CREATE TEMP TABLE facts (id int, {})").format(kinds))
        for row in _rows():
            cursor.execute(
                sql.SQL("INSERT INTO facts VALUES ({})").format(sql.SQL(", ").join(map(sql.Literal, row.values())))
            )
        cursor.execute(VERDICTS)
    yield connection
    connection.close()


def postgresql_says(server: Connection, expression: str) -> list[int]:
    """The ids of the rows that break `expression`."""
    with server.cursor() as cursor:
        cursor.execute("SELECT id FROM facts WHERE pg_temp.verdict(%s, id) = 1 ORDER BY id", (expression,))
        return [found for (found,) in cursor.fetchall()]


def we_say(expression: str) -> list[int]:
    """The same; skips an expression that is not offered."""
    spec = dataclasses.replace(SPEC, schema=SPEC.schema.changed(checks={"it": Check(row=expression)}))
    try:
        compiled(spec.schema)
    except ExpressionError:
        assume(condition=False)
    found = judge(spec, *_rows()).rejections()
    return [int(row.raw["id"]) for row in found if any(reason.rule == "it" for reason in row.reasons)]


def _of(*forms: str, **parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts of one of `forms`, whose {parts} are drawn."""

    @st.composite
    def made(draw: st.DrawFn) -> str:
        form = draw(st.sampled_from(forms))
        return re.sub(r"\{(\w+)\}", lambda found: draw(parts[found[1]]), form)

    return made()


NUMBER = st.sampled_from(
    [
        "n",
        "m",
        "small",
        "big",
        "price",
        "fee",
        "long",
        "rate",
        "0",
        "1",
        "-2",
        "3",
        "0.5",
        "2.50",
        "0.001",
        "60",
        "null",
    ]
)
TIME = st.sampled_from(
    ["begun", "ended", "timestamp '2026-01-31 10:00:00'", "'2026-02-28'::timestamp", "day::timestamp"]
)
DAY = st.sampled_from(["day", "other_day", "date '2026-01-31'", "begun::date", "(day + m)", "(day - 7)"])
SPAN = st.sampled_from(
    [
        "interval '2 hours'",
        "interval '1 day 30 minutes'",
        "interval '1 month'",
        "(ended - begun)",
        "(day - begun)",
        "m * interval '1 minute'",
        "interval '0.5 seconds'",
        "(begun - ended + interval '1 day')",
        "n * interval '1 day'",
    ]
)
TEXT = st.sampled_from(["word", "code", "'abc'", "''", "'a.b'", "null", "ref::text", "n::text", "'é👍'"])
TRUTH = st.sampled_from(["flag", "true", "false", "null", "flag is null"])


def _numbers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return _of(
        "{a} + {b}",
        "{a} - {b}",
        "{a} * {b}",
        "{a} / {b}",
        "{a} % {b}",
        "-{a}",
        "({a})",
        "abs({a})",
        "sign({a})",
        "round({a})",
        "round({a}, 1)",
        "trunc({a}, 2)",
        "trunc({a})",
        "floor({a})",
        "ceil({a})",
        "{a}::int",
        "{a}::bigint",
        "{a}::double precision",
        "{a}::numeric(12,1)",
        "({a})::int",
        "({a})::smallint",
        "coalesce({a}, {b})",
        "mod({a}, {b})",
        "greatest({a}, {b})",
        "least({a}, {b}, 1)",
        "nullif({a}, {b})",
        "length({t})",
        "strpos({t}, {t})",
        "flag::int",
        "case when {c} then {a} else {b} end",
        "case {a} when {b} then 1 when 2 then {a} end",
        "{d} - {d}",
        "extract({f} from {x})",
        "extract(second from {x})",
        "extract(epoch from {x})",
        "extract(epoch from ({x} - {x}))",
        "extract({f} from {d})",
        "extract(hour from {x})",
        a=inner,
        b=inner,
        t=TEXT,
        c=TRUTH,
        d=DAY,
        x=TIME,
        f=st.sampled_from(["year", "month", "day", "dow", "isodow", "doy", "week", "quarter", "isoyear"]),
    )


def _texts(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return _of(
        "{t} || {u}",
        'lower({t} collate "C")',
        'upper({t} collate "C")',
        "left({t}, 2)",
        "right({t}, 1)",
        "trim({t})",
        "substring({t} from 2 for 2)",
        "substr({t}, 2)",
        "split_part({t}, '-', 2)",
        "btrim({t}, 'ax')",
        "ltrim({t})",
        "rtrim({t}, 'c')",
        "replace({t}, 'b', {u})",
        "coalesce({t}, {u})",
        "nullif({t}, {u})",
        "({t})",
        t=inner,
        u=inner,
    )


def _times(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return _of(
        "{x} + {s}",
        "{x} - {s}",
        "{d} + {s}",
        "date_trunc('{u}', {x})",
        "greatest({x}, {y})",
        "coalesce({x}, {y})",
        x=inner,
        y=inner,
        s=SPAN,
        d=DAY,
        u=st.sampled_from(["second", "minute", "hour", "day", "week", "month", "year"]),
    )


NUMBERS = st.recursive(NUMBER, _numbers, max_leaves=5)
TEXTS = st.recursive(TEXT, _texts, max_leaves=3)
TIMES = st.recursive(TIME, _times, max_leaves=3)
PATTERNS = ["a%", "%b%", "_bc", "a\\_b\\%c", "%\n%", "", "É%", "A%", "%\\\\"]
REGEXES = [
    "^a",
    "c$",
    "a.b",
    "^[A-Za-z0-9]+$",
    "^(a|A)b?c*$",
    "[^a-c]",
    "^.{2}$",
    "a\\.b",
    "[0-9]{2,}-",
    "^$",
    "[]]",
    "[a\\]-]",
]


def _conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">=", "is distinct from", "is not distinct from"])
    return _of(
        "{n} {o} {k}",
        "{x} {o} {y}",
        "{d} {o} {x}",
        "{d} {o} {e}",
        "{s} {o} {z}",
        "{t} = {u}",
        "{t} <> {u}",
        '{t} collate "C" {o} {u}',
        "{n} between {k} and {m}",
        "{t} in ({u}, 'abc', null)",
        "{n} in ({k}, 2, {m})",
        "{n} not in (1, {k})",
        "{t} is null",
        "{n} is not null",
        "({c}) is true",
        "({c}) is not false",
        "not {c}",
        "{c} and {e2}",
        "{c} or {e2}",
        "({c} and {e2})",
        "({c}) = ({e2})",
        "{t} like '{p}'",
        "{t} not like '{p}'",
        "{t} collate \"C\" ilike '{p}'",
        "{t} ~ '{r}'",
        "{t} !~ '{r}'",
        "starts_with({t}, {u})",
        "clock {o} '12:00:00'",
        "ref = 'b6f5a1b2-0000-4000-8000-000000000001'",
        "ref <> '00000000-0000-0000-0000-000000000000'",
        "({c}) is null",
        "m <> 0 and {n} / m > {k}",
        "m = 0 or {n} % m = 1",
        "coalesce({c}, {e2})",
        "{n} = '1'",
        "{x} > '2026-02-01'",
        "begun::time < clock",
        "{d} between '2026-01-01' and {e}",
        n=NUMBERS,
        k=NUMBERS,
        m=NUMBER,
        x=TIMES,
        y=TIMES,
        d=DAY,
        e=DAY,
        s=SPAN,
        z=SPAN,
        t=TEXTS,
        u=TEXTS,
        c=inner,
        e2=inner,
        o=signs,
        p=st.sampled_from(PATTERNS),
        r=st.sampled_from(REGEXES),
    )


CONDITIONS = st.recursive(TRUTH, _conditions, max_leaves=4)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CHECKS_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(expression=_conditions(CONDITIONS))
def test_a_check_refuses_the_rows_that_postgresql_would(server: Connection, expression: str) -> None:
    assert we_say(expression) == postgresql_says(server, expression)
