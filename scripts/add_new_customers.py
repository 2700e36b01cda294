"""Adds customers to a day's batch, with ids above the highest: orders that named them stop being orphans."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import cli
from scripts.newcomers import add_newcomers


def main(
    count: cli.Count,
    date: cli.DateOrToday = None,
    manifest: cli.Manifest = None,
    root: cli.Root = None,
) -> None:
    """Write the day's customers.csv again, with new customers after those it has."""
    typer.echo(add_newcomers("customers", cli.open_folders(root), cli.day_of(date), count, manifest))


if __name__ == "__main__":
    typer.run(main)
