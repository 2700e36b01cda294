"""Sequences that are behind: PostgreSQL gives numbers again that are taken.

So it is after a restore without them, on a logical replica, and after a crash of a database just made from a
template: a sequence's numbers are logged 32 ahead, and those that the template has logged the copy has not.
https://www.postgresql.org/docs/current/logical-replication-restrictions.html
"""

from __future__ import annotations

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.db_errors import NUMBERED
from datawarehouse.queries import query
from utils.logger import get_logger

logger = get_logger(__name__)


def catch_up(tx: Cursor) -> None:
    """Draw the numbers that are taken. Where the role may not, each try of a load draws at least one."""
    tx.execute(query("sequences", "behind"), {"tables": list(NUMBERED)})
    for table, column, sequence, last in tx.fetchall():
        names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
        tx.execute(sql.SQL(query("sequences", "highest")).format(**names))
        (highest,) = tx.fetchone() or (0,)
        if highest > last:
            tx.execute(query("sequences", "draw"), {"sequence": sequence, "numbers": highest - last})
            logger.warning(f"[database] {sequence} was behind by {highest - last}; it is not any more")
