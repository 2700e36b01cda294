"""FastFeast's small tables: cities, regions, segments, categories, teams, reasons, channels, priorities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.faults import Columns

CITIES = ("Cairo", "Giza", "Alexandria", "Mansoura", "Tanta", "Aswan")
REGIONS = {
    "Cairo": ("Maadi", "Zamalek", "Heliopolis", "Nasr City", "New Cairo", "Shubra"),
    "Giza": ("Dokki", "Mohandessin", "Haram", "6th of October", "Sheikh Zayed"),
    "Alexandria": ("Smouha", "Sidi Gaber", "Miami", "Montaza"),
    "Mansoura": ("Toreil", "El Gamaa"),
    "Tanta": ("El Bahr Street", "Said Street"),
    "Aswan": ("Corniche",),
}
CATEGORIES = (
    "Koshary", "Grills", "Pizza", "Burgers", "Seafood", "Foul and Taameya", "Shawarma", "Desserts", "Healthy",
)  # fmt: skip
TEAMS = ("Delivery Support", "Food Quality", "Payments", "VIP Desk", "Escalations")
REASON_CATEGORIES = ("Delivery", "Food", "Payment")
REASONS = (
    ("Late delivery", 1, 2, 0.15), ("Order never arrived", 1, 4, 1.0), ("Wrong address", 1, 2, 0.2),
    ("Rude driver", 1, 3, 0.1), ("Cold food", 2, 2, 0.3), ("Missing item", 2, 3, 0.4),
    ("Wrong order", 2, 4, 0.9), ("Poor quality", 2, 3, 0.5), ("Charged twice", 3, 4, 0.5),
    ("Promo code refused", 3, 1, 0.1), ("Refund not received", 3, 3, 0.25),
)  # fmt: skip
CHANNELS = ("app", "chat", "phone", "email")
PRIORITIES = (
    ("P1", "Critical", 5, 60),
    ("P2", "High", 15, 240),
    ("P3", "Medium", 30, 720),
    ("P4", "Low", 60, 1440),
)
REGION_COUNT = sum(len(names) for names in REGIONS.values())


def lookup_tables() -> dict[str, Columns]:
    """The nine small tables that hardly ever change, by logical name."""
    regions = [(name, 1 + city) for city, names in enumerate(REGIONS.values()) for name in names]
    names, cities = zip(*regions, strict=True)
    return {
        "cities": _table(
            "city_id",
            city_name=CITIES,
            country=["Egypt"] * len(CITIES),
            timezone=["Africa/Cairo"] * len(CITIES),
        ),
        "regions": _table(
            "region_id",
            region_name=names,
            city_id=cities,
            delivery_base_fee=[10 + 2.5 * (index * 7 % 10) for index in range(len(regions))],
        ),
        "segments": _table(
            "segment_id",
            segment_name=["Regular", "VIP"],
            discount_pct=[0, 15],
            priority_support=[False, True],
        ),
        "categories": _table("category_id", category_name=CATEGORIES),
        "teams": _table("team_id", team_name=TEAMS),
        "reason_categories": _table("reason_category_id", category_name=REASON_CATEGORIES),
        "reasons": _table(
            "reason_id",
            reason_name=[reason[0] for reason in REASONS],
            reason_category_id=[reason[1] for reason in REASONS],
            severity_level=[reason[2] for reason in REASONS],
            typical_refund_pct=[reason[3] for reason in REASONS],
        ),
        "channels": _table("channel_id", channel_name=CHANNELS),
        "priorities": _table(
            "priority_id",
            priority_code=[priority[0] for priority in PRIORITIES],
            priority_name=[priority[1] for priority in PRIORITIES],
            sla_first_response_min=[priority[2] for priority in PRIORITIES],
            sla_resolution_min=[priority[3] for priority in PRIORITIES],
        ),
    }


def _table(key: str, **columns: Sequence[Any]) -> Columns:
    rows = len(next(iter(columns.values())))
    return {
        key: np.arange(1, rows + 1, dtype=np.int64),
        **{
            name: np.array(values, dtype=object if isinstance(values[0], str) else None)
            for name, values in columns.items()
        },
    }
