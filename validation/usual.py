"""Is a figure of a file as usual? It is held against those of the files before it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from config.checks import LEAST_FILES
from validation.profile import Profile

_EQUAL = 1e-9  # of figures that are the same but for the rounding of doubles


def _values(profile: Profile) -> int:
    return round(profile.rows * (1 - profile.null_share))


def _number(bound: str | None) -> float | None:
    try:
        return None if bound is None else float(bound)
    except ValueError:  # of a time, when the column had another type
        return None


_FIGURES: dict[str, Callable[[Profile], float | None]] = {
    "rows": lambda profile: profile.rows,
    "values": _values,
    "distinct": lambda profile: profile.distinct,
    "null_share": lambda profile: profile.null_share,
    "avg": lambda profile: profile.mean,
    "sum": lambda profile: None if profile.mean is None else profile.mean * _values(profile),
    "min": lambda profile: _number(profile.low),
    "max": lambda profile: _number(profile.high),
}


class Figure(NamedTuple):
    """What a check looks at: `name` is one of _FIGURES, `column` the one that it is of."""

    name: str
    column: str

    def of(self, profile: Profile) -> float | None:
        """The figure in the profile of its column; None where there is none."""
        return _FIGURES[self.name](profile)


def sigmas_off(figure: float, before: Sequence[float]) -> float | None:
    """By how many standard deviations a figure is off the mean of those before it; None where they are too few."""
    if len(before) < LEAST_FILES:
        return None
    mean, deviation = statistics.fmean(before), statistics.stdev(before)
    distance = abs(figure - mean)
    if distance <= _EQUAL * abs(mean):
        return 0
    return distance / deviation if deviation > _EQUAL * abs(mean) else math.inf
