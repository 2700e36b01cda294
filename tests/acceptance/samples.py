"""Small hand-made exports of FastFeast: good rows, each changed as a test likes, and the files of them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

Fields = dict[str, Any]
DAY = "2026-02-20"
CUSTOMERS = 20
STAMPS = {"created_at": "2026-01-05 10:00:00", "updated_at": "2026-02-19T08:30:00"}


def uid(kind: str, number: int) -> str:
    """The id of the n-th order, ticket or event: a UUID that is always the same."""
    return str(uuid5(NAMESPACE_OID, f"{kind}-{number}"))


def customer(number: int, **changes: Any) -> Fields:
    return {
        "customer_id": number,
        "full_name": f"Customer {number}",
        "email": f"person.{number}@mail-{number}.example.com",
        "phone": f"010{number:08d}",
        "region_id": 1,
        "segment_id": 1 + number % 2,
        "signup_date": "2025-06-01",
        "gender": "female" if number % 2 else "male",
        **STAMPS,
        **changes,
    }


def driver(number: int, **changes: Any) -> Fields:
    return {
        "driver_id": number,
        "driver_name": f"Driver {number}",
        "driver_phone": f"011{number:08d}",
        "national_id": f"2900101{number:08d}",
        "region_id": 1,
        "shift": "evening",
        "vehicle_type": "bike",
        "hire_date": "2024-03-01",
        "rating_avg": 4.5,
        "on_time_rate": 0.93,
        "cancel_rate": 0.02,
        "completed_deliveries": 10 * number,
        "is_active": True,
        **STAMPS,
        **changes,
    }


def restaurant(number: int, **changes: Any) -> Fields:
    return {
        "restaurant_id": number,
        "restaurant_name": f"Kitchen {number}",
        "region_id": 2,
        "category_id": 1,
        "price_tier": "Mid",
        "rating_avg": 4.25,
        "prep_time_avg_min": 20,
        "is_active": True,
        **STAMPS,
        **changes,
    }


def agent(number: int, **changes: Any) -> Fields:
    return {
        "agent_id": number,
        "agent_name": f"Agent {number}",
        "agent_email": f"agent-{number}@support.fastfeast.com",
        "agent_phone": f"012{number:08d}",
        "team_id": 1,
        "skill_level": "Senior",
        "hire_date": "2023-09-15",
        "avg_handle_time_min": 12,
        "resolution_rate": 0.875,
        "csat_score": 4.4,
        "is_active": True,
        **STAMPS,
        **changes,
    }


def order(number: int, **changes: Any) -> Fields:
    return {
        "order_id": uid("order", number),
        "customer_id": 1 + number % CUSTOMERS,
        "restaurant_id": 1 + number % 3,
        "driver_id": 1 + number % 5,
        "region_id": 1 + number % 2,
        "order_amount": 100.5 + number % 100,
        "delivery_fee": 15,
        "discount_amount": 0.0,
        "total_amount": 115.5 + number % 100,
        "order_status": "Delivered",
        "payment_method": "card",
        "order_created_at": f"{DAY} 09:{number % 60:02d}:30",
        "delivered_at": f"{DAY} 10:{number % 60:02d}:05.250",
        **changes,
    }


def ticket(number: int, **changes: Any) -> Fields:
    return {
        "ticket_id": uid("ticket", number),
        "order_id": uid("order", number),
        "customer_id": 1 + number % CUSTOMERS,
        "driver_id": 1 + number % 5,
        "restaurant_id": 1 + number % 3,
        "agent_id": 1,
        "reason_id": 1,
        "priority_id": 1 + number % 4,
        "channel_id": 1,
        "status": "Resolved",
        "refund_amount": 12.25,
        "created_at": f"{DAY} 11:00:00",
        "first_response_at": f"{DAY} 11:10:00",
        "resolved_at": f"{DAY} 12:00:00",
        "sla_first_due_at": f"{DAY} 11:30:00",
        "sla_resolve_due_at": f"{DAY} 11:45:00",
        **changes,
    }


def event(number: int, **changes: Any) -> Fields:
    return {
        "event_id": uid("event", number),
        "ticket_id": uid("ticket", number),
        "agent_id": 1,
        "event_ts": f"{DAY}T11:00:00Z",
        "old_status": None,
        "new_status": "Open",
        "notes": None,
        **changes,
    }


def csv_text(rows: Iterable[Fields], *, header: Iterable[str] | None = None, end: str = "\n") -> str:
    """As pandas writes it: an empty cell for null, True and False."""
    rows = list(rows)
    names = list(header or rows[0])
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="", lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def json_text(rows: Iterable[Fields]) -> str:
    """As json.dump writes it: an array, pretty-printed, NaN bare."""
    return json.dumps(list(rows), indent=2)


def ndjson_text(rows: Iterable[Fields]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def text_of(path: Path, rows: Iterable[Fields]) -> str:
    """`rows` in the format that the name of `path` asks for."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return csv_text(rows)
    return json_text(rows) if name.endswith(".json") else ndjson_text(rows)


def write(path: Path, content: str | bytes | Iterable[Fields]) -> Path:
    """Put a whole file in its place at once: written beside it under a hidden name, then renamed."""
    if isinstance(content, str):
        data = content.encode()
    elif isinstance(content, bytes):
        data = content
    else:
        data = text_of(path, content).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.writing")
    hidden.write_bytes(data)
    os.replace(hidden, path)
    return path


def master_rows() -> dict[str, list[Fields]]:
    """A small, whole and faultless set of master files, by name: all parents that the makers above name."""
    named = {"country": "Egypt", "timezone": "Africa/Cairo"}
    codes = (("P1", "Critical"), ("P2", "High"), ("P3", "Medium"), ("P4", "Low"))
    categories = ("Delivery", "Food", "Payment")
    reasons = {"severity_level": 2, "typical_refund_pct": 0.25}
    return {
        "cities.csv": [{"city_id": n, "city_name": name, **named} for n, name in ((1, "Cairo"), (2, "Giza"))],
        "regions.csv": [
            {"region_id": n, "region_name": f"Region {n}", "city_id": n, "delivery_base_fee": 15.0} for n in (1, 2)
        ],
        "segments.csv": [
            {"segment_id": 1, "segment_name": "Regular", "discount_pct": 0, "priority_support": False},
            {"segment_id": 2, "segment_name": "VIP", "discount_pct": 10, "priority_support": True},
        ],
        "categories.csv": [{"category_id": 1, "category_name": "Grill"}],
        "teams.csv": [{"team_id": 1, "team_name": "Tier one"}],
        "reason_categories.csv": [
            {"reason_category_id": n, "category_name": name} for n, name in enumerate(categories, 1)
        ],
        "reasons.csv": [
            {"reason_id": n, "reason_name": f"Reason {n}", "reason_category_id": n, **reasons} for n in (1, 2, 3)
        ],
        "channels.csv": [
            {"channel_id": n, "channel_name": name} for n, name in enumerate(("app", "chat", "phone", "email"), 1)
        ],
        "priorities.csv": [
            {
                "priority_id": n,
                "priority_code": code,
                "priority_name": name,
                "sla_first_response_min": 15 * n,
                "sla_resolution_min": 60 * n,
            }
            for n, (code, name) in enumerate(codes, 1)
        ],
        "customers.csv": [customer(n) for n in range(1, CUSTOMERS + 1)],
        "restaurants.csv": [restaurant(n) for n in range(1, 4)],
        "drivers.csv": [driver(n) for n in range(1, 6)],
        "agents.csv": [agent(n) for n in range(1, 3)],
    }


def write_master(home: Path, **changes: list[Fields]) -> None:
    """Write data/master; `changes` are rows by stem, as in `customers=[...]`."""
    for name, rows in master_rows().items():
        write(home / "data/master" / name, changes.get(Path(name).stem, rows))
