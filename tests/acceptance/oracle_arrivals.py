"""The books of files of one type in the order in which they came, beside what they leave (oracle_changes.py).

What a row counts as depends on what was there when it came: `inserted` (a new key), `updated` (newer than what is
there), `unchanged` (says the same), `stale` (older), `changed` (other values that are not applied). `total` and
`quarantined` don't depend on it.

- A row that says the same as what is there is unchanged, whatever its time. One that was gone, and that the last
  of the files has again, is updated.
- Without `newer_by` the row of an earlier file is stale, also where both are of one hour.
- Of the rows of a key in one file the newest meets the table; the others are stale. So it is with `history` too:
  they become versions, not rows of the table. Records that delete are counted by themselves.
- `gone` counts rows that were there, or came with the file, and are not there any more, or are marked now, after
  this file.
- A snapshot fails where it would take more than `gone_at_most_pct` of the rows that were there at its time, as far
  as files tell that came before. What it would take later than that is not counted.
- `keep: first`: a row that is there stays; that its values are others is told. With snapshots the first that came
  since the key is there counts, of files that come in their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.acceptance.oracle_changes import Remembered, TableRow, remember
from tests.acceptance.oracle_files import Declared, File, Key, Parents, Row, read


@dataclass(frozen=True)
class Books:
    """`failed`: the snapshot was refused as a whole."""

    total: int = 0
    quarantined: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    changed: int = 0
    deletes: int = 0
    gone: int = 0
    failed: bool = False

    @property
    def already_present(self) -> int:
        return self.unchanged + self.stale + self.changed

    @property
    def balance(self) -> bool:
        valid = self.inserted + self.updated + self.already_present + self.deletes
        return self.failed or self.total == valid + self.quarantined


class Arrivals:
    """Files of one type, as they came. `table` and `remembered` are what they leave."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.files: list[File] = []
        self.first: dict[Key, TableRow] = {}
        self._parents: Parents = {}

    @property
    def remembered(self) -> Remembered:
        return remember(self.declared, self.files, self._parents)

    @property
    def table(self) -> dict[Key, TableRow]:
        return self.first if self.declared.keep == "first" else self.remembered.table

    def load(self, file: File, parents: Parents | None = None) -> Books | None:
        """The books of `file`; None for the double of one that is there."""
        self._parents = parents or {}
        if any(other.identity == file.identity for other in self.files):
            return None
        if self._would_lose_too_many(file):
            return Books(failed=True)
        there, before = self.table, self.remembered
        self.files.append(file)
        now = self.remembered
        if self.declared.keep == "first":
            self.first = self._kept_first(now)
        return self._books(file, there, before)

    def undo(self, file: File) -> None:
        """As if `file` had never come (not for `keep: first`, whose table depends on the order)."""
        self.files.remove(file)

    def _would_lose_too_many(self, file: File) -> bool:
        if not self.declared.takes_away:
            return False
        reading = read(self.declared, file, self._parents)
        earlier = remember(self.declared, [f for f in self.files if f.order < file.order], self._parents)
        alive = _alive(earlier.table)
        lost = sum(reading.lacks(key) for key in alive)
        return lost * 100 > self.declared.gone_at_most_pct * len(alive)

    def _kept_first(self, now: Remembered) -> dict[Key, TableRow]:
        kept: dict[Key, TableRow] = {}
        for key, row in now.table.items():
            former = self.first.get(key)
            came_back = former is not None and former.gone_at is not None and row.gone_at is None
            stays = former is not None and not came_back
            kept[key] = TableRow(
                former.values if former and stays else self._first_of(key).values or {}, row.gone_at
            )
        return kept

    def _first_of(self, key: Key) -> Row:
        reading = read(self.declared, self.files[-1], self._parents)
        return next(row for row in reading.good if row.key == key)

    def _books(self, file: File, there: dict[Key, TableRow], before: Remembered) -> Books:
        reading = read(self.declared, file, self._parents)
        counts: Counter[str] = Counter()
        for rows in _by_key(reading.good):
            newest = max((row for row in rows if not row.deletes), key=lambda row: row.order, default=None)
            for row in rows:
                meets = row is newest or row.deletes
                counts[self._fate(row, there, before) if meets else "stale"] += 1
        came = {
            row.key for row in reading.good if row.key is not None and row.key not in there and not row.deletes
        }
        return Books(
            reading.total,
            len(reading.refused),
            counts["inserted"],
            counts["updated"],
            counts["unchanged"],
            counts["stale"],
            counts["changed"],
            counts["deletes"],
            len((_alive(there) | came) - _alive(self.table)),
        )

    def _fate(self, row: Row, there: dict[Key, TableRow], before: Remembered) -> str:
        assert row.key is not None
        if row.deletes:
            return "deletes"
        if row.key not in there or there[row.key].is_placeholder:
            return "inserted"
        newest, gone_at = before.stories[row.key].newest, there[row.key].gone_at
        is_last = row.file is not None and all(file.order <= row.file.order for file in self.files)
        if gone_at is not None and is_last and row.order > newest.order and row.seen >= gone_at:
            return "updated"
        if there[row.key].values == row.values:
            return "unchanged"
        return self._fate_of_other_values(row, newest)

    def _fate_of_other_values(self, row: Row, newest: Row) -> str:
        if self.declared.keep == "first":
            return "changed"
        if row.order > newest.order:
            return "updated"
        contradicts = self.declared.newer_by is not None and row.at == newest.at
        return "changed" if contradicts else "stale"


def _alive(table: dict[Key, TableRow]) -> set[Key]:
    return {key for key, row in table.items() if row.gone_at is None}


def _by_key(rows: Iterable[Row]) -> Iterable[list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    return found.values()
