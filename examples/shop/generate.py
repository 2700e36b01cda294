"""Makes two days of a shop's exports, as web shops write them: products and lines as CSV, orders as nested JSON.

python examples/shop/generate.py            # the first day
python examples/shop/generate.py --day 2    # a second one, with rows that are wrong on purpose
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FIRST_ORDER, ORDERS_A_DAY = 1001, 60
NAMES = ("Zoë Brandt", "Léa Martin", "Søren Holm", "Ana Núñez", "José Álvarez", "Ida Nowak", "Tom O'Neil")
THINGS = ("Kettle", "Lamp, oak", 'Frame 12"', "Sofa", "Rug", "Desk", "Mug; blue", "Chair")
PRODUCTS = [(f"{thing[:3].upper()}-{n:03d}", f"{thing} {n}") for n, thing in enumerate(THINGS * 4, 1)]


def euros(cents: int) -> str:
    """As German shops write money: 1.249,00."""
    return f"{cents / 100:,.2f}".translate(str.maketrans(",.", ".,"))


def price(sku: str) -> int:
    return random.Random(sku).randrange(499, 300_000)


def customers(day: int) -> list[list[Any]]:
    made = random.Random(day)
    return [
        [
            n,
            made.choice(NAMES),
            f"buyer{n}@example.com",
            made.choice(("yes", "no")),
            f"2026-02-{day:02d} 08:00:00 +0100",
        ]
        for n in range(day * 100, day * 100 + 40)
    ]


def orders(day: int) -> list[dict[str, Any]]:
    made = random.Random(day)
    first = FIRST_ORDER + (day - 1) * ORDERS_A_DAY
    return [one_order(number, day, made) for number in range(first, first + ORDERS_A_DAY)]


def one_order(number: int, day: int, made: random.Random) -> dict[str, Any]:
    lines: list[dict[str, Any]] = [
        {"sku": sku, "quantity": made.randint(1, 5), "price": price(sku)}
        for sku, _ in made.sample(PRODUCTS, made.randint(1, 4))
    ]
    address = {
        "name": made.choice(NAMES),
        "city": made.choice(("Köln", "Gent", "Malmö")),
        "zip": f"0{made.randrange(9999):04d}",
    }
    return {
        "id": 5_000_000_000_000 + number,
        "name": f"#{number}",
        "created_at": f"2026-03-{day:02d}T{made.randrange(24):02d}:{made.randrange(60):02d}:00+01:00",
        "financial_status": made.choice(("paid", "pending", "refunded")),
        "total_price": f"{sum(line['quantity'] * line['price'] for line in lines) / 100:.2f}",
        "customer": {"id": made.choice(customers(day))[0], "note": None},
        "shipping_address": address if made.random() < 0.9 else None,
        "line_items": lines,
    }


def line_rows(made_orders: Sequence[dict[str, Any]]) -> list[list[Any]]:
    return [
        [order["name"], n, line["sku"], line["quantity"], euros(line["price"]), euros(0 if n % 2 else 250)]
        for order in made_orders
        for n, line in enumerate(order["line_items"], 1)
    ]


def write_csv(path: Path, delimiter: str, header: list[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out, delimiter=delimiter).writerows([header, *rows])
    print(f"{path}: {len(rows)} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a day of a shop's exports.")
    parser.add_argument("--day", type=int, choices=(1, 2), default=1)
    day = parser.parse_args().day
    folder = Path(os.environ["FASTFEAST_HOME"]) / f"data/input/batch/2026-03-{day:02d}"
    folder.mkdir(parents=True, exist_ok=True)

    made_orders = orders(day)
    lines = line_rows(made_orders)
    refunds = [[order["name"], 1, "2,50"] for order in made_orders if order["financial_status"] == "refunded"]
    products = [
        [sku, title, euros(price(sku)), "home, new" if n % 3 else ""] for n, (sku, title) in enumerate(PRODUCTS)
    ]
    if day == 2:
        made_orders[3]["total_price"] = "-5.00"
        made_orders[4]["shipping_address"] = "to be collected"
        lines[0][3] = "two"
        lines[1][2] = "NOT-SOLD"
        lines.append(lines[-1])
        refunds.append(["#1001", 99, "1,00"])
        products.append(["NEW-100", "Bench", euros(19_900), ""])

    write_csv(folder / "products.csv", ";", ["SKU", "Title", "Price", "Tags"], products)
    header = ["Customer ID", "Name", "Email", "Accepts Marketing", "Created at"]
    write_csv(folder / "customers.csv", ",", header, customers(day))
    (folder / "orders.json").write_text(
        json.dumps({"page": {"next": None}, "orders": made_orders}, ensure_ascii=False), encoding="utf-8"
    )
    print(f"{folder / 'orders.json'}: {len(made_orders)} rows")
    header = ["Order", "Line", "SKU", "Quantity", "Price", "Discount"]
    write_csv(folder / "order_lines.csv", ";", header, lines)
    write_csv(folder / "refunds.csv", ";", ["Order", "Line", "Amount"], refunds)


if __name__ == "__main__":
    main()
