"""One file → chunks of text columns, streamed, by the reader of its format."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from config.config_loader import get_config
from config.errors import FileChanged, FileRejected
from config.file_specs import logical_stem
from config.model import ReadOptions, Schema
from config.settings import PipelineConfig
from ingestion.formats.csv_format import read_csv
from ingestion.formats.json_format import read_json
from ingestion.places.open_writers import descriptor_has_writer
from validation.batch import Chunk

if TYPE_CHECKING:
    import pandas as pd

HASHED_BYTES = 1 << 18  # at a time
DEFAULTS = ReadOptions()


def get_file_type(file_name: str, config: PipelineConfig | None = None) -> str:
    """The logical name that the configuration gives files called `file_name`; FileRejected when there is none."""
    config = config or get_config()
    stem, extension = logical_stem(file_name)
    name = config.reader.file_type_map.get(file_name, stem)
    if not extension or name not in config.by_logical_name:
        raise FileRejected(f"{file_name}: no expected file of the configuration has this name")
    return name


def read_file(path: Path, config: PipelineConfig | None = None) -> tuple[pd.DataFrame, str]:
    """The whole file as text columns (pandas `str`), and its logical name. Malformed records are left out.

    Raises FileRejected when it can't be read as what its name says.
    """
    import pandas as pd  # here alone: the pipeline itself streams Arrow

    config = config or get_config()
    name = get_file_type(path.name, config)
    spec = config.by_logical_name[name]
    with opened(path) as file:
        tables = [
            pa.table(chunk.columns) for chunk in read_chunks(file, path.name, spec.schema, 50_000, spec.read)
        ]
    empty = pa.table({column.name: pa.array([], pa.string()) for column in spec.schema.columns})
    frame: pd.DataFrame = pa.concat_tables([empty, *tables]).to_pandas()
    return frame.astype(pd.StringDtype(na_value=np.nan)), name


class OpenFile:
    """A file held open, so that what is hashed, parsed and checked is one and the same."""

    def __init__(self, handle: io.BufferedReader) -> None:
        self.handle = handle
        self.stat = os.fstat(handle.fileno())

    def md5(self, size: int = sys.maxsize) -> str:
        """MD5 of the first `size` bytes, hex. Leaves the position where it is: another thread may be reading."""
        digest = hashlib.md5(usedforsecurity=False)
        for data in self.beginning(min(size, self.stat.st_size + 1)):  # what grows meanwhile is no end
            digest.update(data)
        return digest.hexdigest()

    def beginning(self, size: int) -> Iterator[bytes]:
        """The first `size` bytes, in parts. Leaves the position where it is."""
        position = 0
        while data := os.pread(self.handle.fileno(), min(HASHED_BYTES, size - position), position):
            yield data
            position += len(data)

    def verify_unchanged(self, path: Path) -> None:
        """Raise FileChanged unless `path` is still this very file, with the size and time it was opened with."""
        try:
            found = path.lstat()
        except OSError:
            raise FileChanged(f"{path.name} went away while it was read") from None
        for now in (found, os.fstat(self.handle.fileno())):
            if _identity(now) != _identity(self.stat):
                raise FileChanged(f"{path.name} changed while it was read")
        self.verify_unwritten(path)

    def verify_unwritten(self, path: Path) -> None:
        """Raise FileChanged while somebody has the file open for writing, as far as the system tells."""
        if descriptor_has_writer(self.handle.fileno()):
            raise FileChanged(f"{path.name} is being written by somebody")


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@contextmanager
def opened(path: Path) -> Iterator[OpenFile]:
    """Open a regular file for reading, never following a link nor waiting on a FIFO.

    Raises FileChanged when it is gone, FileRejected when it can't be opened or is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise FileChanged(f"{path.name} went away before it was read") from None
    except OSError as error:
        raise FileRejected(f"can't be opened: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as handle:
        file = OpenFile(handle)
        if not stat.S_ISREG(file.stat.st_mode):
            raise FileRejected("is not a regular file")
        yield file


def read_chunks(
    file: OpenFile, name: str, schema: Schema, chunk_rows: int, options: ReadOptions = DEFAULTS
) -> Iterator[Chunk]:
    """The file's records as chunks of at most `chunk_rows` rows, columns as in `schema`; `name` tells the format.

    An empty field of a CSV file is null, a quoted one is ''.

    Raises FileRejected for what is wrong with the file as a whole; a record that can't be split into columns
    comes as `malformed` of its chunk. Raises FileChanged when the file grows, which it may do for ever.
    """
    _, extension = logical_stem(name)
    with byte_stream(file, name) as raw:
        if extension == ".csv":
            chunks = read_csv(raw, schema, chunk_rows, options)
        else:
            chunks = read_json(raw, schema, chunk_rows, options)
        for chunk in chunks:
            yield chunk
            if file.handle.tell() > file.stat.st_size:
                raise FileChanged(f"{name} grew while it was read")


@contextmanager
def byte_stream(file: OpenFile, name: str) -> Iterator[IO[bytes]]:
    """The file's bytes from the start, unpacked if `name` says that they are packed.

    Raises FileRejected when they can't be unpacked, or what is read of them within turns out not to be UTF-8.
    """
    file.handle.seek(0)
    try:
        yield cast("IO[bytes]", gzip.GzipFile(fileobj=file.handle) if name.endswith(".gz") else file.handle)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileRejected(f"is not a whole gzip file ({type(error).__name__})") from None
    except UnicodeDecodeError:
        raise FileRejected("is not UTF-8 text; export it as UTF-8") from None
