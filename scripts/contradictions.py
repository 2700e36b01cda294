"""Rows whose columns contradict each other: each value is good by itself, and the shipped checks warn of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scripts.faults import Columns, Mask
from scripts.population import Times, stamps

EVERY = 50  # one row of so many, for each way


def contradict(columns: Columns, ways: Mapping[str, tuple[Mask, Callable[[Mask], object]]]) -> None:
    """Change, of each column in `ways`, one value in EVERY: of rows that may be changed, to what the way gives."""
    rows = np.arange(len(next(iter(columns.values()))))
    for turn, (name, (may_change, changed)) in enumerate(ways.items()):
        chosen = may_change & (rows % EVERY == 7 + turn)
        values = columns[name].copy()
        values[chosen] = changed(chosen)
        columns[name] = values


def contradict_orders(orders: Columns, created: Times, delivered: Times) -> None:
    """Orders delivered before they were made, and totals that don't add up."""
    everyone = np.ones(len(created), dtype=bool)
    contradict(
        orders,
        {
            "delivered_at": (~np.isnat(delivered), lambda rows: stamps(created[rows] - np.timedelta64(5, "m"))),
            "total_amount": (everyone, lambda rows: orders["total_amount"][rows] + 1),
        },
    )


def contradict_tickets(tickets: Columns, times: list[Times]) -> None:
    """Tickets answered after they were resolved, and those due before they were made."""
    created, _, resolved, _ = times
    everyone = np.ones(len(created), dtype=bool)
    settled = np.isin(tickets["status"], ("Resolved", "Closed", "Reopened"))
    contradict(
        tickets,
        {
            "first_response_at": (settled, lambda rows: stamps(resolved[rows] + np.timedelta64(1, "h"))),
            "sla_first_due_at": (everyone, lambda rows: stamps(created[rows] - np.timedelta64(1, "m"))),
        },
    )
