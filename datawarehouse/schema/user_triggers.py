"""Triggers and rules that users have put on the tables: loads let them fire, the start names them."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.key import ROW_COLUMN
from config.settings import PipelineConfig
from datawarehouse.queries import query

_INSERT, _UPDATE = 4, 16  # bits of pg_trigger.tgtype


def of_table(spec: FileSpec) -> sql.Composed:
    """A SELECT of relation (oid), name and what of everything that loads of `spec` must not leave out."""
    own = [column.target for column in spec.schema.columns] + [*spec.derive, "_file_id", "_loaded_at", ROW_COLUMN]
    updates = spec.keep.replaces
    return sql.SQL(query("user_triggers", "on_tables")).format(
        relations=_relations(spec),
        columns=sql.Literal(own),
        events=sql.Literal(_INSERT | _UPDATE if updates else _INSERT),
    )


def told(tx: Cursor, config: PipelineConfig) -> Iterator[tuple[str, str]]:
    """(table, sentence) of each table with triggers that loads let fire."""
    for spec in config.by_logical_name.values():
        tx.execute(sql.SQL("SELECT name, what FROM ({}) AS found ORDER BY 1").format(of_table(spec)))
        if names := [f"{what} {name}" for name, what in tx.fetchall()]:
            yield (
                spec.table,
                f"{spec.table} has {', '.join(names)}: loads of it run with all triggers on, which takes longer",
            )


def rules(tx: Cursor, config: PipelineConfig) -> Iterator[str]:
    """What is wrong with rules on the tables."""
    for spec in config.by_logical_name.values():
        tx.execute(sql.SQL(query("user_triggers", "rules")).format(relations=_relations(spec)))
        for (name,) in tx.fetchall():
            yield f"{spec.table}: loads can't follow its rule {name} (COPY passes rules by); make it a trigger"


def _relations(spec: FileSpec) -> sql.Composed:
    tables = sql.Literal(sorted({spec.table, spec.key_table}))
    return sql.SQL(query("user_triggers", "relations")).format(tables=tables)
