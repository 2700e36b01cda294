"""What checks say of rows: in a chunk, and added up for a file, which may fail for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from config.errors import FileRejected
from config.schema import Column, Schema
from config.severity import Severity, Then

MOST_LISTED = 1000  # rows of a file that are listed for one check; all of them are counted


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says of a chunk: its name, which rows break it (boolean, one a row), and what becomes of them.

    `column` is the one that it is a rule of; '' where it looks at rows as a whole. `where` is its place in the
    YAML.
    """

    name: str
    column: str
    severity: Severity
    broken: np.ndarray
    where: str = ""

    @classmethod
    def of_rule(cls, schema: Schema, column: Column, rule: str, broken: np.ndarray) -> Finding:
        """What a rule of `column` says."""
        where = f"schemas.{schema.name}.columns.{column.name}.rules.{rule}"
        return cls(rule, column.name, column.severity(rule), broken, where)


@dataclass(slots=True)
class Tally:
    """What a check found in a file: how many records break it, and of those that are loaded, which, the first
    MOST_LISTED of them."""

    severity: Severity
    where: str
    broken: int = 0
    first: int = 0  # the number of the first record that breaks it
    loaded: int = 0
    listed: list[int] = field(default_factory=list)

    def add(self, numbers: np.ndarray, broken: np.ndarray, good: np.ndarray) -> None:
        """Count records: their `numbers` in the file, and which of them break the check, and are loaded."""
        count = int(broken.sum())
        if not count:
            return
        first = int(numbers[broken].min())
        self.first = min(self.first or first, first)
        self.broken += count
        if self.severity.then is Then.WARN:
            warned = numbers[broken & good]
            self.loaded += len(warned)
            self.listed += np.sort(warned)[: MOST_LISTED - len(self.listed)].tolist()


class FileFindings:
    """What all checks found in a file so far. `warned` is the number of loaded rows that some check warns of."""

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, str], Tally] = {}  # by the check's name and column
        self.warned = 0

    def add(self, findings: list[Finding], numbers: np.ndarray, good: np.ndarray) -> None:
        """Count what was found in a chunk that was loaded: of each row its number, and if it is good by now."""
        warned = np.zeros(len(good), dtype=bool)
        for finding in findings:
            tally = self.tally(finding.name, finding.column, finding.severity, finding.where)
            tally.add(numbers, finding.broken, good)
            if finding.severity.warns:
                warned |= finding.broken
        self.warned += int((warned & good).sum())

    def tally(self, name: str, column: str, severity: Severity, where: str = "") -> Tally:
        """What a check has found so far; a check of the file as a whole says it here."""
        return self.tallies.setdefault((name, column), Tally(severity, where))

    @property
    def warnings(self) -> dict[tuple[str, str], Tally]:
        """The checks that warn of loaded rows, or of the file, by their name and column."""
        return {check: tally for check, tally in self.tallies.items() if tally.severity.warns and tally.broken}

    def refuse_if_too_many(self, total: int) -> None:
        """Raise FileRejected where more of the file's `total` records break a check than it takes."""
        problems = [
            said
            for (name, column), tally in self.tallies.items()
            if (said := _too_many(name, column, tally, total))
        ]
        if problems:
            raise FileRejected("; ".join(problems))


def of_files(
    findings: list[Finding], numbers: np.ndarray, good: np.ndarray, owners: np.ndarray
) -> dict[int, FileFindings]:
    """What was found in rows of several files, by the file of each (`owners`)."""
    found = {}
    for file_id in np.unique(owners).tolist() if findings else ():
        own = owners == file_id
        found[file_id] = FileFindings()
        found[file_id].add([replace(one, broken=one.broken[own]) for one in findings], numbers[own], good[own])
    return found


def _too_many(name: str, column: str, tally: Tally, total: int) -> str:
    """Why the file fails by this check; '' where it does not."""
    severity = tally.severity
    if severity.at_most_pct is None:
        if severity.then is not Then.FAIL or not tally.broken:
            return ""
        limit, way_out = "then: fail takes none", "say then: refuse or warn"
    else:
        if tally.broken * 100 <= severity.at_most_pct * total:
            return ""
        share = tally.broken * 100 / total
        limit = f"{share:.3g} % are more than at_most_pct: {severity.at_most_pct:g}"
        way_out = "raise at_most_pct"
    label = f"{column}: {name}" if column else name
    said = f" ({severity.says})" if severity.says else ""
    place = f" under {tally.where}" if tally.where else ""
    return (
        f"{label}{said} is broken by {tally.broken:,} of {total:,} records, first by record {tally.first}: {limit}"
        f". Mend the file, or {way_out}{place}"
    )
