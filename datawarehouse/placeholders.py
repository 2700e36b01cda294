"""Placeholders of parents that are not there yet: made for the rows that refer to them, taken back with these.

A placeholder is of no file (NO_FILE), has the key and `_placeholder`, and gives way to its row whatever the way of
merging (Loader). So the tables are the same whichever comes first.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import DataError
from config.file_spec import FileSpec
from config.key import NO_FILE, ForeignKey
from config.settings import PipelineConfig
from config.sql_types import INT_LIMITS
from datawarehouse import key_sql
from datawarehouse.db_errors import translated
from datawarehouse.fk_checker import check_fk, keys_as_arrays
from datawarehouse.queries import query
from datawarehouse.references import children, refers
from validation.batch import Batch
from validation.key_values import key_types, parted, stored_keys, values_of

_NONE = sql.SQL("")
MOST_TRIES = 3  # of placeholders that are taken back by others in the moment between

Made = dict[ForeignKey, pa.Array]


class Placeholders:
    """Those that a load of `spec` makes in transaction `tx`."""

    def __init__(self, tx: Cursor, spec: FileSpec, config: PipelineConfig) -> None:
        self._tx = tx
        self._spec = spec
        self._config = config

    def can_be_held(self, key: ForeignKey, values: pa.Array) -> pa.Array:
        """Which `values` of the foreign key fit into the columns of the parent's table; boolean, null for null."""
        columns = self._parent(key).schema.key_columns
        distinct = pc.unique(values.drop_null())
        fits = pa.array(np.ones(len(distinct), bool))
        for column, part in zip(columns, parted(distinct, key_types(columns)), strict=True):
            if column.sql.length is not None:
                fits = pc.and_(fits, pc.less_equal(pc.utf8_length(part), column.sql.length))
            elif most := INT_LIMITS.get(column.sql.base):
                fits = pc.and_(fits, pc.less_equal(part, most))
                fits = pc.and_(fits, pc.greater_equal(part, -most - 1))
        return fits.take(pc.index_in(values, value_set=distinct))

    def make(self, batch: Batch, wanted: np.ndarray) -> tuple[Made, dict[ForeignKey, np.ndarray]]:
        """Make the placeholders that the `wanted` rows (boolean) ask for.

        Returns the keys of new ones, and the rows that got none: the parent's table refuses their keys.
        """
        made: Made = {}
        in_vain: dict[ForeignKey, np.ndarray] = {}
        for key, mask in batch.asking.items():
            rows = pa.array(mask & wanted)
            values = values_of(batch, key.key)
            keys = pc.unique(values.filter(rows))
            if not len(keys):
                continue
            made[key], there = self._make(key, keys)
            lacks = pc.and_not(rows, pc.is_in(values, value_set=there))
            if pc.any(lacks).as_py():
                in_vain[key] = lacks.to_numpy(zero_copy_only=False)
        return made, in_vain

    def _make(self, key: ForeignKey, keys: pa.Array) -> tuple[pa.Array, pa.Array]:
        """The keys that are new, and those that are there, locked until the transaction ends."""
        made, there = keys.slice(0, 0), keys.slice(0, 0)
        for _ in range(MOST_TRIES):
            lacking = keys.filter(pc.invert(pc.is_in(keys, value_set=there)))
            made = pa.concat_arrays([made, self._insert(key, lacking)])
            there = check_fk(self._tx, self._config, {key: keys})[key]
            if len(there) == len(keys):
                break
        return made, there

    def _insert(self, key: ForeignKey, keys: pa.Array) -> pa.Array:
        """Insert those that are not there; where the table refuses some, the others by halves."""
        parent = self._parent(key)
        statement = _statement("make_partitioned" if parent.partition_by else "make", parent, keys)
        self._tx.execute("SAVEPOINT placeholders")
        try:
            with translated():
                self._tx.execute(statement)
                made = pa.array([row[0] for row in self._tx.fetchall()], pa.string())
        except DataError:
            self._tx.execute("ROLLBACK TO SAVEPOINT placeholders")
            if len(keys) == 1:
                return keys.slice(0, 0)
            half = len(keys) // 2
            return pa.concat_arrays([self._insert(key, keys.slice(0, half)), self._insert(key, keys.slice(half))])
        self._tx.execute("RELEASE SAVEPOINT placeholders")
        return made.cast(keys.type)

    def take_back_unneeded(self, made: Made, batch: Batch, wanted: np.ndarray, file_ids: np.ndarray) -> Made:
        """Take back those of `made` for rows that were not loaded after all; returns those that stay."""
        staying: Made = {}
        for key, keys in made.items():
            rows = pa.array(batch.asking[key] & wanted)
            own = pc.unique(stored_keys(batch, file_ids).filter(rows))
            named = self._named(key, own).cast(keys.type)
            unneeded = keys.filter(pc.invert(pc.is_in(keys, value_set=named)))
            take_back(self._tx, self._parent(key), unneeded)
            staying[key] = keys.filter(pc.is_in(keys, value_set=named))
        return staying

    def _named(self, key: ForeignKey, own: pa.Array) -> pa.Array:
        parent = key_sql.value_of(self._spec.schema.columns_of(key.key), "t")
        self._tx.execute(_statement("named", self._spec, own, parent=parent))
        return pa.array([row[0] for row in self._tx.fetchall()], pa.string())

    def _parent(self, key: ForeignKey) -> FileSpec:
        return self._config.by_logical_name[key.parent]


class Unneeded:
    """Placeholders that may be without a row that refers to them when rows of `spec` are gone.

    Made before these go, for those `chosen` (SQL about `c`, a row of the table)."""

    def __init__(self, tx: Cursor, config: PipelineConfig, spec: FileSpec, chosen: sql.Composable) -> None:
        self._tx = tx
        self._config = config
        self._found: dict[str, pa.Array] = {}  # by the parent's logical name
        for key in spec.foreign_keys:
            parent = config.by_logical_name[key.parent]
            if key.to is None and has_placeholders(tx, parent):
                names = {
                    "child": sql.Identifier(spec.table),
                    "refers": refers(spec, key, parent),
                    "chosen": chosen,
                }
                tx.execute(_block("of_file", parent, **names))
                keys = pa.array([row[0] for row in tx.fetchall()], pa.string())
                self._found[key.parent] = pa.concat_arrays([self._found.get(key.parent, keys.slice(0, 0)), keys])

    def take_back(self) -> None:
        """Take back those to which nothing refers by now."""
        for name, keys in self._found.items():
            parent = self._config.by_logical_name[name]
            others = [
                _block("others", parent, child=sql.Identifier(child.table), refers=refers(child, key, parent))
                for child, key in children(self._config, parent)
            ]
            take_back(self._tx, parent, pc.unique(keys), sql.SQL("").join(others))


def take_back(tx: Cursor, parent: FileSpec, keys: pa.Array, others: sql.Composable = _NONE) -> None:
    """Delete the placeholders with these keys, if the role may delete; one that stays is filled some day."""
    if not len(keys):
        return
    tables = sql.Literal(sorted({parent.table, parent.key_table}))
    tx.execute(_block("may_take_back", parent, names=tables))
    if tx.fetchone() != (True,):
        return
    tx.execute(_statement("take_back", parent, keys, others=others))
    if parent.partition_by:
        tx.execute(_statement("take_back_keys", parent, keys))


def turn_back(tx: Cursor, config: PipelineConfig, spec: FileSpec, file_id: int) -> int:
    """Make placeholders of the rows of a file to which others refer that may have them; returns how many."""
    if not spec.has_placeholders:
        return 0
    referred = [
        _block(
            "referred",
            spec,
            child=sql.Identifier(child.table),
            refers=refers(child, key, spec),
            file_id=sql.Literal(file_id),
            is_own=sql.SQL("true" if child.table == spec.table else "false"),
        )
        for child, key in children(config, spec)
    ]
    own = {column.target for column in spec.schema.key_columns}
    columns = [*(column.target for column in spec.stored), *spec.derive]
    blank = [
        sql.SQL("{} = {}").format(
            sql.Identifier(name), sql.SQL("'infinity'" if name == spec.partition_column else "NULL")
        )
        for name in columns
        if name not in own
    ]
    blank.append(sql.SQL("_file_id = {}, _placeholder = true, _loaded_at = now()").format(sql.Literal(NO_FILE)))
    statement = _block(
        "turn_back_partitioned" if spec.partition_by else "turn_back",
        spec,
        blank=sql.SQL(", ").join(blank),
        file_id=sql.Literal(file_id),
        referred=sql.SQL(" OR ").join(referred),
    )
    tx.execute(statement)
    return int(tx.rowcount)


def has_placeholders(tx: Cursor, spec: FileSpec) -> bool:
    """May there be placeholders in the table? It keeps them when the YAML asks for none any more."""
    text = sql.Literal(sql.Identifier(spec.table).as_string(tx))
    tx.execute(sql.SQL(query("placeholders", "has_column")).format(table=text))
    return bool((tx.fetchone() or (False,))[0])


def waiting(tx: Cursor, spec: FileSpec) -> tuple[int, dt.datetime | None]:
    """How many placeholders there are in the table, and since when the oldest is there."""
    tx.execute(_block("waiting", spec))
    count, since = tx.fetchone() or (0, None)
    return count, since


def _statement(name: str, spec: FileSpec, keys: pa.Array, **more: sql.Composable) -> sql.Composed:
    """The block `name` for keys of the table."""
    return _block(name, spec, wanted=keys_as_arrays(spec.schema.key_columns, keys), **more)


def _block(name: str, spec: FileSpec, **more: sql.Composable) -> sql.Composed:
    key = spec.schema.key_columns
    names: dict[str, sql.Composable] = {
        "table": sql.Identifier(spec.table),
        "keys": sql.Identifier(spec.key_table),
        "by": sql.Identifier(spec.partition_column or ""),
        "key": key_sql.listed(key),
        "t_key": key_sql.listed(key, "t"),
        "numbers": key_sql.numbered(key),
        "is_wanted": key_sql.is_numbered(key, "w", "t"),
        "is_row": key_sql.matching(key, "r", "t"),
        "k_is_t": key_sql.matching(key, "k", "t"),
        "value": key_sql.value_of(key, "t"),
        # Not as the index of placeholders has it: keys are found by their own
        "is_placeholder": sql.SQL("coalesce(t._placeholder, false)"),
        "no_file": sql.Literal(NO_FILE),
    }
    return sql.SQL(query("placeholders", name)).format(**names, **more)
