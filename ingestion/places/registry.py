"""Which kind of storage a path belongs to, by how it begins. The one place that asks."""

from __future__ import annotations

import errno
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, NoReturn

from config.settings import PipelineConfig
from ingestion.places.folder import Folder
from ingestion.places.open_file import OpenFile
from ingestion.places.place import Found, Place, UrlPath
from ingestion.places.sftp import Sftp
from ingestion.places.store import ObjectStore

_THIS_MACHINE = Folder()
# A new kind of storage has a line here, and a file of its own.
PLACES: dict[str, Place] = {
    **dict.fromkeys(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"), ObjectStore()),
    "sftp": Sftp(),
}


class _Unknown(Place):
    """What begins with a protocol that there is not; every use of it says so."""

    def unusable(self, folder: Path) -> str:  # noqa: ARG002
        return f"its protocol is not known; {', '.join(f'{name}://' for name in PLACES)} are"

    def list(self, folder: Path) -> NoReturn:
        self._refuse(folder)

    def stat(self, path: Path) -> Found:
        self._refuse(path)

    def read(self, path: Path) -> AbstractContextManager[IO[bytes]]:
        self._refuse(path)

    def move(self, path: Path, target: Path) -> None:  # noqa: ARG002
        self._refuse(path)

    def _refuse(self, path: Path) -> NoReturn:
        raise OSError(errno.EPROTONOSUPPORT, self.unusable(path), str(path))


_UNKNOWN = _Unknown()


def path_of(text: str | Path) -> Path:
    """A path as it was written down: in the configuration, the file log, a listing, on the command line."""
    return UrlPath(text) if "://" in str(text) else Path(text)


def place_of(path: Path | str) -> Place:
    """Where the path lies."""
    scheme, separator, _ = str(path).partition("://")
    return PLACES.get(scheme, _UNKNOWN) if separator else _THIS_MACHINE


def named_folder(config: PipelineConfig, named: str) -> Path:
    """The folder that a key of `watcher` names; on this machine, from `home`."""
    return path_of(named) if "://" in named else config.path(named)


def input_folder(config: PipelineConfig, named: str) -> Path:
    """The same as the paths of its files begin."""
    folder = named_folder(config, named)
    return place_of(folder).real(folder)


def made(config: PipelineConfig, named: str) -> Path:
    """The same, made if need be. Raises OSError."""
    folder = named_folder(config, named)
    place_of(folder).make(folder)
    return place_of(folder).real(folder)


def opened(path: Path) -> AbstractContextManager[OpenFile]:
    """Open a file wherever it lies; see Place.open."""
    return place_of(path).open(path)
