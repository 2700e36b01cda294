"""Public holidays by country, as the library `holidays` has them; it is loaded where a contract asks only."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any


def country(name: str) -> str:
    """The name of a country, as it is; raises ValueError for one that is not known."""
    try:
        _calendar(name)
    except NotImplementedError:
        raise ValueError(
            f"{name!r}: no holidays are known of it; write a country by its two letters, as in FR, or a part of "
            "one, as in US-CA"
        ) from None
    return name


def is_holiday(name: str, day: dt.date) -> bool:
    """Is the day a public holiday there?"""
    return day in _calendar(name)


@lru_cache(maxsize=20)
def _calendar(name: str) -> Any:
    import holidays

    code, _, part = name.partition("-")
    return holidays.country_holidays(code, subdiv=part or None)
