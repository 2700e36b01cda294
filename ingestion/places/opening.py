"""Opens what is to be loaded, wherever it lies: an object is first copied to a file without a name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from config.errors import FileChanged, FileRejected
from ingestion import file_reader
from ingestion.file_reader import OpenFile
from ingestion.places.store import ObjectPath
from utils import metrics

COPY_BYTES = 8 << 20


class _ObjectFile(OpenFile):
    """A copy of an object in one version."""

    def __init__(self, handle: IO[bytes], version: Any) -> None:
        self.handle = cast("Any", handle)
        self.stat = version

    def verify_unchanged(self, path: Path) -> None:
        """Raise FileChanged unless the object is still of this version."""
        try:
            now = path.lstat()
        except OSError:
            raise FileChanged(f"{path.name} went away while it was read") from None
        if (now.st_size, now.st_mtime_ns) != (self.stat.st_size, self.stat.st_mtime_ns):
            raise FileChanged(f"{path.name} changed while it was read")


@contextmanager
def opened(path: Path) -> Iterator[OpenFile]:
    """As file_reader.opened; of an object, all of its bytes are here before it is yielded."""
    if not isinstance(path, ObjectPath):
        with file_reader.opened(path) as file:
            file.verify_unwritten(path)
            yield file
        return
    with tempfile.TemporaryFile(prefix="fastfeast-") as copy:
        try:
            version = path.lstat()
            with path.reading() as stream:
                while part := stream.read(COPY_BYTES):
                    metrics.turn()  # a slow network is no reason to start the service again
                    copy.write(part)
        except FileNotFoundError:
            raise FileChanged(f"{path.name} went away before it was read") from None
        except PermissionError:
            raise FileRejected("can't be opened: the object store refuses it") from None
        file = _ObjectFile(copy, version)
        if copy.tell() != version.st_size:
            raise FileChanged(f"{path.name} changed while it was copied")
        file.verify_unchanged(path)
        copy.seek(0)
        yield file
