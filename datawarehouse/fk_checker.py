"""Foreign key lookups in PostgreSQL: which parents are there, locked until the transaction ends."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.config_loader import get_config
from config.model import ForeignKey, PipelineConfig
from datawarehouse.db_connection import default_warehouse
from validation.orphan_validator import ParentLookup


def resolve_ref_table(logical_name: str, config: PipelineConfig | None = None) -> tuple[str, str]:
    """Logical file name → (its table, its primary key column)."""
    spec = (config or get_config()).by_logical_name[logical_name]
    return spec.table, spec.schema.key.target


def parent_lookup(tx: Cursor, config: PipelineConfig, *, lock: bool = True) -> ParentLookup:
    """A lookup for reject_orphans within transaction `tx`.

    It reads the keys asked for, by index, never the whole parent. FOR KEY SHARE is the lock that a foreign key's
    own trigger takes: what was found can't be deleted before the transaction ends. Without `lock` it only looks.
    """

    def present(foreign_key: ForeignKey, keys: pa.Array) -> pa.Array:
        table, column = resolve_ref_table(foreign_key.parent, config)
        key_type = str(config.by_logical_name[foreign_key.parent].schema.key.sql)
        statement = sql.SQL("SELECT {key} FROM {table} WHERE {key} = ANY(%s::{type}[]){lock}").format(
            key=sql.Identifier(column),
            table=sql.Identifier(table),
            type=sql.SQL(key_type),
            lock=sql.SQL(" FOR KEY SHARE" if lock else ""),
        )
        tx.execute(statement, (_array_text(keys),))
        return pa.array((row[0] for row in tx), keys.type)

    return present


def _array_text(keys: pa.Array) -> str | list[str]:
    """The keys as PostgreSQL's array literal: for integers far quicker to parse than a list of them."""
    return f"{{{','.join(map(str, keys.to_pylist()))}}}" if pa.types.is_integer(keys.type) else keys.to_pylist()


def normalize_id(value: object) -> str | None:
    """An id as the text of the key that it means: 370.0 → '370'; None and NaN → None."""
    if value is None or value != value:  # noqa: PLR0124  (NaN)
        return None
    return re.sub(r"\.0+$", "", str(value).strip())


def check_fk(df: pd.DataFrame, fk_col: str, ref_table: str, ref_pk: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split `df` into rows whose `fk_col` is in `ref_table.ref_pk` or null, and orphans.

    For use by hand; the pipeline's own check is validation.orphan_validator over parent_lookup.
    """
    ids = df[fk_col].map(normalize_id)
    wanted = ids.dropna().unique().tolist()
    statement = sql.SQL("SELECT {key}::text FROM {table} WHERE {key}::text = ANY(%s)").format(
        key=sql.Identifier(ref_pk), table=sql.Identifier(ref_table)
    )
    with default_warehouse().transaction() as tx:
        tx.execute(statement, (wanted,))
        present = {row[0] for row in tx}
    known = ids.isna() | ids.isin(present)
    return df[known], df[~known]
