"""Reads the pipeline's own tables for command line, metrics and dashboard: each row a dict, columns in order."""

from __future__ import annotations

import datetime as dt
from typing import Any

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from datawarehouse.queries import query

Row = dict[str, Any]


def files(
    tx: Cursor,
    *,
    status: str | None = None,
    logical_name: str | None = None,
    file_type: str | None = None,
    text: str | None = None,
    since: dt.datetime | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Row]:
    """Rows of pipeline_file_log, newest first; `text` is looked for in the path, in any case."""
    filters = {"status": status, "logical_name": logical_name, "file_type": file_type, "text": text}
    return read(tx, "files", **filters, since=since, before_id=before_id, limit=limit)


def file(tx: Cursor, file_id: int) -> Row | None:
    """All of one file's row in pipeline_file_log, or None."""
    return next(iter(read(tx, "file", file_id=file_id)), None)


def quarantined(
    tx: Cursor,
    *,
    file_id: int | None = None,
    table: str | None = None,
    stage: str | None = None,
    rule: str | None = None,
    text: str | None = None,
    since: dt.datetime | None = None,
    open_only: bool = False,
    before_id: int | None = None,
    limit: int = 50,
) -> list[Row]:
    """Quarantined rows, newest first; `text` is looked for in file name and values, in any case."""
    filters = {"file_id": file_id, "table": table, "stage": stage, "rule": rule, "text": text, "since": since}
    return read(tx, "quarantined", **filters, open_only=open_only, before_id=before_id, limit=limit)


def reasons(
    tx: Cursor, *, file_id: int | None = None, since: dt.datetime | None = None, limit: int = 50
) -> list[Row]:
    """How many open quarantined rows each reason holds, most first."""
    return read(tx, "reasons", file_id=file_id, since=since, limit=limit)


def orphans(tx: Cursor) -> list[Row]:
    """Orphans by table and state."""
    return read(tx, "orphans")


def breaches(tx: Cursor, *, open_only: bool = True, limit: int = 50) -> list[Row]:
    """Broken contracts, newest first."""
    return read(tx, "breaches", open_only=open_only, limit=limit)


def read(tx: Cursor, name: str, /, **parameters: Any) -> list[Row]:
    """The rows of query `name` of sql/reports.sql."""
    return rows_of(tx, "reports", name, **parameters)


def rows_of(tx: Cursor, file: str, name: str, /, **parameters: Any) -> list[Row]:
    """The rows of query `name` of sql/<file>.sql."""
    return rows_of_statement(tx, query(file, name), **parameters)


def rows_of_statement(tx: Cursor, statement: str, /, **parameters: Any) -> list[Row]:
    """The rows of a statement, in which a parameter is written %(name)s."""
    tx.execute(statement, parameters)
    names = [column.name for column in tx.description or ()]
    return [dict(zip(names, row, strict=True)) for row in tx]
