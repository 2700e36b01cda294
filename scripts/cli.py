"""What the generators' command lines share: their options, and the folders from the pipeline's configuration."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from config.config_loader import get_config
from config.errors import ConfigError
from scripts.exports import Folders, Metadata

DEFAULT_BAD = 0.03
DEFAULT_ROWS = 200

Date = Annotated[
    dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="The day, as YYYY-MM-DD, in UTC.", show_default=False)
]
DateOrToday = Annotated[
    dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day. [default: today, in UTC]")
]
Root = Annotated[
    Path | None, typer.Option(help="Where the configuration's relative paths start, instead of FASTFEAST_HOME.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Same seed, same bytes. [default: the master's]")]
Rows = Annotated[int, typer.Option(min=0, help="Orders in a file.")]
Scale = Annotated[float, typer.Option(min=0.01, help="Size of the master; 1 is 400 customers, 80 drivers.")]
Bad = Annotated[float, typer.Option(min=0, max=0.5, help="Share of bad rows; 0 gives clean files.")]
Manifest = Annotated[
    Path | None, typer.Option(help="JSON file to add to: what each file should yield when it is loaded.")
]
Count = Annotated[int, typer.Option(min=1, help="How many to add.")]


def open_folders(root: Path | None = None) -> Folders:
    """The input folders of the configuration. Ends the command with 2 when the configuration is unusable."""
    with _home(root):
        try:
            config = get_config()
        except ConfigError as error:
            typer.echo(error, err=True)
            raise typer.Exit(2) from None
    watcher = config.watcher
    return Folders(
        root=config.home,
        master=config.path(watcher.master.dir),
        batch=config.path(watcher.batch.dir),
        stream=config.path(watcher.stream.dir),
    )


@contextmanager
def _home(root: Path | None) -> Iterator[None]:
    before = os.environ.get("FASTFEAST_HOME")
    if root is not None:
        os.environ["FASTFEAST_HOME"] = str(root.resolve())
    try:
        yield
    finally:
        if root is not None:
            os.environ.pop("FASTFEAST_HOME")
            if before is not None:
                os.environ["FASTFEAST_HOME"] = before


def day_of(date: dt.datetime | None) -> dt.date:
    """The given date, or today's in UTC."""
    return (date or dt.datetime.now(dt.UTC)).date()


def read_metadata(folders: Folders) -> Metadata:
    """The master's metadata. Ends the command with 2 and a hint when there is none."""
    try:
        return Metadata.read(folders)
    except FileNotFoundError:
        typer.echo(f"{folders.master} has no metadata.json: run generate_master_data.py first", err=True)
    except ValueError as error:
        typer.echo(error, err=True)
    raise typer.Exit(2)


def report(files: dict[Path, dict[str, Any]]) -> None:
    """One line a file: rows, and how many of them should load."""
    for path, entry in files.items():
        typer.echo(f"{path}: {entry['total']} rows, {entry['loaded']} good")
