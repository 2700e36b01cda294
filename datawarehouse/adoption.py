"""A column that was kept in _extra gets a place of its own, and every value that fits goes there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.schema import EXTRA, Column
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.queries import query
from datawarehouse.schema.ddl import add_columns
from datawarehouse.schema.differences import columns_there
from datawarehouse.schema.tables import build_metadata
from validation.batch import Batch, Chunk
from validation.extra import text_for
from validation.schema_validator import validate_schema

PAGE, MOST_LEFT = 20_000, 10  # values read at a time; rows named of those that did not fit


@dataclass(frozen=True, slots=True)
class Adopted:
    """How many rows got their value, in how many it stays in _extra, and which the first of these are."""

    moved: int
    left: int
    first_left: tuple[tuple[int, str], ...] = ()  # file id, key


def give_column(tx: Cursor, config: PipelineConfig, spec: FileSpec) -> None:
    """Add what the table of `spec` lacks of its columns."""
    tx.execute(query("adoption", "may_wait"))
    add_columns(tx, build_metadata(config).tables[spec.table], columns_there(tx).get(spec.table, {}))


def back_fill(tx: Cursor, spec: FileSpec, column: Column, name: str) -> Adopted:
    """Move the values under `name` in _extra to `column`, where that is null. May be repeated, and cut off."""
    parts = {
        "table": sql.Identifier(spec.table),
        "extra": sql.Identifier(EXTRA),
        "column": sql.Identifier(column.target),
        "name": sql.Literal(name),
        "type": sql.SQL(str(column.sql)),
        "key": key_sql.text_of(spec.schema.key_columns, "t"),
        "limit": sql.Literal(MOST_LEFT),
    }
    tx.execute(_statement("values", parts))
    last = 0
    while True:
        tx.execute(query("adoption", "next_values"), {"after": last, "limit": PAGE})
        page = tx.fetchall()
        if not page:
            break
        last = page[-1][0]
        numbers, values = _read(spec, column, page)
        tx.execute(query("adoption", "read_values"), {"numbers": numbers, "values": values})
    tx.execute(query("adoption", "analyze"))
    tx.execute(_statement("move", parts))
    moved = int(tx.rowcount)
    tx.execute(_statement("left", parts))
    rows = tx.fetchall()
    tx.execute(query("adoption", "forget"), {"logical_name": spec.name, "column": name})
    return Adopted(moved, rows[0][2] if rows else 0, tuple((file_id, str(key)) for file_id, key, _ in rows))


def _statement(name: str, parts: dict[str, sql.Composable]) -> sql.Composed:
    return sql.SQL(query("adoption", name)).format(**parts)


def _read(spec: FileSpec, column: Column, page: list[tuple[int, str]]) -> tuple[list[int], list[str | None]]:
    """Of numbered values, those that a load would take for the column, and what it would store."""
    texts = [text_for(column, source) for _, source in page]
    numbers = np.array([number for number, _ in page], np.int64)
    schema = spec.schema.with_columns((column.model_copy(update={"default": None, "nullable": True}),))
    chunk = Chunk(numbers, {column.name: pa.array(texts, pa.string())})
    batch = Batch(replace(spec, schema=schema), chunk)
    validate_schema(batch)
    good = pa.array(batch.good)
    stored = pc.cast(batch.output[column.name], pa.string()).filter(good)
    return numbers[batch.good].tolist(), stored.to_pylist()
