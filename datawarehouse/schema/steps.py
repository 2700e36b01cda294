"""A plan as values: what brings the tables to what the configuration says, a step at a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cost(StrEnum):
    """What a step costs whoever uses the table."""

    SAFE = "safe"  # takes a moment, and nothing is lost; a start does it by itself
    SLOW = "slow"  # reads or rewrites rows, and holds others up meanwhile
    LOSING = "losing"  # what is there can't be had back


class Kind(StrEnum):
    """What a step does, in the order in which steps are done."""

    RENAME_TABLE = "rename table"
    RENAME_COLUMN = "rename column"
    DROP_FOREIGN_KEY = "drop foreign key"
    DROP_KEY = "drop key"
    DROP_INDEX = "drop index"
    RETIRE = "retire"
    NULLABLE = "nullable"
    ADD_COLUMN = "add column"
    QUARANTINE = "quarantine"
    CHANGE_TYPE = "change type"
    CREATE_TABLE = "create table"
    MASK = "mask"
    HISTORY = "history"
    NOT_NULL = "not null"
    ADD_KEY = "add key"
    FOREIGN_KEY = "foreign key"
    CHECK = "check"
    VALIDATE = "validate"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Misfits:
    """Rows that are against a step: how many, and the first of them, each with its key and value.

    `condition` is SQL over a row `t` of `table`. The value is null where it is personal. `referred`: by which
    `table.column` others refer to some of them, and to how many.
    """

    table: str
    condition: str
    count: int
    why: str
    first: tuple[tuple[str, str | None], ...] = ()
    referred: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One change. `rows`: how many it reads or rewrites; `lock`: the strongest it takes on the table.

    `beside`: it is done after the others, each statement alone, while others load; a start can go on without it.
    `reads`: the column's text in SQL, where its values are read as those of files are; only `apply` does that.
    """

    kind: Kind
    table: str
    sentence: str
    sql: tuple[str, ...]
    cost: Cost = Cost.SAFE
    rows: int | None = None
    lock: str | None = "ACCESS EXCLUSIVE"
    beside: bool = False
    misfits: Misfits | None = None
    column: str | None = None
    reads: str | None = None
    now: str | None = None  # the table's name before a rename, where it has another

    @property
    def owner_of(self) -> str:
        """The table that whoever does it must own, by its name now."""
        return self.now or self.table

    @property
    def service_goes_on(self) -> bool:
        """Do loads of a running service go on meanwhile?"""
        return self.lock in {None, "SHARE UPDATE EXCLUSIVE", "ROW EXCLUSIVE"} or self.cost is Cost.SAFE
