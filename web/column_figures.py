"""What the columns of a file hold, beside what they held in the files before it: the table of the file's page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from validation.profile import Profile
from validation.usual import Figure, sigmas_off
from web.figures import NONE, percent

FILES = 30  # before it
ODD = 3  # standard deviations off
_SHOWN = ("null_share", "distinct", "min", "avg", "max")


class Cell(NamedTuple):
    """A figure, what it was in the files before, and whether it is far from that."""

    value: str
    usual: str
    is_odd: bool


class Row(NamedTuple):
    """A column and its cells: nulls, different values, the least, the mean, the greatest."""

    column: str
    cells: tuple[Cell, ...]


class ColumnFigures(NamedTuple):
    """The table: by how many files before, the good rows, and a row for each column."""

    files: int
    rows: Cell
    columns: tuple[Row, ...]


def column_figures(profiles: Mapping[str, Sequence[Profile]], order: Sequence[str]) -> ColumnFigures | None:
    """The table of a file by its columns' profiles, its own first; None where it has none.

    `order` are the schema's columns; one that it has no more comes last.
    """
    if not profiles:
        return None
    place = {name: number for number, name in enumerate(order)}
    names = sorted(profiles, key=lambda name: (place.get(name, len(place)), name))
    files = max(len(found) for found in profiles.values()) - 1
    rows = tuple(Row(name, tuple(_cell(shown, profiles[name]) for shown in _SHOWN)) for name in names)
    return ColumnFigures(files, _cell("rows", profiles[names[0]]), rows)


def _cell(name: str, profiles: Sequence[Profile]) -> Cell:
    own, *others = profiles
    of = Figure(name, own.column).of
    figure, before = of(own), [found for found in map(of, others) if found is not None]
    if figure is None:
        bound = {"min": own.low, "max": own.high}.get(name)
        return Cell(bound or NONE, "", is_odd=False)
    off = sigmas_off(figure, before)
    return Cell(_written(name, figure), _usual(name, before), is_odd=off is not None and off > ODD)


def _usual(name: str, before: Sequence[float]) -> str:
    if not before:
        return ""
    mean = _written(name, statistics.fmean(before))
    deviation = _written(name, statistics.stdev(before) if len(before) > 1 else 0)
    return mean if deviation == _written(name, 0) else f"{mean} ± {deviation}"


def _written(name: str, figure: float) -> str:
    if name == "null_share":
        return percent(100 * figure)
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.6g}"
