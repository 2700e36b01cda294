"""Alerts of one kind and file type become one notice in a while, and none is lost."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.alerts import ENDS, FIRST, MOST_WINDOWS, Alert, AlertKind, Group, Windows
from utils.notices import Site, command_of, notice_of

AT = dt.datetime(2026, 2, 20, 9, 0, tzinfo=dt.UTC)
GATHER, LENGTH = 4.0, 600.0


def failed(n: int, file_type: str = "orders") -> Alert:
    text = f"2026-02-20/{n:02}/{file_type}.json (file {n}): an extra column"
    return Alert(AlertKind.FILE_FAILED, text, file_type, "an extra column", n)


def add(windows: Windows, alert: Alert, now: float) -> None:
    assert windows.add(alert, now, AT + dt.timedelta(seconds=now))


def test_a_burst_is_one_notice_with_the_count_the_first_names_the_reason_and_a_command() -> None:
    windows = Windows(LENGTH, GATHER)
    for n in range(300):
        add(windows, failed(n), n / 100)
    assert windows.due(3.9) == []
    (group,) = windows.due(4.0)
    notice = notice_of(group, Site("host-7"))
    assert notice.title == "File failed: orders (300 times)"
    for part in (
        "300 times, from 09:00:00 to 09:00:02 UTC",
        "Most frequent reason: an extra column (300 times)",
        "2026-02-20/00/orders.json (file 0): an extra column",
        f"and {300 - FIRST} more",
        "To see more: python main.py files --type orders --status failed",
        "Host: host-7",
    ):
        assert part in notice.text
    assert "2026-02-20/10/" not in notice.text


def test_what_comes_within_the_window_is_told_once_at_its_end() -> None:
    windows = Windows(LENGTH, GATHER)
    add(windows, failed(1), 0)
    assert [group.count for group in windows.due(4)] == [1]
    for n in range(50):
        add(windows, failed(n), 10 + n)
    assert windows.due(603.9) == []
    assert [group.count for group in windows.due(604)] == [50]
    assert windows.due(1300) == []
    add(windows, failed(1), 1301)
    assert windows.due(1304.9) == []
    assert [group.count for group in windows.due(1305)] == [1]  # after a quiet window it is a first one again


def test_kinds_and_file_types_are_told_apart() -> None:
    windows = Windows(LENGTH, GATHER)
    for name in ("orders", "tickets"):
        add(windows, failed(1, name), 0)
        add(windows, Alert(AlertKind.MANY_REFUSED, "x", name), 0)
    assert len(windows.due(5)) == 4


def test_the_end_of_trouble_is_told_though_its_begin_was_just_told() -> None:
    windows = Windows(LENGTH, GATHER)
    told: list[str] = []
    for now, kind in [
        (0, AlertKind.DATABASE_AWAY), (60, AlertKind.DATABASE_BACK),
        (70, AlertKind.DATABASE_AWAY), (80, AlertKind.DATABASE_BACK),
    ]:  # fmt: skip
        add(windows, Alert(kind, "x"), now)
        told += [group.kind for group in windows.due(now + GATHER)]
    assert told == ["Database unavailable", "Database available again"]
    for now in range(100, 1000):
        told += [group.kind for group in windows.due(now)]
    assert told[2:] == ["Database unavailable", "Database available again"]


def test_no_window_means_that_each_alert_is_a_notice_of_its_own() -> None:
    windows = Windows(0, GATHER)
    for _ in range(3):
        add(windows, failed(1), 0)
    assert [group.count for group in windows.due(0)] == [1, 1, 1]


def test_kinds_without_end_take_no_memory_without_end() -> None:
    windows = Windows(LENGTH, GATHER)
    taken = [windows.add(Alert(str(n), "x"), 0, AT) for n in range(MOST_WINDOWS + 10)]
    assert Counter(taken) == {True: MOST_WINDOWS, False: 10}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "orders"]), st.floats(0, 900)), max_size=60)
)
def test_none_is_lost_and_none_told_twice(steps: list[tuple[str, str, float]]) -> None:
    windows, now, told = Windows(LENGTH, GATHER), 0.0, Counter[tuple[str, str]]()

    def note(groups: list[Group]) -> None:
        told.update({(group.kind, group.file_type): group.count for group in groups})
        assert len({group.key for group in groups}) == len(groups)

    for kind, name, pause in steps:
        now += pause
        note(windows.due(now))
        add(windows, Alert(kind, "x", name), now)
    note(windows.due(now, everything=True))
    assert told == Counter((kind, name) for kind, name, _ in steps)


@pytest.mark.parametrize("kind", list(AlertKind))
def test_every_kind_has_a_command_that_shows_more(kind: AlertKind) -> None:
    for command in (command_of(kind), command_of(kind, "orders"), command_of(kind, "orders", 27)):
        assert command.startswith(("python main.py ", "grep "))
        assert "{" not in command


def test_what_ends_something_is_a_kind_that_is_not_ended_itself() -> None:
    assert not set(ENDS) & set(ENDS.values())


def test_text_of_others_stays_in_its_line() -> None:
    group = Group(("a", "b", 0), "kind\nBcc: x", "type\r\n", AT, AT)
    group.add(Alert("kind", "a\x1b[2J\nb"), AT)
    group.add(Alert("kind", "a\u2028b" + "x" * 100_000, reason="r\n" * 9000), AT)
    notice = notice_of(group, Site("host\n"))
    assert "\n" not in notice.title
    assert all(line.isprintable() for line in notice.text.split("\n"))
    assert len(notice.text) < 4000
