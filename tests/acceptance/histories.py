"""Histories and the versions that facts are bound to, against the model (oracle_changes.py): every difference."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.acceptance.daemon import Product
from tests.acceptance.oracle import FileBook, Key, Oracle, Row
from tests.acceptance.oracle_changes import Story, Version, story_of
from tests.acceptance.oracle_files import EVER, NEVER, Declared, File, Reading
from tests.acceptance.oracle_files import Row as Word
from tests.acceptance.oracle_rules import Spec, stored_value


def history_differences(product: Product, oracle: Oracle) -> Iterator[str]:
    """Where the histories, or the versions of facts, are not what the files of `oracle` say."""
    wanted = {spec.table: Remembered.of(oracle, spec) for spec in oracle.specs if spec.keeps_history}
    for remembered in wanted.values():
        yield from remembered.differences(product)
    for spec in oracle.specs:
        for bound in spec.versions:
            parent = wanted[oracle.by_name[bound.parent].table]
            query = (
                f"SELECT f.{spec.stored(spec.key[0])} AS key, h.valid_from::text AS since FROM {spec.table} f"
                f" LEFT JOIN {parent.spec.table}_history h ON h.version_id = f.{bound.column}"
            )
            for found in product.rows(query):
                _, row = oracle.loaded[spec.table].get((found["key"],), (None, None))
                since = parent.version_at((row.values[bound.by],), row.values[bound.at]) if row else None
                if found["since"] != since:
                    yield f"{spec.table} {found['key']} {bound.column}: expected {since}, found {found['since']}"


@dataclass
class Remembered:
    """What all files say of the keys of a table."""

    spec: Spec
    readings: dict[Key, list[Reading]] = field(default_factory=dict)
    stories: dict[Key, Story] = field(default_factory=dict)

    @classmethod
    def of(cls, oracle: Oracle, spec: Spec) -> Remembered:
        found = cls(spec)
        for book in sorted((b for b in oracle.books if b.spec.table == spec.table), key=lambda b: b.place):
            file = _file(book)
            words: dict[Key, list[Word]] = {}
            for row in book.rows:
                if row.fate != "quarantined":
                    key = oracle.key_of(book, row)
                    words.setdefault(key, []).append(_word(row, key, spec, file))
            for key, rows in words.items():
                found.readings.setdefault(key, []).append(Reading(file, tuple(rows), ()))
        dtypes = {column.name: column.dtype for column in spec.columns}
        declared = Declared(spec.name, spec.key, dtypes, newer_by=spec.newer_by, track=spec.track)
        for key, readings in found.readings.items():
            if story := story_of(declared, key, readings):
                found.stories[key] = story
        return found

    def differences(self, product: Product) -> Iterator[str]:
        table = f"{self.spec.table}_history"
        query = f"SELECT *, valid_from::text AS since, valid_to::text AS until FROM {table} ORDER BY valid_from"
        found: dict[Key, list[dict[str, Any]]] = {}
        for row in product.rows(query):
            found.setdefault(tuple(row[self.spec.stored(name)] for name in self.spec.key), []).append(row)
        shown = [column for column in self.spec.columns if not column.pii]
        for key in found.keys() | self.stories.keys():
            versions = self.stories[key].versions if key in self.stories else ()
            there = found.get(key, [])
            wanted = [
                (_text(v.valid_from), _text(v.valid_to), v.is_current, [v.values[c.name] for c in shown])
                for v in versions
            ]
            given = [(r["since"], r["until"], r["is_current"], [r[c.target] for c in shown]) for r in there]
            if wanted != given:
                yield f"{table} {key}: expected {wanted}, found {given}"
                continue
            for version, row in zip(versions, there, strict=True):
                if row["_file_id"] not in self._files_of(key, version):
                    yield f"{table} {key} since {row['since']}: not told by file {row['_file_id']}"

    def version_at(self, key: Key, at: dt.datetime | None) -> str | None:
        """Since when the version is valid that was in force at `at`; the first one before it."""
        if key not in self.stories or at is None:
            return None
        versions = self.stories[key].versions
        begun = [version for version in versions if version.valid_from <= at]
        return _text((begun[-1] if begun else versions[0]).valid_from)

    def _files_of(self, key: Key, version: Version) -> set[int]:
        """Files that tell the same of one time: which of them came first makes the version its own."""
        rows = [row for reading in self.readings[key] for row in reading.good]
        same = [row for row in rows if (row.at, row.values) == (version.valid_from, version.values)]
        return {int(row.file.type) for row in same if row.file}


def _file(book: FileBook) -> File:
    as_of, changed, name, md5 = book.place
    return File(str(book.number), as_of.replace(tzinfo=None), changed.replace(tzinfo=None), name.decode(), md5)


def _word(row: Row, key: Key, spec: Spec, file: File) -> Word:
    """The row with its values as they are stored; those of persons by a hash without a key."""
    at = file.as_of if spec.newer_by is None else row.values[spec.newer_by] or EVER
    values = {column.name: stored_value(column, row.values[column.name], None) for column in spec.columns}
    return Word(row.number, key, values, at, file=file)


def _text(time: dt.datetime) -> str:
    """As PostgreSQL writes it."""
    far = {EVER: "-infinity", NEVER: "infinity"}
    return far.get(time) or time.isoformat(" ").rstrip("0" if time.microsecond else "")
