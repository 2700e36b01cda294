"""The verdict on a file, as `check` and the report to the file's sender have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from config.drift import Change
from config.file_spec import FileSpec
from ingestion.drift_report import what_would_become
from validation.drift import told_name

_LONGEST_VALUE = 100  # characters of an example


@dataclass(frozen=True, slots=True)
class Example:
    """A refused row: its number in the file, and the value of the column in question, masked."""

    row_number: int
    value: str | None

    @classmethod
    def of(cls, row_number: int, value: Any) -> Self:
        """With as much of the value as can be shown."""
        text = None if value is None else str(value)
        if text is not None and len(text) > _LONGEST_VALUE:
            text = f"{text[:_LONGEST_VALUE]}…"
        return cls(row_number, text)


@dataclass
class ReasonCount:
    """How many rows one reason is held against, or one check warns of, and the first of them.

    `says` are the words that the YAML has for it.
    """

    stage: str
    rule: str
    column: str
    says: str | None = None
    rows: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """A column that only the file has, or only the schema; `rows` have a value in it, `told` is a sentence."""

    column: str
    kind: str
    rows: int
    looks_like: str | None
    told: str


@dataclass
class FileCheck:
    """The verdict on one file. `already_present` is None without a database; `error` says why it is refused.

    `within`: where its rows are, if they are in arrays of the file's records, as `visits.stops`.
    `warned` good rows are warned of, `warnings` says by which checks (stage `warning`).
    `drift`: columns that the schema has not, or that the file lacks, and what becomes of each.
    """

    path: str
    name: str
    table: str
    total: int = 0
    good: int = 0
    refused: int = 0
    warned: int = 0
    already_present: int | None = None
    within: str | None = None
    refused_by_stage: dict[str, int] = field(default_factory=dict)
    reasons: list[ReasonCount] = field(default_factory=list)
    warnings: list[ReasonCount] = field(default_factory=list)
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    drift: list[ColumnDrift] = field(default_factory=list)
    shown: str = ""  # what it is called, where its name alone does not tell it apart

    @property
    def passed(self) -> bool:
        return self.error is None and self.refused == 0


def drift_of(spec: FileSpec, changes: Iterable[Change]) -> list[ColumnDrift]:
    """Columns that are not as agreed, as a verdict has them."""
    return [
        ColumnDrift(told_name(c.column), c.kind.value, c.rows, c.looks_like, what_would_become(spec, c))
        for c in changes
    ]
