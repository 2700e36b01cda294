"""`was`: tables and columns that have another name by now, and all that is named after them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse.queries import query
from datawarehouse.schema.catalog import Catalog
from datawarehouse.schema.ddl import quoted
from datawarehouse.schema.steps import Kind, Step


def renames(catalog: Catalog, config: PipelineConfig) -> Iterator[Step | str]:
    """The steps; a text says why one can't be done. From here on `catalog` has the new names."""
    for spec in config.by_logical_name.values():
        yield from _of_table(catalog, spec, config)
    for spec in config.by_logical_name.values():
        yield from _of_columns(catalog, spec)


def _of_table(catalog: Catalog, spec: FileSpec, config: PipelineConfig) -> Iterator[Step | str]:
    old, new = spec.was, spec.table
    if old is None or old not in catalog.tables or old == new:
        return
    if any(other.table == old for other in config.files):
        return
    if new in catalog.tables:
        yield (
            f"{new}: the configuration says that it was {old}, and the database has both; drop the one that is "
            "not needed, or take `was` out"
        )
        return
    beside = re.compile(rf"{re.escape(old)}(_history|_seen|_gone|_key|_default|_p\d{{8}})")
    matches = [match for name in sorted(catalog.tables) if (match := beside.fullmatch(name))]
    names = [(old, new), *((match[0], new + match[1]) for match in matches)]
    statements = [f"ALTER TABLE {quoted(a)} RENAME TO {quoted(b)}" for a, b in names]
    for a, b in names:
        statements += [
            _index(catalog, a, index.name, b + index.name[len(a) :])
            for index in catalog.tables[a].indexes
            if index.name.startswith(f"{a}_") and a != b
        ]
    statements += list(_gone_trigger(catalog, old, new, spec))
    statements += _names_in_tables(catalog.tx, old, new)
    for a, b in names:
        catalog.rename_table(a, b)
    yield Step(Kind.RENAME_TABLE, new, f"{old} is called {new} from now on", tuple(statements))
    former = f"{old.rsplit('_', 1)[-1]}_sk"
    if spec.surrogate_key and spec.surrogate_key != former and former in catalog.tables[new].columns:
        yield _column(catalog, new, former, spec.surrogate_key)


def _gone_trigger(catalog: Catalog, old: str, new: str, spec: FileSpec) -> Iterator[str]:
    """A partitioned fact's function and its trigger are named after its keys' table, and the function names it."""
    if f"{old}_key" in catalog.tables and spec.partition_by is not None:
        yield f"DROP TRIGGER {quoted(f'{old}_key_gone')} ON {quoted(new)}"
        yield f"DROP FUNCTION {quoted(f'{old}_key_gone')}()"


def _names_in_tables(tx: Cursor, old: str, new: str) -> list[str]:
    """What the pipeline's own tables say of the table."""
    parts = {"old": sql.Literal(old), "new": sql.Literal(new)}
    text = sql.SQL(query("changes", "rename_table")).format(**parts).as_string(tx)
    return [statement.strip() for statement in text.split(";\n") if statement.strip()]


def _of_columns(catalog: Catalog, spec: FileSpec) -> Iterator[Step | str]:
    wanted = {column.target for column in spec.stored} | {*spec.derive}
    for column in spec.stored:
        old, new = column.was, column.target
        if old is None or old == new or old in wanted:
            continue
        for table in dict.fromkeys(spec.possible_tables):
            there = catalog.tables.get(table)
            if there is None or old not in there.columns:
                continue
            if new not in there.columns:
                yield _column(catalog, table, old, new)
            elif table == spec.table and column.was != column.name:
                yield (
                    f"{table}.{new}: the configuration says that it was {old}, and the table has both; drop the "
                    "one that is not needed, or take `was` out"
                )


def _column(catalog: Catalog, table: str, old: str, new: str) -> Step:
    statements = [f"ALTER TABLE {quoted(table)} RENAME COLUMN {quoted(old)} TO {quoted(new)}"]
    for index in catalog.tables[table].indexes:
        match = re.fullmatch(rf"{re.escape(f'{table}_{old}')}_(btree|gin|brin)", index.name)
        if match:
            statements.append(_index(catalog, table, index.name, f"{table}_{new}_{match[1]}"))
    catalog.rename_column(table, old, new)
    return Step(
        Kind.RENAME_COLUMN, table, f"{table}.{old} is called {new} from now on", tuple(statements), column=new
    )


def _index(catalog: Catalog, table: str, old: str, new: str) -> str:
    catalog.rename_index(table, old, new)
    return f"ALTER INDEX {quoted(old)} RENAME TO {quoted(new)}"
