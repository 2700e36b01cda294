"""Makes a small GTFS feed: the timetable of a town, as public transport publishes it (https://gtfs.org).

python examples/transit/generate.py            # the first day
python examples/transit/generate.py --day 2    # the feed again, with a new trip and rows that are wrong
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STATIONS = ("Hauptbahnhof", "Marktplatz", 'Café "Zoo"', "Universität", "Stadtpark, Süd", "Hafen")
SERVICES = {"WEEKDAY": (1, 1, 1, 1, 1, 0, 0), "WEEKEND": (0, 0, 0, 0, 0, 1, 1)}
ROUTES = ("R1", "R2", "R3")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FIRST, LAST, EVERY = 5 * 60, 25 * 60, 100  # minutes after midnight; a day of service goes on beyond it
Rows = list[list[Any]]


def clock(minutes: int) -> str:
    """As GTFS writes it: half past midnight of the same day of service is 24:30:00."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def stops() -> Rows:
    """Two platforms a station; they refer to it, and come before it."""
    rows: Rows = []
    for n, name in enumerate(STATIONS):
        latitude, longitude = f"{50.9 + n / 100:.6f}", f"{6.95 - n / 70:.6f}"
        rows += [[f"S{n}{p}", f"{name} {p}", latitude, longitude, 0, f"S{n}", p] for p in "AB"]
        rows.append([f"S{n}", name, latitude, longitude, 1, None, None])
    return rows


def trips() -> list[tuple[str, str, str, int]]:
    """(trip, route, service, start in minutes)"""
    return [
        (f"{route}-{service[:5]}-{start}", route, service, start + 7 * n)
        for n, route in enumerate(ROUTES)
        for service in SERVICES
        for start in range(FIRST, LAST, EVERY)
    ]


def stop_times(made: Sequence[tuple[str, str, str, int]]) -> Rows:
    return [
        [trip, clock(start + 9 * n), clock(start + 9 * n + 1), f"S{n}{'AB'[start % 2]}", 10 * (n + 1), None, 0]
        for trip, _, _, start in made
        for n in range(len(STATIONS))
    ]


def write(path: Path, header: str, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows([header.split(","), *rows])
    print(f"{path}: {len(rows)} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a GTFS feed.")
    parser.add_argument("--day", type=int, choices=(1, 2), default=1)
    day = parser.parse_args().day
    folder = Path(os.environ["FASTFEAST_HOME"]) / f"data/input/batch/2026-03-{day:02d}"
    folder.mkdir(parents=True, exist_ok=True)

    made = trips()
    calendar = [[service, *runs, "20260301", "20261231"] for service, runs in SERVICES.items()]
    holidays = [["WEEKDAY", "20260501", 2], ["WEEKEND", "20260501", 1], ["WEEKDAY", "20261225", 2]]
    if day == 2:
        made.append(("R3-EXTRA", "R3", "WEEKEND", LAST))
        calendar.append(["SUMMER", *[1] * 7, "20260231", "20260831"])
        holidays.append(["WEEKEND", "20260501", 2])
    times = stop_times(made)
    if day == 2:
        times[-1][3] = "S9A"
        times[-2][1] = "noon"

    agency = [["KVB", "Köln Transit", "https://transit.example.com", "Europe/Berlin"]]
    routes = [[r, "KVB", n + 1, f"Line {n + 1}", 0, "00AAFF", None] for n, r in enumerate(ROUTES)]
    write(folder / "agency.txt", "agency_id,agency_name,agency_url,agency_timezone", agency)
    write(
        folder / "stops.txt",
        "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station,platform_code",
        stops(),
    )
    write(
        folder / "routes.txt",
        "route_id,agency_id,route_short_name,route_long_name,route_type,route_color,route_desc",
        routes,
    )
    write(folder / "calendar.txt", f"service_id,{','.join(DAYS)},start_date,end_date", calendar)
    write(folder / "calendar_dates.txt", "service_id,date,exception_type", holidays)
    write(
        folder / "trips.txt",
        "route_id,service_id,trip_id,trip_headsign",
        [[r, s, t, STATIONS[-1]] for t, r, s, _ in made],
    )
    header = "trip_id,arrival_time,departure_time,stop_id,stop_sequence,stop_headsign,pickup_type"
    write(folder / "stop_times.txt", header, times)


if __name__ == "__main__":
    main()
