"""Contracts as tables of cases: days, clocks and rows of the file log go in, findings come out."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pytest
from pydantic import ValidationError

from config.config_loader import DEFAULT_CONFIG, get_config
from config.errors import FileRejected
from config.expected_file import Contract
from config.file_spec import FileSpec
from config.model import Feed, Stage
from ingestion.contract import (
    Arrival,
    Kind,
    LoggedFile,
    days_due,
    judge_days,
    judge_rows,
    judge_silence,
    refuse_if_dirty,
)
from ingestion.inbox import Inbox
from ingestion.scans import scan_batch

LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TODAY, YESTERDAY = dt.date(2026, 3, 10), dt.date(2026, 3, 9)


@pytest.fixture(scope="module")
def spec() -> FileSpec:
    return next(s for s in get_config(DEFAULT_CONFIG).files if s.name == "customers" and s.feed is Feed.BATCH)


def contract(**keys: Any) -> Contract:
    return Contract.model_validate(keys)


def at(clock: str, day: dt.date = TODAY) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{day}T{clock}:00+00:00")


def logged(
    total: int, refused: int = 0, *, days_ago: float = 0, status: str = "success", error: str | None = None
) -> LoggedFile:
    return LoggedFile(7, "x", status, total, refused, error, at("12:00") - dt.timedelta(days=days_ago))


@pytest.mark.parametrize(
    ("clock", "since", "due"),
    [
        ("06:30", LONG_AGO, {TODAY}),
        ("23:59", LONG_AGO, {TODAY}),
        ("06:29", LONG_AGO, {YESTERDAY}),
        ("00:00", LONG_AGO, {YESTERDAY}),
        ("10:00", at("09:00"), set()),  # the pipeline is younger than the deadline
        ("06:00", at("07:00", YESTERDAY), set()),
        ("06:00", at("06:30", YESTERDAY), {YESTERDAY}),
    ],
)
def test_the_deadline_that_passed_last_is_judged(clock: str, since: dt.datetime, due: set[dt.date]) -> None:
    assert days_due(contract(expected_by="06:30"), at(clock), since) == due


def test_a_year_of_days_has_weekends_holidays_and_both_changes_of_the_clocks() -> None:
    """Cairo: Friday and Saturday are free; the clocks go forward on 2026-04-24, and back on 2026-10-30."""
    cairo = ZoneInfo("Africa/Cairo")
    asked = contract(
        expected_by="00:30", days=["sun", "mon", "tue", "wed", "thu"], holidays="EG", timezone=cairo.key
    )
    first, free = dt.date(2026, 1, 1), 0
    due_in_turn: list[dt.date] = []
    for day in (first + dt.timedelta(days=n) for n in range(365)):
        is_free = day.isoweekday() in {5, 6} or day in holidays.country_holidays("EG")
        free += is_free
        before, after = (
            dt.datetime.combine(day, dt.time(0, minute), cairo).astimezone(dt.UTC) for minute in (29, 31)
        )
        assert (day in days_due(asked, after, LONG_AGO - dt.timedelta(days=60))) == (not is_free), day
        assert day not in days_due(asked, before, LONG_AGO - dt.timedelta(days=60)), day
        due_in_turn += days_due(asked, after, LONG_AGO - dt.timedelta(days=60))
    assert 104 < free < 130
    assert due_in_turn == sorted(due_in_turn), "a day that is over is not due again"
    left_out = contract(expected_by="00:30", timezone=cairo.key)
    forward = dt.datetime(2026, 4, 23, 22, 30, tzinfo=dt.UTC)  # 00:30 is not: it is 01:30 then
    assert days_due(left_out, forward, LONG_AGO) == {dt.date(2026, 4, 24)}
    assert days_due(left_out, forward - dt.timedelta(minutes=1), LONG_AGO) == {dt.date(2026, 4, 23)}


def test_a_silence_is_counted_on_days_on_which_files_are_expected(spec: FileSpec) -> None:
    asked = contract(expected_every="20h", days=["mon", "tue", "wed", "thu", "fri"], timezone="Europe/Berlin")
    friday = dt.datetime(2026, 3, 27, 17, tzinfo=dt.UTC)  # 18:00; on Sunday the clocks go forward
    for now, broken in (
        (dt.datetime(2026, 3, 29, 20, tzinfo=dt.UTC), False),
        (dt.datetime(2026, 3, 30, 11, 59, tzinfo=dt.UTC), False),  # 6 hours of Friday, and 14 of Monday: 13:59
        (dt.datetime(2026, 3, 30, 12, 1, tzinfo=dt.UTC), True),
    ):
        (found,) = judge_silence(spec, asked, [Arrival("x", friday)], now, LONG_AGO)
        assert found.broken is broken, now


def test_the_hour_of_the_batch_is_that_of_its_time_zone(tmp_path: Path) -> None:
    for name in ("2026-03-09", "2026-03-10", "2026-03-11"):
        (tmp_path / "batch" / name).mkdir(parents=True)
        (tmp_path / "batch" / name / "customers.csv").write_text("x")
    config = get_config(DEFAULT_CONFIG)
    batch = config.watcher.batch.model_copy(
        update={"dir": str(tmp_path / "batch"), "trigger_hour": 6, "timezone": "Africa/Cairo", "catch_up_days": 0}
    )
    config = config.model_copy(update={"watcher": config.watcher.model_copy(update={"batch": batch})})
    for clock, days in (("03:59", set()), ("04:00", {"2026-03-10"}), ("22:30", set())):
        inbox = Inbox(config, Forgetful(), report=lambda *_: None)
        scan_batch(config, inbox, at(clock))
        assert {job.path.parent.name for job in inbox.waiting()} == days, clock


class Forgetful:
    """Knows no file."""

    def is_current(self, path: str, size: int, mtime_ns: int, inode: int = 0, ctime_ns: int = 0) -> bool:  # noqa: ARG002
        return False


@pytest.mark.parametrize(
    "wrong", [{"holidays": "XX"}, {"holidays": "US-XX"}, {"timezone": "Cairo"}, {"days": ["x"]}]
)
def test_a_calendar_that_nobody_knows_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"by its two letters|name of a time zone|mon"):
        contract(**wrong)


def test_a_day_is_come_when_a_file_of_its_folder_is_loaded(spec: FileSpec) -> None:
    arrivals = [
        Arrival(f"/in/batch/{YESTERDAY}/customers.csv", at("08:00")),
        Arrival("/in/master/customers.csv", at("01:00")),
        Arrival(f"/in/batch/x{TODAY}/customers.csv", at("01:00")),
    ]
    late, come = sorted(
        judge_days(spec, contract(expected_by="06:30"), {TODAY, YESTERDAY}, arrivals), key=lambda f: not f.broken
    )
    assert (late.kind, late.broken, late.day) == (Kind.LATE, True, TODAY)
    assert late.detail == "customers.csv of 2026-03-10 is not loaded; it was expected by 06:30 UTC"
    assert (come.broken, come.day) == (False, YESTERDAY)
    assert come.detail == "customers.csv of 2026-03-09 has come, 25 h 30 min late"


@pytest.mark.parametrize(
    ("arrived", "since", "broken"),
    [
        ([at("10:00"), at("08:00")], LONG_AGO, False),  # exactly two hours before twelve
        ([at("09:59")], LONG_AGO, True),
        ([], LONG_AGO, True),
        ([], at("11:00"), False),
    ],
)
def test_silence_is_measured_from_the_newest_file(
    spec: FileSpec, arrived: list[dt.datetime], since: dt.datetime, broken: bool
) -> None:
    arrivals = [Arrival("x", moment) for moment in arrived]
    (found,) = judge_silence(spec, contract(expected_every="2h"), arrivals, at("12:00"), since)
    assert (found.kind, found.broken) == (Kind.SILENT, broken)


HISTORY = [logged(total, days_ago=1 + n) for n, total in enumerate((90, 100, 500))]  # median 100


@pytest.mark.parametrize(
    ("keys", "files", "found"),
    [
        ({"min_rows": 10}, [logged(10)], {Kind.SHRUNKEN: False}),
        ({"min_rows": 10}, [logged(9)], {Kind.SHRUNKEN: True}),
        ({"max_rows": 10}, [logged(10)], {Kind.SWOLLEN: False}),
        ({"max_rows": 10}, [logged(11)], {Kind.SWOLLEN: True}),
        ({"min_rows": 1}, [logged(0)], {Kind.SHRUNKEN: True}),
        ({"rows_band_pct": 50}, [logged(50), *HISTORY], {Kind.SHRUNKEN: False, Kind.SWOLLEN: False}),
        ({"rows_band_pct": 50}, [logged(49), *HISTORY], {Kind.SHRUNKEN: True, Kind.SWOLLEN: False}),
        ({"rows_band_pct": 50}, [logged(151), *HISTORY], {Kind.SHRUNKEN: False, Kind.SWOLLEN: True}),
        ({"rows_band_pct": 50, "band_days": 2}, [logged(1), *HISTORY], {}),  # two files make no median
        ({"rows_band_pct": 50}, [logged(1), *HISTORY[:2], logged(9, days_ago=1, status="failed")], {}),
        ({"rows_band_pct": 50}, [logged(5), *[logged(0, days_ago=1)] * 3], {}),  # a median of nothing
        (
            {"rows_band_pct": 50, "min_rows": 80},
            [logged(70), *HISTORY],
            {Kind.SHRUNKEN: True, Kind.SWOLLEN: False},
        ),
        ({"max_reject_pct": 5}, [logged(100, 5)], {Kind.DIRTY: False}),
        ({"max_reject_pct": 5}, [logged(100, 6)], {Kind.DIRTY: True}),
        ({"max_reject_pct": 0}, [logged(0)], {Kind.DIRTY: False}),
        ({"max_reject_pct": 5}, [logged(0, status="failed", error="the columns are wrong")], {}),
        ({"min_rows": 5}, [], {}),
    ],
)
def test_the_newest_file_is_judged_by_its_rows(
    spec: FileSpec, keys: dict[str, Any], files: list[LoggedFile], found: dict[Kind, bool]
) -> None:
    assert {f.kind: f.broken for f in judge_rows(spec, contract(**keys), files)} == found


def test_what_is_expected_is_said(spec: FileSpec) -> None:
    def details(files: list[LoggedFile], **keys: Any) -> list[str]:
        return [f.detail for f in judge_rows(spec, contract(**keys), files) if f.broken]

    name = "customers.csv (file 7)"
    assert details([logged(9)], min_rows=1200) == [f"{name}: 9 records; expected at least 1,200"]
    assert details([logged(9)], max_rows=8) == [f"{name}: 9 records; expected at most 8"]
    assert details([logged(9), *HISTORY], rows_band_pct=20) == [
        f"{name}: 9 records; expected 80 to 120 (the median of 3 files is 100, ± 20 %)"
    ]
    assert details([logged(200, 13)], max_reject_pct=5) == [
        f"{name}: 13 of 200 records refused, 6.5 %; at most 5 % is allowed"
    ]


def test_a_dirty_file_is_refused_only_where_the_contract_aborts_and_orphans_are_no_dirt(spec: FileSpec) -> None:
    import dataclasses

    def refuse(refused: dict[Stage, int], **keys: Any) -> None:
        refuse_if_dirty(dataclasses.replace(spec, contract=contract(**keys)), 100, refused)

    refuse_if_dirty(spec, 100, {Stage.SCHEMA: 100})
    refuse({Stage.SCHEMA: 100}, max_reject_pct=5)
    refuse({Stage.SCHEMA: 100}, min_rows=5)
    refuse({Stage.SCHEMA: 3, Stage.RECORDS: 2, Stage.ORPHAN: 90}, max_reject_pct=5, abort=True)
    with pytest.raises(FileRejected) as refusal:
        refuse({Stage.SCHEMA: 3, Stage.LOAD: 3, Stage.ORPHAN: 90}, max_reject_pct=5, abort=True)
    text = str(refusal.value)
    assert text.startswith("too many refused records: 6 of 100 records refused, 6.0 %; at most 5 % is allowed")
    assert "(schema 3, load 3)" in text
