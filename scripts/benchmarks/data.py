"""Input of the benchmarks: orders made with NumPy and Arrow, as CSV or JSON, with what each file should yield."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from config.schema import Schema
from scripts.benchmarks.server import CITIES, DRIVERS, REGIONS, RESTAURANTS

BAD_SHARE, DUPLICATE_SHARE = 0.03, 0.01
BLOCK_ROWS = 1_000_000
DAYS = 90  # the orders' times are spread over so many days
ABSENT_CUSTOMER = 2_000_000_000
# Each bad row breaks one rule; together they end at every stage that judges rows.
BAD_CELLS = (
    ("order_amount", ""),
    ("order_amount", "abc"),
    ("order_amount", "-5.00"),
    ("total_amount", "12345678901.00"),
    ("order_status", "Lost"),
    ("payment_method", ""),
    ("order_created_at", "2026-13-45 00:00:00"),
    ("order_id", ""),
    ("driver_id", "2.5"),
    ("customer_id", str(ABSENT_CUSTOMER)),
)
STATUSES = ("Pending", "Preparing", "OutForDelivery", "Delivered", "Cancelled", "Refunded")
PAYMENTS = ("card", "cash", "wallet")
KEYS = ("customer_id", "restaurant_id", "driver_id", "region_id")
NUMBERS = frozenset((*KEYS, "order_amount", "delivery_fee", "discount_amount", "total_amount"))
TIMES = frozenset(("order_created_at", "delivered_at"))
_AS_IS = pacsv.WriteOptions(include_header=False, quoting_style="none")
_QUOTED = pacsv.WriteOptions(include_header=False, quoting_style="all_valid")


@dataclass(frozen=True, slots=True)
class Expected:
    """What the warehouse must hold when these rows are loaded."""

    total: int = 0
    clean: int = 0

    @property
    def quarantined(self) -> int:
        return self.total - self.clean

    def __add__(self, other: Expected) -> Expected:
        return Expected(self.total + other.total, self.clean + other.clean)


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders as text columns in the file's order, and which of the rows are clean (bool)."""

    rows: pa.Table
    clean: pa.Array

    @property
    def expected(self) -> Expected:
        return Expected(self.rows.num_rows, pc.sum(self.clean).as_py() or 0)


def make_orders(
    rows: int,
    customers: npt.NDArray[np.int64],
    seed: int,
    *,
    bad_share: float = BAD_SHARE,
    duplicate_share: float = DUPLICATE_SHARE,
) -> Orders:
    """`rows` orders of `customers` (ids), some bad, some copies of a clean row elsewhere in the file.

    Same arguments, same rows. The times are days of this year, which the calendar always has.
    """
    rng = np.random.default_rng(seed)
    bad, duplicates = round(rows * bad_share), round(rows * duplicate_share)
    places = rng.permutation(rows)
    bad_at, copies_at, clean_at = np.split(places, [bad, bad + duplicates])
    table = _plain_orders(rng, rows, customers)
    take = np.arange(rows)
    take[copies_at] = rng.choice(clean_at, duplicates)
    table = table.take(pa.array(take))
    for number, (name, text) in enumerate(BAD_CELLS):
        hit = np.zeros(rows, bool)
        hit[bad_at[number :: len(BAD_CELLS)]] = True
        broken = pc.if_else(pa.array(hit), text, table.column(name))
        table = table.set_column(table.schema.get_field_index(name), name, broken)
    clean = np.zeros(rows, bool)
    clean[clean_at] = True
    return Orders(table.combine_chunks(), pa.array(clean))


def blocks(rows: int, customers: npt.NDArray[np.int64], seed: int) -> Iterator[Orders]:
    """make_orders for files of any size, in blocks that fit the memory."""
    for number, start in enumerate(range(0, rows, BLOCK_ROWS)):
        yield make_orders(min(BLOCK_ROWS, rows - start), customers, seed + number)


def _plain_orders(rng: np.random.Generator, rows: int, customers: npt.NDArray[np.int64]) -> pa.Table:
    def one_of(texts: tuple[str, ...]) -> pa.Array:
        return pa.array(texts).take(pa.array(rng.integers(0, len(texts), rows)))

    year = np.datetime64("now", "Y").astype("datetime64[s]")
    created = year + rng.integers(0, DAYS * 86_400, rows).astype("timedelta64[s]")
    delivered = created + rng.integers(900, 5_400, rows).astype("timedelta64[s]")
    amount, fee = rng.integers(2_000, 90_000, rows), rng.integers(500, 6_000, rows)
    discount = rng.integers(0, 2_000, rows)
    status = one_of(STATUSES)
    return pa.table(
        {
            "order_id": _uuids(rng, rows),
            "customer_id": _text(rng.choice(customers, rows)),
            "restaurant_id": _text(rng.integers(1, RESTAURANTS + 1, rows)),
            "driver_id": _text(rng.integers(1, DRIVERS + 1, rows)),
            "region_id": _text(rng.integers(1, REGIONS + 1, rows)),
            "order_amount": _money(amount),
            "delivery_fee": _money(fee),
            "discount_amount": _money(discount),
            "total_amount": _money(amount + fee - discount),
            "order_status": status,
            "payment_method": one_of(PAYMENTS),
            "order_created_at": _text(created),
            "delivered_at": pc.if_else(pc.equal(status, "Delivered"), _text(delivered), ""),
        }
    )


def _text(values: npt.NDArray[np.generic]) -> pa.Array:
    return pa.array(values).cast(pa.string())


def _money(cents: npt.NDArray[np.int64]) -> pa.Array:
    return pc.binary_join_element_wise(_text(cents // 100), pc.utf8_lpad(_text(cents % 100), 2, "0"), ".")


def _uuids(rng: np.random.Generator, rows: int) -> pa.Array:
    digits = np.frombuffer(rng.bytes(16 * rows).hex().encode(), np.uint8).reshape(rows, 32)
    texts = np.full((rows, 36), ord("-"), np.uint8)
    texts[:, [at for at in range(36) if at not in {8, 13, 18, 23}]] = digits
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(36), rows, [None, pa.py_buffer(texts.tobytes())])
    return fixed.cast(pa.binary()).cast(pa.string())


# ---------------------------------------------------------------- files


def write_csv(path: Path, parts: Iterable[Orders], *, quoted: bool = False) -> Expected:
    """Write a CSV file with a header line, all values quoted or none; returns what it should yield."""
    expected = Expected()
    with path.open("wb") as file:
        for orders in parts:
            if not expected.total:
                file.write(",".join(orders.rows.column_names).encode() + b"\n")
            pacsv.write_csv(
                _without_empty(orders.rows) if quoted else orders.rows, file, _QUOTED if quoted else _AS_IS
            )
            expected += orders.expected
    return expected


def _without_empty(rows: pa.Table) -> pa.Table:
    """Null for an empty text, which is not quoted."""
    columns = [pc.if_else(pc.equal(column, ""), None, column) for column in rows.columns]
    return pa.table(columns, rows.column_names)


# Of a record with nested values: what is written before a column's key, and behind its value.
_OPENS = {"customer_id": '"parties": {', "order_amount": '"money": {"sums": {'}
_CLOSES = {"region_id": "}", "total_amount": "}}"}
NESTED_PATHS = {
    **{name: f"parties.{name}" for name in ("customer_id", "restaurant_id", "driver_id", "region_id")},
    **{n: f"money.sums.{n}" for n in ("order_amount", "delivery_fee", "discount_amount", "total_amount")},
}


def write_json(path: Path, parts: Iterable[Orders], *, nested: bool = False) -> Expected:
    """Write the same as one JSON array of objects: numbers as numbers, what is empty as null.

    With `nested` the values are at the end of NESTED_PATHS.
    """
    expected = Expected()
    with path.open("wb") as file:
        for orders in parts:
            file.write(b",\n" if expected.total else b"[\n")
            _write_objects(file, orders.rows, nested=nested)
            expected += orders.expected
        file.write(b"\n]\n")
    return expected


def _write_objects(file: BinaryIO, rows: pa.Table, *, nested: bool) -> None:
    pieces: list[pa.Array | str] = []
    for name in rows.column_names:
        cells = rows.column(name)
        quoted = pc.binary_join_element_wise('"', cells, '"', "")
        is_number = pc.match_substring_regex(cells, r"^-?[0-9.]+$") if name in NUMBERS else pa.scalar(False)
        values = pc.if_else(pc.equal(cells, ""), "null", pc.if_else(is_number, cells, quoted))
        opens, closes = (_OPENS.get(name, ""), _CLOSES.get(name, "")) if nested else ("", "")
        pieces += [f'{", " if pieces else "{"}{opens}"{name}": ', values, closes]
    lines = pc.binary_join_element_wise(*pieces, "}", "")
    file.write(",\n".join(lines.to_pylist()).encode())


def write_copy(path: Path, parts: Iterable[Orders], schema: Schema, file_id: int) -> list[str]:
    """Write the clean rows as our own load leaves them in fact_order, for a bare COPY; returns its columns."""
    stored = {column.name: column.target for column in schema.columns}
    start = 1
    names: list[str] = []
    with path.open("wb") as file:
        for orders in parts:
            rows = orders.rows.filter(orders.clean)
            created = rows.column("order_created_at").cast(pa.timestamp("s"))
            time_key = pc.add(pc.multiply(pc.hour(created), 100), pc.minute(created))
            derived = {
                "order_sk": _text(np.arange(start, start + rows.num_rows)),
                "date_key": pc.strftime(created, "%Y%m%d"),
                "time_key": time_key.cast(pa.string()),
                "_file_id": pa.repeat(str(file_id), rows.num_rows),
            }
            start += rows.num_rows
            columns = {stored[name]: rows.column(name) for name in rows.column_names} | derived
            names = list(columns)
            pacsv.write_csv(pa.table(columns), file, _AS_IS)
    return names


def customers_csv(ids: Iterable[int]) -> str:
    """A customers file, every row good."""
    header = "customer_id,full_name,email,phone,region_id,segment_id,signup_date,gender,created_at,updated_at"
    lines = (
        f"{i},Customer {i},c{i}@example.com,010{i % 10**8:08},{i % REGIONS + 1},{i % CITIES % 2 + 1},"
        "2025-01-02,female,2025-01-02 03:04:05,2025-01-02 03:04:05"
        for i in ids
    )
    return "\n".join((header, *lines, ""))
