"""The report of a benchmark: a table for the screen, JSON for machines, an SVG chart."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import psutil
from rich.table import Table

from scripts.benchmarks.measures import Measure
from scripts.benchmarks.server import Bench, Database

SETTINGS = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "wal_compression")
WIDTH, ROW, LEFT, TOP, BAR = 900, 26, 300, 56, 14
SPAN = WIDTH - LEFT - 110  # pixels of twice the target
MET, MISSED, INK, LINE = "#2a7f62", "#c0532f", "#222", "#888"


def machine(bench: Bench) -> dict[str, Any]:
    """What the figures were measured on."""
    postgres = Database(bench.url.format(dbname="postgres"), bench.folder)
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "load_before": os.getloadavg()[0],
        "system": " ".join((platform.system(), *platform.release().split(".")[:1])),
        "python": platform.python_version(),
        "postgresql": {name: postgres.row("SELECT current_setting(%s)", (name,))[0] for name in SETTINGS},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def table(measures: Sequence[Measure]) -> Table:
    """One line a measure: min, median, max, and the target of the median."""
    made = Table(caption="Targets are for --scale 1; a target is met by the median.")
    for name in ("case", "measured", "on"):
        made.add_column(name)
    for name in ("min", "median", "max", "unit", "target", ""):
        made.add_column(name, justify="right", no_wrap=True)
    for number, measure in enumerate(measures):
        share = measure.of_target
        verdict = "" if share is None else "met" if share <= 1 else "missed"
        figures = [_figure(value) for value in (min(measure.samples), measure.median, max(measure.samples))]
        last = number + 1 == len(measures) or measures[number + 1].case != measure.case
        target = str(measure.target or "")
        made.add_row(
            measure.case, measure.name, measure.about, *figures, measure.unit, target, verdict, end_section=last
        )
    return made


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.1f}" if value >= 100 else f"{value:,.3g}"


def as_json(measures: Sequence[Measure], about: dict[str, Any]) -> str:
    """`about` and every measure with all its samples."""
    return json.dumps({**about, "measures": [measure.as_dict() for measure in measures]}, indent=2) + "\n"


def as_svg(measures: Sequence[Measure], title: str) -> str:
    """A bar for each measure with a target: its median as a share of the target; less is better, 1 is the line."""
    shown = [(measure, share) for measure in measures if (share := measure.of_target) is not None]
    height = TOP + ROW * len(shown) + 20
    line = LEFT + SPAN / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="12" y="22" font-size="15">{escape(title)}</text>',
        f'<text x="{line}" y="44" text-anchor="middle" fill="{LINE}">target (shorter is better)</text>',
    ]
    for number, (measure, share) in enumerate(shown):
        y = TOP + ROW * number
        colour = MET if share <= 1 else MISSED
        width = SPAN * min(share, 2) / 2
        label = f"{measure.case}: {measure.name}"
        value = f"{_figure(measure.median)} {measure.unit}".replace("/s", "a second")
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 12}">{escape(value)}</text>',
        ]
    parts.append(f'<line x1="{line}" x2="{line}" y1="{TOP - 6}" y2="{height - 14}" stroke="{LINE}"/>')
    return "\n".join((*parts, "</svg>", ""))


def write(folder: Path, name: str, measures: Sequence[Measure], about: dict[str, Any], title: str) -> list[Path]:
    """Write `name`.json and `name`.svg into `folder`, which is made if need be; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, text in ((".json", as_json(measures, about)), (".svg", as_svg(measures, title))):
        path = folder / f"{name}{suffix}"
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
