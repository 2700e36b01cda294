"""`explain`: the parents of a loaded row, and what became of those that were not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.key import IfMissing, in_words
from config.schema import Column
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.placeholders import has_placeholders
from validation.batch import Chunk
from validation.key_values import joined_value

Row = dict[str, Any]


def parents(
    tx: Cursor, config: PipelineConfig, spec: FileSpec, row: Row, named: Mapping[str, str]
) -> Iterator[Row]:
    """The row's parents. `named`: what its file says where a key is null since the parent was not there."""
    for foreign_key in spec.foreign_keys:
        parent = config.by_logical_name[foreign_key.parent]
        values = [row.get(column.target) for column in spec.schema.columns_of(foreign_key.key)]
        value = joined_value(values)
        found = None if value is None else _exists(tx, parent.table, parent.referred_by(foreign_key.to), values)
        shown = in_words(foreign_key.label, value) if isinstance(value, str) else value
        told = {"column": foreign_key.label, "value": shown, "table": parent.table, "is_there": found}
        if value is None and foreign_key.label in named:
            told["note"] = f"null: {named[foreign_key.label]} was not there when the row was loaded"
        elif found and has_placeholders(tx, parent):
            told |= _note_of_placeholder(tx, parent, parent.referred_by(foreign_key.to), values)
        yield told


def _note_of_placeholder(tx: Cursor, parent: FileSpec, key: Sequence[Column], values: Sequence[Any]) -> Row:
    statement = sql.SQL("SELECT _placeholder FROM {} WHERE {}")
    tx.execute(statement.format(sql.Identifier(parent.table), is_key(key, values)))
    return {"note": "a placeholder: it has not come yet"} if tx.fetchone() == (True,) else {}


def _exists(tx: Cursor, table: str, key: Sequence[Column], values: Sequence[Any]) -> bool:
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {})")
    tx.execute(statement.format(sql.Identifier(table), is_key(key, values)))
    return tx.fetchone() == (True,)


def named_in_file(spec: FileSpec, chunk: Chunk, position: int) -> Iterator[tuple[str, str]]:
    """What a row of the file names as its parents, by those foreign keys that are null without them."""
    for key in spec.foreign_keys:
        if key.if_missing is IfMissing.NULL and not any(c.pii for c in spec.schema.columns_of(key.key)):
            texts = [chunk.columns[name][position].as_py() for name in key.key]
            if all(texts):
                yield key.label, ", ".join(texts)


def is_key(columns: Sequence[Column], key: Sequence[Any]) -> sql.Composed:
    """Has a row this key?"""
    named = zip(columns, key, strict=True)
    return key_sql.pairs((sql.Identifier(column.target), sql.Literal(value)) for column, value in named)
