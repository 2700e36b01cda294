"""What becomes of a file whose columns are not those of its schema: by the schema, the policies and the names."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Sequence

from config.drift import Change, ChangeKind
from config.errors import FileRejected
from config.schema import Column, Schema
from validation.strays import looks_personal

FAIL, NULL = "fail", "null"
_ALIKE = 0.7  # from which on two names may be one's
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
        renames = likely_renames(missing, unexpected)
        told_renames = "".join(f"; {told}" for told in (rename_told(column, new) for column, new in renames))
        problem = FileRejected(
            f"the columns are not those of schema {schema.name!r}; {listed}{told_renames} "
            f"(the YAML can say: {ways_out})"
        )
        looks_like = {new: column.name for column, new in renames}
        problem.changes = (
            *(Change(ChangeKind.MISSING, column.name) for column in missing),
            *(Change(ChangeKind.UNEXPECTED, name, looks_like=looks_like.get(name)) for name in unexpected),
        )
        raise problem


def likely_renames(missing: Sequence[Column], new: Sequence[str]) -> list[tuple[Column, str]]:
    """Which of the `new` names may be those of `missing` columns: the likest pairs first, each in one pair."""
    likeness = {(c.name, n): max(_likeness(own, n) for own in c.names_in_file) for c in missing for n in new}
    by_name = {column.name: column for column in missing}
    pairs: dict[str, str] = {}
    for (column, name), ratio in sorted(likeness.items(), key=lambda item: -item[1]):
        if ratio >= _ALIKE and column not in pairs and name not in pairs.values():
            pairs[column] = name
    return [(by_name[column], name) for column, name in pairs.items()]


def rename_told(column: Column, new: str) -> str:
    """That a column may have another name now, and the line of YAML that accepts it."""
    names = ", ".join(map(_in_yaml, dict.fromkeys([*column.names_in_file, new])))
    return f"{column.name} may be called {new} now: from: [{names}]"


def _in_yaml(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w .-]*", name) and name.strip() == name else json.dumps(name)


def _likeness(one: str, other: str) -> float:
    """How like two names are, from 0 to 1. What differs in capitals and signs alone is the same."""
    words = [re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()) for name in (one, other)]
    if not all(words):
        return 0.0
    plain = ["".join(of_name) for of_name in words]
    if plain[0] == plain[1]:
        return 1.0
    if set(words[0]) < set(words[1]) or set(words[1]) < set(words[0]):
        return 0.9
    return difflib.SequenceMatcher(None, plain[0], plain[1]).ratio()


def _called(column: Column) -> str:
    """The column, and what a file should call it."""
    return f"{column.name} (from {' or '.join(column.sources)})" if column.sources else column.name


def _named_twice(columns: Collection[Column], names: Sequence[str]) -> Iterator[str]:
    for column in columns:
        given = [name for name in names if name in column.names_in_file]
        if len(given) > 1:
            yield f"{column.name} (as {' and '.join(given)})" if column.sources else column.name


def told_name(name: str) -> str:
    """A new column's name fit for a message, where all others of its file are known."""
    return name if name.isprintable() and 0 < len(name) <= 63 and not looks_personal(name) else "(no plain name)"


def shown(name: str, position: int) -> str:
    """A column name fit for a message: itself when it is a plain identifier, else its place."""
    plain = name.isascii() and name.isidentifier() and len(name) <= 63 and not any(c.isdigit() for c in name)
    return name if plain else f"column {position + 1} (its name is not a plain one)"
