"""Foreign key lookups in PostgreSQL: which parents are there, locked until the transaction ends."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.key import ForeignKey, Key
from config.model import Dtype
from config.schema import Column
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.key_sql import compared_as
from validation.key_values import parted
from validation.orphan_validator import Keys

_OF_ONE_COLUMN = "SELECT {columns} FROM {keys} AS t WHERE t.{key} = ANY({wanted}){locking}"
# Each of the wanted keys is looked up by the index, which no statistics can talk the planner out of.
_OF_SEVERAL = """SELECT t.* FROM unnest({wanted}) AS w ({numbers})
CROSS JOIN LATERAL (SELECT {columns} FROM {keys} AS t WHERE {is_wanted} LIMIT 1{locking}) AS t"""
# The key tells in which partition its row is: each look-up is in that one alone.
_IN_PARTITIONS = """SELECT {columns} FROM unnest({wanted}) AS w ({numbers})
CROSS JOIN LATERAL (SELECT * FROM {keys} AS t WHERE {is_wanted} LIMIT 1) AS k
CROSS JOIN LATERAL (SELECT * FROM {table} AS t WHERE {is_key} AND t.{by} = k.{by} LIMIT 1) AS t"""


def resolve_ref_table(logical_name: str, config: PipelineConfig) -> tuple[str, tuple[str, ...]]:
    """Logical file name → (its table, the columns of its primary key)."""
    spec = config.by_logical_name[logical_name]
    return spec.table, tuple(column.target for column in spec.schema.key_columns)


def check_fk(tx: Cursor, config: PipelineConfig, keys: Keys, *, lock: bool = True) -> dict[ForeignKey, pa.Array]:
    """Of `keys`, which foreign keys name, those that are there: one statement, whatever their number.

    It reads by the index of each parent's key, never the whole parent. FOR KEY SHARE is the lock that a foreign
    key's own trigger takes: what was found can't be deleted before transaction `tx` ends. Without `lock` it only
    looks; so it does at facts that are distributed, whose rows can be locked on one server at a time only.
    """
    asked = list(keys.items())
    parents, parts = [], []
    for number, (foreign_key, values) in enumerate(asked):
        parent = config.by_logical_name[foreign_key.parent]
        name = sql.Identifier(f"parent_{number}")
        locking = " FOR KEY SHARE" if lock and not (config.database.distributed and parent.is_fact) else ""
        found_by = _by_key(parent, values, to=foreign_key.to, locking=locking)
        parents.append(sql.SQL("{} AS ({})").format(name, found_by))
        parts.append(sql.SQL("SELECT {}, key::text FROM {}").format(sql.Literal(number), name))
    tx.execute(sql.SQL("WITH {} {}").format(sql.SQL(", ").join(parents), sql.SQL(" UNION ALL ").join(parts)))
    found: dict[int, list[str]] = {number: [] for number in range(len(asked))}
    for number, key in tx:
        found[number].append(key)
    return {
        foreign_key: pa.array(found[number], pa.string()).cast(values.type)
        for number, (foreign_key, values) in enumerate(asked)
    }


def rows_by_key(
    tx: Cursor, spec: FileSpec, keys: pa.Array | pa.ChunkedArray, *columns: str, to: Key | None = None
) -> list[tuple[Any, ...]]:
    """Of the rows of `spec`'s table those with one of `keys` (no nulls): the key, then `columns` by their names in
    the file. Reads by the index of the key (or of `to`, another unique one), never the whole table."""
    tx.execute(_by_key(spec, keys, *columns, to=to))
    return tx.fetchall()


def _by_key(
    spec: FileSpec, keys: pa.Array | pa.ChunkedArray, *columns: str, to: Key | None = None, locking: str = ""
) -> sql.Composed:
    key = spec.referred_by(to)
    chosen = [_selected(spec.schema.by_name[name]) for name in columns]
    arrays = parted(keys, [pa.int64() if c.dtype is Dtype.INT else pa.string() for c in key])
    literals = [
        sql.SQL("{}::{}[]").format(sql.Literal(_array_literal(values)), sql.SQL(compared_as(column)))
        for column, values in zip(key, arrays, strict=True)
    ]
    if columns and spec.partition_by:
        statement = _IN_PARTITIONS
    else:
        statement = _OF_ONE_COLUMN if len(key) == 1 else _OF_SEVERAL
    return sql.SQL(statement).format(
        columns=sql.SQL(", ").join([sql.SQL("{} AS key").format(key_sql.value_of(key, "t")), *chosen]),
        table=sql.Identifier(spec.table),
        keys=sql.Identifier(spec.table if to else spec.key_table),
        key=sql.Identifier(key[0].target),
        by=sql.Identifier(spec.partition_column or ""),
        wanted=sql.SQL(", ").join(literals),
        numbers=key_sql.numbered(key),
        is_wanted=key_sql.is_numbered(key, "w", "t"),
        is_key=key_sql.matching(key, "t", "k"),
        locking=sql.SQL(locking),
    )


def _selected(column: Column) -> sql.Composed:
    """The column of `t`; JSON by its text, which the driver would take apart."""
    form = "{}::text" if column.dtype is Dtype.JSON else "{}"
    return sql.SQL(form).format(sql.Identifier("t", column.target))


def _array_literal(keys: pa.Array | pa.ChunkedArray) -> str:
    """The keys as PostgreSQL's array literal, which is far quicker to parse than a list of them."""
    if not pa.types.is_string(keys.type):
        texts = pc.binary_join_element_wise('"', pc.cast(keys, pa.string()), '"', "")
    else:
        escaped = pc.replace_substring_regex(keys, r'(["\\])', r"\\\1")
        texts = pc.binary_join_element_wise('"', escaped, '"', "")
    return f"{{{','.join(texts.to_pylist())}}}"
