"""Columns that are taken from a parent (`lookup`): where it was a placeholder, they are taken when it comes.

Who fills placeholders and who loads rows meet at their ends, as versions.py has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.settings import PipelineConfig
from datawarehouse import key_sql, turns
from datawarehouse.queries import query


class Taken(NamedTuple):
    """`column` of the table of `child` is the parent's column `take`, by the foreign key `by`."""

    child: FileSpec
    column: str
    by: str
    take: str
    parent: FileSpec

    @property
    def tables(self) -> list[str]:
        """Where the column is."""
        return [self.child.table, *self.child.history_tables]


def taken_by(spec: FileSpec, config: PipelineConfig) -> Iterator[Taken]:
    """What rows of `spec` take of parents that may be placeholders."""
    for column, derivation in spec.derive.items():
        if lookup := derivation.lookup:
            parent = config.by_logical_name[lookup.source]
            if parent.has_placeholders:
                yield Taken(spec, column, lookup.by, lookup.take, parent)


class TakenLater:
    """Of rows of `spec`, in transaction `tx`: what parents say that came while they were loaded."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig) -> None:
        self._tx = tx
        self._taken = list(taken_by(spec, config))
        self._turns = turns.read(tx, self._parents)

    def finish(self, file_ids: Iterable[int]) -> None:
        """Take it for rows of the files."""
        turns.share(self._tx, self._parents)
        now = turns.read(self._tx, self._parents)
        for taken in self._taken:
            if now.get(taken.parent.table) != self._turns.get(taken.parent.table):
                for table in taken.tables:
                    ids = sql.Literal(sorted(file_ids))
                    self._tx.execute(_block("take_of_files", taken, table, file_ids=ids))

    @property
    def _parents(self) -> list[str]:
        return sorted({taken.parent.table for taken in self._taken})


class Filled:
    """Rows of `spec` that took the places of placeholders in transaction `tx`, and who refers to them."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig) -> None:
        self._tx = tx
        self._spec = spec
        self._taken = list(_taken_of(spec, config))
        self._has_room = False

    def make_room(self) -> None:
        """Make the temporary table that notes need, for this transaction."""
        if self._taken and not self._has_room:
            self._execute("create")
            self._has_room = True

    def note(self, stage: sql.Identifier, row: sql.Identifier, numbers: Sequence[int]) -> None:
        """Note the staged rows `numbers`, which fill placeholders."""
        if self._taken:
            self._execute("note", stage=stage, row=row, numbers=key_sql.row_numbers(numbers))

    def finish(self) -> None:
        """Let the rows that refer to them have what they take."""
        if not self._has_room:
            return
        self._execute("any")
        if self._tx.fetchone() != (True,):
            return
        turns.take(self._tx, self._spec.table)
        for taken in self._taken:
            for table in taken.tables:
                by = taken.child.schema.by_name[taken.by].target
                with turns.by_index_or_hash(self._tx, table, by) as has_index:
                    self._tx.execute(_block("take_by_index" if has_index else "take", taken, table))

    def _execute(self, name: str, **more: sql.Composable) -> None:
        own = {
            "filled": _filled(self._spec),
            "table": sql.Identifier(self._spec.table),
            "key": key_sql.listed(self._spec.schema.key_columns),
        }
        self._tx.execute(sql.SQL(query("placeholder_lookups", name)).format(**own, **more))


def forget(tx: Cursor, spec: FileSpec, config: PipelineConfig) -> None:
    """Take nothing of rows of `spec` that are placeholders again."""
    taken = list(_taken_of(spec, config))
    if taken:
        turns.take(tx, spec.table)
    for one in taken:
        for table in one.tables:
            tx.execute(_block("forget", one, table))


def _taken_of(parent: FileSpec, config: PipelineConfig) -> Iterator[Taken]:
    """What rows take of those of `parent`."""
    specs = {spec.table: spec for spec in config.by_logical_name.values()}.values()
    yield from (one for spec in specs for one in taken_by(spec, config) if one.parent.table == parent.table)


def _filled(spec: FileSpec) -> sql.Identifier:
    return sql.Identifier(f"filled of {spec.table}"[:63])


def _block(name: str, taken: Taken, child: str, **more: sql.Composable) -> sql.Composed:
    by = taken.child.schema.by_name[taken.by].target
    (key,) = taken.parent.schema.key_columns
    names: dict[str, sql.Composable] = {
        "child": sql.Identifier(child),
        "column": sql.Identifier(taken.column),
        "take": sql.Identifier(taken.parent.schema.by_name[taken.take].target),
        "table": sql.Identifier(taken.parent.table),
        "filled": _filled(taken.parent),
        "t_is_f": key_sql.matching([key], "t", "f"),
        "c_is_v": _equal("c", by, "v", key.target),
        "c_is_t": _equal("c", by, "t", key.target),
        "c_found_by_v": _equal("c", by, "v", key.target, "ANY (ARRAY[{}])"),
        "t_found_by_c": _equal("t", key.target, "c", by, "ANY (ARRAY[{}])"),
    }
    return sql.SQL(query("placeholder_lookups", name)).format(**names, **more)


def _equal(one: str, name: str, other: str, its: str, form: str = "{}") -> sql.Composed:
    value = sql.SQL(form).format(sql.Identifier(other, its))
    return key_sql.pairs([(sql.Identifier(one, name), value)])
