"""What tells the rows of a table apart, and how one table refers to another: one column, several, or none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

ROW_KEY = "row"  # in the YAML: the file and the row's number in it are the key
# Columns of rows on their way, beside those of the file: no header has a NUL in its names.
FILE_ID, FILE_ROW = "\0file_id", "\0file_row"
ROW_COLUMN = "_row"  # of the table: the number that a row without a key of its own has in its file


@dataclass(frozen=True, slots=True)
class Key:
    """The columns that tell rows apart, named as in the file; none of them where file and row number do."""

    columns: tuple[str, ...] = ()

    @classmethod
    def read(cls, said: Key | str | Sequence[str]) -> Key:
        """The key as the YAML says it: `id`, `[visit_id, line_no]`, or `row`. A column called row is `[row]`."""
        if isinstance(said, Key):
            return said
        if isinstance(said, str):
            return cls() if said == ROW_KEY else cls((said,))
        if not said or len(set(said)) < len(said) or not all(isinstance(name, str) for name in said):
            raise ValueError("a key is the name of a column, a list of different ones, or the word row")
        return cls(tuple(said))

    @property
    def is_row(self) -> bool:
        """Are file and row number the key?"""
        return not self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __str__(self) -> str:
        """`visit_id, line_no`: what reasons and reports call it."""
        return ", ".join(self.columns) or ROW_KEY


class IfMissing(StrEnum):
    """What becomes of a row whose parent is not there."""

    WAIT = "wait"  # in quarantine, until the parent comes
    PLACEHOLDER = "placeholder"  # loaded; the parent's table gets a row that has nothing but the key
    NULL = "null"  # loaded, and refers to nothing


PLACEHOLDER_COLUMN = "_placeholder"  # of a table that may have them: is this row one?
NO_FILE = 0  # the file id of a row that no file has brought


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """`key` of a file refers to `to` of the logical file `parent`; without `to`, to its primary key.

    Where one of several columns is null, the row refers to nothing (MATCH SIMPLE, as in SQL). `if_missing` says
    what becomes of a row of the file, and is not of the table.
    """

    key: Key
    parent: str
    to: Key | None = None
    if_missing: IfMissing = field(default=IfMissing.WAIT, compare=False)

    @classmethod
    def of(cls, columns: str | Sequence[str], parent: str, to: str | Sequence[str] | None = None) -> ForeignKey:
        """The foreign key of one column, or of several."""
        return cls(Key.read(columns), parent, None if to is None else Key.read(to))

    @property
    def label(self) -> str:
        """What reasons and reports call it: its columns."""
        return str(self.key)


def in_words(label: str, value: str) -> str:
    """A key as people read it: `visit_id 5, line_no 2`, for `value` as it waits in orphan_wait; else as it is."""
    names = label.split(", ")
    if len(names) == 1 or not value.startswith("["):
        return value
    try:
        parts = json.loads(value)
    except ValueError:
        return value
    if not isinstance(parts, list) or len(parts) != len(names):
        return value
    return ", ".join(f"{name} {part}" for name, part in zip(names, parts, strict=True))
