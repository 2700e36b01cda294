"""Rows that are gone: marked or deleted in their table, and their versions end."""

from __future__ import annotations

import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.model import Gone
from config.settings import PipelineConfig
from datawarehouse import key_sql
from datawarehouse.file_order import FileOrder
from datawarehouse.history_repair import HistoryRepair
from datawarehouse.key_traces import held_number
from datawarehouse.placeholders import has_placeholders
from datawarehouse.queries import query
from datawarehouse.references import children, refers
from datawarehouse.versions import MovedVersions
from validation.batch import Batch

COMMA = sql.SQL(", ")


class GoneRows:
    """Rows of `spec` that are gone, or there again, by what is loaded in transaction `tx`.

    `going` is the temporary table of these rows, with the time since when they are gone, and `was_there`; `absent`
    that of keys whose versions are made anew, and of the files that lack them.
    """

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig, order: FileOrder) -> None:
        self._tx = tx
        self._spec = spec
        self._config = config
        self._order = order
        self._parts = self._identifiers()
        tx.execute(query("gone", "take_turns"), {"table": spec.table})
        self._execute("create")

    def _apply(self, *, versions: bool = True) -> tuple[int, int]:
        """Do to the table and its versions what `going` and `absent` say; how many rows are gone, and how many of
        these are deleted."""
        self._execute("count_gone")
        gone = self._number()
        removed = self._remove() if self._spec.gone is Gone.DELETE else 0
        self._execute("mark")
        if versions and self._spec.keeps_history:
            self._end_versions()
        return gone, removed

    def _add_to_books(self, file_id: int, gone: int, removed: int) -> None:
        """To the books of a file that is in the log."""
        if gone:
            literals = {"file_id": file_id, "gone": gone, "removed": removed}
            self._execute("add_to_books", **{name: sql.Literal(value) for name, value in literals.items()})

    def _keys_of(self, batch: Batch) -> pa.Table:
        """The keys of a batch's records, in columns k0, k1, … as the temporary tables have them."""
        columns = self._spec.schema.key_columns
        return pa.table({f"k{number}": batch.output[column.name] for number, column in enumerate(columns)})

    def _remove(self) -> int:
        """Delete the rows to which no others refer; returns how many there were."""
        self._execute("lock")
        self._find_referred()
        self._execute("delete")
        removed = self._number()
        if self._spec.partition_by:
            self._execute("delete_keys")
        return removed

    def _find_referred(self) -> None:
        self._execute("by_hash")
        found = [
            self._statement("referred", child=sql.Identifier(child.table), refers=refers(child, key, self._spec))
            for child, key in children(self._config, self._spec)
        ] or [sql.SQL("SELECT {} FROM {} WHERE false").format(self._parts["key"], self._parts["going"])]
        self._execute("create_staying", referred=sql.SQL(" UNION ").join(found))
        self._execute("by_index")

    def _end_versions(self) -> None:
        repair = HistoryRepair(self._tx, self._spec, self._order)
        moved = MovedVersions(self._tx, self._spec, self._config)
        moved.make_room()
        repair.end(self._named("absent"))
        moved.note(repair.timeline)
        moved.rebind()

    def _number(self) -> int:
        return int((self._tx.fetchone() or (0,))[0])

    def _named(self, what: str) -> sql.Identifier:
        """A temporary table's name: a blank is in no name of a user's table."""
        return sql.Identifier(f"{what} of {self._spec.table}"[:63])

    def _execute(self, name: str, **more: sql.Composable) -> None:
        self._tx.execute(self._statement(name, **more))

    def _statement(self, name: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(query("gone", name)).format(**{**self._parts, **more})

    def _identifiers(self) -> dict[str, sql.Composable]:
        spec, key = self._spec, self._spec.schema.key_columns
        held_columns = [
            sql.SQL("{} {}").format(sql.Identifier(f"k{number}"), sql.SQL(key_sql.compared_as(column)))
            for number, column in enumerate(key)
        ]
        is_real = "NOT t._placeholder" if has_placeholders(self._tx, spec) else "true"
        own = [*(column.target for column in spec.stored), *spec.derive]
        columns = [*own, "_file_id"]
        temporary = ("held", "going", "absent", "asked", "later", "staying", "came")
        numbered = [column.model_copy(update={"stored_as": f"k{number}"}) for number, column in enumerate(key)]
        return {
            **{what: self._named(what) for what in temporary},
            "table": sql.Identifier(spec.table),
            "keys": sql.Identifier(spec.key_table),
            "history": sql.Identifier(spec.history_table),
            "seen": sql.Identifier(spec.seen_table),
            "held_columns": COMMA.join(held_columns),
            "key": key_sql.listed(key),
            **{f"{alias}_key": key_sql.listed(key, alias) for alias in ("t", "s", "b", "h")},
            **{f"{alias}_number": held_number(key, alias) for alias in ("t", "s")},
            "numbers": key_sql.numbered(key),
            **{f"{alias}_number": held_number(numbered, alias) for alias in ("h", "w")},
            **{f"{alias}_numbers": key_sql.numbered(key, alias) for alias in ("h", "w", "t")},
            "w_is_t": key_sql.is_numbered(key, "w", "t"),
            "h_value": key_sql.value_of(key, "h"),
            "h_is_t": key_sql.is_numbered(key, "h", "t"),
            "t_is_g": key_sql.matching(key, "t", "g"),
            "t_is_a": key_sql.matching(key, "t", "a"),
            "s_is_g": key_sql.matching(key, "s", "g"),
            "deletes": sql.Identifier(spec.deletes_table),
            **{f"d_is_{alias}": key_sql.matching(key, "d", alias) for alias in ("t", "s", "b")},
            "t_is_h": key_sql.matching(key, "t", "h"),
            "h_is_s": key_sql.matching(key, "h", "s"),
            "table_text": sql.Literal(spec.table),
            "by": sql.Identifier(spec.partition_column or ""),
            "t_is_s": key_sql.matching(key, "t", "s"),
            "o_is_b": key_sql.matching(key, "o", "b"),
            "t_found_by_g": key_sql.found_by_index(key, "t", "g"),
            "columns": COMMA.join(map(sql.Identifier, columns)),
            "v_columns": COMMA.join(
                [*(sql.Identifier("v", name) for name in own), sql.Identifier("a", "next_file")]
            ),
            "is_real": sql.SQL(is_real),
        }
