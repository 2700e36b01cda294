"""What a plain reader finds in the files of the examples: by table, its columns and the rows of one file."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

Rows = Iterator[tuple[Any, ...]]


def lines_of(
    path: Path, encoding: str = "utf-8-sig", *, skip: int = 0, footer: int = 0, **dialect: Any
) -> list[dict[str, str]]:
    lines = path.read_bytes().decode(encoding).splitlines(keepends=True)
    return list(csv.DictReader(lines[skip : len(lines) - footer], **dialect))


def number(text: str | None, thousands: str = "", decimal: str = ".") -> Decimal | None:
    plain = re.sub(r"[£\s]", "", text or "").replace(thousands, "") if thousands else (text or "")
    return Decimal(plain.replace(decimal, ".")) if plain else None


def german(text: str) -> Decimal | None:
    return number(text, ".", ",")


def day(text: str, how: str) -> dt.date:
    return dt.datetime.strptime(text, how).date()


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text.replace(" +", "+")).astimezone(dt.UTC).replace(tzinfo=None)


def hashed(text: str) -> str:
    return hmac.new(b"a-key-for-this-example", text.encode(), hashlib.sha256).hexdigest()


def product(path: Path) -> Rows:
    for r in lines_of(path, delimiter=";"):
        yield r["SKU"], r["Title"], german(r["Price"]), r["Tags"] or None


def customer(path: Path) -> Rows:
    for r in lines_of(path):
        yield (
            int(r["Customer ID"]),
            r["Name"],
            hashed(r["Email"]),
            r["Accepts Marketing"] == "yes",
            utc(r["Created at"]),
        )


def order(path: Path) -> Rows:
    for r in json.loads(path.read_text())["orders"]:
        address = r["shipping_address"] or {}
        where = (address.get("city"), address.get("zip")) if isinstance(address, dict) else (None, None)
        at = utc(r["created_at"])
        total = Decimal(r["total_price"])
        lines = json.dumps(r["line_items"], sort_keys=True)
        yield (
            r["id"],
            r["name"],
            at,
            r["financial_status"],
            total,
            r["customer"]["id"],
            *where,
            lines,
            int(f"{at:%Y%m%d}"),
        )


def order_line(path: Path) -> Rows:
    for r in lines_of(path, delimiter=";"):
        quantity = int(r["Quantity"]) if r["Quantity"].isdigit() else None
        yield r["Order"], int(r["Line"]), r["SKU"], quantity, german(r["Price"]), german(r["Discount"])


def refund(path: Path) -> Rows:
    for r in lines_of(path, delimiter=";"):
        yield r["Order"], int(r["Line"]), german(r["Amount"])


def columns_of_feed(*columns: str, **read: Callable[[str], Any]) -> Callable[[Path], Rows]:
    def rows(path: Path) -> Rows:
        for r in lines_of(path):
            yield tuple(read.get(c, str)(r[c]) if r[c] else None for c in columns)

    return rows


def calendar(path: Path) -> Rows:
    for r in lines_of(path):
        days = [
            r[name] == "1"
            for name in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
        ]
        if r["start_date"] != "20260231":
            yield r["service_id"], *days, day(r["start_date"], "%Y%m%d"), day(r["end_date"], "%Y%m%d")
        else:
            yield (r["service_id"],)


def booking(path: Path) -> Rows:
    bank, account, _ = path.name.split("_")
    match bank:
        case "stadtbank":
            for r in lines_of(path, "cp1252", skip=4, footer=1, delimiter=";"):
                if r["Betrag"] is None or ".13." in r["Buchungstag"]:
                    yield ()
                    continue
                yield (
                    bank,
                    account,
                    day(r["Buchungstag"], "%d.%m.%Y"),
                    r["Verwendungszweck"],
                    german(r["Betrag"]),
                    None,
                    None,
                    None,
                )
        case "albion":
            for r in lines_of(path):
                sides = number(r["Paid out"], ","), number(r["Paid in"], ",")
                on = None if "/13/" in r["Date"] else day(r["Date"], "%d/%m/%Y")
                yield bank, account, on, r["Description"], None, *sides, None
        case _:
            for r in lines_of(path, "latin-1", footer=3, delimiter="\t", quoting=csv.QUOTE_NONE):
                sides = number(r["Belastung"], "'"), number(r["Gutschrift"], "'")
                on = None if "-13-" in r["Datum"] else dt.date.fromisoformat(r["Datum"])
                yield bank, account, on, r["Text"], None, *sides, r["Referenz"]


TABLES: dict[str, dict[str, tuple[str, Callable[[Path], Rows]]]] = {
    "shop": {
        "dim_product": ("sku, title, price, tags", product),
        "dim_customer": ("customer_id, name, email, accepts_marketing, created_at", customer),
        "fact_order": (
            "id, order_name, created_at, status, total, customer_id, city, zip, line_items, date_key",
            order,
        ),
        "fact_order_line": ("order_name, line_no, sku, quantity, price, discount", order_line),
        "fact_refund": ("order_name, line_no, amount", refund),
    },
    "transit": {
        "dim_agency": (
            "agency_id, agency_name, agency_timezone",
            columns_of_feed("agency_id", "agency_name", "agency_timezone"),
        ),
        "dim_stop": (
            "stop_id, stop_name, stop_lat, stop_lon, location_type, parent_station, platform_code",
            columns_of_feed(
                "stop_id",
                "stop_name",
                "stop_lat",
                "stop_lon",
                "location_type",
                "parent_station",
                "platform_code",
                stop_lat=Decimal,
                stop_lon=Decimal,
                location_type=int,
            ),
        ),
        "dim_route": (
            "route_id, agency_id, route_short_name, route_type, route_color",
            columns_of_feed(
                "route_id", "agency_id", "route_short_name", "route_type", "route_color", route_type=int
            ),
        ),
        "dim_service": (
            "service_id, monday, tuesday, wednesday, thursday, friday, saturday, sunday, start_date, end_date",
            calendar,
        ),
        "dim_service_exception": (
            "service_id, date, exception_type",
            columns_of_feed(
                "service_id", "date", "exception_type", date=lambda t: day(t, "%Y%m%d"), exception_type=int
            ),
        ),
        "dim_trip": ("route_id, service_id, trip_id", columns_of_feed("route_id", "service_id", "trip_id")),
        "fact_stop_time": (
            "trip_id, stop_sequence, stop_id, arrival_time, departure_time, pickup_type",
            columns_of_feed(
                "trip_id",
                "stop_sequence",
                "stop_id",
                "arrival_time",
                "departure_time",
                "pickup_type",
                stop_sequence=int,
                pickup_type=int,
            ),
        ),
    },
    "bank": {
        "fact_booking": ("bank, account, booked_on, purpose, amount, paid_out, paid_in, reference", booking),
    },
}
FILE_OF = {
    "dim_product": "products.csv",
    "dim_customer": "customers.csv",
    "fact_order": "orders.json",
    "fact_order_line": "order_lines.csv",
    "fact_refund": "refunds.csv",
    "fact_booking": "*.csv",
    "dim_agency": "agency.txt",
    "dim_stop": "stops.txt",
    "dim_route": "routes.txt",
    "dim_service": "calendar.txt",
    "dim_service_exception": "calendar_dates.txt",
    "dim_trip": "trips.txt",
    "fact_stop_time": "stop_times.txt",
}
