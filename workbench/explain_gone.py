"""`explain`: since when a row is gone, and by which file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.model import GONE_COLUMN
from datawarehouse import key_sql
from datawarehouse.key_traces import held_number
from datawarehouse.queries import query
from workbench.explain_parents import is_key
from workbench.output import say

Row = dict[str, Any]


def gone(tx: Cursor, spec: FileSpec, key: Sequence[Any], row: Row | None) -> Row | None:
    """The file that took away the row with this key, and the time of which it told; None where none did."""
    if not spec.loses_rows or (row is not None and row[GONE_COLUMN] is None):
        return None
    columns = spec.schema.key_columns
    if spec.operation:
        tx.execute(
            sql.SQL(query("gone", "deleted_by")).format(
                deletes=sql.Identifier(spec.deletes_table), is_key=is_key(columns, key)
            )
        )
    else:
        values = [
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(str(column.sql)))
            for column, value in zip(columns, key, strict=True)
        ]
        tx.execute(
            sql.SQL(query("gone", "lacked_by")).format(
                number=held_number(columns, "t"),
                values=sql.SQL(", ").join(values),
                key=key_sql.listed(columns),
                table_name=sql.Literal(spec.table),
            )
        )
    found = tx.fetchone()
    return dict(zip(("file_id", "file_path", "since"), found, strict=True)) if found else None


def show_gone(found: Row | None, operation: bool) -> None:
    """On the screen: one sentence."""
    if found:
        how = "deletes it" if operation else "lacks it"
        say(
            f"Gone since {found['since']:%Y-%m-%d %H:%M:%S}: {found['file_path']}, file {found['file_id']}, {how}."
        )
