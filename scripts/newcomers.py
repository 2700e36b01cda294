"""Adds customers or drivers to a day's batch, with ids above the highest one."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from scripts import cli
from scripts.exports import Folders, csv_text, manifest_entry, merge_manifest, write_file
from scripts.faults import Sheet, verdicts_of
from scripts.generate_batch_data import batch_file, rows_to_date
from scripts.population import PEOPLE


def add_newcomers(table: str, folders: Folders, day: dt.date, count: int, manifest: Path | None = None) -> str:
    """Write the batch file of `day` again with `count` rows more, then raise the highest id in metadata.json.

    `table` is customers or drivers. A file that is there keeps its rows; without one, everyone to date is
    written first. The new rows are all good. Returns a line that says what was done. A manifest that doesn't
    know the present file can't be continued: that ends the command with 2, before anything is written.
    """
    known = cli.read_metadata(folders)
    path = batch_file(folders, day, table)
    first = known.highest[table] + 1
    newcomers = PEOPLE[table](known.seed, first + np.arange(count))
    if path.exists():
        entry = _entry_so_far(manifest, folders, path) if manifest else None
        before: Iterable[str] = [path.read_text(encoding="utf-8")]
    else:
        rows = rows_to_date(table, known, day)
        total = len(next(iter(rows.values())))
        entry = Sheet(rows, verdicts_of(total), np.zeros(total, dtype=bool)).expected()
        before = csv_text(rows)
    md5 = write_file(path, itertools.chain(before, csv_text(newcomers, header=False)))
    last = first + count - 1
    if table == "customers":
        replace(known, max_customer_id=last).write(folders)
    else:
        replace(known, max_driver_id=last).write(folders)
    if entry is not None:
        grown = {"total": entry["total"] + count, "loaded": entry["loaded"] + count, "md5": md5}
        merge_manifest(manifest, folders, {path: entry | grown})
    return f"{path}: added {count} {table}, ids {first} to {last}"


def _entry_so_far(manifest: Path, folders: Folders, path: Path) -> dict[str, Any]:
    entry = manifest_entry(manifest, folders, path)
    content = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if entry is None or entry["md5"] != content:
        typer.echo(f"{manifest} does not say what {path} should yield", err=True)
        raise typer.Exit(2)
    return entry
