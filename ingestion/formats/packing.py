"""Packed files, unpacked as they are read: one entry a packing, by what its name ends with."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from config.errors import FileRejected
from config.file_names import is_packed


class Packing(NamedTuple):
    """How to unpack: `open` makes a stream of a file; `errors` are raised where it is damaged, or cut off."""

    name: str
    open: Callable[[IO[bytes]], Any]
    errors: tuple[type[Exception], ...]


UNPACKED_BY = {
    ".gz": Packing("gzip", lambda file: gzip.GzipFile(fileobj=file), (gzip.BadGzipFile, EOFError, zlib.error)),
}


@contextmanager
def unpacked(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """What is in `file`, whose name says whether it is packed. Raises FileRejected when it can't be unpacked."""
    if not is_packed(name):
        yield file
        return
    packing = UNPACKED_BY["." + name.lower().rpartition(".")[2]]
    try:
        yield packing.open(file)
    except packing.errors as error:
        raise FileRejected(f"is not a whole {packing.name} file ({type(error).__name__})") from None
