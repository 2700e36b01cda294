"""Answers on the screen: a table for people, JSON for programs."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]

_WIDTH = 200  # characters, where the output is no terminal
_ANY_WIDTH = 100_000


def show_rows(
    rows: Sequence[Row], *, as_json: bool, title: str = "", empty: str = "Nothing found.", grouped: bool = True
) -> None:
    """Print `rows`, all with the keys of the first, as a table; as a JSON array with `as_json`.

    `grouped`: numbers that are no ids have their thousands apart.
    """
    if as_json:
        print_json(rows)
    elif not rows:
        say(empty)
    else:
        console = _console()
        table = _table(rows, title, grouped=grouped, narrow=False)
        if console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum > console.width:
            table = _table(rows, title, grouped=grouped, narrow=True)
        console.print(table)


def _table(rows: Sequence[Row], title: str, *, grouped: bool, narrow: bool) -> Table:
    """`narrow`: headings of several words have several lines, and only texts are broken, no numbers and times."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, collapse_padding=narrow)
    for name, value in rows[0].items():
        number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        whole = narrow and (number or isinstance(value, dt.datetime))
        width = len(cell(value)) if whole and not number else None
        heading = name.strip("_").replace("_", "\n") if narrow else name
        table.add_column(heading, justify="right" if number else "left", overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*(cell(v, grouped=grouped and not _is_id(name)) for name, v in row.items()))
    return table


def show_record(record: Row, *, as_json: bool, title: str = "", grouped: bool = True) -> None:
    """Print one record, a line a key; as a JSON object with `as_json`."""
    if as_json:
        print_json(record)
        return
    table = Table(title=title or None, title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column("key", style="bold")
    table.add_column("value", overflow="fold")
    for name, value in record.items():
        table.add_row(name, cell(value, grouped=grouped and not _is_id(name)))
    _console().print(table)


def print_json(value: Any) -> None:
    """Print `value` as JSON; times in ISO 8601, decimals as their text."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def say(text: str) -> None:
    """Print a line as it is."""
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


def _is_id(name: str) -> bool:
    return name.endswith(("_id", "_key", "_sk", "pid"))


def cell(value: Any, *, grouped: bool = True) -> str:
    """`value` as a table shows it; control characters can't act on the terminal."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        value = value.astimezone(dt.UTC) if value.tzinfo else value
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if grouped else str(value)
    if isinstance(value, Decimal):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, default=_plain, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text).replace(
        "[", r"\["
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    return str(value)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _WIDTH)
