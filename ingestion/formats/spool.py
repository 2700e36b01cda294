"""A file for formats that read it from its end, or as a whole: those need more than a stream."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

SPOOL_BYTES = 1 << 20


@contextmanager
def seekable(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """`raw` itself where one can seek in it, else a copy in a file without a name; at its beginning."""
    if raw.seekable():
        yield raw
        return
    with tempfile.TemporaryFile(prefix="fastfeast-") as copy:
        while part := raw.read(SPOOL_BYTES):
            copy.write(part)
        copy.seek(0)
        yield copy


def size_of(file: IO[bytes]) -> int:
    """Bytes, of a file in which one can seek. Leaves it at its beginning."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    return size
