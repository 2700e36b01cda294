"""Charts and their axes, times and sizes as text, sessions that can't be forged."""

from __future__ import annotations

import datetime as dt

import pytest

from config.config_loader import is_loopback
from web import figures
from web.charts import PERIODS, Series, bars, compact, lines, nice
from web.guard import SESSION_SECONDS, is_session, new_session

NOW = dt.datetime(2026, 2, 20, 9, 40, tzinfo=dt.UTC)
DAY = PERIODS["24h"]
ONE = (Series("loaded", "s1", "n"),)


def bucket(hour: int, **values: int | None) -> dict[str, int | None]:
    return {"bucket": int(dt.datetime(2026, 2, 20, hour, tzinfo=dt.UTC).timestamp()), **values}


@pytest.mark.parametrize("highest", [0.3, 1, 7, 9.9, 41, 99, 100, 101, 12_345, 3_000_001])
def test_an_axis_holds_its_values_and_wastes_little(highest: float) -> None:
    assert highest <= nice(highest, whole=False) <= max(1.7 * highest, 1)
    assert nice(highest) % 4 == 0


def test_the_last_bucket_is_the_one_that_now_is_in() -> None:
    times = DAY.buckets(NOW)
    assert (len(times), times[0], times[-1]) == (24, NOW.replace(day=19, hour=10, minute=0), NOW.replace(minute=0))


def test_every_bucket_is_in_the_table_also_those_without_a_row() -> None:
    chart = bars("x", "X", "rows", ONE, [bucket(8, n=30), bucket(9, n=12)], DAY, NOW)
    assert [b.values for b in chart.buckets[-3:]] == [("–",), ("30",), ("12",)]  # noqa: RUF001
    assert (len(chart.buckets), chart.shapes[0].total) == (24, "42")
    assert chart.shapes[0].path.count("M") == 2
    assert (chart.y_labels, chart.x_labels[0], chart.x_labels[-1]) == (
        ("40", "30", "20", "10", "0"),
        "10:00",
        "10:00",
    )


def test_a_line_has_a_gap_where_there_is_no_value() -> None:
    chart = lines(
        "x", "X", "ms", ONE, [bucket(5, n=1), bucket(6, n=2), bucket(8, n=3), bucket(9, n=None)], DAY, NOW
    )
    assert (chart.shapes[0].path.count("M"), chart.shapes[0].path.count("L")) == (2, 1)
    assert lines("x", "X", "ms", ONE, [], DAY, NOW).is_empty


def test_numbers_and_times_are_short() -> None:
    assert [compact(n) for n in (0, 12.5, 999.9, 1250, 4e6)] == ["0", "12.5", "1k", "1.25k", "4M"]
    assert [figures.span(s) for s in (0, 59, 61, 3600, 90_000)] == ["0 s", "59 s", "1 min 1 s", "1 h", "1 d 1 h"]
    assert [figures.size(n) for n in (12, 62_000, 5e9)] == ["12 B", "62.0 kB", "5.0 GB"]  # type: ignore[arg-type]
    assert figures.text("a\u202eb\x00c") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


def test_a_session_is_known_by_its_token_and_ends() -> None:
    session = new_session("a-token-of-some-length")
    assert is_session(session, "a-token-of-some-length")
    assert not is_session(session, "another-token-of-some-length")
    end, _, proof = session.partition(".")
    assert not is_session(f"{int(end) + 60}.{proof}", "a-token-of-some-length")
    assert not is_session(new_session("t" * 20, now=0), "t" * 20)
    assert not any(is_session(value, "t" * 20) for value in ("", ".", "x.y", "²." + proof, f"{'9' * 30}.{proof}"))
    assert SESSION_SECONDS <= 86_400


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "10.0.0.5", "example.com", "localhost.example.com")],  # noqa: S104
)
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
