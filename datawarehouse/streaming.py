"""Rows of a query as a stream: a server-side cursor, so that memory stays flat however many there are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

ROWS = 5_000  # in memory at a time
_numbers = itertools.count(1)


def stream(tx: Cursor, statement: str, parameters: Mapping[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
    """The rows of `statement`, in its order; `tx` may be used for other statements meanwhile."""
    name = sql.Identifier(f"stream_{next(_numbers)}")
    declare = sql.SQL("DECLARE {} NO SCROLL CURSOR FOR ").format(name).as_string(tx) + statement
    tx.execute(declare, parameters)
    while True:
        tx.execute(sql.SQL("FETCH {} FROM {}").format(sql.Literal(ROWS), name))
        rows = tx.fetchall()
        yield from rows
        if len(rows) < ROWS:
            tx.execute(sql.SQL("CLOSE {}").format(name))
            return
