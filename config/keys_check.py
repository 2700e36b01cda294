"""The keys of the YAML: how they are read, and what they can't be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from config.file_spec import FileSpec
from config.key import ROW_COLUMN, ROW_KEY, ForeignKey, Key
from config.model import Dtype
from config.schema import Schema

KEY_DTYPES = frozenset({Dtype.INT, Dtype.STR, Dtype.DATE, Dtype.DATETIME, Dtype.UUID})
"""What can be of a key: a value that is written in one way only, and compared exactly."""
_MAY_BE = "int, str, date, datetime or uuid"


def primary_key_problems(schema: Schema) -> Iterator[str]:
    """What is wrong with the key of a schema."""
    key = schema.primary_key
    if key.is_row and ROW_KEY in schema.by_name:
        yield (
            f"{ROW_KEY} says that rows have no key, and there is a column of that name; write [{ROW_KEY}] if the "
            "column is the key, or give it another name"
        )
    if key.is_row and ROW_COLUMN in {column.target for column in schema.columns}:
        yield f"{ROW_KEY} keeps the row's number in {ROW_COLUMN}; give the column of that name a stored_as"
    for name in key:
        column = schema.by_name.get(name)
        if column is None:
            yield f"{name!r} is not one of its columns"
        elif column.nullable or column.dtype not in KEY_DTYPES or column.pii:
            yield f"{name!r} must be {_MAY_BE}, not nullable, not PII"
        elif column.personal:
            yield f"{name!r} can't be personal: it is what tells rows apart"


def read_foreign_key(columns: str, parent: str, schema: Schema, schemas: Mapping[str, Schema]) -> ForeignKey:
    """A foreign key as the YAML says it: `visit_id, line_no` to `visit_lines`, or `code` to `branches.code`."""
    key = Key((columns,)) if columns in schema.by_name else _listed(columns)
    name, _, to = parent.partition(".")
    if parent in schemas or not to:
        return ForeignKey(key, parent)
    other = schemas.get(name)
    unique = Key((to,)) if other and to in other.by_name else _listed(to)
    is_primary = other is not None and other.primary_key == unique
    return ForeignKey(key, name, None if is_primary else unique)


def _listed(columns: str) -> Key:
    return Key(tuple(part.strip() for part in columns.split(",")))


def with_unique_keys(specs: Sequence[FileSpec]) -> list[FileSpec]:
    """The specs, each with what others refer to beside its primary key."""
    referred: dict[str, dict[Key, None]] = {}
    for spec in specs:
        for key in spec.foreign_keys:
            if key.to is not None:
                referred.setdefault(key.parent, {})[key.to] = None
    return [replace(spec, unique=tuple(referred.get(spec.name, ()))) for spec in specs]


def foreign_key_problems(spec: FileSpec, key: ForeignKey, by_name: Mapping[str, FileSpec]) -> Iterator[str]:
    """What is wrong with a foreign key of `spec`."""
    parent = by_name.get(key.parent)
    unknown = [name for name in key.key if name not in spec.schema.by_name]
    yield from (f"{name!r} is not a column of schemas.{spec.name}" for name in unknown)
    if parent is None:
        yield f"{key.label} refers to {key.parent!r}, which is not the type of any expected file"
        return
    yield from _unfit_parent(spec, key, parent)
    to = key.to or parent.schema.primary_key
    if missing := [name for name in to if name not in parent.schema.by_name]:
        yield f"{key.label} refers to {key.parent}.{missing[0]}, and schemas.{key.parent} has no such column"
    elif len(to) != len(key.key):
        if len(to):
            yield f"{key.label} has another number of columns than {key.parent}.{to}, to which it refers"
    elif not unknown:
        for mine, its in zip(spec.schema.columns_of(key.key), parent.referred_by(key.to), strict=True):
            if mine.dtype is not its.dtype:
                yield f"{mine.name} is {mine.dtype.value}, but {key.parent}.{its.name} is {its.dtype.value}"


def _unfit_parent(spec: FileSpec, key: ForeignKey, parent: FileSpec) -> Iterator[str]:
    """Why no key may refer to the parent in this way."""
    if key.to is None:
        if parent.schema.primary_key.is_row:
            yield (
                f"{key.label} refers to {key.parent!r}, whose rows have no key (primary_key: row); name a "
                f"column of it that is unique: {key.parent}.COLUMN"
            )
        return
    for name in key.to:
        column = parent.schema.by_name.get(name)
        if column is not None and (column.dtype not in KEY_DTYPES or column.pii or column.personal):
            yield f"{key.label} refers to {key.parent}.{name}, which must be {_MAY_BE}, and not personal"
    if parent.partition_by is not None:
        yield (
            f"{key.label} refers to {key.parent}.{key.to}, and {parent.table} is partitioned: there only its "
            "primary key is unique; refer to that"
        )
    if spec.personal and parent.personal:
        yield (
            f"{key.label} refers to {key.parent}.{key.to}, and both types have personal columns: a person is "
            "erased by the primary key; refer to that"
        )


def row_key_problems(spec: FileSpec) -> Iterator[str]:
    """What does not go with rows without a key, or with the column that a table is partitioned by in its key."""
    if spec.schema.primary_key.is_row and spec.keep.replaces:
        yield (
            "on_conflict: rows without a key (primary_key: row) never meet one another: update_if_newer "
            "(keep: latest) needs a key"
        )
    if spec.partition_by is not None and spec.partition_by.column in spec.schema.primary_key:
        yield f"partition_by.column: {spec.partition_by.column!r} is of the primary key; take another column"
