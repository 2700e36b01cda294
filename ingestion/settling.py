"""Files that nobody is known to have closed: each waits until it stayed the same, and nobody has it open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from config.file_spec import FileSpec
from config.jobs import FileJob, Stamp
from ingestion.places.place import Kind
from ingestion.places.registry import place_of


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A file as it was last seen; it is whole when its `stamp` has stayed the same since `since`, long enough."""

    spec: FileSpec
    stamp: Stamp
    since: float


class Settling:
    """Not thread-safe; the inbox guards it. Times are seconds of the inbox's clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._files: dict[Path, Unsettled] = {}  # in the order of `since`
        self._written: dict[Path, float] = {}  # those of them that a writer has open, and since when

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, path: Path) -> bool:
        return path in self._files

    def has(self, path: Path, stamp: Stamp) -> bool:
        """Does it wait as it is now?"""
        file = self._files.get(path)
        return file is not None and file.stamp == stamp

    def add(self, path: Path, spec: FileSpec, stamp: Stamp, now: float, *, written: bool) -> None:
        """Begin to wait for it, or begin anew."""
        since = self._written.get(path, now)
        self.drop(path)  # and to the end, which keeps the order of `since`
        self._files[path] = Unsettled(spec, stamp, now)
        if written:
            self._written[path] = min(since, now)

    def drop(self, path: Path) -> None:
        """It waits no longer."""
        self._files.pop(path, None)
        self._written.pop(path, None)

    def whole(self, now: float) -> Iterator[tuple[Path, Unsettled]]:
        """Take out those that have settled. One that is still being changed begins to wait anew."""
        if any(file.since > now for file in list(self._files.values())[:1]):  # the clock was set back
            self._files = {path: replace(file, since=now) for path, file in self._files.items()}
        while self._files:
            path, file = next(iter(self._files.items()))
            if now - file.since < self._seconds:
                return
            stamp, written = stamp_now(path), place_of(path).has_writer(path)
            if stamp == file.stamp and not written:
                self.drop(path)
                yield path, file
            elif stamp is None:
                self.drop(path)
            else:
                self.add(path, file.spec, stamp, now, written=bool(written))

    def jobs(self) -> list[FileJob]:
        """The files, as they were found."""
        return [FileJob.of(path, file.spec, file.stamp) for path, file in self._files.items()]

    def since(self) -> list[float]:
        """When each of them was last seen with another stamp."""
        return [file.since for file in self._files.values()]

    def written(self) -> list[tuple[Path, float]]:
        """Those that a writer has open, as far as their place tells, and since when."""
        return list(self._written.items())

    def has_rested(self, stamp: Stamp, now: float) -> bool:
        """Is the last change of any kind long enough ago? Asked of places whose clock is ours."""
        return now - max(stamp.mtime_ns, stamp.ctime_ns) / 1e9 >= self._seconds


def stamp_now(path: Path) -> Stamp | None:
    """None when there is no regular file any more."""
    try:
        found = place_of(path).stat(path)
    except OSError:
        return None
    return found.stamp if found.kind is Kind.FILE else None
