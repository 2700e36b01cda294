"""Formats of dates and times as the YAML gives them: as in strptime, or one of a few words."""

from __future__ import annotations

import datetime as dt
import zoneinfo

# ISO 8601 and what can't be mistaken for anything else; seconds or milliseconds since 1970-01-01 00:00 UTC.
ISO, EPOCH, EPOCH_MS = WORDS = ("iso", "epoch", "epoch_ms")
_PROBE = dt.datetime(2031, 4, 5, 18, 7, 9, tzinfo=dt.UTC)
_UNKNOWN_ZONE = "is not the name of a time zone, as in Europe/Berlin"


def format_problem(text: str, *, of_time: bool = False) -> str | None:
    """What is wrong with a format of dates, or of times of the day; None when it can be used."""
    if text in WORDS:
        return "goes with dates, not with times of the day" if of_time and text != ISO else None
    if "%" not in text:
        return f"is no format as in %d.%m.%Y, and none of the words {', '.join(WORDS)}"
    if "%:z" in text or "%Z" in text:
        return "can't be read back: %z takes an offset with a colon and without; a zone's name tells too little"
    try:
        found = dt.datetime.strptime(_PROBE.strftime(text), text)  # noqa: DTZ007  (an offset is in it or not)
    except ValueError:
        return "is no format that strptime knows"
    return _problem_of_time(found) if of_time else _problem_of_date(text, found)


def _problem_of_time(found: dt.datetime) -> str | None:
    whole = found.hour == _PROBE.hour and found.date() == dt.date(1900, 1, 1)
    return None if whole else "must give the hour (with %I also %p), and nothing of a date"


def _problem_of_date(text: str, found: dt.datetime) -> str | None:
    if found.date() != _PROBE.date():
        return "does not give year, month and day"
    says_hour = any(part in text for part in ("%H", "%I", "%X", "%c"))
    return "must give the hour of the day; with %I also %p" if says_hour and found.hour != _PROBE.hour else None


def zone_problem(name: str) -> str | None:
    """What is wrong with an IANA time zone's name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return _UNKNOWN_ZONE
    return None
