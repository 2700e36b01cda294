"""One file → chunks of text columns, streamed; CSV through Arrow, JSON through json_reader."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import stat
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from config.config_loader import get_config
from config.errors import FileChanged, FileRejected
from config.file_specs import logical_stem
from config.model import Schema, Stage
from config.settings import PipelineConfig
from ingestion.json_reader import read_json
from ingestion.open_writers import descriptor_has_writer
from validation.batch import Chunk, Reason, Rejection
from validation.pii_handler import MALFORMED, malformed_raw
from validation.schema_validator import check_columns

if TYPE_CHECKING:
    import pandas as pd

MAX_LINE_BYTES = 4 << 20  # a CSV record longer than this fails its file
BLOCKS_AHEAD, BLOCK_SECONDS = 3, 1.0  # of MAX_LINE_BYTES; how long one is waited for to be used up
HASHED_BYTES = 1 << 18  # at a time
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


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
        tables = [pa.table(chunk.columns) for chunk in read_chunks(file, path.name, spec.schema, 50_000)]
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
        for data in self.beginning(size):
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


def read_chunks(file: OpenFile, name: str, schema: Schema, chunk_rows: int) -> Iterator[Chunk]:
    """The file's records as chunks of at most `chunk_rows` rows, columns as in `schema`; `name` tells the format.

    Raises FileRejected for what is wrong with the file as a whole; a record that can't be split into columns
    comes as `malformed` of its chunk.
    """
    _, extension = logical_stem(name)
    with byte_stream(file, name) as raw:
        if extension == ".csv":
            yield from _read_csv(raw, schema, chunk_rows)
        else:
            yield from read_json(raw, schema, chunk_rows)


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


class _CsvStream(io.RawIOBase):
    """What Arrow reads: the file's bytes, ended by a line feed, while the quotes in it are counted.

    Arrow reads in a thread of its own, 32 blocks ahead if it is let, which is 128 MB: it is held up after a few.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._changed = threading.Condition()  # guards _ahead
        self._ahead = 0.0
        self._start = raw.read(3)
        self._ended = False
        self.quotes = 0
        self.last_line = b""
        if self._start[:2] in _UTF16:
            raise FileRejected("is UTF-16; export it as UTF-8")

    def readable(self) -> bool:
        return True

    def taken(self, blocks: float = 1) -> None:
        """So many of the blocks that were read are used up; what is unsure is asked for again."""
        with self._changed:
            self._ahead = max(self._ahead - blocks, 0)
            self._changed.notify_all()

    def read(self, size: int = -1) -> bytes:
        with self._changed:  # not for ever: a block may come to nothing
            self._changed.wait_for(lambda: self._ahead < BLOCKS_AHEAD, BLOCK_SECONDS)
            self._ahead += 1
        data, self._start = self._start, b""
        data += self._raw.read(size - len(data) if size >= 0 else -1)
        at_end = size < 0 or len(data) < size  # these streams read in full
        if at_end and not self._ended and (data or self.last_line):
            self._ended = True
            if not (data or self.last_line).endswith((b"\n", b"\r")):
                data += b"\n"
        self.quotes += data.count(b'"')
        cut = max(data.rstrip(b"\r\n").rfind(b"\n"), data.rstrip(b"\r\n").rfind(b"\r"))
        self.last_line = data[cut + 1 :] if cut >= 0 else (self.last_line + data)[-MAX_LINE_BYTES:]
        return data

    @property
    def ends_within_quotes(self) -> bool:
        """Does the last line hold an odd quote, and the file too?"""
        return self.quotes % 2 == 1 and self.last_line.count(b'"') % 2 == 1


def _read_csv(raw: IO[bytes], schema: Schema, chunk_rows: int) -> Iterator[Chunk]:
    """Arrow's streaming reader tells the record number of every line it can't split; the others fill the gaps."""
    stream = _CsvStream(raw)
    counter = _RecordCounter()

    def note(row: pacsv.InvalidRow) -> str:
        stream.taken(BLOCKS_AHEAD)
        counter.skip(_malformed(row.number - 1, row.text, row.actual_columns, row.expected_columns))
        return "skip"

    names = [column.name for column in schema.columns]
    try:
        reader = pacsv.open_csv(
            pa.PythonFile(stream, "r"),
            read_options=pacsv.ReadOptions(block_size=MAX_LINE_BYTES, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        check_columns(schema, reader.schema.names)
        yield from _rechunked(_batches(reader, stream), counter, names, chunk_rows)
    except pa.ArrowInvalid as error:
        raise FileRejected(_csv_problem(str(error))) from None
    finally:
        stream.taken(math.inf)
    last_is_open = counter.last_text_has_newline or counter.last_skipped_has_newline
    if stream.ends_within_quotes or (stream.quotes % 2 == 1 and last_is_open):
        raise FileRejected("a quote is opened and never closed: the file was cut, or a value holds a bare quote")


def _batches(reader: pacsv.CSVStreamingReader, stream: _CsvStream) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        stream.taken()
        yield batch


def _malformed(number: int, text: str, found: int, expected: int) -> Rejection:
    rule = "too_many_fields" if found > expected else "too_few_fields"
    line = number + 1  # after the header; more, where values span lines
    return Rejection(number, (Reason(Stage.SCHEMA, rule, ""),), malformed_raw(text, line))


class _RecordCounter:
    """Gives the rows that could be split their ordinals: the numbers that the malformed ones leave free."""

    def __init__(self) -> None:
        self._malformed: list[Rejection] = []  # behind the rows numbered so far
        self._next = 1
        self.last_text_has_newline = False
        self.last_skipped_has_newline = False

    def skip(self, record: Rejection) -> None:
        """Note a record that could not be split."""
        self._malformed.append(record)
        self.last_skipped_has_newline = "\n" in record.raw[MALFORMED]

    def number(self, count: int) -> tuple[np.ndarray, tuple[Rejection, ...]]:
        """Ordinals of the next `count` rows, and the malformed records before the last of them."""
        taken = [m.number for m in self._malformed]
        numbers = np.arange(self._next, self._next + count + len(taken), dtype=np.int64)
        numbers = numbers[~np.isin(numbers, taken)][:count]
        self._next = int(numbers[-1]) + 1 if count else self._next
        passed = tuple(m for m in self._malformed if m.number < self._next)
        del self._malformed[: len(passed)]
        return numbers, passed

    def rest(self) -> tuple[Rejection, ...]:
        """The malformed records after the last row."""
        return tuple(self._malformed)


def _rechunked(
    batches: Iterator[pa.RecordBatch], counter: _RecordCounter, names: list[str], chunk_rows: int
) -> Iterator[Chunk]:
    """Arrow's batches, whose size follows from bytes, as chunks of `chunk_rows` rows."""
    held: list[pa.RecordBatch] = []

    def chunk(count: int) -> Chunk:
        table = pa.Table.from_batches(held)
        part, remainder = table.slice(0, count), table.slice(count)
        held[:] = remainder.to_batches()
        numbers, malformed = counter.number(count)
        columns = {name: part.column(name).combine_chunks() for name in names}
        last = columns[names[-1]] if part.num_rows else []
        counter.last_text_has_newline = bool(len(last)) and "\n" in (last[-1].as_py() or "")
        return Chunk(numbers, columns, malformed)

    for batch in batches:
        held.append(batch)
        while sum(b.num_rows for b in held) >= chunk_rows:
            yield chunk(chunk_rows)
    if rows := sum(b.num_rows for b in held):
        yield chunk(rows)
    if rest := counter.rest():
        yield Chunk(np.array([], np.int64), {name: pa.array([], pa.string()) for name in names}, rest)


def _csv_problem(message: str) -> str:
    """Arrow's complaint in our words, since its own may quote the data."""
    if "Empty CSV" in message:
        return "is empty: not even a header line"
    if "straddling" in message:
        return f"a line is longer than {MAX_LINE_BYTES >> 20} MB, or a quote is opened and never closed"
    if "invalid UTF8" in message:
        return "is not UTF-8 text; export it as UTF-8"
    return "is not CSV that can be read"
