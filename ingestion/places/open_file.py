"""A file that is held open, so that what is hashed, parsed and checked is one and the same."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from config.errors import FileChanged, FileRejected
from config.jobs import Stamp
from utils import metrics

COPY_BYTES = 8 << 20
HASHED_BYTES = 1 << 18  # at a time


class OpenFile:
    """A file on this machine, or a copy of one elsewhere; `stamp` as it was when it was opened.

    `verify_unchanged` raises FileChanged unless its path still leads to this very file, and nobody writes it.
    """

    def __init__(self, handle: IO[bytes], stamp: Stamp, verify: Callable[[], None] = lambda: None) -> None:
        self.handle = cast("Any", handle)
        self.stamp = stamp
        self.verify_unchanged = verify

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self.stamp.size

    def md5(self, size: int = sys.maxsize) -> str:
        """MD5 of the first `size` bytes, hex. Leaves the position where it is: another thread may be reading."""
        digest = hashlib.md5(usedforsecurity=False)
        for data in self.beginning(min(size, self.size + 1)):  # what grows meanwhile is no end
            digest.update(data)
        return digest.hexdigest()

    def beginning(self, size: int) -> Iterator[bytes]:
        """The first `size` bytes, in parts. Leaves the position where it is."""
        position = 0
        while data := os.pread(self.handle.fileno(), min(HASHED_BYTES, size - position), position):
            yield data
            position += len(data)


@contextmanager
def copied(
    path: Path, read: Callable[[Path], AbstractContextManager[IO[bytes]]], stamp: Callable[[], Stamp]
) -> Iterator[OpenFile]:
    """A copy in a file without a name; all of its bytes are here before it is yielded.

    `read` gives the bytes and `stamp` the version, which is asked before and after. Raises FileChanged when these
    differ, FileRejected when it may not be read, OSError.
    """

    def verify() -> None:
        try:
            now = stamp()
        except OSError:
            raise FileChanged(f"{path.name} went away while it was read") from None
        if now != version:
            raise FileChanged(f"{path.name} changed while it was read")

    with tempfile.TemporaryFile(prefix="fastfeast-") as copy:
        try:
            version = stamp()
            with read(path) as stream:
                while part := stream.read(COPY_BYTES):
                    metrics.turn()  # a slow network is no reason to start the service again
                    copy.write(part)
        except FileNotFoundError:
            raise FileChanged(f"{path.name} went away before it was read") from None
        except PermissionError:
            raise FileRejected("can't be opened: the place where it lies refuses it") from None
        if copy.tell() != version.size:
            raise FileChanged(f"{path.name} changed while it was copied")
        verify()
        copy.seek(0)
        yield OpenFile(copy, version, verify)
