"""COPY of Arrow rows into a table."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

COPY_ROWS = 4_000  # written as CSV at a time, while the server works on those before


def copy_rows(tx: Cursor, table: sql.Identifier, names: Mapping[str, str], rows: pa.Table) -> int:
    """COPY the columns `names` (of the rows → of the table); returns how many rows the database counted."""
    columns = sql.SQL(", ").join(map(sql.Identifier, names.values()))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(table, columns)
    text: Any = _CsvText(rows.select(list(names)))  # the stubs ask for more than the driver calls
    tx.copy_expert(statement, text)
    return int(tx.rowcount)


class _CsvText:
    """What COPY reads: `rows` as CSV, a few at a time."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._next = 0

    def read(self, _size: int = -1) -> bytes:
        """The next rows as CSV, whatever the size asked for; nothing at the end."""
        part = self._rows.slice(self._next, COPY_ROWS)
        self._next += COPY_ROWS
        text = io.BytesIO()
        if part.num_rows:
            pacsv.write_csv(part, text, pacsv.WriteOptions(include_header=False))
        return text.getvalue()
