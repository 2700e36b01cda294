"""Packed files, unpacked as they are read: one entry a packing, by what its name ends with."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple, cast

import pyarrow as pa

from config.errors import FileRejected
from config.file_names import is_packed
from ingestion.formats.spool import size_of

# Nothing that is worth loading packs better; what does is made to fill memory and disk.
MOST_TIMES, ALWAYS_BYTES = 500, 256 << 20
_LEFTOVERS = ("__MACOSX/", ".DS_Store", "Thumbs.db")  # what desktops put into an archive beside the files


class Packing(NamedTuple):
    """How to unpack: `open` makes a stream of a file; `errors` are raised where it is damaged, or cut off."""

    name: str
    open: Callable[[IO[bytes]], Any]
    errors: tuple[type[Exception], ...]


def _open_zstd(file: IO[bytes]) -> IO[bytes]:
    if not size_of(file):
        raise EOFError
    return cast("IO[bytes]", _Zstd(file))


class _LeftOpen:
    """A file whose reader must not close it, as Arrow does."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read

    def close(self) -> None:
        """Whoever opened it closes it."""


class _Zstd:
    """Arrow's decoder, which tells of a file that is cut off; it has no error of its own, so one is made here."""

    def __init__(self, file: IO[bytes]) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(_LeftOpen(file), mode="r"), "zstd")

    def read(self, size: int) -> bytes:
        try:
            return cast("bytes", self._stream.read(size))
        except OSError as error:
            if error.errno is not None:  # the disk's, not the decoder's
                raise
            raise EOFError from None


def _open_zip(file: IO[bytes]) -> IO[bytes]:
    """The one member of an archive. Raises FileRejected where there is not one that can be read."""
    archive, member = _one_member(file)
    if member.flag_bits & 1:
        raise FileRejected("the zip archive is encrypted: pack the file without a password")
    try:
        return archive.open(member)
    except NotImplementedError:
        raise FileRejected("the zip archive is packed by a method that is not known here; use Deflate") from None


def member_name(file: IO[bytes]) -> str | None:
    """What the one member of a zip archive is called; None where it is none, or has not one member."""
    try:
        return _one_member(file)[1].filename.rpartition("/")[2]
    except (FileRejected, zipfile.BadZipFile, EOFError):
        return None


def _one_member(file: IO[bytes]) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
    try:
        archive = zipfile.ZipFile(file)
    except NotImplementedError as error:  # the version that its damaged header says
        raise zipfile.BadZipFile from error
    members = [m for m in archive.infolist() if not m.is_dir() and not _is_leftover(m.filename)]
    if len(members) != 1:
        found = f"holds {len(members)} files" if members else "holds no file"
        raise FileRejected(f"the zip archive {found}: pack one file in each, under the archive's name")
    return archive, members[0]


def _is_leftover(name: str) -> bool:
    return name.startswith(_LEFTOVERS[0]) or name.rpartition("/")[2] in _LEFTOVERS


UNPACKED_BY = {
    ".gz": Packing("gzip", lambda file: gzip.GzipFile(fileobj=file), (gzip.BadGzipFile, EOFError, zlib.error)),
    ".zst": Packing("zstd", _open_zstd, (EOFError,)),
    ".zip": Packing("zip", _open_zip, (zipfile.BadZipFile, EOFError, zlib.error)),
}


class _Unpacked(io.RawIOBase):
    """A stream of what was packed. Reads in full, and not without end; one can't seek in it."""

    def __init__(self, stream: Any, packing: Packing, packed_bytes: int) -> None:
        self._stream = stream
        self._packing = packing
        self._most = max(ALWAYS_BYTES, MOST_TIMES * packed_bytes)
        self._count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Raises FileRejected where the packed file is damaged."""
        try:
            data: bytes = self._stream.read(size)
        except self._packing.errors as error:
            raise _damaged(self._packing, error) from None
        self._count += len(data)
        if self._count > self._most:
            raise FileRejected(
                f"unpacks to more than {self._most >> 20} MB, which is more than {MOST_TIMES} times its size: "
                "if it is meant, unpack it before it is delivered"
            )
        return data


@contextmanager
def unpacked(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """What is in `file`, whose name says whether it is packed. Raises FileRejected when it can't be unpacked."""
    if not is_packed(name):
        yield file
        return
    packing = UNPACKED_BY["." + name.lower().rpartition(".")[2]]
    packed_bytes = size_of(file)
    try:
        stream = packing.open(file)
    except packing.errors as error:
        raise _damaged(packing, error) from None
    yield cast("IO[bytes]", _Unpacked(stream, packing, packed_bytes))


def _damaged(packing: Packing, error: Exception) -> FileRejected:
    return FileRejected(f"is not a whole {packing.name} file ({type(error).__name__})")
