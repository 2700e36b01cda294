"""Charts as inline SVG: their geometry. templates/charts.html draws them, style and script come from static files.

The plot is stretched to its place, the words stay HTML around it, and as large on a phone as on a desk.
Measured against libraries that ship their script: plotly 4.8 MB, bokeh 1.3 MB, and both want styles inline, which
the content security policy here does not allow.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NONE = "\N{EN DASH}"
WIDTH, HEIGHT = 1000, 100  # of the plot, in its own units
TICKS = 4  # steps of either axis
BAR = 0.7  # of a bucket's width


@dataclass(frozen=True, slots=True)
class Period:
    """A choice of time: `seconds` back from now, in buckets of `step` seconds, which `each` names."""

    name: str
    label: str
    seconds: int
    step: int
    each: str

    def buckets(self, now: dt.datetime) -> list[dt.datetime]:
        """Begin of each bucket, the one that `now` is in as the last."""
        last = int(now.timestamp()) // self.step * self.step
        count = self.seconds // self.step
        return [dt.datetime.fromtimestamp(last - self.step * i, dt.UTC) for i in reversed(range(count))]


PERIODS = {
    period.name: period
    for period in (
        Period("1h", "1 hour", 3600, 120, "2 min"),
        Period("24h", "24 hours", 86_400, 3600, "hour"),
        Period("7d", "7 days", 7 * 86_400, 6 * 3600, "6 h"),
        Period("30d", "30 days", 30 * 86_400, 86_400, "day"),
    )
}


@dataclass(frozen=True, slots=True)
class Series:
    """One series: what it is, its style (a class of static/app.css), and the column that it shows."""

    label: str
    style: str
    column: str


@dataclass(frozen=True, slots=True)
class Shape:
    label: str
    style: str
    path: str
    total: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket: the place of its column in the plot, its time, its values as text."""

    x: float
    width: float
    time: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    name: str
    title: str
    unit: str
    kind: str  # bars, lines
    shapes: tuple[Shape, ...]
    buckets: tuple[Bucket, ...]
    y_labels: tuple[str, ...]  # from the top
    x_labels: tuple[str, ...]
    summary: str

    @property
    def is_empty(self) -> bool:
        return not any(shape.path for shape in self.shapes)


def bars(
    name: str, title: str, unit: str, series: Sequence[Series], rows: Sequence[Mapping[str, Any]], period: Period,
    now: dt.datetime,
) -> Chart:  # fmt: skip
    """Stacked bars; `rows` have `bucket` (seconds since 1970) and the columns of `series`, null being 0."""
    times, table = _table(series, rows, period, now)
    values = [[float(value or 0) for value in row] for row in table]
    top = nice(max((sum(row) for row in values), default=0))
    width = WIDTH / len(times)
    base = [0.0] * len(times)
    shapes = []
    for column, one in enumerate(series):
        path = []
        for index, row in enumerate(values):
            if row[column]:
                y, height = base[index], row[column] / top * HEIGHT
                base[index] += height
                x = (index + (1 - BAR) / 2) * width
                path.append(f"M{x:.2f} {HEIGHT - y:.2f}v{-height:.2f}h{width * BAR:.2f}v{height:.2f}z")
        total = f"{sum(row[column] for row in values):,.0f}"
        shapes.append(Shape(one.label, one.style, "".join(path), total))
    summary = ", ".join(f"{shape.total} {shape.label}" for shape in shapes)
    return _chart(name, title, unit, "bars", shapes, times, table, top, period, summary)


def lines(
    name: str, title: str, unit: str, series: Sequence[Series], rows: Sequence[Mapping[str, Any]], period: Period,
    now: dt.datetime,
) -> Chart:  # fmt: skip
    """Lines, with gaps where there is no value."""
    times, table = _table(series, rows, period, now)
    top = nice(max((float(value) for row in table for value in row if value is not None), default=0), whole=False)
    width = WIDTH / len(times)
    shapes = []
    for column, one in enumerate(series):
        path, before = [], False
        values = [row[column] for row in table]
        for index, value in enumerate(values):
            if value is not None:
                x, y = (index + 0.5) * width, HEIGHT - float(value) / top * HEIGHT
                path.append(f"{'L' if before else 'M'}{x:.2f} {y:.2f}{'' if before else 'h0.01'}")
            before = value is not None
        known = [float(value) for value in values if value is not None]
        total = f"at most {compact(max(known))}" if known else "none"
        shapes.append(Shape(one.label, one.style, "".join(path), total))
    summary = ", ".join(f"{shape.label} {shape.total} {unit}" for shape in shapes if shape.path)
    return _chart(name, title, unit, "lines", shapes, times, table, top, period, summary)


def _table(
    series: Sequence[Series], rows: Sequence[Mapping[str, Any]], period: Period, now: dt.datetime
) -> tuple[list[dt.datetime], list[list[Any]]]:
    """The buckets' begins, and for each the values of the series; None where there is no row."""
    times = period.buckets(now)
    by_bucket = {int(row["bucket"]): row for row in rows}
    none: Mapping[str, Any] = {}
    found = [by_bucket.get(int(time.timestamp()), none) for time in times]
    return times, [[row.get(one.column) for one in series] for row in found]


def _chart(
    name: str, title: str, unit: str, kind: str, shapes: list[Shape], times: list[dt.datetime],
    table: list[list[Any]], top: float, period: Period, summary: str,
) -> Chart:  # fmt: skip
    width = WIDTH / len(times)
    long = period.step >= 86_400
    form = "%d %b" if long else ("%d %b %H:%M" if period.seconds > 86_400 else "%H:%M")
    buckets = tuple(
        Bucket(index * width, width, f"{time:{form}}", tuple(_cell(value) for value in row))
        for index, (time, row) in enumerate(zip(times, table, strict=True))
    )
    edges = [times[0] + dt.timedelta(seconds=period.step * len(times) * i / TICKS) for i in range(TICKS + 1)]
    edge_form = "%d %b" if period.seconds > 86_400 else "%H:%M"
    return Chart(
        name=name,
        title=title,
        unit=unit,
        kind=kind,
        shapes=tuple(shapes),
        buckets=buckets,
        y_labels=tuple(compact(top * (TICKS - i) / TICKS) for i in range(TICKS + 1)),
        x_labels=tuple(f"{edge:{edge_form}}" for edge in edges),
        summary=summary or "no values",
    )


def _cell(value: Any) -> str:
    if value is None:
        return NONE
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def nice(highest: float, *, whole: bool = True) -> float:
    """The top of an axis: TICKS steps of 1, 1.5, 2, 2.5, 3, 4 or 5 x 10^n, as few as `highest` fits under."""
    if highest <= 0:
        return float(TICKS)
    step = highest / TICKS
    power = 10 ** math.floor(math.log10(step))
    steps = [factor * power for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 10) if not whole or (factor * power) % 1 == 0]
    fitting = [candidate for candidate in steps if candidate >= step * (1 - 1e-9)]
    return TICKS * (fitting[0] if fitting else max(1.0, math.ceil(step)))


def compact(number: float) -> str:
    """A number in few characters: 1,250 → 1.25k; 0.5 → 0.5."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= limit * 0.9995:
            return f"{number / limit:.3g}{letter}"
    return f"{number:.3g}"
