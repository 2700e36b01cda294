"""Steps for columns: new ones, other types, null or not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa

from config.file_spec import FileSpec
from config.key import PLACEHOLDER_COLUMN
from config.schema import Column
from datawarehouse.schema.catalog import Catalog, Found, Naming, TableThere
from datawarehouse.schema.ddl import DIALECT, quoted, type_name
from datawarehouse.schema.misfits import counted
from datawarehouse.schema.steps import Cost, Kind, Step
from datawarehouse.schema.tables import HASHED
from datawarehouse.schema.type_changes import TypeChange, parsed, type_change
from datawarehouse.schema.unreadable import Unreadable


def column_steps(catalog: Catalog, table: sa.Table, spec: FileSpec | None) -> Iterator[Step | str]:
    """The steps for a table that is there; a text says why one can't be done."""
    there = catalog.tables[table.name]
    showing = shown_columns(spec, there)
    own = {column.target: column for column in spec.stored} if spec else {}
    for column in table.columns:
        found = there.columns.get(column.name)
        if found is None:
            yield from _adding(catalog, table, column)
            continue
        wanted = type_name(column)
        if wanted != found.sql_type:
            yield from _typing(catalog, there, column, own.get(column.name), spec, showing)
        # Where there may be placeholders columns may be null: nothing takes that back
        may_be_null = PLACEHOLDER_COLUMN in there.columns or PLACEHOLDER_COLUMN in table.columns
        if found.not_null and column.nullable:
            yield Step(
                Kind.NULLABLE,
                table.name,
                f"{table.name}.{column.name}: may be null from now on",
                (f"ALTER TABLE {quoted(table.name)} ALTER COLUMN {quoted(column.name)} DROP NOT NULL",),
                column=column.name,
            )
        elif not found.not_null and not column.nullable and not (may_be_null and not column.primary_key):
            yield _filling(catalog, there, column.name, showing)
    yield from _retiring(table, there)


def shown_columns(spec: FileSpec | None, there: TableThere) -> set[str]:
    """The columns whose values are of no person."""
    personal = {column.target for column in spec.personal} if spec else set()
    return there.columns.keys() - personal


def _adding(catalog: Catalog, table: sa.Table, column: sa.Column[Any]) -> Iterator[Step | str]:
    where = f"{table.name}.{column.name}"
    there = catalog.tables[table.name]
    fills_itself = column.server_default is not None or bool(column.nullable)
    if not fills_itself and column.identity is None and catalog.has_rows(table.name):
        yield f"{where}: a NOT NULL column can't be added to a table with rows; make it nullable: true"
        return
    if (column.primary_key or column.unique) and catalog.has_rows(table.name):
        yield f"{where}: a key can't be added to a table with rows, which have no value of it"
        return
    ddl = sa.schema.CreateColumn(column).compile(dialect=DIALECT)
    there.columns[column.name] = Found(type_name(column), not column.nullable, fills_itself)
    there.new.add(column.name)
    yield Step(
        Kind.ADD_COLUMN,
        table.name,
        f"{where}: a new column, {type_name(column)}",
        (f"ALTER TABLE {quoted(table.name)} ADD COLUMN {ddl}",),
        column=column.name,
    )


def _typing(
    catalog: Catalog,
    there: TableThere,
    column: sa.Column[Any],
    own: Column | None,
    spec: FileSpec | None,
    showing: Collection[str],
) -> Iterator[Step | str]:
    name, found, wanted = column.name, there.columns[column.name].sql_type, type_name(column)
    where = f"{there.name}.{name}"
    sentence = f"{where}: the table has {found}, the configuration {wanted}"
    if column.info.get(HASHED):
        if found == "text":
            return  # which has room for a hash
        wanted = "text"
    new, old = parsed(wanted), parsed(found)
    if new is None:
        yield sentence
        return
    change = type_change(old, new, may_round=own is not None and own.round)
    misfits = None
    if change.text is not None and own is not None and spec is not None:
        unreadable = Unreadable(catalog, there, own, spec, change.text)
        why = f"{name} is no {own.dtype.value}, as files are read"
        misfits = counted(catalog, there, unreadable.condition, why, name, showing)
    elif change.text is not None:
        change = TypeChange(f"NULL::{new}", "{c} IS NOT NULL")
    if change.text is None and change.misfit != "false":

        def condition(names: Naming) -> str:
            return f"({change.misfit.format(c='t.' + names.column(there.name, name))})"

        why = f"{name} has no value of type {wanted}"
        misfits = counted(catalog, there, condition, why, name, showing)
    using = (change.text or change.using).format(c=quoted(name))
    if change.text is not None:
        using = f"pg_temp.as_read({using})::{wanted}"
    rows = catalog.rows(there.name)
    cost = Cost.SLOW if change.rewrites and catalog.has_rows(there.name) else Cost.SAFE
    how = "" if using == quoted(name) else f" USING {using}"
    yield Step(
        Kind.CHANGE_TYPE,
        there.name,
        sentence,
        (f"ALTER TABLE {quoted(there.name)} ALTER COLUMN {quoted(name)} TYPE {wanted}{how}",),
        Cost.LOSING if misfits and misfits.count else cost,
        rows if change.rewrites else 0,
        misfits=misfits,
        column=name,
        reads=change.text.format(c=quoted(name)) if change.text is not None else None,
    )


def _filling(catalog: Catalog, there: TableThere, column: str, showing: Collection[str]) -> Step:
    def condition(names: Naming) -> str:
        return f"t.{names.column(there.name, column)} IS NULL"

    misfits = counted(catalog, there, condition, f"{column} is null", column, showing)
    rows = catalog.rows(there.name)
    cost = Cost.LOSING if misfits.count else Cost.SLOW if rows else Cost.SAFE
    return Step(
        Kind.NOT_NULL,
        there.name,
        f"{there.name}.{column}: the table has NULL, the configuration not",
        (f"ALTER TABLE {quoted(there.name)} ALTER COLUMN {quoted(column)} SET NOT NULL",),
        cost,
        rows,
        misfits=misfits,
        column=column,
    )


def _retiring(table: sa.Table, there: TableThere) -> Iterator[Step]:
    """Columns that the configuration has no more: they stay, and new rows have nothing there."""
    for name in sorted(there.columns.keys() - {column.name for column in table.columns}):
        if not there.columns[name].fills_itself:
            yield Step(
                Kind.RETIRE,
                table.name,
                f"{table.name}.{name}: the table has it as NOT NULL, the configuration not; it stays, and new "
                "rows have nothing there (if it has another name now, write was: in the YAML instead)",
                (f"ALTER TABLE {quoted(table.name)} ALTER COLUMN {quoted(name)} DROP NOT NULL",),
                Cost.LOSING,
                column=name,
            )
