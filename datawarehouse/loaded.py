"""What became of rows that were to be loaded, as the database counts them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that PostgreSQL itself refused: its number in the file, and the error's name."""

    row: int
    error: str


@dataclass(slots=True)
class Loaded:
    """What became of the rows, as the database counts them.

    `duplicates` are the numbers of rows that tell nothing newer than what the same file brought before. A row
    counts as already present and `stale` as well when its file has a newer one of its key, or had an older one
    that it takes the place of: so the counts are the same whatever the order. Of those already present, `changed`
    have other values than the row that stays, and are not older. With `list_present`, `updated_rows` are of those
    that replaced a row of an earlier file, `present_rows` of those that did not, and `changed_rows` of those among
    these that differ from an earlier file's row. `related` were not loaded, since a row was refused to which they
    refer, in a table that refers to itself. `placeholders` are the rows for which one was made, by the parent's
    logical name; `cut_loose` those that are good without a parent, by the foreign key that is null in them.
    `deletes` tell to delete, and are none of the others.
    `traces` are of rows that tell again what is there: their files, and what they tell of (key_traces.py), each a
    number of 8 bytes.
    """

    inserted: int = 0
    updated: int = 0
    already_present: int = 0
    changed: int = 0
    stale: int = 0
    duplicates: list[int] = field(default_factory=list)
    present_rows: list[int] = field(default_factory=list)
    updated_rows: list[int] = field(default_factory=list)
    changed_rows: list[int] = field(default_factory=list)
    stale_rows: list[int] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    related: list[int] = field(default_factory=list)
    deletes: list[int] = field(default_factory=list)
    placeholders: dict[str, list[int]] = field(default_factory=dict)
    cut_loose: dict[str, list[int]] = field(default_factory=dict)
    traces: list[tuple[memoryview, memoryview]] = field(default_factory=list)

    def add(self, other: Loaded) -> None:
        """Sum up."""
        self.inserted += other.inserted
        self.updated += other.updated
        self.already_present += other.already_present
        self.changed += other.changed
        self.stale += other.stale
        self.duplicates += other.duplicates
        self.present_rows += other.present_rows
        self.updated_rows += other.updated_rows
        self.changed_rows += other.changed_rows
        self.stale_rows += other.stale_rows
        self.refused += other.refused
        self.related += other.related
        self.deletes += other.deletes
        self.traces += other.traces
        for mine, its in ((self.placeholders, other.placeholders), (self.cut_loose, other.cut_loose)):
            for name, rows in its.items():
                mine.setdefault(name, []).extend(rows)
