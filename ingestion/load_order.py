"""Which of the files that are queued or in hand must be finished before another one may start."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from config.file_spec import FileSpec
from config.jobs import FileJob
from config.model import Feed

Place = tuple[bool, str]  # stream after batch; then the folder


class _Held(NamedTuple):
    place: Place
    number: int  # counts up in the order of queueing


class LoadOrder:
    """Parents before children, and dimensions folder by folder. Not thread-safe; the inbox guards it.

    A file waits for files of the tables that its own refers to, in the same or an earlier folder, that were queued
    before it was first asked about: those that come later can't hold it up for ever. A batch file also waits for
    files of its own table that come before it, so that the days are loaded in their order.
    """

    def __init__(self, specs: Iterable[FileSpec], batch_root: Path) -> None:
        specs = tuple(specs)
        self._batch_root = batch_root
        self._ancestors = _ancestors(specs)
        self._of_table: dict[str, list[_Held]] = {spec.table: [] for spec in specs}  # each sorted
        self._held: dict[Path, tuple[str, _Held]] = {}
        self._asked: dict[Path, int] = {}  # the number that was next when the file was first asked about
        self._next = 0

    def add(self, job: FileJob) -> None:
        """The file is queued, or in hand; nothing happens when it is already."""
        if job.path not in self._held:
            held = _Held(self._place(job), self._next)
            self._next += 1
            self._held[job.path] = job.spec.table, held
            bisect.insort(self._of_table[job.spec.table], held)

    def remove(self, path: Path) -> None:
        """The file is finished, or is no longer the next to be loaded."""
        self._asked.pop(path, None)
        table, held = self._held.pop(path, (None, None))
        if table is not None and held is not None:
            files = self._of_table[table]
            del files[bisect.bisect_left(files, held)]

    def must_wait(self, job: FileJob) -> bool:
        """Is there a file that has to be finished before this one, which was added?"""
        table, mine = self._held[job.path]
        asked = self._asked.setdefault(job.path, self._next)
        if job.spec.feed is Feed.BATCH and self._of_table[table][0] < mine:
            return True
        return any(self._has_before(parent, mine.place, asked) for parent in self._ancestors[table])

    def _has_before(self, table: str, place: Place, number: int) -> bool:
        for held in self._of_table[table]:
            if held.place > place:
                return False
            if held.number < number:
                return True
        return False

    def _place(self, job: FileJob) -> Place:
        """A day of the batch is one folder, whatever is in it."""
        if job.spec.feed is Feed.BATCH and job.path.is_relative_to(self._batch_root):
            return False, job.path.relative_to(self._batch_root).parts[0]
        return job.spec.feed is Feed.STREAM, str(job.path.parent)


def _ancestors(specs: tuple[FileSpec, ...]) -> dict[str, set[str]]:
    """Each table, and all that its files refer to, directly or by way of another."""
    table_of = {spec.name: spec.table for spec in specs}
    parents: dict[str, set[str]] = {spec.table: set() for spec in specs}
    for spec in specs:
        others = (key.parent for key in spec.foreign_keys if key.parent != spec.name)
        parents[spec.table] |= {table_of[parent] for parent in others if parent in table_of}

    def above(table: str) -> set[str]:
        return parents[table].union(*map(above, parents[table]))

    found = {table: above(table) for table in parents}
    for spec in specs:  # what comes with its files needs parents, too; but not those that wait for these files
        for child in spec.children:
            needed = found[child.table] - {spec.table}
            found[spec.table] |= {table for table in needed if spec.table not in found[table]}
    return found
