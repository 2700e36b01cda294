"""A column that was kept in _extra gets a place of its own, and every value that fits goes there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.drift import ChangeKind
from config.file_spec import FileSpec
from config.schema import EXTRA, Column
from config.settings import PipelineConfig
from datawarehouse import drift_log, key_sql
from datawarehouse.queries import query
from datawarehouse.schema.catalog import columns_there
from datawarehouse.schema.ddl import add_columns
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


def finish(tx: Cursor, config: PipelineConfig) -> Iterator[tuple[str, str]]:
    """Back-fill each column that was kept, or added, and that the YAML has by now; yields tables and what to tell.

    So a start finishes what `adopt` was killed in, and what a service of the former YAML has kept since.
    """
    waiting = [row for row in drift_log.met(tx) if row["kind"] in {ChangeKind.KEPT, ChangeKind.ADDED}]
    tx.execute(query("rights", "owned"))
    owned = {name for (name,) in tx}
    for row in waiting:
        spec, name = config.by_logical_name.get(row["logical_name"]), row["column_name"]
        column = spec.schema.by_source.get(name) if spec else None
        if spec is None or column is None:
            continue
        where = f"{spec.table}.{column.target}"
        if not {spec.table, "drift"} <= owned:
            yield spec.table, f"{where}: what was kept of it waits for `adopt` as the owner of {spec.table}"
        elif (adopted := back_fill(tx, spec, column, name)).moved:
            yield spec.table, f"{where}: {adopted.moved:,} rows have got what was kept of it"


def back_fill(tx: Cursor, spec: FileSpec, column: Column, name: str) -> Adopted:
    """Move what waits under `name`, in _extra or in a column of its own, to `column` where that is null.

    May be repeated, and cut off.
    """
    places = list(_places(tx, spec, name))
    found = [_move(tx, spec, column, place) for place in places]
    tx.execute(query("adoption", "forget"), {"logical_name": spec.name, "column": name})
    left = [row for one in found for row in one.first_left]
    return Adopted(sum(one.moved for one in found), sum(one.left for one in found), tuple(left[:MOST_LEFT]))


def _places(tx: Cursor, spec: FileSpec, name: str) -> Iterator[dict[str, sql.Composable]]:
    """Where values may wait: an expression for them as JSON, and what takes them from there."""
    there = columns_there(tx).get(spec.table, {})
    if EXTRA in there:
        yield {
            "source": sql.SQL("(t.{0} -> {1})::text").format(sql.Identifier(EXTRA), sql.Literal(name)),
            "left_from": sql.SQL("{0} = nullif(t.{0} - {1}, '{{}}'::jsonb)").format(
                sql.Identifier(EXTRA), sql.Literal(name)
            ),
        }
    tx.execute(query("drift", "added"), {"logical_name": spec.name, "table": spec.table})
    if (name,) in tx.fetchall() and name not in {other.target for other in spec.schema.columns}:
        yield {
            "source": sql.SQL("to_jsonb(t.{})::text").format(sql.Identifier(name)),
            "left_from": sql.SQL("{} = NULL").format(sql.Identifier(name)),
        }


def _move(tx: Cursor, spec: FileSpec, column: Column, place: dict[str, sql.Composable]) -> Adopted:
    parts = {
        **place,
        "table": sql.Identifier(spec.table),
        "column": sql.Identifier(column.target),
        "type": sql.SQL(str(column.sql)),
        "key": key_sql.text_of(spec.schema.key_columns, "t"),
        "limit": sql.Literal(MOST_LEFT),
    }
    tx.execute(query("adoption", "drop"))
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
