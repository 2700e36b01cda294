"""Rows that are bound to a version of their parent (`version_of`): looked up as they are loaded, bound anew when
versions come late or go. Both sides meet at their ends: see turns.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.file_spec import FileSpec
from config.key import ForeignKey
from config.schema import Column
from config.settings import PipelineConfig
from config.version_checks import binding_key
from datawarehouse import key_sql, turns
from datawarehouse.fk_checker import keys_as_arrays
from datawarehouse.queries import query
from datawarehouse.schema.history_tables import time_of
from validation.key_values import joined

BEFORE = -(1 << 62)  # microseconds: before all times
MOST_KEYS = 200_000  # whose versions are remembered, so that memory doesn't grow with the file


class Binding(NamedTuple):
    """`column` of the table of `child` holds the version of `parent` that `key` refers to, at the time `at`."""

    child: FileSpec
    column: str
    key: ForeignKey
    at: Column
    parent: FileSpec


def bindings_of(spec: FileSpec, config: PipelineConfig) -> list[Binding]:
    """To which versions rows of `spec` are bound."""
    found = []
    for column, derivation in spec.derive.items():
        key = binding_key(spec, derivation) if derivation.version_of else None
        if key is not None:
            at = spec.schema.by_name[derivation.at or ""]
            found.append(Binding(spec, column, key, at, config.by_logical_name[key.parent]))
    return found


def bound_to(parent: FileSpec, config: PipelineConfig) -> list[Binding]:
    """What is bound to versions of `parent`, by table."""
    if not parent.keeps_history:
        return []
    specs = {spec.table: spec for spec in config.by_logical_name.values()}.values()
    return [one for spec in specs for one in bindings_of(spec, config) if one.parent.table == parent.table]


class _Known(NamedTuple):
    """Versions of `keys` as they were looked up: those of key n from `starts[n]` to `starts[n + 1]`, by time."""

    keys: pa.Array
    starts: np.ndarray
    times: np.ndarray
    versions: np.ndarray

    def with_more(self, keys: pa.Array, found: np.ndarray) -> _Known:
        """And those that were `found` of other keys: number of the key, version, time."""
        codes, versions, times = found.T
        order = np.lexsort((times, codes))
        counts = np.bincount(codes, minlength=len(keys))
        return _Known(
            pa.concat_arrays([self.keys, keys]) if len(self.keys) else keys,
            np.concatenate([self.starts, self.starts[-1] + np.cumsum(counts)]),
            np.concatenate([self.times, times[order]]),
            np.concatenate([self.versions, versions[order]]),
        )


_NONE = _Known(pa.nulls(0, pa.string()), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))


class BoundVersions:
    """The versions to which rows of `spec` are bound, in transaction `tx`."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig) -> None:
        self._tx = tx
        self._bindings = {binding.column: binding for binding in bindings_of(spec, config)}
        self._known: dict[str, _Known] = {}  # by column
        self._turns = turns.read(tx, self._parents)

    def look_up(self, rows: pa.Table) -> None:
        """Have the versions of the parents of `rows` at hand: all that are not yet, by one statement."""
        unseen = {}
        for binding in self._bindings.values():
            keys = pc.unique(_keys(binding, rows).drop_null())
            if new := self._not_known(binding, keys):
                unseen[binding.column] = new
        if not unseen:
            return
        queries = [_of_keys(n, self._bindings[column], keys) for n, (column, keys) in enumerate(unseen.items())]
        self._tx.execute(sql.SQL(" UNION ALL ").join(queries))
        found = np.array(self._tx.fetchall(), np.int64).reshape(-1, 4)
        for number, (column, keys) in enumerate(unseen.items()):
            self._known[column] = self._known.get(column, _NONE).with_more(keys, found[found[:, 0] == number, 1:])

    def of(self, column: str, rows: pa.Table) -> pa.Array:
        """The version ids for the derived `column` of `rows`, which were looked up; null where there is no parent,
        or no time."""
        binding = self._bindings[column]
        times = _microseconds(rows.column(binding.at.name))
        known = self._known.get(column, _NONE)
        keys = _keys(binding, rows)
        codes = pc.fill_null(pc.index_in(keys, value_set=known.keys.cast(keys.type)), -1).to_numpy()
        there = (codes >= 0) & np.asarray(pc.is_valid(rows.column(binding.at.name)))
        there[there] &= known.starts[codes[there]] < known.starts[codes[there] + 1]
        found = _at_times(known, codes[there], times[there])
        versions = np.zeros(len(codes), np.int64)
        versions[there] = known.versions[found]
        return pa.array(versions, pa.int64(), mask=~there)

    def finish(self, file_ids: Iterable[int]) -> None:
        """Bind the rows of files again whose versions moved while they were loaded."""
        turns.share(self._tx, self._parents)
        now = turns.read(self._tx, self._parents)
        for binding in self._bindings.values():
            if now.get(binding.parent.table) != self._turns.get(binding.parent.table):
                self._tx.execute(_block("bind_files", binding, file_ids=sql.Literal(sorted(file_ids))))

    @property
    def _parents(self) -> list[str]:
        return sorted({binding.parent.table for binding in self._bindings.values()})

    def _not_known(self, binding: Binding, keys: pa.Array) -> pa.Array:
        known = self._known.get(binding.column, _NONE)
        unseen = keys.filter(pc.invert(pc.is_in(keys, value_set=known.keys.cast(keys.type))))
        if not len(unseen) or len(known.keys) <= MOST_KEYS:
            return unseen
        del self._known[binding.column]
        return keys


def _keys(binding: Binding, rows: pa.Table) -> pa.ChunkedArray:
    return joined([rows.column(name) for name in binding.key.key])


def _of_keys(number: int, binding: Binding, keys: pa.Array) -> sql.Composed:
    """The query for the versions of `keys`: binding, key, version, time."""
    of_parent = binding.parent.schema.key_columns
    return _block(
        "of_keys",
        binding,
        number=sql.Literal(number),
        wanted=keys_as_arrays(of_parent, keys),
        numbers=key_sql.numbered(of_parent),
        is_wanted=key_sql.is_numbered(of_parent, "w", "t"),
        before=sql.Literal(BEFORE),
    )


def _microseconds(times: pa.ChunkedArray) -> np.ndarray:
    """Times or dates as microseconds; whatever where there is none."""
    stamps = pc.cast(times, pa.timestamp("us"))
    values: np.ndarray = pc.fill_null(pc.cast(stamps, pa.int64()), 0).to_numpy()
    return values


def _at_times(known: _Known, codes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """For each key (its number) the place of the last version that began by the time; else of the first."""
    low, high = known.starts[codes].copy(), known.starts[codes + 1].copy()
    while (high - low > 1).any():  # half as many are left each time
        middle = (low + high) // 2
        begun = known.times[middle] <= times
        low, high = (
            np.where(begun & (high - low > 1), middle, low),
            np.where(begun, high, np.maximum(middle, low + 1)),
        )
    found: np.ndarray = low
    return found


class MovedVersions:
    """The versions of `spec` that came or went in transaction `tx`, and the rows that are bound to them."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig) -> None:
        self._tx = tx
        self._spec = spec
        self._bindings = bound_to(spec, config)
        self._has_room = False

    def make_room(self) -> None:
        """Make the temporary table that notes need, for this transaction."""
        if self._bindings and not self._has_room:
            self._execute("create_moved")
            self._has_room = True

    def note(self, timeline: sql.Composable, *, filled: bool = False) -> None:
        """Note the keys in `timeline` whose versions are others now; `filled`: they were placeholders before."""
        if self._bindings:
            self._execute("note", timeline=timeline, is_filled=sql.Literal(filled))

    def note_file(self, file_id: int) -> None:
        """Note the keys of which a file told, before that is taken back."""
        self.make_room()
        if self._bindings:
            self._execute("note_of_file", file_id=sql.Literal(file_id))

    def note_key(self, key: Sequence[object]) -> None:
        """Note one key, whose versions are others at the end of the transaction."""
        self.make_room()
        if self._bindings:
            self._execute("note_key", values=sql.SQL(", ").join(map(sql.Literal, key)))

    def rebind(self) -> None:
        """Bind anew the rows whose version is another now."""
        if not self._has_room:
            return
        self._execute("any_moved")
        count, since = self._tx.fetchone() or (0, None)
        if not count:
            return
        turns.take(self._tx, self._spec.table)
        for binding in self._bindings:
            self._rebind(binding, since)

    def _rebind(self, binding: Binding, since: str) -> None:
        at = time_of(binding.at, "c")
        bound: sql.Composable = sql.SQL("")
        if since != "-infinity":  # by the index of times, where there is no better one
            bound = sql.SQL(" AND {} >= {}").format(sql.Identifier("c", binding.at.target), sql.Literal(since))
        own = {"moved": self._moved, "t_is_m": key_sql.matching(self._key, "t", "m")}
        versions = _block("of_moved", binding, **own)
        intervals = _block("intervals", binding, versions=versions)
        first = binding.child.schema.columns_of(binding.key.key)[0].target
        with turns.by_index_or_hash(self._tx, binding.child.table, first) as has_index:
            name = "bind_moved" if has_index else "bind"
            self._tx.execute(_block(name, binding, intervals=intervals, at=at, bound=bound))
            self._tx.execute(_block("unbind", binding, t_is_v=key_sql.matching(self._key, "t", "v"), **own))

    @property
    def _key(self) -> Sequence[Column]:
        return self._spec.schema.key_columns

    @property
    def _moved(self) -> sql.Identifier:
        return sql.Identifier(f"moved of {self._spec.table}"[:63])

    def _execute(self, name: str, **more: sql.Composable) -> None:
        key = sql.SQL(", ").join(
            [sql.SQL("{} {}").format(sql.Identifier(c.target), sql.SQL(str(c.sql))) for c in self._key]
        )
        own: dict[str, sql.Composable] = {
            "moved": self._moved,
            "key": key_sql.listed(self._key),
            "key_columns": key,
            "history": sql.Identifier(self._spec.history_table),
            "seen": sql.Identifier(self._spec.seen_table),
        }
        self._tx.execute(sql.SQL(query("versions", name)).format(**own, **more))


def bind_all(tx: Cursor, binding: Binding) -> None:
    """Bind all rows of a table, whose column is new."""
    whole = _block("intervals", binding, versions=sql.Identifier(binding.parent.history_table))
    at = time_of(binding.at, "c")
    tx.execute(_block("bind", binding, intervals=whole, at=at, bound=sql.SQL("")))


def wrong(config: PipelineConfig) -> Iterator[tuple[Binding, sql.Composed]]:
    """For each binding the query for its rows that are bound to another version than that of their time."""
    for spec in {spec.table: spec for spec in config.by_logical_name.values()}.values():
        for binding in bindings_of(spec, config):
            whole = _block("intervals", binding, versions=sql.Identifier(binding.parent.history_table))
            yield binding, _block("wrong", binding, intervals=whole, at=time_of(binding.at, "c"))


def _block(name: str, binding: Binding, **more: sql.Composable) -> sql.Composed:
    child, parent = binding.child, binding.parent
    mine, its = child.schema.columns_of(binding.key.key), parent.schema.key_columns

    def same(one: str, other: str, form: str = "{}") -> sql.Composed:
        """Are the child's row `one` and the parent's `other` of one key?"""
        return key_sql.pairs(
            (sql.Identifier(one, m.target), sql.SQL(form).format(sql.Identifier(other, p.target)))
            for m, p in zip(mine, its, strict=True)
        )

    names: dict[str, sql.Composable] = {
        "child": sql.Identifier(child.table),
        "column": sql.Identifier(binding.column),
        "history": sql.Identifier(parent.history_table),
        "key": key_sql.listed(its),
        "c_is_v": same("c", "v"),
        "c_found_by_v": same("c", "v", "ANY (ARRAY[{}])"),
        "t_is_o": same("o", "t"),
        "o_at": time_of(binding.at, "o"),
    }
    return sql.SQL(query("versions", name)).format(**{**names, **more})
