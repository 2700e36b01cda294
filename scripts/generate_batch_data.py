"""Writes a day's batch: the master's rows again, with what changed since, and that day's bad rows."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import cli
from scripts.exports import Folders, Metadata, merge_manifest, write_sheet
from scripts.faults import Columns, quota, spoil
from scripts.generate_master_data import lookup_sheets, random_for
from scripts.population import PEOPLE, Ids, drift

JSON_TABLES = frozenset({"cities", "restaurants"})


def generate_batch(
    folders: Folders, day: dt.date, bad: float, seed: int | None = None, manifest: Path | None = None
) -> dict[Path, dict[str, Any]]:
    """Write the thirteen files of `day`. Returns each file's entry of the manifest.

    Bad rows are planted among people whom the master has, so that each of them is in the warehouse anyway.
    """
    known = cli.read_metadata(folders)
    if known.first_batch is None or str(day) < known.first_batch:
        known = replace(known, first_batch=str(day))
        known.write(folders)
    seed = known.seed if seed is None else seed
    sheets = lookup_sheets(seed, bad, str(day))
    for table in PEOPLE:
        rows = rows_to_date(table, known, day)
        ids = next(iter(rows.values()))
        sheets[table], _ = spoil(
            table,
            rows,
            quota(len(ids), bad),
            random_for(seed, str(day), table),
            corruptible=ids <= known.sizes[table],
        )
    entries = {}
    for table, sheet in sheets.items():
        path = batch_file(folders, day, table)
        entries[path] = write_sheet(path, sheet)
    merge_manifest(manifest, folders, entries)
    return entries


def batch_file(folders: Folders, day: dt.date, table: str) -> Path:
    return folders.batch / str(day) / f"{table}.{'json' if table in JSON_TABLES else 'csv'}"


def rows_to_date(table: str, known: Metadata, day: dt.date) -> Columns:
    """Everyone up to the highest id, as of `day`, without those who were bad in the master."""
    first = dt.date.fromisoformat(known.first_batch) if known.first_batch else day
    return drift(table, PEOPLE[table](known.seed, ids_of(table, known)), known.seed, first, day)


def ids_of(table: str, known: Metadata) -> Ids:
    return np.setdiff1d(np.arange(1, known.highest[table] + 1), known.refused.get(table, []))


def main(
    date: cli.Date,
    seed: cli.Seed = None,
    bad: cli.Bad = cli.DEFAULT_BAD,
    manifest: cli.Manifest = None,
    root: cli.Root = None,
) -> None:
    """Write one day's batch files."""
    cli.report(generate_batch(cli.open_folders(root), date.date(), bad, seed, manifest))


if __name__ == "__main__":
    typer.run(main)
