"""What can be wrong with a value: the kinds of columns, their bad values, and the verdict each one earns."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

ORPHAN = "orphan/parent_missing"
NEVER = 2_000_000_000  # ids from here on belong to nobody, ever
NEVER_TEXT = "ffffffff-ffff-4fff-bfff-ffffffffffff"

# What each column holds. `!` null breaks the schema, `?` null is fine, otherwise null breaks `required`.
KINDS: dict[str, dict[str, str]] = {
    "cities": {"city_id": "int!", "city_name": "text!", "country": "text!", "timezone": "text!"},
    "regions": {"region_id": "int!", "region_name": "text!", "city_id": "fk!", "delivery_base_fee": "money!"},
    "segments": {
        "segment_id": "int!",
        "segment_name": "enum!",
        "discount_pct": "int",
        "priority_support": "bool",
    },
    "categories": {"category_id": "int!", "category_name": "text!"},
    "teams": {"team_id": "int!", "team_name": "text"},
    "reason_categories": {"reason_category_id": "int!", "category_name": "enum!"},
    "reasons": {
        "reason_id": "int!",
        "reason_name": "text",
        "reason_category_id": "fk",
        "severity_level": "int",
        "typical_refund_pct": "rate",
    },
    "channels": {"channel_id": "int!", "channel_name": "enum!"},
    "priorities": {
        "priority_id": "int!",
        "priority_code": "enum!",
        "priority_name": "enum!",
        "sla_first_response_min": "int",
        "sla_resolution_min": "int",
    },
    "customers": {
        "customer_id": "int!",
        "full_name": "text!",
        "email": "email",
        "phone": "phone",
        "region_id": "fk",
        "segment_id": "fk",
        "signup_date": "date",
        "gender": "enum",
        "created_at": "date",
        "updated_at": "date",
    },
    "restaurants": {
        "restaurant_id": "int!",
        "restaurant_name": "text!",
        "region_id": "fk",
        "category_id": "fk",
        "price_tier": "enum",
        "rating_avg": "rating",
        "prep_time_avg_min": "int",
        "is_active": "bool",
        "created_at": "date",
        "updated_at": "date",
    },
    "drivers": {
        "driver_id": "int!",
        "driver_name": "text!",
        "driver_phone": "phone_text",
        "national_id": "national_id",
        "region_id": "fk",
        "shift": "enum",
        "vehicle_type": "text",
        "hire_date": "date",
        "rating_avg": "rating",
        "on_time_rate": "rate",
        "cancel_rate": "rate",
        "completed_deliveries": "int!",
        "is_active": "bool",
        "created_at": "date",
        "updated_at": "date",
    },
    "agents": {
        "agent_id": "int!",
        "agent_name": "text!",
        "agent_email": "email",
        "agent_phone": "phone",
        "team_id": "fk",
        "skill_level": "enum",
        "hire_date": "date",
        "avg_handle_time_min": "int",
        "resolution_rate": "rate",
        "csat_score": "rating",
        "is_active": "bool",
        "created_at": "date",
        "updated_at": "date",
    },
    "orders": {
        "order_id": "text!",
        "customer_id": "fk",
        "restaurant_id": "fk",
        "driver_id": "fk",
        "region_id": "fk",
        "order_amount": "money",
        "delivery_fee": "money",
        "discount_amount": "money",
        "total_amount": "money",
        "order_status": "enum",
        "payment_method": "enum!",
        "order_created_at": "date",
        "delivered_at": "date?",
    },
    "tickets": {
        "ticket_id": "text!",
        "order_id": "ref",
        "customer_id": "fk",
        "driver_id": "fk",
        "restaurant_id": "fk",
        "agent_id": "fk",
        "reason_id": "fk",
        "priority_id": "fk",
        "channel_id": "fk",
        "status": "enum",
        "refund_amount": "money",
        "created_at": "date",
        "first_response_at": "date?",
        "resolved_at": "date?",
        "sla_first_due_at": "date",
        "sla_resolve_due_at": "date",
    },
    "ticket_events": {
        "event_id": "text!",
        "ticket_id": "ref",
        "agent_id": "fk",
        "event_ts": "date",
        "old_status": "enum?",
        "new_status": "enum!",
        "notes": "note?",
    },
}

_FLOAT = (("invalid", "schema/dtype"), (1e9, "schema/out_of_range"), (-12.5, "records/at_least"))
_WHOLE = ((3.7, "schema/dtype"), (3_000_000_000, "schema/out_of_range"), (-3, "records/at_least"))
_LONG = (("a text longer than its column " * 15, "schema/too_long"),)
_BAD_VALUES: dict[str, tuple[tuple[object, str], ...]] = {
    "int": _WHOLE,
    "fk": (*_WHOLE, (NEVER, ORPHAN)),
    "money": _FLOAT,
    "rating": (*_FLOAT, (5.5, "records/at_most")),
    "rate": (*_FLOAT, (1.2, "records/at_most")),
    "text": _LONG,
    "ref": (*_LONG, (NEVER_TEXT, ORPHAN)),
    "enum": (("Unknown", "schema/allowed_values"),),
    "bool": (("maybe", "schema/dtype"),),
    "email": tuple(
        (value, "records/email") for value in ("mona.adel", "mona.adel@", "mona.adel@gmail", "mona@adel@gmail.com")
    ),
    # as numbers, so without the leading zero: a wrong prefix, a digit too few, a digit too many
    "phone": tuple((value, "records/phone") for value in (1312345678, 101234567, 10123456789)),
    "phone_text": tuple((value, "records/phone") for value in ("01312345678", "0101234567", "010123456789")),
    "national_id": tuple((value, "records/length") for value in ("2" * 14, "2" * 16)),
    "date": (
        ("invalid", "schema/dtype"),
        ("2024-02-30 10:00:00", "schema/dtype"),
        ("1890-01-01 00:00:00", "records/date_in_range"),
    ),
    "note": (),
}
# Numeric columns get real gaps only: a placeholder text would keep pandas from writing 464.0.
_NUMERIC = frozenset({"int", "fk", "phone"})
_NULL_TEXTS = (None, "N/A", "")


@dataclass(frozen=True)
class Fault:
    """Cells that make a good row bad, and the verdict that this earns."""

    cells: dict[str, object]
    verdict: str


_MISSING_TIMES = {
    "orders": [Fault({"order_status": "Delivered", "delivered_at": None}, "records/required_when")],
    "tickets": [
        Fault({"status": status, column: None}, "records/required_when")
        for status, column in itertools.product(("Resolved", "Closed"), ("first_response_at", "resolved_at"))
    ],
}


def faults_of(table: str) -> list[Fault]:
    """Every way in which a row of the logical file `table` can be bad by itself."""
    faults = []
    for column, kind in KINDS[table].items():
        base = kind.rstrip("!?")
        faults += [Fault({column: value}, verdict) for value, verdict in _BAD_VALUES[base]]
        if not kind.endswith("?"):
            verdict = "schema/not_null" if kind.endswith("!") else "records/required"
            nulls = (None,) if base in _NUMERIC else _NULL_TEXTS
            faults += [Fault({column: null}, verdict) for null in nulls]
    return faults + _MISSING_TIMES.get(table, [])
