"""Rows of a table as a file of their type would bring them: texts by column, in the file's dialect."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.key import PLACEHOLDER_COLUMN, ROW_COLUMN
from config.model import GONE_COLUMN, Dtype
from config.schema import EXTRA, Column
from config.spec_checks import VERSION_COLUMNS
from config.sql_types import INT_LIMITS, SqlType
from datawarehouse.queries import query
from datawarehouse.schema.catalog import columns_there
from datawarehouse.schema.ddl import quoted
from datawarehouse.schema.type_changes import parsed, text_of
from ingestion.formats.typed_text import TypedOptions, numbers_as_declared, times_as_text
from validation.extra import of_texts

_NUMBERS = {*INT_LIMITS, "numeric", "double precision"}
_TIMESTAMPS = {"timestamp without time zone", "timestamp with time zone"}
_TIMES = {"date", "time", "time without time zone", *_TIMESTAMPS}
_OF_HISTORY = {*VERSION_COLUMNS, "_ended_by", "seen_at"}


class StoredRow(NamedTuple):
    """A row: its file, its number there where the table has it, and its text by column."""

    file_id: int
    number: int | None
    raw: dict[str, str | None]


class _Stored(NamedTuple):
    """A column of the table, its type, and what the schema says of it, if it has it."""

    target: str
    kind: SqlType | None
    column: Column | None


def stored_rows(tx: Cursor, spec: FileSpec, table: str, condition: str) -> list[StoredRow]:
    """The rows `t` of `table`, which is that of `spec` or one of its history, for which `condition` (SQL) holds.

    What is sensitive is hashed, as it is stored. Columns that only the table has are there under its names.
    """
    there = columns_there(tx)[table]
    own = {spec.surrogate_key, "_file_id", "_loaded_at", ROW_COLUMN, PLACEHOLDER_COLUMN, GONE_COLUMN}
    by_target = {column.target: column for column in spec.schema.columns}
    stored = [
        _Stored(name, parsed(found.sql_type), by_target.get(name))
        for name, found in there.items()
        if name not in own | _OF_HISTORY | spec.derive.keys()
    ]
    number = f"t.{quoted(ROW_COLUMN)}" if ROW_COLUMN in there else "NULL::bigint"
    statement = sql.SQL(query("set_aside", "rows")).format(
        number=sql.SQL(number),
        columns=sql.SQL(", ".join(_selected(spec, one) for one in stored)),
        table=sql.Identifier(table),
        condition=sql.SQL(condition),
    )
    tx.execute(statement)
    found = tx.fetchall()
    texts = {
        one.target: _as_in_files(spec, one, [row[place] for row in found]) for place, one in enumerate(stored, 2)
    }
    added = _added(tx, spec) & texts.keys()
    extras = of_texts({name: pa.array(texts[name], pa.string()) for name in sorted(added)}) if added else None
    names = {
        one.target: one.column.name if one.column else one.target for one in stored if one.target not in added
    }
    return [
        StoredRow(
            file_id,
            row_number,
            {name: texts[target][place] for target, name in names.items()}
            | ({EXTRA: extras[place].as_py()} if extras is not None else {}),
        )
        for place, (file_id, row_number, *_) in enumerate(found)
    ]


def _selected(spec: FileSpec, one: _Stored) -> str:
    """The value as SQL: a time that files write in a way of their own as it is, all else as text."""
    return (
        f"t.{quoted(one.target)}"
        if _is_own_time(spec, one)
        else text_of(one.kind).format(c=f"t.{quoted(one.target)}")
    )


def _is_own_time(spec: FileSpec, one: _Stored) -> bool:
    if one.column is None or one.kind is None or one.kind.base not in _TIMES:
        return False
    read = spec.read_as(one.column)
    return bool(one.column.format or read.dates) or read.timezone != "UTC"


def _as_in_files(spec: FileSpec, one: _Stored, values: list[Any]) -> list[str | None]:
    if one.column is None or one.kind is None:
        return values
    read = spec.read_as(one.column)
    options = TypedOptions(decimal=read.decimal, dates=read.dates, timezone=read.timezone)
    if _is_own_time(spec, one):
        if one.kind.base in _TIMESTAMPS and one.column.dtype is Dtype.DATETIME:
            values = [value and (value if value.tzinfo else value.replace(tzinfo=dt.UTC)) for value in values]
        return _listed(times_as_text(pa.array(values), one.column, options))
    if one.kind.base in _NUMBERS:
        return _listed(numbers_as_declared(pa.array(values, pa.string()), one.column, options))
    return values


def _listed(texts: pa.Array) -> list[str | None]:
    found: list[str | None] = texts.to_pylist()
    return found


def _added(tx: Cursor, spec: FileSpec) -> set[str]:
    """The columns that the table got for new ones of its files."""
    if not spec.adds_new:
        return set()
    tx.execute(query("drift", "added"), {"logical_name": spec.name, "table": spec.table})
    return {name for (name,) in tx.fetchall()} - spec.schema.by_name.keys()
