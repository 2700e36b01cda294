"""Which of the paths that were found are new files to load; what is none is told once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from config.file_names import spec_for, why_unexpected
from config.file_spec import FileSpec
from config.jobs import Stamp
from config.model import Feed
from config.settings import PipelineConfig
from ingestion.archived import archive_roots
from ingestion.completeness import Completeness
from ingestion.leaving import Leaving
from ingestion.places.left_alone import is_ignored
from ingestion.places.place import Found, Kind
from ingestion.places.registry import path_of, place_of

Report = Callable[[str, Path, str], None]  # kind (unexpected, refused, unreadable, open), path, message


class Finished(Protocol):
    """Knows which files are finished: the tracker, or a view of it."""

    def is_current(self, path: str, size: int, mtime_ns: int, inode: int = 0, ctime_ns: int = 0) -> bool:
        """Was exactly this file, unchanged since, finished before?"""


class Admission:
    """Thread-safe. `report` is told of each path that is not admitted; again only for another kind or stamp."""

    def __init__(
        self,
        config: PipelineConfig,
        tracker: Finished,
        report: Report,
        leaving: Leaving,
        clock: Callable[[], float],
    ) -> None:
        self._specs = config.files
        self._archives = archive_roots(config)
        self._leaving = leaving
        self.completeness = Completeness(config, clock)
        self._puts_away = any(not spec.after_load.keeps_all for spec in config.files)
        self._tracker = tracker
        self._report = report
        self._lock = threading.Lock()  # guards _reported
        self._reported: dict[Path, tuple[str, Stamp | None]] = {}

    def new_files(
        self, entries: Iterable[Found], feed: Feed, spec_of: Callable[[str], FileSpec | None] | None = None
    ) -> Iterator[tuple[Path, FileSpec, Stamp]]:
        """The files to load, parents before children: of the stream folder by folder, of a batch as a whole.

        `spec_of` gives the spec by the file's name, where that is not the one that `feed` expects.
        """
        new = []
        for found in entries:
            if found.kind is Kind.UNREADABLE:
                self.report_once("unreadable", path_of(found.path), found.problem)
            elif not is_ignored(name := found.name) and not found.path.startswith(self._archives):
                is_finished = self._tracker.is_current(found.path, *found.stamp)
                if is_finished and not self._puts_away:
                    continue
                spec = spec_of(name) if spec_of else spec_for(self._specs, feed, name)
                if is_finished:
                    if spec is not None:
                        self._leaving.add(path_of(found.path), spec)
                    continue
                folder = found.path.removesuffix(name) if feed is Feed.STREAM else ""
                new.append(((folder, spec.level if spec else 0, name, found.path), found, spec))
        for _, found, spec in sorted(new, key=lambda item: item[0]):
            path = path_of(found.path)
            if self._may_mark(spec, path) and self.completeness.is_marker(path, feed):
                continue
            if (why := why_not(self._specs, path, found, spec, feed)) is not None:
                kind, message, stamp = why
                self.report_once(kind, path, message, stamp)
            elif spec is not None and self.completeness.is_complete(path, spec):
                yield path, spec, found.stamp

    @staticmethod
    def _may_mark(spec: FileSpec | None, path: Path) -> bool:
        """May the name be that of a marker? A glob may take it for a file, too."""
        return spec is None or (spec.complete_when is not None and spec.complete_when.fits(path.name))

    def report_once(self, kind: str, path: Path, message: str, stamp: Stamp | None = None) -> None:
        """Report a path that is not loaded; again only for another `kind` or `stamp`."""
        if not _is_text(path):
            kind, message = "unexpected", "its name is not UTF-8; it is not loaded"
        with self._lock:
            if self._reported.get(path) == (kind, stamp):
                return
            self._reported[path] = (kind, stamp)
        self._report(kind, path, message)


def why_not(
    specs: Iterable[FileSpec], path: Path, found: Found, spec: FileSpec | None, feed: Feed
) -> tuple[str, str, Stamp | None] | None:
    """Why a path is not loaded as it lies there: kind, message, and the stamp for which it holds; None when it is.

    `spec` is that of the file's name, if there is one.
    """
    if found.kind is not Kind.FILE:
        kind = "unexpected" if found.kind is Kind.FOLDER else "refused"
        return kind, "is not a regular file; links and pipes are not followed", None
    if spec is None or not _is_text(path):
        return "unexpected", why_unexpected(specs, feed, path.name), None
    if not place_of(path).may_read(path):
        return "unreadable", "the pipeline's user may not read it", found.stamp
    return None


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
