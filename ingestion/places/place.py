"""A kind of storage that input files lie in, as the rest of the pipeline sees it: list, stat, open, move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path, PosixPath
from typing import IO, NamedTuple, Protocol

from config.jobs import Stamp
from ingestion.places.left_alone import is_ignored_folder
from ingestion.places.open_file import OpenFile, copied


class Kind(Enum):
    """What a path is."""

    FILE = "file"  # a regular one
    FOLDER = "folder"
    OTHER = "other"  # a link, a pipe, a device: never followed nor read
    UNREADABLE = "unreadable"  # a folder that can't be listed


class Found(NamedTuple):
    """What a listing or a look says of a path. `problem`: of an unreadable folder, why it can't be listed."""

    path: str
    kind: Kind
    stamp: Stamp = Stamp(0, 0)
    problem: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class UrlPath(PosixPath):
    """An address, as in s3://bucket/folder/visits.json. Of a Path, only name and parents mean anything."""

    def __str__(self) -> str:
        return super().__str__().replace(":/", "://", 1)


class Scanner(Protocol):
    """Lists one folder again and again, and remembers what it need not list anew."""

    root: Path

    def entries(self, *, full: bool = False) -> Iterator[Found]:
        """What is no folder, at any depth: all of it when `full`, else what may be new. Raises OSError.

        Folders that are left alone by their names are left out; unreadable ones below `root` are told.
        """
        ...


class Hints(Protocol):
    """Whom a watch tells. Called from any thread."""

    def listed(self, found: Iterable[Found]) -> None:
        """These lie in the folder now."""
        ...

    def seen(self, path: Path, *, closed: bool) -> None:
        """There may be news of this file; `closed`: its writer has closed it, or it was renamed into place."""
        ...


class Watch(Protocol):
    """Keeps an eye on one folder: by events where its place has them, and by looking."""

    root: Path

    def turn(self) -> None:
        """Look, and tell what may be new. Raises OSError when the folder itself can't be used."""
        ...

    def stop(self) -> None:
        """End what it has running. Idempotent."""
        ...


class Place(ABC):
    """One kind of storage. Stateless but for connections: every call names its path.

    A new kind says what `list`, `stat`, `read` and `move` do, and has a line in the registry. What is here beyond
    these four fits storage behind a network, of which nobody knows more; a kind that knows more says it.
    """

    is_remote = True  # a look is a request, and a file is copied to this machine before it is read
    settles = True  # a file may be seen before it is whole
    has_times = False  # its stamps hold times of change; else a version stands in their place

    # ------------------------------------------------------------ what each kind has

    @abstractmethod
    def list(self, folder: Path) -> Iterable[Found]:
        """What is directly in the folder. Raises OSError."""

    @abstractmethod
    def stat(self, path: Path) -> Found:
        """What is there now; a link is not followed. Raises OSError; FileNotFoundError where there is nothing."""

    @abstractmethod
    def read(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        """The file's bytes as a stream. Raises OSError."""

    @abstractmethod
    def move(self, path: Path, target: Path) -> None:
        """Move a file within the place, and make folders. Raises OSError; FileExistsError for the `target`."""

    # ------------------------------------------------------------ folders

    def unusable(self, folder: Path) -> str | None:
        """Why the folder can't be used from here, as far as that can be told without a request; else None."""
        return None

    def make(self, folder: Path) -> None:  # noqa: B027  (in most places folders come with their files)
        """Make the folder, where such a thing has to be made. Raises OSError."""

    def has_folder(self, folder: Path) -> bool:
        """Is there such a folder, which is no link? Where folders are but parts of names there is any."""
        return True

    def real(self, folder: Path) -> Path:
        """The folder as the paths of its files begin."""
        return folder

    def scanner(self, folder: Path, recent_days: int) -> Scanner:
        """What lists the files below `folder`. Those of `recent_days` are listed each time, whatever it skips."""
        return EverythingScanner(self, folder)

    def watch(self, folder: Path, hints: Hints, recent_days: int, *, events: bool) -> Watch:
        """What finds new files below `folder`; without `events` by looking only."""
        return Polling(self.scanner(folder, recent_days), hints)

    # ------------------------------------------------------------ files

    def open(self, path: Path) -> AbstractContextManager[OpenFile]:
        """The file, held open, in one version; nobody writes it, as far as can be told.

        Raises FileChanged when it is gone or being written, FileRejected when it can't be opened, OSError.
        """
        return copied(path, self.read, lambda: self.stat(path).stamp)

    def has_writer(self, path: Path) -> bool | None:
        """Has anybody the file open for writing? None: nobody can tell, or it is gone."""
        return None

    def may_read(self, path: Path) -> bool:
        """May the pipeline's user read it, as far as that can be told without a request?"""
        return True

    def is_gone(self, path: Path) -> bool:
        """Is it known that nothing is there? Where a look is a request, it isn't."""
        if self.is_remote:
            return False
        try:
            self.stat(path)
        except (OSError, ValueError):
            return True
        return False

    def changed_at(self, path: Path) -> float | None:
        """Its last change in seconds since 1970; None where that is not known."""
        try:
            return self.stat(path).stamp.mtime_ns / 1e9 if self.has_times else None
        except (OSError, ValueError):
            return None


class EverythingScanner:
    """Lists all folders below `root` each time."""

    def __init__(self, place: Place, root: Path) -> None:
        self.root = root
        self._place = place

    def entries(self, *, full: bool = False) -> Iterator[Found]:
        """Everything that is no folder, and the folders that can't be listed."""
        pending = [self.root]
        while pending:
            folder = pending.pop()
            try:
                listed = [*self._place.list(folder)]
            except (FileNotFoundError, PermissionError) as error:
                if folder == self.root:
                    raise
                if isinstance(error, PermissionError):
                    yield Found(str(folder), Kind.UNREADABLE, problem=f"can't list the folder: {error.strerror}")
                continue
            for found in listed:
                if found.kind is not Kind.FOLDER:
                    yield found
                elif not is_ignored_folder(found.name):
                    pending.append(type(self.root)(found.path))


class Polling:
    """Finds what is new by looking, where no events tell of it."""

    def __init__(self, scanner: Scanner, hints: Hints) -> None:
        self.root = scanner.root
        self._scanner = scanner
        self._hints = hints

    def turn(self) -> None:
        """Look once."""
        self._hints.listed(self._scanner.entries())

    def stop(self) -> None:
        """Nothing runs between two turns."""
