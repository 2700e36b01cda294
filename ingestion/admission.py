"""Which of the paths that were found are files to load; what is none is told once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from config.file_names import why_unexpected
from config.model import Feed, FileSpec, Stamp
from ingestion.places.place import Found, Kind
from ingestion.places.registry import place_of

Report = Callable[[str, Path, str], None]  # kind (unexpected, refused, unreadable, open), path, message


class Admission:
    """Thread-safe. `report` is told of each path that is not admitted; again only for another kind or stamp."""

    def __init__(self, specs: Iterable[FileSpec], report: Report) -> None:
        self._specs = tuple(specs)
        self._report = report
        self._lock = threading.Lock()  # guards _reported
        self._reported: dict[Path, tuple[str, Stamp | None]] = {}

    def admits(self, path: Path, found: Found, spec: FileSpec | None, feed: Feed) -> bool:
        """Is it a regular file, expected by its name, that may be read?"""
        if found.kind is not Kind.FILE:
            kind = "unexpected" if found.kind is Kind.FOLDER else "refused"
            self.report_once(kind, path, "is not a regular file; links and pipes are not followed")
        elif spec is None or not _is_text(path):
            self.report_once("unexpected", path, why_unexpected(self._specs, feed, path.name))
        elif not place_of(path).may_read(path):
            self.report_once("unreadable", path, "the pipeline's user may not read it", found.stamp)
        else:
            return True
        return False

    def report_once(self, kind: str, path: Path, message: str, stamp: Stamp | None = None) -> None:
        """Report a path that is not loaded; again only for another `kind` or `stamp`."""
        if not _is_text(path):
            kind, message = "unexpected", "its name is not UTF-8; it is not loaded"
        with self._lock:
            if self._reported.get(path) == (kind, stamp):
                return
            self._reported[path] = (kind, stamp)
        self._report(kind, path, message)


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
