"""An hour of FastFeast's traffic: orders, the tickets that follow them, the events that follow the tickets."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.bad_values import NEVER, ORPHAN
from scripts.contradictions import contradict_orders, contradict_tickets
from scripts.faults import Columns, Mask, Sheet, quota, spoil, verdicts_of
from scripts.lookups import CHANNELS, PRIORITIES, REASONS
from scripts.population import Ids, Times, region_of_customer, stamps

LATER = 20  # orders name customers and drivers up to so many ids above the highest
ORPHAN_SHARE = 0.02  # of the orders, unless the share of bad rows is less
QUIET_HOURS = frozenset({3, 4})  # without tickets
TICKETS_PER_ORDER = 0.08
TICKETS_PER_REFUSED_ORDER = 0.3

_STATUSES = ("Delivered", "OutForDelivery", "Preparing", "Pending", "Cancelled", "Refunded")
_TICKET_STATUSES = ("Open", "InProgress", "Resolved", "Closed", "Reopened")
_STEPS = {  # the events of a ticket, up to its status
    "Open": ("Open",),
    "InProgress": ("Open", "InProgress"),
    "Resolved": ("Open", "InProgress", "Resolved"),
    "Closed": ("Open", "InProgress", "Resolved", "Closed"),
    "Reopened": ("Open", "InProgress", "Resolved", "Reopened"),
}
_NOTES = ("Called the customer", "Restaurant confirmed", "Waiting for the driver, no answer", 'Says "cold"')


@dataclass(frozen=True)
class Known:
    """The ids that traffic can name: those in the warehouse by then, and those refused from the master files."""

    seed: int
    ids: dict[str, Ids]  # customers, drivers, restaurants, agents
    refused: dict[str, Ids]
    highest: dict[str, int]  # customers, drivers
    days: int = -1  # since the first batch: customers move


@dataclass(frozen=True)
class _Fates:
    """Which rows of a table load, and which of the others will once their customer or driver arrives."""

    loads: Mask
    heals: Mask

    def __getitem__(self, rows: npt.NDArray[np.int64]) -> _Fates:
        return _Fates(self.loads[rows], self.heals[rows])

    def orphans(self) -> dict[str, Any]:
        """The verdicts of rows that follow these, one to one."""
        verdicts = verdicts_of(len(self.loads))
        verdicts[~self.loads] = ORPHAN
        return {"verdicts": verdicts, "heals": self.heals}


@dataclass(frozen=True)
class Hour:
    """The sheets of an hour, and what the next hour exports again of its tickets, with their new events."""

    sheets: dict[str, Sheet]
    settled: dict[str, Columns]


def hour_of_traffic(known: Known, start: dt.datetime, rows: int, share: float, rng: np.random.Generator) -> Hour:
    """Orders, tickets and ticket events of the hour from `start` (UTC); `rows` orders, duplicates included."""
    counts = quota(rows, share)
    orders, created, delivered = _orders(known, start, rows - counts[1], rng)
    verdicts, heals = _name_strangers(orders, known, share, rng)
    if share:
        contradict_orders(orders, created, delivered)
    orders_sheet, loads = spoil("orders", orders, counts, rng, verdicts=verdicts, heals=heals)
    fates = _Fates(loads, heals)

    chance = np.where(loads, TICKETS_PER_ORDER, TICKETS_PER_REFUSED_ORDER)
    followed = np.flatnonzero(rng.random(len(loads)) < (0 if start.hour in QUIET_HOURS else chance))
    begun = np.where(np.isnat(delivered), created + np.timedelta64(45, "m"), delivered)[followed]
    tickets, times = _tickets({n: v[followed] for n, v in orders.items()}, begun, known, rng)
    exported = dict(tickets)
    if share:
        contradict_tickets(exported, times)
    tickets_sheet, loads = spoil(
        "tickets", exported, quota(len(followed), share), rng, **fates[followed].orphans()
    )
    fates = _Fates(loads, fates[followed].heals)

    events, of_ticket = _events(tickets, times, rng)
    events_sheet, _ = spoil(
        "ticket_events",
        events,
        quota(len(of_ticket), share),
        rng,
        **fates[of_ticket].orphans(),
    )
    sheets = {"orders": orders_sheet, "tickets": tickets_sheet, "ticket_events": events_sheet}
    return Hour(sheets, _settled(tickets, times, loads, rng))


def _orders(known: Known, start: dt.datetime, rows: int, rng: np.random.Generator) -> tuple[Columns, Times, Times]:
    customers = rng.choice(known.ids["customers"], rows)
    created = np.datetime64(start.replace(tzinfo=None), "s") + _sorted_seconds(rows, rng)
    status = _choose(_STATUSES, rows, rng, (0.72, 0.06, 0.06, 0.05, 0.08, 0.03))
    delivered = created + rng.integers(15 * 60, 75 * 60, rows).astype("timedelta64[s]")
    delivered[~np.isin(status, ("Delivered", "Refunded"))] = np.datetime64("NaT")
    amount = rng.gamma(3.0, 70.0, rows).round(2) + 25
    fee = rng.integers(20, 80, rows) / 2
    discount = np.where(rng.random(rows) < 0.2, (amount * 0.15).round(2), 0.0)
    columns: Columns = {
        "order_id": _uuids(rows, rng),
        "customer_id": customers,
        "restaurant_id": rng.choice(known.ids["restaurants"], rows),
        "driver_id": rng.choice(known.ids["drivers"], rows),
        "region_id": region_of_customer(known.seed, customers, known.days),
        "order_amount": amount.round(2),
        "delivery_fee": fee,
        "discount_amount": discount,
        "total_amount": (amount + fee - discount).round(2),
        "order_status": status,
        "payment_method": _choose(("card", "cash", "wallet"), rows, rng, (0.35, 0.5, 0.15)),
        "order_created_at": stamps(created),
        "delivered_at": stamps(delivered),
    }
    return columns, created, delivered


def _name_strangers(
    orders: Columns, known: Known, share: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.object_], Mask]:
    """Let a few orders name ids that come later, never, or were refused; returns verdicts and who heals."""
    rows = len(orders["order_id"])
    verdicts, heals = verdicts_of(rows), np.zeros(rows, dtype=bool)
    strangers: list[tuple[str, Ids, bool]] = []
    for table in ("customers", "drivers"):
        later = known.highest[table] + 1 + np.arange(LATER)
        strangers += [(table, later, True)] * 2
    for table in ("customers", "drivers", "restaurants"):
        strangers.append((table, NEVER + rng.integers(1, 1_000_000, 50), False))
        if len(known.refused[table]):
            strangers.append((table, known.refused[table], False))
    chosen = rng.permutation(rows)[: round(min(ORPHAN_SHARE, share) * rows)]
    for turn, (table, ids, later_on) in enumerate(strangers):
        picked = chosen[turn :: len(strangers)]
        column = f"{table.removesuffix('s')}_id"
        orders[column][picked] = rng.choice(ids, len(picked))
        verdicts[picked] = ORPHAN
        heals[picked] = later_on
    return verdicts, heals


def _tickets(orders: Columns, begun: Times, known: Known, rng: np.random.Generator) -> tuple[Columns, list[Times]]:
    """A ticket for each order, and the times of its steps: created, answered, resolved, settled."""
    rows = len(begun)
    ids = _uuids(rows, rng)
    status = _choose(_TICKET_STATUSES, rows, rng, (0.12, 0.18, 0.35, 0.28, 0.07))
    priority = rng.integers(0, len(PRIORITIES), rows)
    first, final = (np.array([p[limit] for p in PRIORITIES])[priority] * 60 for limit in (2, 3))
    reason = rng.integers(0, len(REASONS), rows)
    refund = np.array([r[3] for r in REASONS])[reason] * orders["total_amount"]

    created = begun + rng.integers(60, 90 * 60, rows).astype("timedelta64[s]")
    answered = created + _seconds(first * rng.gamma(2.0, 0.35, rows))
    resolved = answered + _seconds(final * rng.gamma(2.0, 0.35, rows))
    times = [created, answered, resolved, resolved + _seconds(rng.integers(300, 90_000, rows))]
    nat = np.datetime64("NaT")
    columns: Columns = {
        "ticket_id": ids,
        **{name: orders[name] for name in ("order_id", "customer_id", "driver_id", "restaurant_id")},
        "agent_id": rng.choice(known.ids["agents"], rows),
        "reason_id": reason + 1,
        "priority_id": priority + 1,
        "channel_id": rng.integers(1, len(CHANNELS) + 1, rows),
        "status": status,
        "refund_amount": np.where(rng.random(rows) < 0.6, refund, 0.0).round(2),
        "created_at": stamps(created),
        "first_response_at": stamps(np.where(status == "Open", nat, answered)),
        "resolved_at": stamps(np.where(np.isin(status, ("Open", "InProgress")), nat, resolved)),
        "sla_first_due_at": stamps(created + _seconds(first)),
        "sla_resolve_due_at": stamps(created + _seconds(final)),
    }
    return columns, times


def _settled(tickets: Columns, times: list[Times], loads: Mask, rng: np.random.Generator) -> dict[str, Columns]:
    """Every second one of the tickets that load and are open, resolved an hour later, and the events of it."""
    is_open = loads & np.isin(tickets["status"], ("Open", "InProgress"))
    chosen = np.flatnonzero(is_open)[::2]
    told = np.array([len(_STEPS[status]) for status in tickets["status"][chosen]], dtype=np.int64)
    _, answered, resolved, _ = times = [moments[chosen] for moments in times]
    again: Columns = {
        **{name: values[chosen] for name, values in tickets.items()},
        "status": np.full(len(chosen), "Resolved", dtype=object),
        "first_response_at": stamps(answered),
        "resolved_at": stamps(resolved),
    }
    events, of_ticket = _events(again, times, rng)
    steps = len(_STEPS["Resolved"])
    new = np.arange(len(of_ticket)) % steps >= told[of_ticket]
    return {"tickets": again, "ticket_events": {name: values[new] for name, values in events.items()}}


def _events(
    tickets: Columns, times: list[Times], rng: np.random.Generator
) -> tuple[Columns, npt.NDArray[np.int64]]:
    """An event for each step of each ticket, and the ticket's row that it belongs to."""
    steps = np.array([len(_STEPS[status]) for status in tickets["status"]], dtype=np.int64)
    of_ticket = np.repeat(np.arange(len(steps)), steps)
    rows = len(of_ticket)
    step = np.arange(rows) - np.repeat(np.cumsum(steps) - steps, steps)
    status = tickets["status"][of_ticket]
    new = [_STEPS[s][i] for s, i in zip(status, step, strict=True)]
    old = [_STEPS[s][i - 1] if i else float("nan") for s, i in zip(status, step, strict=True)]
    moment = np.stack(times)[step, of_ticket] + rng.integers(0, 1_000_000, rows).astype("timedelta64[us]")
    local = stamps(moment + np.timedelta64(2, "h"), "us", "T") + "+02:00"  # as some phones write it
    notes = rng.choice(np.array(_NOTES, dtype=object), rows)
    notes[rng.random(rows) < 0.6] = None
    columns: Columns = {
        "event_id": _uuids(rows, rng),
        "ticket_id": tickets["ticket_id"][of_ticket],
        "agent_id": tickets["agent_id"][of_ticket],
        "event_ts": np.where(rng.random(rows) < 0.1, local, stamps(moment, "us", "T")),
        "old_status": np.array(old, dtype=object),
        "new_status": np.array(new, dtype=object),
        "notes": notes,
    }
    return columns, of_ticket


def _choose(
    options: tuple[str, ...], rows: int, rng: np.random.Generator, weights: tuple[float, ...]
) -> npt.NDArray[np.object_]:
    chosen: npt.NDArray[np.object_] = np.array(options, dtype=object)[rng.choice(len(options), rows, p=weights)]
    return chosen


def _seconds(values: npt.NDArray[Any]) -> npt.NDArray[np.timedelta64]:
    return values.astype(np.int64).astype("timedelta64[s]")


def _sorted_seconds(rows: int, rng: np.random.Generator) -> npt.NDArray[np.timedelta64]:
    return np.sort(rng.integers(0, 3600, rows)).astype("timedelta64[s]")


def _uuids(rows: int, rng: np.random.Generator) -> npt.NDArray[np.object_]:
    """Version 4 UUIDs as text."""
    digits = rng.bytes(16 * rows).hex()
    texts = [
        f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:]}"
        for h in (digits[start : start + 32] for start in range(0, 32 * rows, 32))
    ]
    return np.array(texts, dtype=object)
