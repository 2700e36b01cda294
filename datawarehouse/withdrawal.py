"""Takes back what a file said of rows whose history is kept, and puts in force what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from datawarehouse import key_sql
from datawarehouse.file_order import FileOrder
from datawarehouse.merge.timeline import Timeline
from datawarehouse.queries import query

_COMMA = sql.SQL(", ")


class Withdrawal:
    """Of one file, whose rows are of `spec`, in transaction `tx`."""

    def __init__(self, tx: Cursor, spec: FileSpec, file_id: int) -> None:
        self._tx = tx
        self._spec = spec
        history = sql.Identifier(spec.history_table).as_string(tx)
        tx.execute(query("withdrawal", "columns"), {"history": history})
        columns = [name for (name,) in tx]
        self._order = FileOrder(tx, spec)
        self._timeline = Timeline(tx, spec, self._order, {name: name for name in columns})
        self._parts = self._identifiers(columns, file_id)

    def take_back(self, key: Mapping[str, Any] | None = None) -> dict[int, int]:
        """Take back what the file said: of all its keys, or of the one whose columns are `key`.

        A row of the file's is again the newest that others say of it, and is theirs: returns how many, by file. Rows
        of which nothing is left stay as they are.
        """
        self._execute("create")
        if key is None:
            self._execute("keys_of_file")
        else:
            pairs = ((sql.Identifier("t", name), sql.Literal(value)) for name, value in key.items())
            self._execute("key_of_row", is_key=key_sql.pairs(pairs))
        self._execute("lock")
        self._execute("withdraw")
        self._timeline.make_room()
        self._timeline.make_anew(sql.Identifier(self._affected))
        self._execute("find_former", timeline=self._timeline.table, file_time=self._order.lookup("a"))
        if self._spec.partition_by:
            self._execute("move_keys")
        self._execute("restore")
        return dict(self._tx.fetchall())

    @property
    def _affected(self) -> str:
        return f"affected of {self._spec.table}"[:63]

    def _execute(self, name: str, **more: sql.Composable) -> None:
        self._tx.execute(sql.SQL(query("withdrawal", name)).format(**self._parts, **more))

    def _identifiers(self, columns: list[str], file_id: int) -> dict[str, sql.Composable]:
        spec, key = self._spec, self._spec.schema.key_columns
        own = {column.target for column in key}
        assigned = [sql.Identifier(name) for name in columns if name not in own]
        return {
            "table": sql.Identifier(spec.table),
            "keys": sql.Identifier(spec.key_table),
            "history": sql.Identifier(spec.history_table),
            "seen": sql.Identifier(spec.seen_table),
            "affected": sql.Identifier(self._affected),
            "former": sql.Identifier(f"former of {spec.table}"[:63]),
            "file_id": sql.Literal(file_id),
            "by": sql.Identifier(spec.partition_column or ""),
            "columns": _COMMA.join(map(sql.Identifier, columns)),
            "a_columns": _COMMA.join([sql.Identifier("a", name) for name in columns]),
            "assignments": _COMMA.join([sql.SQL("{0} = n.{0}").format(name) for name in assigned]),
            "key": key_sql.listed(key),
            "a_key": key_sql.listed(key, "a"),
            **{f"{alias}_is_a": key_sql.matching(key, alias, "a") for alias in ("k", "h", "v")},
            **{f"{alias}_is_n": key_sql.matching(key, alias, "n") for alias in ("k", "t")},
        }
