"""Input folders on this machine's file systems, its own disks and those of file servers."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from config.errors import FileChanged, FileRejected
from config.jobs import Stamp
from ingestion.places import folder_files
from ingestion.places.folder_watch import FolderWatch
from ingestion.places.left_alone import is_ignored_folder
from ingestion.places.open_file import OpenFile
from ingestion.places.open_writers import descriptor_has_writer, has_writer, stamp_of
from ingestion.places.place import Found, Hints, Kind, Place

GRANULARITY_NS = 2_000_000_000  # two changes so close together may bear one time


class Folder(Place):
    """A folder that can be opened by its path."""

    is_remote = False
    has_times = True

    def unusable(self, folder: Path) -> str | None:
        """Makes it, too, if need be."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with os.scandir(folder) as entries:
                next(entries, None)
        except OSError as error:
            return error.strerror or type(error).__name__
        return None

    def make(self, folder: Path) -> None:
        """With those above it."""
        folder.mkdir(parents=True, exist_ok=True)

    def has_folder(self, folder: Path) -> bool:
        """Not where a link leads to one."""
        return folder.is_dir() and not folder.is_symlink()

    def real(self, folder: Path) -> Path:
        """It may itself be a link, or lie behind one."""
        return folder.resolve()

    def list(self, folder: Path) -> Iterator[Found]:
        """In the system's order; what goes away meanwhile is left out."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if (found := _found(entry)) is not None:
                    yield found

    def stat(self, path: Path) -> Found:
        """By lstat()."""
        status = path.lstat()
        return Found(str(path), _kind(status.st_mode), stamp_of(path, status))

    def read(self, path: Path) -> IO[bytes]:
        """Of a regular file; for what has to be one version, there is `open`."""
        return path.open("rb")

    writes = True

    def move(self, path: Path, target: Path, stamp: Stamp) -> None:
        """By a second name, which takes the place of no other."""
        target.parent.mkdir(parents=True, exist_ok=True)
        folder_files.give_second_name(path, target)
        if not folder_files.is_still(target, stamp):
            folder_files.give_back(target, path)
            raise FileChanged(f"{path.name} changed before it was moved")
        folder_files.remove(path, stamp)

    def put(self, target: Path, parts: Iterable[bytes], stamp: Stamp) -> None:
        """Under a hidden name first; on the disk before it has its own."""
        target.parent.mkdir(parents=True, exist_ok=True)
        folder_files.write(target, parts, stamp.mtime_ns)

    def remove(self, path: Path, stamp: Stamp) -> None:
        """Under a hidden name, so that what comes in its place meanwhile stays."""
        folder_files.remove(path, stamp)

    def mend(self, folder: Path) -> None:
        """Give files their names back."""
        folder_files.give_back_all(folder)

    def scanner(self, folder: Path, recent_days: int) -> FolderScanner:  # noqa: ARG002  (all folders are asked)
        """One that knows by a folder's own time whether anything came into it."""
        return FolderScanner(folder)

    def watch(self, folder: Path, hints: Hints, recent_days: int, *, events: bool) -> FolderWatch:  # noqa: ARG002
        """By the system's events, and by rescans for what they missed."""
        return FolderWatch(folder, FolderScanner, hints, events=events)

    @contextmanager
    def open(self, path: Path) -> Iterator[OpenFile]:
        """Where it lies, never following a link nor waiting on a pipe."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise FileChanged(f"{path.name} went away before it was read") from None
        except OSError as error:
            raise FileRejected(f"can't be opened: {error.strerror}") from None
        with os.fdopen(descriptor, "rb") as handle:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise FileRejected("is not a regular file")
            _verify_unwritten(descriptor, path)
            yield OpenFile(handle, stamp_of(path, before), lambda: _verify_unchanged(descriptor, before, path))

    def has_writer(self, path: Path) -> bool | None:
        """As the kernel says."""
        return has_writer(path)

    def may_read(self, path: Path) -> bool:
        """By its rights."""
        return os.access(path, os.R_OK)


class FolderScanner:
    """Lists the files below `root`, without following links. Skips folders that did not change, unless `full`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: dict[str, tuple[int, list[str]]] = {}  # path → time of change when listed, subfolders

    def entries(self, *, full: bool = False) -> Iterator[Found]:
        """What is not a folder, in all folders that may have something new, and those that can't be listed."""
        pending = [str(self.root)]
        listed: dict[str, tuple[int, list[str]]] = {}
        while pending:
            folder = pending.pop()
            known = self._folders.get(folder)
            subfolders: list[str] = []
            try:
                now, changed = time.time_ns(), Path(folder).lstat().st_mtime_ns
                if not full and known and known[0] == changed:
                    listed[folder] = known
                    pending += known[1]
                    continue
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            if not is_ignored_folder(entry.name):
                                subfolders.append(entry.path)
                        elif (found := _found(entry)) is not None:
                            yield found
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                problem = f"can't list the folder: {error.strerror}"
                yield Found(folder, Kind.UNREADABLE, problem=problem)
                continue
            # A folder that changed just now may change again and bear the same time: it is listed once more.
            listed[folder] = (changed if changed < now - GRANULARITY_NS else -1, subfolders)
            pending += subfolders
        self._folders = listed


def _kind(mode: int) -> Kind:
    return Kind.FILE if stat.S_ISREG(mode) else Kind.FOLDER if stat.S_ISDIR(mode) else Kind.OTHER


def _found(entry: os.DirEntry[str]) -> Found | None:
    """None when it is gone."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return Found(entry.path, _kind(status.st_mode), stamp_of(entry.path, status))


def _verify_unchanged(descriptor: int, before: os.stat_result, path: Path) -> None:
    """Raise FileChanged unless `path` is still the file that is open, as it was `before`, and nobody writes it."""
    try:
        found = path.lstat()
    except OSError:
        raise FileChanged(f"{path.name} went away while it was read") from None
    for now in (found, os.fstat(descriptor)):
        if _identity(now) != _identity(before):
            raise FileChanged(f"{path.name} changed while it was read")
    _verify_unwritten(descriptor, path)


def _verify_unwritten(descriptor: int, path: Path) -> None:
    """Raise FileChanged while somebody has the file open for writing, as far as the system tells."""
    if descriptor_has_writer(descriptor):
        raise FileChanged(f"{path.name} is being written by somebody")


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
