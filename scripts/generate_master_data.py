"""Writes data/master: every dimension as CSV, and metadata.json with the highest customer and driver ids."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import cli
from scripts.exports import Folders, Metadata, merge_manifest, write_sheet
from scripts.faults import Columns, Sheet, quota, spoil
from scripts.lookups import lookup_tables
from scripts.population import PEOPLE, SIZES

DEFAULT_SEED = 1
SMALLEST = 10  # rows of a table, so that some are good whatever the share of bad ones


def generate_master(
    folders: Folders, seed: int, scale: float, bad: float, manifest: Path | None = None
) -> dict[Path, dict[str, Any]]:
    """Write the master files and metadata.json; `scale` multiplies the numbers of people and restaurants.

    Returns each file's entry of the manifest.
    """
    sizes = {table: max(SMALLEST, round(size * scale)) for table, size in SIZES.items()}
    sheets = lookup_sheets(seed, bad, "master")
    refused = {}
    for table, make in PEOPLE.items():
        ids = np.arange(1, sizes[table] + 1)
        sheets[table], loads = spoil(
            table, make(seed, ids), quota(len(ids), bad), random_for(seed, "master", table)
        )
        refused[table] = ids[~loads].tolist()
    entries = {}
    for table, sheet in sheets.items():
        path = folders.master / f"{table}.csv"
        entries[path] = write_sheet(path, sheet)
    Metadata(
        max_customer_id=sizes["customers"],
        max_driver_id=sizes["drivers"],
        seed=seed,
        sizes=sizes,
        refused=refused,
    ).write(folders)
    merge_manifest(manifest, folders, entries)
    return entries


def lookup_sheets(seed: int, bad: float, day: str) -> dict[str, Sheet]:
    """The small tables. Their bad rows have ids that nothing refers to, so that they break no other file."""
    sheets = {}
    for table, columns in lookup_tables().items():
        rows = len(next(iter(columns.values())))
        extra = max(1, round(bad * rows)) if bad else 0
        longer = _with_strangers(columns, extra)
        sheets[table], _ = spoil(
            table,
            longer,
            (extra, quota(rows, bad)[1]),
            random_for(seed, day, table),
            corruptible=np.arange(rows + extra) >= rows,
        )
    return sheets


def _with_strangers(columns: Columns, extra: int) -> Columns:
    """The columns and `extra` rows more, which repeat other rows under ids of their own."""
    key, *_ = columns
    rows = len(columns[key])
    longer = {n: np.concatenate([values, np.resize(values, extra)]) for n, values in columns.items()}
    longer[key][rows:] = 1000 + np.arange(extra)
    return longer


def random_for(seed: int, *names: str) -> np.random.Generator:
    """A random generator that depends on nothing but its arguments."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def main(
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = DEFAULT_SEED,
    scale: cli.Scale = 1.0,
    bad: cli.Bad = cli.DEFAULT_BAD,
    manifest: cli.Manifest = None,
    root: cli.Root = None,
) -> None:
    """Write the master files: every dimension, as the pipeline reads them at its first start."""
    cli.report(generate_master(cli.open_folders(root), seed, scale, bad, manifest))


if __name__ == "__main__":
    typer.run(main)
