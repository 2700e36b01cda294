"""What a warehouse must remember of rows that change: a plain model that shares no code with the product.

A type is declared as in the YAML (`keep`, `newer_by`, `track`, `rows`, `gone`, `operation`, foreign keys). Its
table and its history are a function of the SET of its files alone: whoever comes first, the result is the same.
Files are in a total order: as_of, time of change, name, hash; "later" means later in this order. `keep: first`
is the one exception: SPEC.md's DO NOTHING keeps what came first (oracle_arrivals.py).

Where the design leaves a choice, this is what a user would expect:

- The same content at the same time of a folder is one file. At another time it is another file: day 1 and day 3
  may say the same, and day 2 between them something else.
- What a file says of a key is its word at a time: a row, or that it is gone. Of several words at one time, that
  of the later file stands; the others were never in force.
- A row is told of by the first good one of a file that has its key and its time; the others are duplicates.
- A version's values are those of the first row of its run (the tracked columns stayed the same after it); the
  table's are those of the newest row.
- A key that came back began a new life: what was known before it went is the past, even where `newer_by` was
  greater. Its version begins at the value of `newer_by`, but not before it was seen again: where that value is
  not after the last snapshot that lacked it, it begins at the time of the file that has it again.
- The row that stays of a key that is gone is the newest that was told, be it that it was never in force.
- A snapshot that lacks a key of which no earlier file tells, says nothing about it.
- A refused row of a snapshot takes its key away no more than it brings it back: the file says nothing about
  that key. One record whose key can't be read (null, no number, a line of another length) might be any: the
  snapshot takes nothing away, and its good rows count.
- A row whose `newer_by` is after the snapshot that lacks it was never in force: it is no version.
- `gone: keep`: what a snapshot lacks stays as it is, its version too.
- A record of `operation` that deletes is a word at its own time. Where the key is not there, then or ever, it
  says nothing; an older row that comes after it does not bring the key back.
- The version of a fact is the one in force at its time; before the first it is the first, while the row was
  gone the one before; of a fact without a time it is none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tests.acceptance.oracle_files import NEVER, Declared, File, ForeignKey, Key, Parents, Reading, Row, read

# ---------------------------------------------------------------- one key


@dataclass(frozen=True)
class Version:
    valid_from: dt.datetime
    valid_to: dt.datetime
    values: Mapping[str, Any]
    file: File = field(repr=False)

    @property
    def is_current(self) -> bool:
        return self.valid_to == NEVER


@dataclass(frozen=True)
class Story:
    """All that is known of a key: its versions, its newest row, and since when it is gone."""

    versions: tuple[Version, ...]
    newest: Row
    gone_at: dt.datetime | None = None


@dataclass
class Life:
    """From the file that brought a key to the word that took it away. `after`: the last one that lacked it."""

    after: dt.datetime | None
    rows: list[Row] = field(default_factory=list)
    in_vain: list[Row] = field(default_factory=list)  # never in force: lacked since the same time
    end: dt.datetime = NEVER


def story_of(declared: Declared, key: Key, readings: Sequence[Reading]) -> Story | None:
    """What the files say of `key`; `readings` in the files' order."""
    lives = _lives_by_snapshots(key, readings) if declared.takes_away else _lives_by_time(key, readings)
    if not lives:
        return None
    versions = [version for life in lives for version in _versions(declared, life)]
    last = lives[-1]
    newest = max([*last.rows, *last.in_vain], key=_order)
    return Story(tuple(versions), newest, None if last.end == NEVER else last.end)


def _lives_by_time(key: Key, readings: Sequence[Reading]) -> list[Life]:
    """Rows and deletes are words at their own times."""
    rows = sorted((row for r in readings for row in r.good if row.key == key), key=_order)
    lives: list[Life] = []
    for time, told in groupby(rows, key=lambda row: row.at):
        *others, word = told  # at one time the later file's stands
        alive = bool(lives) and lives[-1].end == NEVER
        if word.deletes:
            in_vain = [row for row in others if not row.deletes]
            if in_vain and not alive:
                lives.append(Life(None))
                alive = True
            if alive:
                lives[-1].end = time
                lives[-1].in_vain += in_vain
            continue
        if not alive:
            lives.append(Life(None))
        lives[-1].rows.append(word)
    return lives


def _lives_by_snapshots(key: Key, readings: Sequence[Reading]) -> list[Life]:
    """Each snapshot has the key, or lacks it, or says nothing; at one time the later one's word stands."""
    words: dict[dt.datetime, list[Row]] = {}
    in_vain: dict[dt.datetime, list[Row]] = {}
    for reading in readings:
        rows = [row for row in reading.good if row.key == key]
        if not rows and not reading.lacks(key):
            continue
        time = reading.file.as_of
        before = words.pop(time, [])
        words[time] = before + rows if rows else []
        in_vain.setdefault(time, []).extend(before if not rows else [])
    lives: list[Life] = []
    after: dt.datetime | None = None
    for time, rows in sorted(words.items()):
        if rows:
            if not lives or lives[-1].end != NEVER:
                lives.append(Life(after))
            lives[-1].rows += rows
            continue
        if in_vain[time] and (not lives or lives[-1].end != NEVER):
            lives.append(Life(after))
        if lives:
            after = time
            lives[-1].in_vain += in_vain[time]
            lives[-1].end = min(lives[-1].end, time)
    return lives


def _versions(declared: Declared, life: Life) -> Iterable[Version]:
    """The life's rows in order, one version for each run of the same tracked values."""
    starts: list[tuple[dt.datetime, Row]] = []
    for time, row in sorted(_words(life).items(), key=lambda word: word[0]):
        changed = not starts or any(starts[-1][1][name] != row[name] for name in declared.tracked)
        if changed and time < life.end:
            starts.append((time, row))
    ends = [time for time, _ in starts[1:]] + [life.end] * bool(starts)
    for (begin, row), end in zip(starts, ends, strict=True):
        assert row.values is not None
        assert row.file is not None
        yield Version(begin, end, row.values, row.file)


def _words(life: Life) -> dict[dt.datetime, Row]:
    """What was in force from when on, in one life of a key."""
    after = life.after
    in_time = {row.at: row for row in sorted(life.rows, key=_order) if after is None or row.at > after}
    words: dict[dt.datetime, Row] = {}
    newest: Row | None = None
    for row in sorted(life.rows, key=_file_order):
        if row.at not in in_time and (newest is None or row.order >= newest.order):
            newest = row
            words[row.seen] = row  # no newer than the last file that lacked it: it counts from the one that has it
    first = min(in_time, default=NEVER)
    return {time: row for time, row in words.items() if time < first} | in_time


def _order(row: Row) -> tuple[Any, ...]:
    return row.order


def _file_order(row: Row) -> tuple[Any, ...]:
    assert row.file is not None
    return row.file.order, row.at


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class TableRow:
    """A row of the table; a placeholder has its key alone."""

    values: Mapping[str, Any]
    gone_at: dt.datetime | None = None
    is_placeholder: bool = False


@dataclass(frozen=True)
class Remembered:
    """What a type's table and history hold, by key."""

    declared: Declared
    readings: tuple[Reading, ...]
    stories: Mapping[Key, Story]
    table: dict[Key, TableRow]

    @property
    def history(self) -> dict[Key, tuple[Version, ...]]:
        return {key: story.versions for key, story in self.stories.items() if story.versions}

    def version_at(self, key: Key, at: dt.datetime | None) -> Version | None:
        """The version of `key` in force at `at`; the first one before it, the last one while it was gone."""
        versions = self.history.get(key, ())
        if at is None or not versions:
            return None
        return max((v for v in versions if v.valid_from <= at), key=lambda v: v.valid_from, default=versions[0])


def remember(declared: Declared, files: Iterable[File], parents: Parents | None = None) -> Remembered:
    """What the files of one type leave, with the keys of the tables that they refer to."""
    once = {file.identity: file for file in sorted(files, key=lambda file: file.order, reverse=True)}
    ordered = sorted(once.values(), key=lambda file: file.order)
    readings = tuple(read(declared, file, parents or {}) for file in ordered)
    keys = {row.key for reading in readings for row in reading.good if row.key is not None}
    stories = {key: story for key in keys if (story := story_of(declared, key, readings))}
    table: dict[Key, TableRow] = {}
    for key, story in stories.items():
        assert story.newest.values is not None
        if story.gone_at is None or declared.gone == "mark":
            table[key] = TableRow(story.newest.values, story.gone_at)
    return Remembered(declared, readings, stories, table)


def remember_all(types: Mapping[str, Declared], files: Iterable[File]) -> dict[str, Remembered]:
    """What the files of all types leave; `types` has parents before their children."""
    everything = list(files)
    found: dict[str, Remembered] = {}
    for name, declared in types.items():
        parents = {f.parent: set(found[f.parent].table) for f in declared.foreign_keys}
        found[name] = remember(declared, (file for file in everything if file.type == name), parents)
        for foreign_key in declared.foreign_keys:
            if foreign_key.if_missing == "placeholder":
                _add_placeholders(found[name], foreign_key, found[foreign_key.parent])
    return found


def _add_placeholders(child: Remembered, foreign_key: ForeignKey, parent: Remembered) -> None:
    for reading in child.readings:
        for row in reading.good:
            wanted = tuple(row[name] for name in foreign_key.columns)
            if None not in wanted and not row.deletes and wanted not in parent.table:
                values = dict(zip(parent.declared.key, wanted, strict=True))
                parent.table[wanted] = TableRow(values, is_placeholder=True)


def versions_bound(types: Mapping[str, Remembered], name: str) -> dict[Key, dict[str, Version | None]]:
    """By key of the facts of a type: which version of its parent each derived column has."""
    found = types[name]
    return {
        key: {
            bound.column: types[bound.parent].version_at((row.values[bound.by],), row.values[bound.at])
            for bound in found.declared.versions
        }
        for key, row in found.table.items()
    }
