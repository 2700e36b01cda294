"""Makes statements of three banks, each in the dialect of its country.

    python examples/bank/generate.py            # the first month
    python examples/bank/generate.py --day 2    # the next one, with rows that are wrong on purpose

- stadtbank: German. Windows-1252, semicolons, `1.234,56`, `01.03.2026`, lines around header and rows.
- albion: British. UTF-8, commas, `£1,234.56` in two columns, `01/03/2026`.
- helvetia: Swiss. ISO-8859-1, tabs, `1'234.56` in two columns, `2026-03-01` and a footer of two lines.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

ROWS = 50
WORDS = ("Miete März", "Café Zoë", "Lohn & Gehalt", "Bücher; neu", "Crédit n° 7", "Zinsen, anteilig", "Müller")


class Booking:
    def __init__(self, made: random.Random, month: int, n: int) -> None:
        self.day = f"{1 + n * 27 // ROWS:02d}"
        self.month = f"{month:02d}"
        self.text = made.choice(WORDS)
        self.cents = made.randrange(-250_000, 400_000)
        self.reference = f"{month}{n:05d}"


def grouped(cents: int, thousands: str, decimal: str) -> str:
    return f"{cents / 100:,.2f}".replace(".", "_").replace(",", thousands).replace("_", decimal)


def quoted(text: str) -> str:
    return f'"{text}"'


def stadtbank(bookings: list[Booking]) -> bytes:
    lines = ["Stadtbank Köln;Umsätze", "Konto;4711 0815", "Währung;EUR", "", "Buchungstag;Verwendungszweck;Betrag"]
    lines += [f"{b.day}.{b.month}.2026;{quoted(b.text)};{grouped(b.cents, '.', ',')}" for b in bookings]
    lines.append(f"Summe;;{grouped(sum(b.cents for b in bookings), '.', ',')}")
    return "\r\n".join(lines).encode("cp1252") + b"\r\n"


def albion(bookings: list[Booking]) -> bytes:
    lines = ["Date,Description,Paid out,Paid in"]
    for b in bookings:
        money = quoted("£" + grouped(abs(b.cents), ",", "."))
        lines.append(f"{b.day}/{b.month}/2026,{quoted(b.text)},{f'{money},' if b.cents < 0 else f',{money}'}")
    return "\n".join(lines).encode("utf-8") + b"\n"


def helvetia(bookings: list[Booking]) -> bytes:
    lines = ["Datum\tText\tBelastung\tGutschrift\tReferenz"]
    for b in bookings:
        money = grouped(abs(b.cents), "'", ".")
        sides = f"{money}\t" if b.cents < 0 else f"\t{money}"
        lines.append(f"2026-{b.month}-{b.day}\t{b.text}\t{sides}\t{b.reference}")
    lines += ["", "Ende des Auszugs", "Alle Angaben ohne Gewähr"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n"


BANKS = {"stadtbank": stadtbank, "albion": albion, "helvetia": helvetia}


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes statements of three banks.")
    parser.add_argument("--day", type=int, choices=(1, 2), default=1)
    month = 2 + parser.parse_args().day
    folder = Path(os.environ["FASTFEAST_HOME"]) / f"data/input/batch/2026-{month + 1:02d}-01"
    folder.mkdir(parents=True, exist_ok=True)

    for n, (bank, write) in enumerate(BANKS.items()):
        made = random.Random(10 * month + n)
        bookings = [Booking(made, month, row) for row in range(ROWS)]
        if month > 3:
            bookings[1].month = "13"
        content = write(bookings)
        if month > 3 and bank == "stadtbank":
            content = content.replace(b"Summe", b"30.04.2026;nur halb\r\nSumme")
        path = folder / f"{bank}_4711{n}_2026-{month:02d}.csv"
        path.write_bytes(content)
        print(f"{path}: {ROWS} rows")


if __name__ == "__main__":
    main()
