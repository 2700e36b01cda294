"""Rows that were judged before, for a rule that is tried on them: those of a table, and those in quarantine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.schema import Column
from datawarehouse.queries import query
from datawarehouse.streaming import stream
from validation.extra import in_todays_columns

CHUNK_ROWS = 25_000


def loaded_rows(tx: Cursor, spec: FileSpec, columns: Sequence[Column]) -> Iterator[dict[str, pa.Array]]:
    """The text of `columns` by name, chunk by chunk; placeholders are no rows."""
    statement = sql.SQL(query("tried_rows", "loaded")).format(
        columns=sql.SQL(", ").join(map(_as_text, columns)) or sql.SQL("NULL"),
        table=sql.Identifier(spec.table),
        condition=sql.SQL("NOT _placeholder" if spec.has_placeholders else "true"),
    )
    rows = stream(tx, statement.as_string(tx))
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield {
            column.name: pa.array([row[position] for row in chunk], pa.string())
            for position, column in enumerate(columns)
        } or {"": pa.nulls(len(chunk), pa.string())}


def refused_rows(tx: Cursor, spec: FileSpec, columns: Sequence[Column]) -> Iterator[dict[str, pa.Array]]:
    """The same of the rows in quarantine that are open, as their files had them."""
    rows = stream(tx, query("tried_rows", "refused"), {"table": spec.table})
    while chunk := list(islice(rows, CHUNK_ROWS)):
        raws = [in_todays_columns(spec.schema, raw) for (raw,) in chunk]
        yield {
            column.name: pa.array([_text(raw.get(column.name)) for raw in raws], pa.string()) for column in columns
        } or {"": pa.nulls(len(chunk), pa.string())}


def _as_text(column: Column) -> sql.Composable:
    text = "to_jsonb({})::text" if column.sql.base.endswith("[]") else "{}::text"
    return sql.SQL(text).format(sql.Identifier(column.target))


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
