"""Triggers and rules that users have put on the tables: loads let them fire, the start names them."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.key import ROW_COLUMN, IfMissing
from config.settings import PipelineConfig
from datawarehouse.queries import query
from datawarehouse.versions import bound_to

_INSERT, _UPDATE = 4, 16  # bits of pg_trigger.tgtype


def of_table(spec: FileSpec, *, updates: bool = False) -> sql.Composed:
    """A SELECT of relation (oid), name and what of everything that loads of `spec` must not leave out."""
    own = [column.target for column in spec.schema.columns] + [*spec.derive, "_file_id", "_loaded_at", ROW_COLUMN]
    updates = updates or spec.keep.replaces or spec.has_placeholders
    return sql.SQL(query("user_triggers", "on_tables")).format(
        relations=_relations(spec),
        columns=sql.Literal(own),
        events=sql.Literal(_INSERT | _UPDATE if updates else _INSERT),
    )


def of_load(spec: FileSpec, config: PipelineConfig) -> sql.Composed:
    """The same of all tables that a load of `spec` writes to: with those that get placeholders for its rows, and
    those whose rows are bound to its versions."""
    asked = {key.parent for key in spec.foreign_keys if key.if_missing is IfMissing.PLACEHOLDER}
    parents = [config.by_logical_name[name] for name in sorted(asked - {spec.name})]
    bound = {binding.child.table: binding.child for binding in bound_to(spec, config)}.values()
    found = [*(of_table(one) for one in (spec, *parents)), *(of_table(one, updates=True) for one in bound)]
    return sql.SQL(" UNION ALL ").join(found)


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
