"""Arguments that several commands take, and how they are read."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from ingestion.places.registry import place_of

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

_MAX_ID = 2**63 - 1
Since = Annotated[str | None, typer.Option(help="Since a date or time (UTC), or an age such as 90m, 24h, 7d.")]
FileId = Annotated[int, typer.Argument(metavar="FILE_ID", min=1, max=_MAX_ID, help="As `files` lists it.")]
RowId = Annotated[
    int, typer.Argument(metavar="QUARANTINE_ID", min=1, max=_MAX_ID, help="As `quarantine list` gives it.")
]
RowIds = Annotated[
    list[int] | None,
    typer.Argument(min=1, max=_MAX_ID, help="quarantine_id, one or more; or filters.", show_default=False),
]


def moment(text: str | None) -> dt.datetime | None:
    """`2026-02-20`, `2026-02-20T09:30`, or an age such as `24h`, as a time in UTC. Raises ConfigError."""
    if text is None:
        return None
    try:
        if match := re.fullmatch(r"([0-9]{1,9})([mhd])", text):
            return dt.datetime.now(dt.UTC) - dt.timedelta(**{_UNITS[match[2]]: int(match[1])})
        found = dt.datetime.fromisoformat(text)
    except (ValueError, OverflowError):  # the latter: before the year 1
        raise ConfigError(
            f"--since {text!r} is no time; give a date, a time as 2026-02-20T09:30, or an age as 90m, 24h, 7d"
        ) from None
    return found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found


def spec_of_table(config: PipelineConfig, name: str) -> FileSpec:
    """The spec of table or logical file `name`. Raises ConfigError that lists the tables."""
    for spec in config.by_logical_name.values():
        if name.lower() in {spec.name.lower(), spec.table}:
            return spec
    known = ", ".join(sorted(spec.table for spec in config.by_logical_name.values()))
    raise ConfigError(f"{name!r} is no table of the configuration; there are {known}")


def insist_on(path: Path) -> None:
    """Raises ConfigError when there is no such file, or its place can't be asked."""
    try:
        place_of(path).stat(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as problem:
        raise ConfigError(f"{path}: can't be looked at: {problem.strerror}") from None
