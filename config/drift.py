"""How a file differs from its schema, as it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """What became of a column that only the file has, or only the schema."""

    KEPT = "kept"  # its values are in _extra
    ADDED = "added"  # the table has got it
    IGNORED = "ignored"  # its values are in the file alone
    NULL = "null"  # the file lacks it: null in its rows, or the default
    UNEXPECTED = "unexpected"  # the file was refused, for having it
    MISSING = "missing"  # the file was refused, for lacking it
    NO_ARRAY = "no_array"  # no record has the path at which the rows of a type with from_child are

    @property
    def is_new(self) -> bool:
        """Is it a column that only the file has?"""
        return self in {ChangeKind.KEPT, ChangeKind.ADDED, ChangeKind.IGNORED, ChangeKind.UNEXPECTED}


@dataclass(frozen=True, slots=True)
class Change:
    """One such column; `rows` have a value in it. `looks_like`: the column that it may be under another name.

    `of` is the type whose schema it is about, where that is not the file's own but one of its arrays'.
    """

    kind: ChangeKind
    column: str
    rows: int = 0
    looks_like: str | None = None
    of: str | None = None
