"""What is measured, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

RATIO = "ratio"


class Target(NamedTuple):
    """A bound for the median: at most, or at least."""

    bound: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:,g}"


TARGETS = {
    ("csv", "ours / \\copy with keys"): Target(0.4),
    ("csv", "ours / \\copy, triggers off"): Target(1.4),
    ("csv", "rows a second"): Target(55_000, at_least=True),
    ("quotes", "every value quoted: judging / loading"): Target(0.05),
    ("quotes", "no quotes: judging / loading"): Target(0.01),
    ("dialect", "cp1252 / plain CSV"): Target(1.1),
    ("dialect", "UTF-16 / plain CSV"): Target(1.1),
    ("dialect", "other signs / plain CSV"): Target(1.1),
    ("dialect", "lines that are no rows / plain CSV"): Target(1.1),
    ("json", "JSON / CSV"): Target(1.3),
    ("nested", "nested / flat JSON"): Target(1.5),
    ("excel", "reading / calamine alone"): Target(1.3),
    ("parquet", "Parquet, amounts as doubles / CSV"): Target(1),
    ("parquet", "Parquet, amounts as decimals / CSV"): Target(1),
    ("small", "files a second"): Target(50, at_least=True),
    ("latency", "p50"): Target(50),
    ("latency", "p99"): Target(200),
    ("memory", "peak, N rows"): Target(400),
    ("memory", "peak, 10 N rows"): Target(400),
    ("memory", "10 N / N"): Target(1.1),
    ("fk", "large / small dimension"): Target(1.2),
    ("start", "to the banner"): Target(5),
    ("start", "to the first file"): Target(5),
    ("retry", "after the parents came"): Target(10),
    ("retry", "peak, N / N:10 open"): Target(1.1),
    ("keys", "two numbers / one"): Target(1.15),
    ("keys", "two texts / one"): Target(1.15),
    ("changes", "latest: unchanged / new"): Target(1),
    ("changes", "latest by file: unchanged / new"): Target(1),
    ("changes", "history: unchanged / new"): Target(1),
    ("changes", "latest: all changed / INSERT … DO UPDATE"): Target(1.3),
    ("changes", "facts: new under latest / first"): Target(1.1),
    ("changes", "facts: new under history / first"): Target(1.1),
    ("changes", "dimensions: new under latest / first"): Target(1.6),
    ("changes", "dimensions: new under history / first"): Target(1.6),
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the report: samples in `unit`, one a run; `about` says on what."""

    case: str
    name: str
    unit: str
    samples: tuple[float, ...]
    about: str = ""

    @property
    def target(self) -> Target | None:
        return TARGETS.get((self.case, self.name))

    @property
    def median(self) -> float:
        return float(np.median(self.samples))

    @property
    def of_target(self) -> float | None:
        """The median as a share of the target, where 1 just meets it and less is better; None without one."""
        if self.target is None:
            return None
        median, bound = self.median, self.target.bound
        return bound / median if self.target.at_least else median / bound

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "case": self.case,
            "name": self.name,
            "about": self.about,
            "unit": self.unit,
            "min": min(self.samples),
            "median": self.median,
            "max": max(self.samples),
            "target": str(self.target) if self.target else None,
            "met": self.of_target <= 1 if self.of_target is not None else None,
            "samples": list(self.samples),
        }


def ratios(over: list[float], under: list[float]) -> tuple[float, ...]:
    """Run by run, so that what slowed a run slowed both of its sides."""
    return tuple(a / b for a, b in zip(over, under, strict=True))
