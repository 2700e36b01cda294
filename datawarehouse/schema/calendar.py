"""The calendar, dim_date: its years and its weekend."""

from __future__ import annotations

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.queries import query
from utils.logger import get_logger

logger = get_logger(__name__)

SATURDAY_AND_SUNDAY = (6, 7)


def set_weekend(tx: Cursor, days: tuple[int, ...]) -> None:
    """Bring dim_date to the weekend of the configuration."""
    tx.execute(query("schema_init", "other_weekend"), {"weekend": list(days)})
    if tx.fetchone() != (True,):
        return
    tx.execute("SELECT has_table_privilege('dim_date', 'UPDATE')")
    if tx.fetchone() == (True,):
        tx.execute(query("schema_init", "set_weekend"), {"weekend": list(days)})
    else:
        logger.warning("[schema] calendar.weekend differs from dim_date; start once as its owner to change it")


def grow_dates(
    tx: Cursor, first_year: int, last_year: int, weekend: tuple[int, ...] = SATURDAY_AND_SUNDAY
) -> None:
    """Fill dim_date with all days from `first_year` to `last_year`, and those between them and what is there.

    `weekend` (ISO days, 1 is Monday) is that of a new calendar; one that is there goes on with its own.
    """
    tx.execute("SELECT min(year), max(year) FROM dim_date")
    low, high = tx.fetchone() or (None, None)
    if low is None:
        spans = [(first_year, last_year)]
    else:
        spans = [(min(first_year, low), low - 1), (high + 1, max(last_year, high))]
    for first, last in spans:
        if first <= last:
            tx.execute(
                query("schema_init", "grow_dates"), {"first": first, "last": last, "weekend": list(weekend)}
            )
