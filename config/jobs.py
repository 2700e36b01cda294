"""One file on its way through the pipeline, and what became of it."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from config.drift import Change
from config.file_spec import FileSpec
from config.model import Stage


class Stamp(NamedTuple):
    """What tells that a file is still the one that it was: size in bytes, times of change in ns, inode.

    Whoever writes a file can set its time of change, but not `ctime_ns`, the time of the last change of any
    kind. An object, and a file whose system gives no lasting numbers, has the inode 0; an object no `ctime_ns`.
    """

    size: int
    mtime_ns: int
    inode: int = 0
    ctime_ns: int = 0


class Content(NamedTuple):
    """What was loaded: MD5 (hex) and size in bytes."""

    md5: str
    size: int


@dataclass(frozen=True, slots=True)
class Tries:
    """What came of a file's tries so far. The job carries it, and the inbox keeps it until the file is done."""

    held_up: int = 0  # how often a database that was there could not take the file
    unrecorded: int = 0  # tries in a row that left no row of the file in the file log
    by_itself: bool = False  # it could not be loaded together with others


@dataclass(frozen=True, slots=True)
class FileJob:
    """One file to load, as it was when it was found. `size` in bytes; `md5` is '' until it was hashed.

    `former` is what was loaded from its path before, as far as this machine remembers.
    `deadline_seconds`: how long a statement on this file may take, wherever it is loaded.
    """

    path: Path
    spec: FileSpec
    size: int
    mtime_ns: int
    md5: str = ""
    tries: Tries = Tries()
    deadline_seconds: float = math.inf
    discovered_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    inode: int = 0
    ctime_ns: int = 0
    former: Content | None = None
    lies_at: Path | None = None  # where its content is, when it was put away: `path` stays where it came from

    @classmethod
    def of(cls, path: Path, spec: FileSpec, stamp: Stamp, tries: Tries = Tries()) -> FileJob:
        """The file as `stamp` describes it."""
        return cls(path, spec, stamp.size, stamp.mtime_ns, "", tries, inode=stamp.inode, ctime_ns=stamp.ctime_ns)

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.size, self.mtime_ns, self.inode, self.ctime_ns)

    def as_of(self, stamp: Stamp) -> FileJob:
        """The same file as it was when `stamp` was taken."""
        return replace(self, **stamp._asdict())

    def evolve(self, **changes: Any) -> FileJob:
        """A copy with `changes`."""
        return replace(self, **changes)

    def log_context(self) -> dict[str, Any]:
        """Extras for a log line about this file."""
        return {"file_name": self.path.name, "path": str(self.path), "file_type": self.spec.feed.value}


class Status(StrEnum):
    """How a file ended. The first three are rows of pipeline_file_log; the others are not."""

    SUCCESS = "success"
    FAILED = "failed"
    UNDONE = "undone"  # an operator took it back; its content is not loaded again by itself
    ALREADY_DONE = "already_done"  # the same content is in the file log
    CHANGED = "changed"  # rolled back; it will be looked at again


class WentAway(NamedTuple):
    """Rows of the table that are gone by a file: marked, or `removed`.

    `kept` were to be removed, and are marked, since others refer to them. `unreadable`: records that may be of any
    row, for which none was taken away.
    """

    rows: int = 0
    removed: int = 0
    kept: int = 0
    unreadable: int = 0


NOTHING_GONE = WentAway()


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of a file: the figures of its row in pipeline_file_log. `seconds` from claim to commit."""

    job: FileJob
    status: Status
    file_id: int | None = None
    total: int = 0
    inserted: int = 0
    already_present: int = 0
    changed: int = 0
    updated: int = 0
    stale: int = 0
    deletes: int = 0  # records that tell to delete
    gone: WentAway = NOTHING_GONE
    rejected_by_stage: dict[Stage, int] = field(default_factory=dict)
    duplicates: int = 0
    reasons: dict[tuple[Stage, str, str], int] = field(default_factory=dict)  # (stage, rule, column): rows
    error: str | None = None
    seconds: float = 0.0
    told: bool = False  # it failed before under the same name, and was reported then
    continues: str = ""  # what became of an earlier file that was loaded before it was whole
    drift: tuple[Change, ...] = ()  # in what its columns differ from its schema's
    placeholders: dict[str, int] = field(default_factory=dict)  # made for its rows, by the parents' logical name
    without_parent: dict[str, int] = field(default_factory=dict)  # rows with a foreign key that is null for that
    healed: int | None = None  # orphans that were healed with it; None: nobody looked yet
    children: tuple[FileOutcome, ...] = ()  # of the types whose rows are in arrays of its records

    @property
    def unchanged(self) -> int:
        """Rows that were there just as the file has them."""
        return self.already_present - self.changed - self.stale

    @property
    def quarantined(self) -> int:
        return sum(self.rejected_by_stage.values())

    @property
    def orphans(self) -> int:
        return self.rejected_by_stage.get(Stage.ORPHAN, 0)

    @property
    def is_refused_whole(self) -> bool:
        """Are there rows in it, and is each of them refused?"""
        return self.status is Status.SUCCESS and 0 < self.total == self.quarantined

    @property
    def top_reason(self) -> str:
        """What most of the refused rows have against them, as `column: rule`; '' when none is refused."""
        if not self.reasons:
            return ""
        _, rule, column = max(self.reasons, key=self.reasons.__getitem__)
        return f"{column}: {rule}" if column else rule

    @property
    def valid(self) -> int:
        return self.inserted + self.already_present + self.updated + self.deletes
