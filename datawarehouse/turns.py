"""What rows hold of their parents is brought up to date at the end of a transaction, in turns.

Two transactions that run side by side don't see each other's rows. So each does it at its end, under an advisory
lock on the parents' table, which loads of rows share: a load that finds that parents moved since it began looks at
its rows again, and whoever moves parents sees the rows of all loads that have ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.queries import query

_COUNTED = "moves of "  # and the table, in pipeline_meta


def read(tx: Cursor, tables: Sequence[str]) -> dict[str, str]:
    """How often parents in these tables have moved, as text; those that never did are left out."""
    if not tables:
        return {}
    tx.execute(query("turns", "read"), {"keys": [_COUNTED + table for table in tables]})
    return {key.removeprefix(_COUNTED): value for key, value in tx.fetchall()}


def share(tx: Cursor, tables: Sequence[str]) -> None:
    """From here on nobody moves parents in these tables, until the transaction ends."""
    if tables:
        tx.execute(query("turns", "share"), {"tables": sorted(tables)})


def take(tx: Cursor, table: str) -> None:
    """From here on this transaction alone moves parents in the table; loads that have not ended will know."""
    tx.execute(query("turns", "take"), {"table": table})
    tx.execute(query("turns", "count"), {"key": _COUNTED + table})


@contextmanager
def by_index_or_hash(tx: Cursor, table: str, column: str) -> Iterator[bool]:
    """Is there an index by `column`? If not, statements within look at each row once, and not for each key."""
    quoted = sql.Identifier(table).as_string(tx)
    tx.execute(query("turns", "has_index"), {"table": quoted, "column": column})
    (has_index,) = tx.fetchone() or (False,)
    if not has_index:
        tx.execute("SET LOCAL enable_nestloop = off")
    yield has_index
    if not has_index:
        tx.execute("SET LOCAL enable_nestloop = on")
