"""Which orphans' parents have come: what waits in orphan_wait as text, against the keys of a parent's table."""

from __future__ import annotations

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.key import ForeignKey
from config.model import Dtype
from config.schema import Column
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.queries import query

VALIDATES_INPUT = 160000  # from this version on, the server has pg_input_is_valid


def has_come(tx: Cursor, spec: FileSpec, parent: FileSpec, config: PipelineConfig) -> sql.Composable:
    """Has the parent come, of the table of `parent`, that the row `w` of orphan_wait waits for?"""
    keys = [key for key in spec.foreign_keys if config.by_logical_name[key.parent].table == parent.table]
    if {(key.to, len(key.key)) for key in keys} == {(None, 1)}:  # whichever it is
        return _has_come(tx, keys[0], parent)
    parts = [
        _block("of_foreign_key", label=sql.Literal(key.label), has_come=_has_come(tx, key, parent)) for key in keys
    ]
    return sql.SQL(" OR ").join(parts)


def _has_come(tx: Cursor, foreign_key: ForeignKey, parent: FileSpec) -> sql.Composed:
    columns = parent.referred_by(foreign_key.to)
    texts: list[sql.Composable] = [sql.SQL("w.parent_key")]
    if len(columns) > 1:
        label = sql.Literal(foreign_key.label)
        texts = [
            sql.SQL("({})").format(_block("wanted_part", label=label, position=sql.Literal(position)))
            for position in range(len(columns))
        ]
    return _block(
        "has_come",
        parent=sql.Identifier(parent.table if foreign_key.to else parent.key_table),
        key=key_sql.text_of(columns, "p"),
        matches=key_sql.pairs(
            (sql.Identifier("p", column.target), wanted(column, text, tx.connection.server_version))
            for column, text in zip(columns, texts, strict=True)
        ),
    )


def wanted(column: Column, text: sql.Composable, server_version: int) -> sql.Composed:
    """The value that is waited for, of an expression that gives its `text`; null where it can't be one."""
    name = "wanted_text"
    if column.dtype is Dtype.INT:
        name = "wanted_number" if server_version >= VALIDATES_INPUT else "wanted_number_before_16"
    return _block(name, text=text, key_type=sql.SQL(key_sql.compared_as(column)))


def _block(name: str, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(query("quarantine", name)).format(**parts)
