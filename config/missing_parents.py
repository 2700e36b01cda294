"""What a row may do without its parent: `if_missing` of a foreign key, held against both types."""

from __future__ import annotations

from collections.abc import Iterator

from config.file_spec import FileSpec
from config.key import PLACEHOLDER_COLUMN, ForeignKey, IfMissing


def if_missing_problems(spec: FileSpec, key: ForeignKey, parent: FileSpec) -> Iterator[str]:
    """Why a foreign key of `spec` can't be null, or `parent` have no placeholder; each with its place."""
    known = all(name in spec.schema.by_name for name in key.key)
    where = f"foreign_keys.{key.label}.if_missing"
    if key.if_missing is IfMissing.NULL and known:
        yield from (f"{where}: null, but {problem}" for problem in _null_problems(spec, key, parent))
    elif key.if_missing is IfMissing.PLACEHOLDER:
        yield from (f"{where}: placeholder, but {problem}" for problem in _placeholder_problems(key, parent))


def _null_problems(spec: FileSpec, key: ForeignKey, parent: FileSpec) -> Iterator[str]:
    way_out = "say wait or placeholder"
    by = spec.partition_by.column if spec.partition_by else None
    for name in key.key:
        if name in spec.schema.primary_key:
            yield f"{name} is of the primary key; {way_out}"
        elif not spec.schema.by_name[name].nullable:
            yield f"{name} is nullable: false; make it nullable, or {way_out}"
        elif name == by:
            yield f"the table is partitioned by {name}; {way_out}"
        others = [other.label for other in spec.foreign_keys if other != key and name in other.key]
        for other in others:
            yield f"{name} is of the foreign key {other} too, which would be lost with it; {way_out}"
    if spec.personal and parent.personal:
        yield (
            "both types have personal columns, and a row that refers to nobody would not be found when that "
            f"person is erased; {way_out}"
        )


def _placeholder_problems(key: ForeignKey, parent: FileSpec) -> Iterator[str]:
    way_out = "say wait or null"
    if key.to is not None:
        yield (
            f"it refers to {parent.name}.{key.to}, and a placeholder needs the primary key of {parent.table}; "
            f"refer to that, or {way_out}"
        )
        return
    for other in parent.foreign_keys:
        if set(other.key) <= set(parent.schema.primary_key):
            yield (
                f"the primary key of {parent.name} holds {other.label}, which refers to {other.parent}: a "
                f"placeholder would refer to a row that may not be there; {way_out}"
            )
    if PLACEHOLDER_COLUMN in {column.target.lower() for column in parent.schema.columns}:
        yield (
            f"schemas.{parent.name} has a column {PLACEHOLDER_COLUMN}, which is where its table marks "
            "placeholders; give that column another name in the table: stored_as"
        )
