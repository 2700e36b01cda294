"""Writes a whole day: the master if there is none, the day's batch, its hours, then the people who came late."""

from __future__ import annotations

import datetime as dt
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import cli
from scripts.exports import METADATA, Folders
from scripts.generate_batch_data import generate_batch
from scripts.generate_master_data import DEFAULT_SEED, generate_master
from scripts.generate_stream_data import generate_hour
from scripts.newcomers import add_newcomers
from scripts.traffic import LATER


def simulate_day(
    folders: Folders,
    day: dt.date,
    hours: list[int],
    rows: int,
    bad: float,
    seed: int | None = None,
    scale: float = 1.0,
    manifest: Path | None = None,
) -> dict[Path, dict[str, Any]]:
    """Write everything that `day` brings, in the order in which it would come.

    The orders name customers and drivers who don't exist yet; these come with the next day's batch, so that
    part of the orphans heal. `scale` counts only when the master is made here. Returns the manifest's entries
    of the day itself.
    """
    entries: dict[Path, dict[str, Any]] = {}
    if not (folders.master / METADATA).exists():
        master_seed = DEFAULT_SEED if seed is None else seed
        entries |= generate_master(folders, master_seed, scale, bad, manifest)
    entries |= generate_batch(folders, day, bad, seed, manifest)
    for hour in hours:
        start = dt.datetime.combine(day, dt.time(hour), dt.UTC)
        entries |= generate_hour(folders, start, rows, bad, seed, manifest)
    for table in ("customers", "drivers"):
        add_newcomers(table, folders, day + dt.timedelta(days=1), LATER, manifest)
    return entries


def parse_hours(text: str) -> list[int]:
    """`9,10,11` or `9-17`, also mixed; raises typer.BadParameter for anything else."""
    hours: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,2})\s*(?:-\s*(\d{1,2})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= first <= last <= 23:
            raise typer.BadParameter("give hours from 0 to 23, as in 9,10,11 or 9-17")
        hours += range(first, last + 1)
    return sorted(set(hours))


def main(
    date: cli.Date,
    hours: Annotated[str, typer.Option(help="Hours of the stream, as in 9,10,11 or 9-17.")] = "0-23",
    rows: cli.Rows = cli.DEFAULT_ROWS,
    seed: cli.Seed = None,
    bad: cli.Bad = cli.DEFAULT_BAD,
    scale: cli.Scale = 1.0,
    manifest: cli.Manifest = None,
    root: cli.Root = None,
) -> None:
    """Write a day's files: batch, stream, and with the next day's batch some who were missing."""
    wanted = parse_hours(hours)
    cli.report(simulate_day(cli.open_folders(root), date.date(), wanted, rows, bad, seed, scale, manifest))
    typer.echo(f"and {LATER} customers and drivers who were missing, with the next day's batch")


if __name__ == "__main__":
    typer.run(main)
