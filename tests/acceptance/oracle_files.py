"""Types and files as the model of rows that change reads them (oracle_changes.py)."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Key = tuple[Any, ...]
EVER, NEVER = dt.datetime.min, dt.datetime.max  # -infinity, infinity
DATES = (dt.datetime(2000, 1, 1), dt.datetime(2100, 12, 31, 23, 59, 59, 999999))


@dataclass(frozen=True)
class ForeignKey:
    columns: tuple[str, ...]
    parent: str
    if_missing: str = "wait"


@dataclass(frozen=True)
class VersionOf:
    """A derived column: which version of `parent` was in force at `at`."""

    column: str
    parent: str
    by: str
    at: str


@dataclass(frozen=True)
class Declared:
    """A type, as the YAML has it."""

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]  # column → dtype
    keep: str = "first"
    newer_by: str | None = None
    track: tuple[str, ...] = ()
    is_snapshot: bool = False
    gone: str = "keep"
    gone_at_most_pct: float = 20
    operation: str | None = None  # its column
    deletes: tuple[str, ...] = ()  # its words
    foreign_keys: tuple[ForeignKey, ...] = ()
    versions: tuple[VersionOf, ...] = ()
    never_null: frozenset[str] = frozenset()  # beside the key

    @classmethod
    def read(cls, name: str, given: Mapping[str, Any]) -> Declared:
        """`given`: `key`, `columns` (name → dtype), and the keys of an expected file."""
        operation = given.get("operation")
        columns = {c: how if isinstance(how, str) else how["dtype"] for c, how in given["columns"].items()}
        return cls(
            name,
            _listed(given["key"]),
            columns,
            given.get("keep", "first"),
            given.get("newer_by"),
            tuple(given.get("track", ())),
            given.get("rows") == "snapshot",
            given.get("gone", "keep"),
            given.get("gone_at_most_pct", 20),
            operation["column"] if operation else None,
            tuple(operation["delete"]) if operation else (),
            tuple(_foreign_key(by, to, given) for by, to in given.get("foreign_keys", {}).items()),
            tuple(
                VersionOf(column, how["version_of"], how["by"], how["at"])
                for column, how in given.get("derive", {}).items()
                if "version_of" in how
            ),
            frozenset(
                c for c, how in given["columns"].items() if isinstance(how, dict) and not how.get("nullable", True)
            ),
        )

    @property
    def stored(self) -> tuple[str, ...]:
        return tuple(name for name in self.columns if name != self.operation)

    @property
    def tracked(self) -> tuple[str, ...]:
        return self.track or tuple(name for name in self.stored if name != self.newer_by)

    @property
    def takes_away(self) -> bool:
        """Is what a snapshot lacks gone?"""
        return self.is_snapshot and self.gone != "keep"


def _listed(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _foreign_key(by: str, to: str | Mapping[str, str], given: Mapping[str, Any]) -> ForeignKey:
    said = {"to": to} if isinstance(to, str) else to
    if_missing = said.get("if_missing", given.get("if_parent_missing", "wait"))
    return ForeignKey(tuple(name.strip() for name in by.split(",")), said["to"], if_missing)


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class File:
    """A file of `type`: `as_of` is the time of its folder (UTC), `modified` that of its last change."""

    type: str
    as_of: dt.datetime
    modified: dt.datetime
    name: str
    content: str  # CSV with a header

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content.encode(), usedforsecurity=False).hexdigest()

    @property
    def order(self) -> tuple[Any, ...]:
        return self.as_of, self.modified, self.name.encode(), self.md5

    @property
    def identity(self) -> tuple[Any, ...]:
        """Of two files with the same, one is the double of the other."""
        return self.type, self.as_of, self.content


@dataclass(frozen=True)
class Row:
    """A record of a file. Refused: `values` is None; `key` too where it can't be read."""

    number: int
    key: Key | None
    values: Mapping[str, Any] | None = field(default=None, hash=False)
    at: dt.datetime = EVER
    deletes: bool = False
    file: File | None = field(default=None, repr=False)

    @property
    def order(self) -> tuple[Any, ...]:
        assert self.file is not None
        return self.at, self.file.order

    @property
    def seen(self) -> dt.datetime:
        """The time of its file."""
        assert self.file is not None
        return self.file.as_of

    def __getitem__(self, name: str) -> Any:
        assert self.values is not None
        return self.values[name]


@dataclass(frozen=True)
class Reading:
    """What a file says, with the parents that are there."""

    file: File
    good: tuple[Row, ...]
    refused: tuple[Row, ...]

    @property
    def total(self) -> int:
        return len(self.good) + len(self.refused)

    @property
    def keys(self) -> set[Key]:
        return {row.key for row in self.good if row.key is not None}

    @property
    def spares_all(self) -> bool:
        """Might a record that can't be read be of any key?"""
        return any(row.key is None for row in self.refused)

    def lacks(self, key: Key) -> bool:
        return not self.spares_all and all(row.key != key for row in (*self.good, *self.refused))


Parents = Mapping[str, Collection[Key]]


def read(declared: Declared, file: File, parents: Parents) -> Reading:
    """The records of `file`; of those with one key and one time the first good one is taken."""
    lines = csv.reader(io.StringIO(file.content))
    header = next(lines)
    good: list[Row] = []
    refused: list[Row] = []
    taken: set[tuple[Any, ...]] = set()
    for number, line in enumerate((line for line in lines if line), 1):
        row = _judged(declared, file, number, header, line)
        if row.values is None or _lacks_a_parent(declared, row, parents) or (row.key, row.at) in taken:
            refused.append(Row(number, row.key))
            continue
        taken.add((row.key, row.at))
        good.append(row)
    return Reading(file, tuple(good), tuple(refused))


def _judged(declared: Declared, file: File, number: int, header: Sequence[str], line: Sequence[str]) -> Row:
    if len(line) != len(header):
        return Row(number, None)
    texts = dict(zip(header, line, strict=True))
    values: dict[str, Any] = {}
    for name, dtype in declared.columns.items():
        try:
            values[name] = _value(texts[name], dtype)
        except ValueError:
            continue
    key = tuple(values.get(name) for name in declared.key)
    if None in key:
        return Row(number, None)
    if len(values) < len(declared.columns) or any(values[name] is None for name in declared.never_null):
        return Row(number, key)
    deletes = declared.operation is not None and values.pop(declared.operation) in declared.deletes
    at = file.as_of if declared.newer_by is None else values[declared.newer_by] or EVER
    return Row(number, key, values, at, deletes, file)


def _value(text: str, dtype: str) -> Any:
    if not text:
        return None
    if dtype == "int":
        return int(text)
    if dtype == "datetime":
        value = dt.datetime.fromisoformat(text)
        if not DATES[0] <= value <= DATES[1]:
            raise ValueError("out of validation.dates")
        return value
    return text


def _lacks_a_parent(declared: Declared, row: Row, parents: Parents) -> bool:
    for foreign_key in declared.foreign_keys:
        wanted = tuple(row[name] for name in foreign_key.columns)
        if foreign_key.if_missing == "wait" and None not in wanted and wanted not in parents[foreign_key.parent]:
            return True
    return False
