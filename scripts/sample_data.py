"""Fills empty input folders with a small sample, so that a first run has something to load."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import typer

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import cli
from scripts.exports import METADATA, Folders
from scripts.generate_batch_data import generate_batch
from scripts.generate_master_data import DEFAULT_SEED, generate_master
from scripts.generate_stream_data import generate_hour

HOURS = 3
ROWS = 300
BAD = 0.05


def make_sample(folders: Folders, now: dt.datetime) -> str | None:
    """Write the master, the batch of `now`'s day, and the last hours of the stream, `now`'s among them.

    `now` is in UTC. Returns a line that says what was made, or None when there were data files already.
    """
    if any(has_data(folder) for folder in (folders.master, folders.batch, folders.stream)):
        return None
    entries = generate_master(folders, DEFAULT_SEED, 1.0, BAD)
    entries |= generate_batch(folders, now.date(), BAD)
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    for back in reversed(range(HOURS)):
        entries |= generate_hour(folders, this_hour - dt.timedelta(hours=back), ROWS, BAD)
    rows = sum(entry["total"] for entry in entries.values())
    return (
        f"No input yet: made a sample of {rows:,} rows in {len(entries)} files (master, batch of {now:%Y-%m-%d}, "
        f"{HOURS} hours of the stream), some of them bad on purpose"
    )


def has_data(folder: Path) -> bool:
    """Is there any file that the pipeline would look at?"""
    return any(
        path.is_file() and not path.name.startswith(".") and path.name != METADATA for path in folder.rglob("*")
    )


def main(root: cli.Root = None) -> None:
    """Make a small sample, if the input folders are empty."""
    if made := make_sample(cli.open_folders(root), dt.datetime.now(dt.UTC)):
        typer.echo(made)


if __name__ == "__main__":
    typer.run(main)
