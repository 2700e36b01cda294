"""What an expected file is held to: whether it came in time, with how many records, and how many were refused.

Pure: rows of the file log, a clock and the contract go in, findings come out. Times are UTC.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from zoneinfo import ZoneInfo

from config.errors import FileRejected
from config.expected_file import Contract
from config.file_spec import FileSpec
from config.holidays import is_holiday
from config.jobs import Status
from config.model import Stage

LONGEST_BREAK_DAYS = 35  # that a deadline is looked for, weekends and holidays
MIN_HISTORY = 3  # files that a median needs, to be one
TOO_DIRTY = "too many refused records"  # how the error of a file begins that `abort` refused


class Kind(StrEnum):
    """How a contract can be broken."""

    LATE = "late"  # the file of a day is not loaded by expected_by
    SILENT = "silent"  # nothing came for longer than expected_every
    SHRUNKEN = "shrunken"  # fewer records than min_rows, or than the band
    SWOLLEN = "swollen"
    DIRTY = "dirty"  # more refused records than max_reject_pct


@dataclass(frozen=True, slots=True)
class LoggedFile:
    """A row of pipeline_file_log. `refused` without orphans: these may heal, and are no dirt."""

    file_id: int
    path: str
    status: str
    total: int
    refused: int
    error: str | None
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file of a kind that is loaded, be it that its content was there before. `at`: when."""

    path: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of a contract, judged: `broken`, or kept. What can't be judged gives no finding.

    `told`: another alert has said it, that of the failed file.
    """

    kind: Kind
    broken: bool
    day: dt.date  # late: the day of the folder; else: of the judgement
    detail: str
    told: bool = False


def kinds(contract: Contract) -> set[Kind]:
    """What `contract` can be found to break."""
    asked = {
        Kind.LATE: contract.expected_by is not None,
        Kind.SILENT: contract.expected_every is not None,
        Kind.SHRUNKEN: contract.min_rows is not None or contract.rows_band_pct is not None,
        Kind.SWOLLEN: contract.max_rows is not None or contract.rows_band_pct is not None,
        Kind.DIRTY: contract.max_reject_pct is not None,
    }
    return {kind for kind, is_asked in asked.items() if is_asked}


# ---------------------------------------------------------------- did it come?


def is_expected(contract: Contract, day: dt.date) -> bool:
    """Is a file expected on this day, of the contract's time zone?"""
    if contract.days and day.isoweekday() not in {one.iso for one in contract.days}:
        return False
    return contract.holidays is None or not is_holiday(contract.holidays, day)


def days_due(contract: Contract, now: dt.datetime, since: dt.datetime) -> set[dt.date]:
    """The expected day whose deadline passed last; none when that was before `since`, when the pipeline first
    loaded.
    """
    if contract.expected_by is None:
        return set()
    today = now.astimezone(_zone(contract)).date()
    for day in (today - dt.timedelta(days=ago) for ago in range(LONGEST_BREAK_DAYS)):
        deadline = _deadline(contract, day)
        if deadline <= now and is_expected(contract, day):
            return {day} if deadline >= since else set()
    return set()


def judge_days(
    spec: FileSpec, contract: Contract, days: set[dt.date], arrivals: list[Arrival]
) -> Iterator[Finding]:
    """Has the file of each of `days` been loaded? Its folder bears the day."""
    if contract.expected_by is None:
        return
    for day in sorted(days):
        name = f"{spec.pattern} of {day}"
        come = [arrival.at for arrival in arrivals if day.isoformat() in PurePath(arrival.path).parts]
        if come:
            after = _length(min(come) - _deadline(contract, day))
            yield Finding(Kind.LATE, broken=False, day=day, detail=f"{name} has come, {after} late")
        else:
            expected = f"it was expected by {contract.expected_by:%H:%M} {contract.timezone or 'UTC'}"
            yield Finding(Kind.LATE, broken=True, day=day, detail=f"{name} is not loaded; {expected}")


def judge_silence(
    spec: FileSpec, contract: Contract, arrivals: list[Arrival], now: dt.datetime, since: dt.datetime
) -> Iterator[Finding]:
    """Has anything come within `expected_every`? A file that never came is waited for from `since` on."""
    if contract.expected_every is None:
        return
    last = max((arrival.at for arrival in arrivals), default=since)
    broken = _expected_time(contract, last, now) > contract.expected_every
    if broken:
        every = _length(contract.expected_every)
        detail = f"{spec.pattern}: nothing was loaded since {_minute(last)}; expected every {every}"
    else:
        detail = f"{spec.pattern} has come again, at {_minute(last)}"
    yield Finding(Kind.SILENT, broken, now.date(), detail)


def _zone(contract: Contract) -> ZoneInfo:
    return ZoneInfo(contract.timezone or "UTC")


def _deadline(contract: Contract, day: dt.date) -> dt.datetime:
    """In UTC. A time that the clocks leave out that day is as much later, one that comes twice is the first."""
    assert contract.expected_by is not None  # noqa: S101
    return dt.datetime.combine(day, contract.expected_by, _zone(contract)).astimezone(dt.UTC)


def _expected_time(contract: Contract, since: dt.datetime, until: dt.datetime) -> dt.timedelta:
    """How much of the time between is of days on which files are expected."""
    if not contract.days and contract.holidays is None:
        return until - since
    zone, time = _zone(contract), dt.timedelta()
    day = since.astimezone(zone).date()
    while (begin := dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)) < until:
        next_day = day + dt.timedelta(days=1)
        end = dt.datetime.combine(next_day, dt.time(), zone).astimezone(dt.UTC)
        if is_expected(contract, day):
            time += max(min(end, until) - max(begin, since), dt.timedelta())
        day = next_day
    return time


def _minute(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _length(length: dt.timedelta) -> str:
    hours, minutes = divmod(max(round(length.total_seconds() / 60), 0), 60)
    return " ".join(f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min")) if n) or "0 min"


# ---------------------------------------------------------------- is it what it should be?


def judge_rows(spec: FileSpec, contract: Contract, files: Sequence[LoggedFile]) -> Iterator[Finding]:
    """Judge the newest of `files` (newest first) by its records; the others are what it is compared with."""
    if not files:
        return
    file, day = files[0], files[0].at.astimezone(dt.UTC).date()
    name = f"{spec.pattern} (file {file.file_id})"
    if file.status != Status.SUCCESS:
        if (file.error or "").startswith(TOO_DIRTY) and contract.max_reject_pct is not None:
            yield Finding(Kind.DIRTY, broken=True, day=day, detail=f"{name}: {file.error}", told=True)
        return
    least, most, why = _bounds(contract, files)
    for kind, broken in (
        (Kind.SHRUNKEN, least is not None and file.total < least),
        (Kind.SWOLLEN, most is not None and file.total > most),
    ):
        if (least if kind is Kind.SHRUNKEN else most) is not None:
            yield Finding(kind, broken, day, f"{name}: {file.total:,} records{why if broken else ''}")
    if contract.max_reject_pct is not None:
        detail = _too_dirty(contract.max_reject_pct, file.total, file.refused)
        clean = f"{file.refused:,} of {file.total:,} records refused"
        yield Finding(Kind.DIRTY, bool(detail), day, f"{name}: {detail or clean}")


def _bounds(contract: Contract, files: Sequence[LoggedFile]) -> tuple[float | None, float | None, str]:
    """Least and most records, the tighter of limits and band, and a text that names them."""
    limits: list[tuple[float | None, float | None, str]] = [(contract.min_rows, contract.max_rows, "")]
    since = files[0].at - dt.timedelta(days=contract.band_days)
    earlier = [f.total for f in files[1:] if f.status == Status.SUCCESS and f.at >= since]
    if (
        contract.rows_band_pct is not None
        and len(earlier) >= MIN_HISTORY
        and (median := statistics.median(earlier))
    ):
        width = median * contract.rows_band_pct / 100
        told = f" (the median of {len(earlier)} files is {median:g}, ± {contract.rows_band_pct:g} %)"
        limits.append((max(median - width, 0), median + width, told))
    least = max((low for low, _, _ in limits if low is not None), default=None)
    most = min((high for _, high, _ in limits if high is not None), default=None)
    span = " to ".join(f"{bound:,g}" for bound in (least, most) if bound is not None)
    if most is None:
        span = f"at least {span}"
    elif least is None:
        span = f"at most {span}"
    return least, most, f"; expected {span}{limits[-1][2]}"


def refuse_if_dirty(spec: FileSpec, total: int, by_stage: Mapping[Stage, int]) -> None:
    """Raises FileRejected when the contract wants rather nothing than a file with so many refused records."""
    contract = spec.contract
    if contract is None or contract.max_reject_pct is None or not contract.abort:
        return
    refused = {stage: count for stage, count in by_stage.items() if count and stage is not Stage.ORPHAN}
    detail = _too_dirty(contract.max_reject_pct, total, sum(refused.values()))
    if detail:
        stages = ", ".join(f"{stage.value} {refused[stage]:,}" for stage in Stage if stage in refused)
        raise FileRejected(f"{TOO_DIRTY}: {detail} ({stages}); nothing of it is loaded or quarantined")


def _too_dirty(max_reject_pct: float, total: int, refused: int) -> str | None:
    pct = 100 * refused / total if total else 0.0
    if pct <= max_reject_pct:
        return None
    return f"{refused:,} of {total:,} records refused, {pct:.1f} %; at most {max_reject_pct:g} % is allowed"
