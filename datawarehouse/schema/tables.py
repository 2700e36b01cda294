"""The warehouse's tables as SQLAlchemy metadata: those of the config's files, and the pipeline's own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import TypeEngine

from config.expected_file import Derivation
from config.file_spec import FileSpec
from config.key import PLACEHOLDER_COLUMN, ROW_COLUMN, ForeignKey
from config.model import GONE_COLUMN, Dtype
from config.schema import Column
from config.settings import PipelineConfig
from config.sql_types import SqlType
from datawarehouse.schema.history_tables import tables_beside
from datawarehouse.schema.own_tables import NOW, calendar_tables, pipeline_tables

_TYPES: dict[str, Callable[[SqlType], TypeEngine[Any]]] = {
    "text": lambda _: sa.Text(),
    "varchar": lambda t: sa.String(t.length),
    "char": lambda t: sa.CHAR(t.length),
    "integer": lambda _: sa.Integer(),
    "bigint": lambda _: sa.BigInteger(),
    "smallint": lambda _: sa.SmallInteger(),
    "double precision": lambda _: sa.Double(),
    "numeric": lambda t: sa.Numeric(t.precision, t.scale),
    "boolean": lambda _: sa.Boolean(),
    "timestamp without time zone": lambda _: sa.DateTime(),
    "timestamp with time zone": lambda _: sa.DateTime(timezone=True),
    "date": lambda _: sa.Date(),
    "time without time zone": lambda _: sa.Time(),
    "uuid": lambda _: sa.Uuid(),
    "text[]": lambda _: ARRAY(sa.Text()),
    "integer[]": lambda _: ARRAY(sa.Integer()),
    "bigint[]": lambda _: ARRAY(sa.BigInteger()),
    "jsonb": lambda _: JSONB(),
    "json": lambda _: JSON(),
}
HASHED = "hashed"  # says of a column that its values are hashes
_LONGEST_NAME = 63  # bytes


def column_type(column: Column) -> TypeEngine[Any]:
    """The SQLAlchemy type of a config column."""
    return _TYPES[column.sql.base](column.sql)


def derived_type(derivation: Derivation, config: PipelineConfig) -> TypeEngine[Any]:
    """The SQLAlchemy type of a derived column."""
    if derivation.date_key or derivation.time_key:
        return sa.Integer()
    if derivation.minutes_between:
        return sa.Numeric(12, 2)
    if derivation.version_of:
        return sa.BigInteger()
    if derivation.lookup:
        source = config.by_logical_name[derivation.lookup.source]
        return column_type(source.schema.by_name[derivation.lookup.take])
    return sa.Boolean()


def build_metadata(config: PipelineConfig) -> sa.MetaData:
    """All tables with their keys and indexes, nothing created yet."""
    metadata = sa.MetaData()
    pipeline_tables(metadata)
    calendar_tables(metadata)
    for spec in config.by_logical_name.values():
        _with_parents(metadata, spec, config)
    _tell_indexes_apart(metadata)
    return metadata


def _tell_indexes_apart(metadata: sa.MetaData) -> None:
    """Indexes whose names are too long, or those of something else too, end in a hash of what they are on."""
    indexes = [index for table in metadata.sorted_tables for index in table.indexes]
    names = Counter([*metadata.tables, *(str(index.name) for index in indexes)])
    for index in indexes:
        name = str(index.name)
        if names[name] > 1 or len(name.encode()) > _LONGEST_NAME:
            table = index.table.name if index.table is not None else ""
            what = "\0".join([table, *(column.name for column in index.columns), name])
            digest = hashlib.md5(what.encode(), usedforsecurity=False).hexdigest()[:8]
            start = name.encode()[: _LONGEST_NAME - len(digest) - 1].decode(errors="ignore")
            index.name = quoted_name(f"{start}_{digest}", quote=None)


def _with_parents(metadata: sa.MetaData, spec: FileSpec, config: PipelineConfig) -> None:
    """The table of `spec`, if it is not there yet, after those that it refers to."""
    if spec.table not in metadata.tables:
        for key in spec.foreign_keys:
            if (parent := config.by_logical_name[key.parent]).table != spec.table:
                _with_parents(metadata, parent, config)
        _file_table(metadata, spec, config)


def _file_table(metadata: sa.MetaData, spec: FileSpec, config: PipelineConfig) -> None:
    """A dimension's or a fact's table.

    Facts have a surrogate key beside the unique source key. Indexes: btree on the columns that the config
    names (each costs about 3 s a million rows); BRIN on times and `_file_id`, which follow the order of loading.
    A partitioned fact has its time in every unique key; that of its source key alone is in its key table.
    A distributed one has its source key in every unique key, and no foreign key to another fact: their rows may be
    on different servers.
    """
    by, distributed = spec.partition_column, config.database.distributed and spec.is_fact
    own = {column.target for column in spec.schema.key_columns}
    parents = {key: config.by_logical_name[key.parent] for key in spec.foreign_keys}
    checked = {key: parent for key, parent in parents.items() if not (distributed and parent.is_fact)}
    alone = {key.key.columns[0]: key for key, parent in checked.items() if _is_plain(key, parent, spec)}
    items: list[sa.schema.SchemaItem] = []
    if spec.surrogate_key:
        items.append(sa.Column(spec.surrogate_key, sa.BigInteger(), sa.Identity(always=True), primary_key=True))
    for column in spec.stored:
        is_key = column.target in own
        key = alone.get(column.name)
        references = [_reference(metadata, checked[key], key)] if key else []
        items.append(
            sa.Column(
                _quoted(column.target),
                column_type(column),
                *references,
                nullable=(column.nullable or (spec.has_placeholders and not is_key)) and column.target != by,
                primary_key=(is_key and distributed) or column.target == by,
                unique=True if is_key and len(own) == 1 and spec.is_fact and not by else None,
                autoincrement=False,
                info={HASHED: column.pii is not None},
            )
        )
        if column.name in spec.indexes and not (is_key and len(own) == 1):
            items.append(_index(spec.table, column.target, "gin" if column.dtype is Dtype.JSON else "btree"))
    dated: set[str] = set()
    for name, derivation in spec.derive.items():
        calendar = "dim_date.date_key" if derivation.date_key else None
        calendar = "dim_time.time_key" if derivation.time_key else calendar
        references = [sa.ForeignKey(calendar)] if calendar else []
        items.append(sa.Column(_quoted(name), derived_type(derivation, config), *references))
        source = derivation.date_key or derivation.at  # by which re-binding finds the rows of a time
        if source and source not in dated:
            dated.add(source)
            items.append(_index(spec.table, spec.schema.by_name[source].target, "brin"))
    if spec.schema.primary_key.is_row:
        items.append(sa.Column(ROW_COLUMN, sa.BigInteger(), nullable=False))
    items += [*_placeholder_column(spec), *_gone_column(spec)]
    items += [
        sa.Column("_file_id", sa.BigInteger(), nullable=False),
        sa.Column("_loaded_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
        _index(spec.table, "_file_id", "brin"),
    ]
    if not spec.is_fact:
        items.append(sa.PrimaryKeyConstraint(*_targets(spec.schema.key_columns)))
    if by:
        items += _keys_apart(metadata, spec, by)
    elif len(own) > 1 and spec.is_fact:
        items.append(sa.UniqueConstraint(*_targets(spec.schema.key_columns)))
    items += [sa.UniqueConstraint(*_targets(spec.schema.columns_of(key))) for key in spec.unique]
    table = sa.Table(spec.table, metadata, *items, postgresql_partition_by=_range(by) if by else None)
    for key, parent in checked.items():
        if key not in alone.values():
            table.append_constraint(_constraint(metadata, spec, key, parent))
    tables_beside(metadata, spec, table)


def _placeholder_column(spec: FileSpec) -> list[sa.schema.SchemaItem]:
    """What marks placeholders, and an index of them alone, where there may be some."""
    if not spec.has_placeholders:
        return []
    only = sa.text(PLACEHOLDER_COLUMN)
    name = f"{spec.table}{PLACEHOLDER_COLUMN}s"
    return [
        sa.Column(PLACEHOLDER_COLUMN, sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Index(name, PLACEHOLDER_COLUMN, postgresql_where=only),
    ]


def _gone_column(spec: FileSpec) -> list[sa.schema.SchemaItem]:
    """Since when a row is gone, and an index of those that are, where rows may be."""
    if not spec.loses_rows:
        return []
    only = sa.text(f"{GONE_COLUMN} IS NOT NULL")
    return [
        sa.Column(GONE_COLUMN, sa.DateTime()),
        sa.Index(f"{spec.table}{GONE_COLUMN}", GONE_COLUMN, postgresql_where=only),
    ]


def _quoted(name: str) -> quoted_name:
    """A column's name, always in quotes: PostgreSQL reserves words that SQLAlchemy does not know of."""
    return quoted_name(name, quote=True)


def _targets(columns: Iterable[Column]) -> list[str]:
    return [column.target for column in columns]


def self_reference(spec: FileSpec, key: ForeignKey) -> str:
    """The name of the constraint by which the table refers to itself: the same whatever other keys it has."""
    columns = f"{spec.table}\0{key.label}".encode()
    return f"self_reference_{hashlib.sha256(columns).hexdigest()[:16]}"


def _is_plain(key: ForeignKey, parent: FileSpec, spec: FileSpec) -> bool:
    """Can the foreign key be written beside its column? Not one of several columns, or to its own table."""
    return len(key.key) == 1 and parent.table != spec.table


def _reference(metadata: sa.MetaData, parent: FileSpec, key: ForeignKey) -> sa.ForeignKey:
    """A reference to the parent's key, whatever characters its name has."""
    return sa.ForeignKey(_referred(metadata, parent, key)[0])


def _referred(metadata: sa.MetaData, parent: FileSpec, key: ForeignKey) -> list[sa.Column[Any]]:
    table = metadata.tables[parent.table if key.to else parent.key_table]
    return [table.columns[name] for name in _targets(parent.referred_by(key.to))]


def _constraint(
    metadata: sa.MetaData, spec: FileSpec, key: ForeignKey, parent: FileSpec
) -> sa.ForeignKeyConstraint:
    """A foreign key of several columns, or of a table to itself.

    That one can be put off to the end of a load's transaction: rows of one file find each other in any order.
    """
    is_self = parent.table == spec.table
    return sa.ForeignKeyConstraint(
        _targets(spec.schema.columns_of(key.key)),
        _referred(metadata, parent, key),
        name=self_reference(spec, key) if is_self else None,
        deferrable=True if is_self else None,
        initially="IMMEDIATE" if is_self else None,
    )


def _keys_apart(metadata: sa.MetaData, spec: FileSpec, by: str) -> Iterator[sa.schema.SchemaItem]:
    """Make the table of the keys of a fact partitioned `by` a column; returns what ties the fact to it.

    So a source key is unique in all partitions, whoever writes: each row has its key here, with the same time.
    """
    time = next(column for column in spec.schema.columns if column.target == by)
    key = spec.schema.key_columns
    both = [*_targets(key), by]
    keys = sa.Table(
        spec.key_table,
        metadata,
        *(sa.Column(_quoted(c.target), column_type(c), primary_key=True, autoincrement=False) for c in key),
        sa.Column(_quoted(by), column_type(time), nullable=False),
        sa.UniqueConstraint(*both),
    )
    yield sa.UniqueConstraint(*both)
    yield sa.ForeignKeyConstraint(
        both, [keys.columns[name] for name in both], onupdate="CASCADE", ondelete="CASCADE"
    )


def _range(column: str) -> str:
    return 'RANGE ("{}")'.format(column.replace('"', '""'))


def _index(table: str, column: str, method: str) -> sa.Index:
    return sa.Index(f"{table}_{column}_{method}", column, postgresql_using=method)
