"""Prints the SQL that partitions facts which are there already, as the configuration asks for."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import sqlalchemy as sa
import typer
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from config.config_loader import get_config
from config.errors import PipelineError
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.queries import query
from datawarehouse.schema import partitions
from datawarehouse.schema.ddl import create_statements
from datawarehouse.schema.tables import build_metadata


def statements(tx: Cursor, config: PipelineConfig) -> list[str]:
    """SQL for each fact that `config` partitions and the database doesn't, parents first; one transaction."""
    specs = partitions.partitioned(config)
    tx.execute(query("partitions", "how"), {"tables": [spec.table for spec in specs]})
    plain = {table for table, how in tx.fetchall() if how is None}
    tables = build_metadata(config).tables
    facts = [_Fact(tx, spec, tables[spec.key_table], tables[spec.table]) for spec in specs if spec.table in plain]
    if not facts:
        return []
    steps = [query("partitions", "set_aside_schema")]
    for fact in facts:
        steps += fact.set_aside()
    for fact in facts:
        steps += fact.make()
    for fact in facts:
        steps += fact.refer_to_keys(but_not=plain)
    return ["BEGIN", *steps, "COMMIT"]


class _Fact:
    """A fact that is to be partitioned, and the foreign keys to it."""

    def __init__(self, tx: Cursor, spec: FileSpec, keys: sa.Table, table: sa.Table) -> None:
        self._tx = tx
        self._spec = spec
        self._tables = (keys, table)
        self._names = partitions.names_of(spec) | {
            "columns": sql.SQL(", ").join([sql.Identifier(column.name) for column in table.columns]),
            "surrogate": sql.Identifier(spec.surrogate_key or ""),
            "table_text": sql.Literal(spec.table),
            "surrogate_text": sql.Literal(spec.surrogate_key),
        }
        tx.execute(query("partitions", "children"), {"table": spec.table})
        self._children: list[tuple[str, str, list[str]]] = tx.fetchall()
        tx.execute(self._text("earliest"))
        (self._earliest,) = tx.fetchone() or (None,)

    def set_aside(self) -> Iterator[str]:
        """The table goes to another schema; nothing refers to it any more."""
        for child in self._children:
            yield self._text("drop_foreign_key", **_names_of(child))
        yield self._text("set_aside")

    def make(self) -> Iterator[str]:
        """The tables anew, with the rows."""
        for table in self._tables:
            yield from create_statements(table)
        yield self._text("prepare")
        for bounds in partitions.intervals_of(self._spec, self._earliest):
            yield self._text("make", **partitions.names_of_partition(self._spec, *bounds))
        yield from (self._text(block) for block in ("copy_keys", "copy_rows", "go_on_counting"))

    def refer_to_keys(self, but_not: Collection[str]) -> Iterator[str]:
        """The foreign keys of its children, without those that were made with their tables."""
        for child in self._children:
            if child[0] not in but_not:
                yield self._text("add_foreign_key", **_names_of(child))

    def _text(self, block: str, **more: sql.Composable) -> str:
        return sql.SQL(query("partitions", block)).format(**self._names, **more).as_string(self._tx)


def _names_of(child: tuple[str, str, list[str]]) -> dict[str, sql.Composable]:
    table, constraint, columns = child
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return {"child": sql.Identifier(table), "constraint": sql.Identifier(constraint), "child_columns": names}


def main() -> None:
    """Print the SQL that partitions facts which are there already. Nothing is changed; run it with psql."""
    try:
        config = get_config()
        warehouse = Warehouse(config.database, config.home)
        warehouse.open(create=False)
        try:
            with warehouse.transaction() as tx:
                found = statements(tx, config)
        finally:
            warehouse.close()
    except PipelineError as problem:
        typer.echo(problem, err=True)
        raise typer.Exit(2) from None
    typer.echo(";\n\n".join(found) + ";" if found else "-- every fact is as the configuration says")


if __name__ == "__main__":
    typer.run(main)
