"""Input that is hard to tell from whole input: half files, corrections that look like nothing, hidden folders."""

from __future__ import annotations

import os
from pathlib import Path

from tests.acceptance import samples
from tests.acceptance.daemon import Product
from tests.acceptance.samples import csv_text

HIDDEN = (".rsync-partial", ".snapshot", ".stversions", ".Trash-1000", ".~tmp~", "@eaDir", "#recycle")


def folder_of(product: Product, hour: str) -> Path:
    folder = product.home / "data/input/stream" / samples.DAY / hour
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def orders(first: int, count: int = 3) -> list[samples.Fields]:
    return [samples.order(first + n) for n in range(count)]


def loaded(product: Product, rows: list[samples.Fields]) -> bool:
    ids = [row["order_id"] for row in rows]
    return bool(product.value("SELECT count(*) FROM fact_order WHERE order_id = ANY(%s)", ids) == len(ids))


def logged(product: Product, path: Path) -> list[dict[str, object]]:
    return [row for row in product.file_log() if Path(row["file_path"]) == path.resolve()]


def with_amount(first: int) -> tuple[str, str]:
    """A file of tickets, cut within the amount of its second row, and the rest of it."""
    rows = [samples.ticket(first + n, refund_amount="12.50" if n == 1 else "5.00") for n in range(3)]
    columns = [*(c for c in rows[0] if c != "refund_amount"), "refund_amount"]
    text = csv_text([{name: row[name] for name in columns} for row in rows])
    cut = text.index("12.50") + 2
    return text[:cut], text[cut:]


def corrected_in_place(path: Path, text: str) -> None:
    path.write_text(text)


def corrected_by_rename(path: Path, text: str) -> None:
    other = path.parents[3] / "corrected"
    other.write_text(text)
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    other.rename(path)
