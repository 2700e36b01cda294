"""What becomes of a file whose columns are not those of its schema: by the schema, the policies and the names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from config.errors import FileRejected
from config.model import Column, Schema

FAIL, IGNORE, NULL = "fail", "ignore", "null"
_WAYS_OUT = {
    "missing": "optional: true, where a file may lack the column; from, where it has another name",
    "unexpected": "new_columns: keep, to have such columns in _extra, or ignore, to leave them out",
    "given twice": "fewer names under from, or one column fewer in the file",
}


def match_columns(schema: Schema, names: Sequence[str]) -> list[str | None]:
    """Which column each of the `names` in a file's header is, in any order; None for one that is left out.

    A name that isn't a plain one is not repeated in the message: a file without a header has data there.
    Raises FileRejected that lists the differences.
    """
    columns = schema.in_file.columns
    found = [column.name if (column := schema.by_source.get(name)) else None for name in names]
    refuse_differences(
        schema,
        [column for column in columns if column.name not in found and not may_lack(schema, column)],
        [shown(n, p) for p, n in enumerate(names) if found[p] is None] if refuses_new(schema) else [],
        list(_named_twice(columns, names)),
    )
    return found


def are_those_of(schema: Schema, names: Collection[str]) -> bool:
    """Do `names` name each column that a file of the schema may not lack?"""
    found = {schema.by_source[name].name for name in names if name in schema.by_source}
    return all(column.name in found or may_lack(schema, column) for column in schema.in_file.columns) and bool(
        found
    )


def may_lack(schema: Schema, column: Column) -> bool:
    """May a file of the schema lack the column?"""
    if column.name in schema.primary_key:
        return False
    return column.optional or (schema.drift.missing_columns == NULL and column.can_be_missing)


def refuses_new(schema: Schema) -> bool:
    """Does a file fail that has a column which the schema doesn't have?"""
    return schema.drift.new_columns == FAIL


def refuse_differences(
    schema: Schema, missing: Sequence[Column], unexpected: Sequence[str], twice: Sequence[str] = ()
) -> None:
    """Raise FileRejected that lists the differences, if there are any; each kind with its way out."""
    told = {"missing": [_called(column) for column in missing], "unexpected": unexpected, "given twice": twice}
    found = {kind: ", ".join(names) for kind, names in told.items() if names}
    if found:
        listed = "; ".join(f"{kind}: {names}" for kind, names in found.items())
        ways_out = "; ".join(_WAYS_OUT[kind] for kind in found)
        raise FileRejected(
            f"the columns are not those of schema {schema.name!r}; {listed} (the YAML can say: {ways_out})"
        )


def _called(column: Column) -> str:
    """The column, and what a file should call it."""
    return f"{column.name} (from {' or '.join(column.sources)})" if column.sources else column.name


def _named_twice(columns: Collection[Column], names: Sequence[str]) -> Iterator[str]:
    for column in columns:
        given = [name for name in names if name in column.names_in_file]
        if len(given) > 1:
            yield f"{column.name} (as {' and '.join(given)})" if column.sources else column.name


def shown(name: str, position: int) -> str:
    """A column name fit for a message: itself when it is a plain identifier, else its place."""
    plain = name.isascii() and name.isidentifier() and len(name) <= 63 and not any(c.isdigit() for c in name)
    return name if plain else f"column {position + 1} (its name is not a plain one)"
