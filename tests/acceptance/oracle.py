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
from tests.acceptance.oracle_rules import (
    ForeignKey,
    Spec,
    broken_rules,
    judge_value,
    meaning,
    read_specs,
    typed_values,
)


@dataclass(frozen=True, slots=True)
class Reason:
    stage: str
    rule: str
    column: str | None = None


@dataclass(slots=True)
class Row:
    """A record's verdict. `stage` is as it was at loading, None for a good row.

    An orphan may turn out to be a duplicate. `fate` is where the row is now: loaded, updated, already_present, or
    quarantined. `kept` is what _extra holds of it.
    """

    number: int
    stage: str | None
    reasons: tuple[Reason, ...]
    values: dict[str, Any]
    fate: str = "quarantined"
    kept: dict[str, Any] = field(default_factory=dict)


Key = tuple[Any, ...]
Place = tuple[dt.datetime, dt.datetime, bytes, str]  # of a file among those of its table


@dataclass(slots=True)
class FileBook:
    """What became of one file: `error` for one that failed as a whole. `number` tells it from the others."""

    path: Path
    spec: Spec
    number: int
    place: Place
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


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _version(row: Row, spec: Spec) -> dt.datetime:
    """What tells which of two rows of a key is newer; null is older than any time."""
    time = row.values[spec.newer_by] if spec.newer_by else None
    return time if isinstance(time, dt.datetime) else dt.datetime.min


def place_of(path: Path, content: Path) -> Place:
    """By its folders' date and hour, else by its time of change."""
    data = content.read_bytes()
    changed = _EPOCH + dt.timedelta(microseconds=content.stat().st_mtime_ns // 1000)
    day = re.match(r".*/(\d{4}-\d{2}-\d{2})/(?:([01]\d|2[0-3])/)?", str(path))
    time = dt.datetime.fromisoformat(f"{day[1]}T{day[2] or '00'}:00:00+00:00") if day else changed
    return time, changed, path.name.encode(), hashlib.md5(data, usedforsecurity=False).hexdigest()


class Oracle:
    """Loads files in the order of its calls; `books` has every file that was not a replay."""

    def __init__(self, config_yaml: Path) -> None:
        config = yaml.safe_load(config_yaml.read_text(encoding="utf-8"))
        self.specs = read_specs(config)
        self.by_name = {spec.name: spec for spec in reversed(self.specs)}
        first, last = config.get("validation", {}).get("dates", (dt.date(2000, 1, 1), dt.date(2100, 12, 31)))
        self.dates = (dt.datetime.combine(first, dt.time.min), dt.datetime.combine(last, dt.time.max))
        self.loaded: dict[str, dict[Key, tuple[FileBook, Row]]] = {spec.table: {} for spec in self.specs}
        self.books: list[FileBook] = []
        self._seen: set[tuple[Any, ...]] = set()

    def spec_for(self, path: Path, feed: str) -> Spec | None:
        """The spec of a file of `feed`: batch, stream, or master (by the stem, else as a batch file)."""
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
        if feed == "master":
            return self.spec_for(path, "batch")
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def load(
        self, path: Path, spec: Spec, number: int | None = None, content: Path | None = None
    ) -> FileBook | None:
        """Judge the file and load its good rows; None when the same content was loaded before.

        `number` is what the file has for a number elsewhere, else it is its place among the files. `content` is
        where its bytes are by now, if not at `path`. Where the later file is newer, the same content of another
        time is another file.
        """
        content = content or path
        place = place_of(path, content)
        identity = (spec.name, place[-1], content.stat().st_size, place[0] if spec.goes_by_file else None)
        if identity in self._seen:
            return None
        self._seen.add(identity)
        book = FileBook(path, spec, len(self.books) + 1 if number is None else number, place)
        self.books.append(book)
        try:
            names = [column.name for column in spec.columns]
            optional = [c.name for c in spec.columns if c.nullable and not c.rules.get("required")]
            fits = partial(typed_values, spec)
            records = read_records(content, names, fits, spec.delimiter, optional, spec.origins)
        except UnreadableFileError as error:
            book.error = str(error)
            return book
        said = {name: value_of(path) for name, value_of in spec.origins.constants.items()}
        for record in records:
            if record.values is not None:
                record.values.update(said)
        book.rows = [self._judge(record, spec) for record in records]
        good = [row for row in book.rows if row.stage is None]
        together = self._that_have_parents(good, spec)
        for row in good:
            if missing := self._missing(row, spec, together):
                row.stage = "orphan"
                row.reasons = tuple(Reason("orphan", "foreign_key", label) for label in missing)
        self._load_first(book, [row for row in good if row.stage is None])
        return book

    def _load_first(self, book: FileBook, good: list[Row]) -> None:
        """Load the good rows of a file: of those of one key, the first that is taken; or the newest."""
        taken: dict[Key, list[Row]] = {}  # the rows of each key that are no duplicates
        for row in good:
            others = taken.setdefault(self.key_of(book, row), [])
            if any(_version(other, book.spec) == _version(row, book.spec) for other in others):
                row.stage, row.reasons = "records", (Reason("records", "duplicate", ", ".join(book.spec.key)),)
            elif book.spec.newer_by is None:
                if self._merge(row, book):
                    others.append(row)
            else:
                others.append(row)
        if book.spec.newer_by is not None:
            for rows in taken.values():
                for row in rows:
                    row.fate = "already_present"
                self._merge(max(rows, key=lambda row: _version(row, book.spec)), book)

    def key_of(self, book: FileBook, row: Row) -> Key:
        """What tells the row from others: its key, or where rows have none, its file and number."""
        return tuple(row.values[name] for name in book.spec.key) or (book.number, row.number)

    def _merge(self, row: Row, book: FileBook) -> bool:
        """A good row meets the table, which keeps what is there, or the newest where the YAML says so.

        False for a row that the table refuses: another one has what must be unique.
        """
        key, there = self.key_of(book, row), self.loaded[book.spec.table]
        if key in there and not self._is_newer(row, book, *there[key]):
            row.fate = "already_present"
            return True
        for columns in book.spec.unique:
            wanted = _part(row, columns)
            if None not in wanted and any(
                _part(other, columns) == wanted for taken, (_, other) in there.items() if taken != key
            ):
                row.stage, row.reasons = "load", (Reason("load", "23505"),)
                return False
        if key not in there:
            row.fate = "loaded"
        else:
            row.fate = "updated" if there[key][0] is not book else "already_present"
        there[key] = (book, row)
        return True

    @staticmethod
    def _is_newer(row: Row, book: FileBook, owner: FileBook, other: Row) -> bool:
        """By its time; of two values of one time, that of the later file."""
        mine, its = _version(row, book.spec), _version(other, book.spec)
        if mine != its or not book.spec.replaces or owner is book or row.values == other.values:
            return mine > its
        return book.place > owner.place

    def heal(self) -> int:
        """Load the orphans whose parents are all there by now, theirs after them; returns how many left.

        Rows of one table that wait for each other and for nothing else are loaded together. One whose key its file
        has in the table, or has brought by another orphan, is a duplicate and stays. Where the newest row counts,
        so it is with rows of one key and one time only.
        """
        healed, before = 0, -1
        while healed != before:
            before = healed
            for table in self.loaded:
                waiting = [
                    (book, row)
                    for book in self.books
                    if book.spec.table == table
                    for row in book.rows
                    if row.stage == "orphan" and row.fate == "quarantined"
                ]
                if not waiting:
                    continue
                spec = waiting[0][0].spec
                together = self._that_have_parents([row for _, row in waiting], spec)
                for book, row in waiting:
                    if not self._missing(row, spec, together):
                        healed += self._heal(book, row)
        return healed

    def _heal(self, book: FileBook, row: Row) -> bool:
        if self._has_brought(book, row):
            row.stage, row.reasons = "records", (Reason("records", "duplicate", ", ".join(book.spec.key)),)
            return False
        return self._merge(row, book)

    def _has_brought(self, book: FileBook, row: Row) -> bool:
        """Has the file of `row` brought what it tells, so that it shows in the table or in quarantine?"""
        spec, key, version = book.spec, self.key_of(book, row), _version(row, book.spec)
        owner, there = self.loaded[spec.table].get(key, (None, row))
        if owner is book and _version(there, spec) == version:
            return True
        return any(
            other.stage == "orphan"
            and other.fate != "quarantined"
            and (self.key_of(book, other), _version(other, spec)) == (key, version)
            for other in book.rows
        )

    def waits_for(self, row: Row, spec: Spec) -> tuple[str, ...]:
        """The foreign keys of `row` whose parents are in no table by now."""
        return tuple(self._missing(row, spec, []))

    def keys(self, table: str) -> set[Key]:
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
        row = Row(record.number, None, tuple(reasons), values, kept=record.kept)
        if reasons:
            row.stage = min((reason.stage for reason in reasons), key=("schema", "records").index)
        return row

    def _that_have_parents(self, rows: list[Row], spec: Spec) -> list[Row]:
        """Those of `rows`, all of one table, that have their parents in tables or among each other."""
        if all(reference.parent != spec.name for reference in spec.foreign_keys):
            return []
        left = rows
        while True:
            staying = [row for row in left if not self._missing(row, spec, left)]
            if len(staying) == len(left):
                return left
            left = staying

    def _missing(self, row: Row, spec: Spec, beside: list[Row]) -> list[str]:
        """The foreign keys of `row` whose parent isn't loaded, nor `beside` it. A key with a null names none."""
        missing = []
        for reference in spec.foreign_keys:
            wanted = _part(row, reference.columns)
            if None in wanted or self._is_there(reference, wanted):
                continue
            if reference.parent != spec.name or all(_part(other, reference.to) != wanted for other in beside):
                missing.append(reference.label)
        return missing

    def _is_there(self, reference: ForeignKey, wanted: Key) -> bool:
        parent = self.by_name[reference.parent]
        there = self.loaded[parent.table]
        if reference.to == parent.key:
            return wanted in there
        return any(_part(row, reference.to) == wanted for _, row in there.values())


def _part(row: Row, columns: tuple[str, ...]) -> Key:
    return tuple(row.values[name] for name in columns)
