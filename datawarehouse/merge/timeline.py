"""The versions of rows: what was seen of a key, by time, made into intervals in which nothing tracked changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from datawarehouse import key_sql
from datawarehouse.copying import copy_rows
from datawarehouse.file_order import FileOrder
from datawarehouse.key_traces import held_number, is_among, later_traces, told_number
from datawarehouse.load_sql import comparable
from datawarehouse.queries import query
from datawarehouse.schema.history_tables import own_time
from validation.batch import FILE_ID

SINCE_EVER = "-infinity"
_VALID_FROM = "\0valid_from"  # among the columns of rows: no header has a NUL in its names


class Timeline:
    """Keeps the history of one kind of file in transaction `tx`.

    `names` are the columns of rows and what the table calls them; `stage` and `row` are the temporary table with
    the rows of a merge, and its column with their numbers: without them there is nothing to place.
    """

    def __init__(
        self,
        tx: Cursor,
        spec: FileSpec,
        order: FileOrder,
        names: dict[str, str],
        stage: sql.Identifier | None = None,
        row: sql.Identifier | None = None,
    ) -> None:
        self._tx = tx
        self._spec = spec
        self._order = order
        self._names = names
        self._parts = self._identifiers()
        if stage and row:
            self._parts |= {"stage": stage, "row": row}

    def begin(self, rows: pa.Table) -> None:
        """Write the first versions of rows whose keys are new."""
        begins = self._times(rows)
        rows = rows.append_column(_VALID_FROM, begins)
        names = {**self._names, _VALID_FROM: "valid_from"}
        copy_rows(self._tx, sql.Identifier(self._spec.history_table), names, rows)

    def make_room(self) -> None:
        """Make the temporary table that placing needs, for this transaction."""
        self._execute("create")

    def lock(self, numbers: Sequence[int]) -> None:
        """Let nobody else place rows with the keys of the staged rows `numbers`, until this transaction ends."""
        self._execute("lock", numbers=key_sql.row_numbers(numbers))

    def place(self, numbers: Sequence[int], file_ids: Sequence[int]) -> None:
        """Put what the staged rows `numbers` say, of the files `file_ids`, where it belongs by its time."""
        self._make(self._statement("of_stage", numbers=key_sql.row_numbers(numbers), at=self._at(file_ids)))

    def make_anew(self, affected: sql.Identifier, *, from_scratch: bool = False) -> None:
        """Make the versions of the keys in the temporary table `affected` of what is left of what was seen.

        `from_scratch`: what ended versions may be gone with them.
        """
        self._make(self._statement("of_affected", affected=affected), "told" if from_scratch else "gone")

    def end(self, absent: sql.Identifier) -> None:
        """Make the versions of the keys in the table `absent` anew, which file `_ended_by` lacks at `valid_to`."""
        self._make(self._statement("of_absent", absent=absent))

    def spell_out(self, told: sql.Composable, later: Mapping[int, tuple[int, ...]]) -> None:
        """Write into `TABLE_seen` what later files told again of what rows tell of; see key_traces.

        `told` is a SELECT of the rows, with the columns of the table; `later` are the files later than theirs.
        """
        if not later:
            return
        time_of_a = own_time(self._spec, "a")
        statement = sql.SQL(query("key_traces", "spell_out")).format(
            **self._parts,
            told=told,
            told_at=own_time(self._spec, "s") or sql.SQL("NULL::timestamp"),
            later_traces=later_traces(later),
            is_among=is_among(told_number(self._spec, "s"), "f.bounds"),
            seen_at=time_of_a or sql.SQL("o.as_of"),
            is_of_its_time=sql.SQL("{} = n.told_at").format(time_of_a) if time_of_a else sql.SQL("true"),
            time_of_n=self._order.lookup("n"),
            time_of_a=self._order.lookup("a"),
        )
        self._tx.execute(statement)

    def _make(self, given: sql.Composable, asked_since: str = "gone") -> None:
        self._execute("empty")
        words = self._statement(
            "words_by_snapshots" if self._spec.takes_away else "words_by_time",
            t_file_time=self._order.lookup("t"),
            asked=self._statement(f"asked_since_{asked_since}"),
        )
        self._execute("gather", given=given, words=words)
        self._execute("write")

    @property
    def table(self) -> sql.Composable:
        """The temporary table with all that was seen of the keys that were placed, or made anew, last."""
        return self._parts["timeline"]

    def _times(self, rows: pa.Table) -> pa.Array:
        """When each of the rows begins to hold, as text."""
        if self._spec.newer_by:
            return pc.fill_null(pc.cast(rows.column(self._spec.newer_by), pa.string()), SINCE_EVER)
        times = self._order.times(pc.unique(rows.column(FILE_ID)).to_pylist())
        files = pa.array(list(times), pa.int64())
        return pa.array([str(time) for time in times.values()]).take(pc.index_in(rows.column(FILE_ID), files))

    def _at(self, file_ids: Sequence[int]) -> sql.Composable:
        """The same of the staged row `s`."""
        if time_of_s := own_time(self._spec, "s"):
            return time_of_s
        cases = [
            sql.SQL("WHEN {} THEN {}::timestamp").format(sql.Literal(file_id), sql.Literal(str(time)))
            for file_id, time in self._order.times(file_ids).items()
        ]
        return sql.SQL("CASE s._file_id {} END").format(sql.SQL(" ").join(cases))

    def _execute(self, name: str, **more: sql.Composable) -> None:
        self._tx.execute(self._statement(name, **more))

    def _statement(self, name: str, **more: sql.Composable) -> sql.Composed:
        return sql.SQL(query("history", name)).format(**self._parts, **more)

    def _identifiers(self) -> dict[str, sql.Composable]:
        spec, key = self._spec, self._spec.schema.key_columns
        own = {column.target for column in key} | {"_file_id"}

        def listed(form: Callable[[str], sql.Composable]) -> sql.Composed:
            return sql.SQL(", ").join([form(name) for name in self._names.values()])

        now = [comparable(None, column) for column in spec.tracked]
        ends = {"_file_id": sql.SQL("_ended_by")}
        parts: dict[str, sql.Composable] = {
            "history": sql.Identifier(spec.history_table),
            "seen": sql.Identifier(spec.seen_table),
            "timeline": sql.Identifier(f"timeline of {spec.table}"[:63]),
            "keys": sql.Identifier(spec.key_table),
            "columns": listed(sql.Identifier),
            "s_columns": listed(lambda name: sql.Identifier("s", name)),
            "h_columns": listed(lambda name: sql.Identifier("h", name)),
            "former_columns": listed(lambda name: sql.Identifier("n" if name == "_file_id" else "w", name)),
            "ended_columns": listed(
                lambda name: ends.get(name, sql.Identifier(name) if name in own else sql.SQL("NULL"))
            ),
            "key": key_sql.listed(key),
            "s_key": key_sql.listed(key, "s"),
            "t_key": key_sql.listed(key, "t"),
            "s_number": held_number(key, "s"),
            "own_time": own_time(self._spec, "t") or sql.SQL("t._as_of"),
            "gone_columns": listed(lambda name: sql.Identifier("s", name) if name in own else sql.SQL("NULL")),
            "k_is_s": key_sql.matching(key, "k", "s"),
            "h_is_s": key_sql.matching(key, "h", "s"),
            "h_is_n": key_sql.matching(key, "h", "n"),
        }
        lagged = [sql.SQL("lag({}) OVER w").format(value) for value in now]
        begins = sql.SQL(query("history", "begins")).format(now=_row(now), before=_row(lagged))
        taken_away = sql.SQL(query("history", "deleted" if spec.operation else "nothing_deleted")).format(
            **{name: parts[name] for name in ("key", "s_key", "h_is_s")},
            deletes=sql.Identifier(spec.deletes_table),
        )
        return {**parts, "begins": begins, "taken_away": taken_away, "table_name": sql.Literal(spec.table)}


def _row(values: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL("ROW({})").format(sql.SQL(", ").join(values))
