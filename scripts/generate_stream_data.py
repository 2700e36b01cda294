"""Writes an hour of the stream: orders, tickets and ticket events."""

from __future__ import annotations

import datetime as dt
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import cli
from scripts.exports import Folders, csv_text, merge_manifest, write_sheet
from scripts.faults import with_good
from scripts.generate_batch_data import ids_of
from scripts.generate_master_data import random_for
from scripts.population import PEOPLE
from scripts.traffic import Hour, Known, hour_of_traffic


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"


def generate_hour(
    folders: Folders,
    start: dt.datetime,
    rows: int,
    bad: float,
    seed: int | None = None,
    manifest: Path | None = None,
    orders_as: Format = Format.JSON,
) -> dict[Path, dict[str, Any]]:
    """Write the three files of the hour from `start` (UTC). Returns each file's entry of the manifest.

    Where the hour before was written with the same options, some of its open tickets come again, resolved.
    """
    metadata = cli.read_metadata(folders)
    seed = metadata.seed if seed is None else seed

    def traffic(hour: dt.datetime) -> Hour:
        known = Known(
            seed=metadata.seed,
            ids={table: ids_of(table, metadata) for table in PEOPLE},
            refused={table: np.array(metadata.refused.get(table, []), dtype=np.int64) for table in PEOPLE},
            highest=metadata.highest,
            days=metadata.days_at(hour.date()),
        )
        return hour_of_traffic(known, hour, rows, bad, random_for(seed, f"{hour:%Y-%m-%d %H}"))

    sheets = traffic(start).sheets
    before = start - dt.timedelta(hours=1)
    tickets = stream_folder(folders, before) / "tickets.csv"
    if tickets.exists():
        earlier = traffic(before)
        if tickets.read_text(encoding="utf-8").startswith("".join(csv_text(earlier.sheets["tickets"].columns))):
            sheets |= {table: with_good(sheets[table], more) for table, more in earlier.settled.items()}
    suffixes = {"orders": orders_as.value, "tickets": "csv", "ticket_events": "json"}
    entries = {}
    for table, sheet in sheets.items():
        path = stream_folder(folders, start) / f"{table}.{suffixes[table]}"
        entries[path] = write_sheet(path, sheet)
    merge_manifest(manifest, folders, entries)
    return entries


def stream_folder(folders: Folders, hour: dt.datetime) -> Path:
    return folders.stream / f"{hour:%Y-%m-%d}" / f"{hour:%H}"


def main(
    date: cli.Date,
    hour: Annotated[int, typer.Option(min=0, max=23, help="The hour, in UTC.", show_default=False)],
    rows: cli.Rows = cli.DEFAULT_ROWS,
    seed: cli.Seed = None,
    bad: cli.Bad = cli.DEFAULT_BAD,
    manifest: cli.Manifest = None,
    orders_as: Annotated[Format, typer.Option("--format", help="Of the orders' file.")] = Format.JSON,
    root: cli.Root = None,
) -> None:
    """Write the files of one hour."""
    start = date.replace(hour=hour, tzinfo=dt.UTC)
    cli.report(generate_hour(cli.open_folders(root), start, rows, bad, seed, manifest, orders_as))


if __name__ == "__main__":
    typer.run(main)
