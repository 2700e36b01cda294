"""What the YAML says of rows that are gone: `rows: snapshot`, `gone`, `operation`, and what can't be."""

from __future__ import annotations

from collections.abc import Iterator

from config.expected_file import ExpectedFile
from config.file_spec import FileSpec
from config.model import GONE_COLUMN, Dtype, Gone


def gone_of(entry: ExpectedFile) -> Gone:
    """What becomes of rows that are gone; a record that says `delete` deletes, unless the YAML says otherwise."""
    if entry.gone is not None:
        return entry.gone
    return Gone.DELETE if entry.operation else Gone.KEEP


def gone_problems(spec: FileSpec) -> Iterator[str]:
    """Why rows of the kind can't be gone as the YAML says it."""
    if spec.is_snapshot and spec.schema.primary_key.is_row:
        yield "rows: snapshot needs a primary_key, by which the rows that it lacks are known; there is none (row)"
    if spec.is_snapshot and spec.operation:
        yield "operation: goes with rows: changes; a snapshot holds the rows there are, and tells no deletes"
    if spec.operation:
        yield from _operation_problems(spec)
    elif spec.loses_rows and not spec.is_snapshot:
        yield f"gone: {spec.gone} goes with rows: snapshot, or with operation"
    if not spec.loses_rows:
        return
    if not spec.keep.replaces:
        yield f"gone: {spec.gone} needs keep: latest or keep: history; with keep: first a row stays as it came"
    if GONE_COLUMN in {column.target.lower() for column in spec.stored} | spec.derive.keys():
        yield (
            f"gone: {spec.gone} keeps since when a row is gone in {GONE_COLUMN}; give the column of that name a "
            "stored_as"
        )


def _operation_problems(spec: FileSpec) -> Iterator[str]:
    operation = spec.operation
    if operation is None:
        return
    column = spec.schema.by_name.get(operation.column)
    if column is None:
        yield f"operation.column: {operation.column!r} is not a column of schemas.{spec.name}"
        return
    if column.dtype is not Dtype.STR:
        yield f"operation.column: {operation.column!r} is {column.dtype}; its words are of dtype str"
    used = {*spec.schema.primary_key, *spec.indexes, *spec.track, spec.newer_by}
    used |= {name for key in (*spec.unique, *(key.key for key in spec.foreign_keys)) for name in key}
    if operation.column in used:
        yield (
            f"operation.column: {operation.column!r} is not stored, and is named as a key, an index, in track or "
            "in newer_by"
        )
    if spec.schema.primary_key.is_row:
        yield "operation: needs a primary_key, which tells what is deleted; there is none (row)"
    if not spec.loses_rows:
        yield "gone: keep does not go with operation: its deletes would do nothing; say mark or delete"
    if both := sorted({*operation.delete} & {*operation.load}):
        yield f"operation.load: {both[0]!r} is among the words of delete too"
