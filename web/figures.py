"""How values are written on a page: Jinja filters."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

NONE = "\N{EN DASH}"


def text(value: Any) -> str:
    """Any value; characters that don't print, or turn the direction of writing, are made visible."""
    if value is None:
        return NONE
    written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in written)


def number(value: float | Decimal | None) -> str:
    """1234567 → 1,234,567."""
    return NONE if value is None else f"{value:,}"


def is_number(value: Any) -> bool:
    """Is it a number, to be set to the right?"""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def percent(value: float | Decimal | None) -> str:
    """Per cent, with one decimal."""
    return NONE if value is None else f"{value:.1f}%"


def moment(value: dt.datetime | None) -> str:
    """A time in UTC, to the second."""
    return NONE if value is None else f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def iso(value: dt.datetime) -> str:
    """For the datetime of a <time>."""
    return f"{value.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def milliseconds(value: int | None) -> str:
    """840 → 840 ms, 12500 → 12.5 s."""
    if value is None:
        return NONE
    return f"{value:,} ms" if value < 10_000 else f"{value / 1000:,.1f} s"


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    whole = int(seconds)
    parts = [(whole // 86_400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((i for i, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


def size(count: int | None) -> str:
    """Bytes: 128000000 → 128 MB."""
    value = float(count or 0)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} GB"


FILTERS: dict[str, Callable[..., str | bool]] = {
    "text": text,
    "number": number,
    "is_number": is_number,
    "percent": percent,
    "moment": moment,
    "iso": iso,
    "milliseconds": milliseconds,
    "span": span,
    "size": size,
}
