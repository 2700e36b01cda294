"""Checks of where columns come from: `from`, `optional`, `default` and `value`."""

from __future__ import annotations

from collections.abc import Iterator

from config.schema import Column, Schema


def origin_problems(schema: Schema) -> Iterator[str]:
    """What is wrong, each with its key's path from `columns` on, and the way out."""
    owners: dict[str, str] = {}
    for column in schema.columns:
        where = f"columns.{column.name}"
        yield from (f"{where}{problem}" for problem in _column_problems(column))
        if column.name in schema.primary_key and (column.optional or column.default is not None):
            key = "optional" if column.optional else "default"
            yield f"{where}.{key}: {column.name!r} is of the primary key: each row brings it; leave {key} out"
        for source in column.names_in_file if column.value is None else ():
            if (owner := owners.setdefault(source, column.name)) != column.name:
                other = ".from" if column.sources else ""
                yield f"{where}{other}: {source!r} is where {owner} comes from; a file's column fills one column"
    if not owners:
        yield "columns: every column has a value, and none comes from the file; leave value out of one"


def _column_problems(column: Column) -> Iterator[str]:
    if column.value is not None:
        if column.sources:
            yield ".from: goes with columns that the file has, and value says that it has not; leave one out"
        if column.pii is not None and not column.value.is_of_record:
            yield ".value: goes with no pii: names of files and values of the YAML are not hidden"
        if column.format and column.value.path is None and column.value.parent is None:
            yield f".format: goes with value: {{path: …}}; {column.value.says} is written in one way"
    if column.default is not None and column.pii is not None:
        yield ".default: goes with no pii: what nobody gave tells of nobody; leave it out, and such rows are null"
    if column.optional and not column.can_be_missing:
        why = "not nullable" if not column.nullable else "required"
        yield f".optional: the column is {why}; give it a default, or let it be null"
