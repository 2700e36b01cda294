"""An independent judge of input files: row by row, from the YAML alone, sharing no code with the pipeline."""

from __future__ import annotations

import datetime as dt
import fnmatch
import hashlib
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.oracle_reader import Record, UnreadableFileError, read_records
from tests.acceptance.oracle_rules import Spec, broken_rules, judge_value, meaning, read_specs, typed_values


@dataclass(frozen=True, slots=True)
class Reason:
    stage: str
    rule: str
    column: str | None = None


@dataclass(slots=True)
class Row:
    """A record's verdict. `stage` is as it was at loading, None for a good row.

    An orphan may turn out to be a duplicate. `fate` is where the row is now: loaded, updated, already_present, or
    quarantined.
    """

    number: int
    stage: str | None
    reasons: tuple[Reason, ...]
    values: dict[str, Any]
    fate: str = "quarantined"


@dataclass(slots=True)
class FileBook:
    """What became of one file: `error` for one that failed as a whole."""

    path: Path
    spec: Spec
    rows: list[Row] = field(default_factory=list)
    error: str | None = None

    @property
    def total(self) -> int:
        return len(self.rows)

    @property
    def inserted(self) -> int:
        return self._count("loaded")

    @property
    def already_present(self) -> int:
        return self._count("already_present")

    @property
    def updated(self) -> int:
        return self._count("updated")

    @property
    def quarantined(self) -> int:
        return self.total - self.inserted - self.already_present - self.updated

    @property
    def orphans(self) -> int:
        return sum(row.stage == "orphan" for row in self.rows)

    @property
    def resolved_orphans(self) -> int:
        return sum(row.stage == "orphan" and row.fate != "quarantined" for row in self.rows)

    @property
    def duplicates(self) -> int:
        return sum(any(reason.rule == "duplicate" for reason in row.reasons) for row in self.rows)

    @property
    def rejected(self) -> list[Row]:
        """The rows that went to quarantine at loading, healed or not."""
        return [row for row in self.rows if row.stage is not None]

    def _count(self, fate: str) -> int:
        return sum(row.fate == fate for row in self.rows)


def _version(row: Row, spec: Spec) -> dt.datetime:
    """What tells which of two rows of a key is newer; null is older than any time."""
    time = row.values[spec.newer_by] if spec.newer_by else None
    return time if isinstance(time, dt.datetime) else dt.datetime.min


class Oracle:
    """Loads files in the order of its calls; `books` has every file that was not a replay."""

    def __init__(self, config_yaml: Path) -> None:
        config = yaml.safe_load(config_yaml.read_text(encoding="utf-8"))
        self.specs = read_specs(config)
        self.by_name = {spec.name: spec for spec in reversed(self.specs)}
        first, last = config.get("validation", {}).get("dates", (dt.date(2000, 1, 1), dt.date(2100, 12, 31)))
        self.dates = (dt.datetime.combine(first, dt.time.min), dt.datetime.combine(last, dt.time.max))
        self.loaded: dict[str, dict[Any, FileBook]] = {spec.table: {} for spec in self.specs}
        self.versions: dict[str, dict[Any, dt.datetime]] = {spec.table: {} for spec in self.specs}
        self.books: list[FileBook] = []
        self._seen: set[tuple[str, str, int]] = set()

    def spec_for(self, path: Path, feed: str) -> Spec | None:
        """The spec of a file of `feed`: batch, stream or master (by the stem, whatever the extension)."""
        name = path.name.removesuffix(".gz")
        found: list[tuple[int, Spec]] = []
        for spec in self.specs:
            if feed == "master":
                if spec.feed == "batch" and Path(spec.pattern).stem == Path(name).stem:
                    return spec
            elif spec.feed == feed and spec.pattern == name:
                return spec
            elif spec.feed == feed and fnmatch.fnmatchcase(name, spec.pattern):
                found.append((len(re.sub(r"\*|\?|\[.*?\]", "", spec.pattern)), spec))
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def load(self, path: Path, spec: Spec) -> FileBook | None:
        """Judge the file and load its good rows; None when the same content was loaded before."""
        data = path.read_bytes()
        identity = (spec.name, hashlib.md5(data, usedforsecurity=False).hexdigest(), len(data))
        if identity in self._seen:
            return None
        self._seen.add(identity)
        book = FileBook(path, spec)
        self.books.append(book)
        try:
            names = [column.name for column in spec.columns]
            optional = [c.name for c in spec.columns if c.nullable and not c.rules.get("required")]
            fits = partial(typed_values, spec)
            records = read_records(path, names, fits, spec.delimiter, optional, spec.origins)
        except UnreadableFileError as error:
            book.error = str(error)
            return book
        taken: dict[Any, list[Row]] = {}  # the rows of each key that are no duplicates
        said = {name: value_of(path) for name, value_of in spec.origins.constants.items()}
        for record in records:
            if record.values is not None:
                record.values.update(said)
            row = self._judge(record, spec)
            book.rows.append(row)
            if row.stage is not None:
                continue
            others = taken.setdefault(row.values[spec.key], [])
            if any(_version(other, spec) == _version(row, spec) for other in others):
                row.stage, row.reasons = "records", (Reason("records", "duplicate", spec.key),)
            else:
                others.append(row)
        for rows in taken.values():
            for row in rows:
                row.fate = "already_present"
            self._merge(max(rows, key=lambda row: _version(row, spec)), book)
        return book

    def _merge(self, row: Row, book: FileBook) -> None:
        """A good row meets the table, which keeps what is there, or the newest where the YAML says so."""
        key, there = row.values[book.spec.key], self.loaded[book.spec.table]
        versions = self.versions[book.spec.table]
        version = _version(row, book.spec)
        if key not in there:
            row.fate = "loaded"
        elif version > versions[key]:
            row.fate = "updated" if there[key] is not book else "already_present"
        else:
            row.fate = "already_present"
            return
        there[key], versions[key] = book, version

    def heal(self) -> int:
        """Load the orphans whose parents are all there by now, theirs after them; returns how many left.

        One whose key its file has in the table, or has brought by another orphan, is a duplicate and stays. Where
        the newest row counts, so it is with rows of one key and one time only.
        """
        healed = 0
        while True:
            before = healed
            for book in self.books:
                for row in book.rows:
                    if row.stage == "orphan" and row.fate == "quarantined" and not self._missing(row, book.spec):
                        if self._has_brought(book, row):
                            row.stage = "records"
                            row.reasons = (Reason("records", "duplicate", book.spec.key),)
                        else:
                            healed += 1
                            self._merge(row, book)
            if healed == before:
                return healed

    def _has_brought(self, book: FileBook, row: Row) -> bool:
        """Has the file of `row` brought what it tells, so that it shows in the table or in quarantine?"""
        spec, key, version = book.spec, row.values[book.spec.key], _version(row, book.spec)
        if self.loaded[spec.table].get(key) is book and self.versions[spec.table][key] == version:
            return True
        return any(
            other.stage == "orphan"
            and other.fate != "quarantined"
            and (other.values[spec.key], _version(other, spec)) == (key, version)
            for other in book.rows
        )

    def keys(self, table: str) -> set[Any]:
        return set(self.loaded[table])

    def _judge(self, record: Record, spec: Spec) -> Row:
        if record.values is None:
            return Row(record.number, "schema", (Reason("schema", "malformed"),), {})
        reasons = [Reason("schema", "unexpected column") for _ in record.extra[:1]]
        texts = {c.name: meaning(record.values.get(c.name), c, spec) for c in spec.columns}
        texts |= {c.name: c.default for c in spec.columns if texts[c.name] is None and c.default is not None}
        values: dict[str, Any] = {}
        for column in spec.columns:
            text = texts.get(column.name)
            no_value = text is not None and column.name in record.bare
            value, broken = (None, ["no JSON"]) if no_value else judge_value(column, text)
            values[column.name] = value
            reasons += [Reason("schema", rule, column.name) for rule in broken]
            if not broken:
                reasons += [
                    Reason("records", rule, column.name)
                    for rule in broken_rules(column, text, value, texts, self.dates)
                ]
        row = Row(record.number, None, tuple(reasons), values)
        if reasons:
            row.stage = min((reason.stage for reason in reasons), key=("schema", "records").index)
        elif missing := self._missing(row, spec):
            row.stage = "orphan"
            row.reasons = tuple(Reason("orphan", "foreign_key", column) for column in missing)
        return row

    def _missing(self, row: Row, spec: Spec) -> list[str]:
        """The foreign keys of `row` whose parent isn't loaded."""
        return [
            column
            for column, parent in spec.foreign_keys.items()
            if row.values[column] is not None and row.values[column] not in self.loaded[self.by_name[parent].table]
        ]
