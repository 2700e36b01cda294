"""Parquet → chunks of text columns, batch by batch, so that memory doesn't grow with the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import FileRejected
from config.model import Dtype, Stage
from config.schema import Column, Schema
from ingestion.formats.format import Format
from ingestion.formats.parquet_text import UnfitTypeError, as_text, is_number
from ingestion.formats.parquet_times import CutError, finer_texts
from ingestion.formats.spool import seekable, size_of
from ingestion.formats.typed_text import TypedOptions
from validation.batch import Chunk, Reason, Rejection
from validation.columns import Columns, Part, TypedColumn, changed, rows_of
from validation.drift import match_columns, shown
from validation.extra import extra_columns, gathered, left_out, new_names

MAGIC, ENCRYPTED = b"PAR1", b"PARE"
NOT_UTF8 = "not_utf8"
BUFFER_BYTES = 1 << 20


class ParquetFormat(Format):
    """Apache Parquet. A value goes the road of its text, and is judged as any other."""

    name = "parquet"
    extensions: ClassVar[tuple[str, ...]] = (".parquet",)
    Options = TypedOptions
    longest_record = 64 << 20

    def sniff(self, beginning: bytes, options: TypedOptions) -> dict[str, Any] | None:
        """A file of Parquet begins with its name."""
        del options
        return {} if beginning.startswith(MAGIC) else None

    def columns(self, raw: IO[bytes], rows: int, options: TypedOptions) -> list[str]:
        """The names of the outermost columns."""
        del rows, options
        with _opened(raw) as file:
            return list(file.schema.names)

    def chunks(self, raw: IO[bytes], schema: Schema, chunk_rows: int, options: TypedOptions) -> Iterator[Chunk]:
        """Numbers and times by their text, nested values as JSON."""
        with _opened(raw) as file:
            fields = file.schema
            names = match_columns(schema, fields.names)
            extras, new = extra_columns(schema, fields.names, names), new_names(fields.names, names)
            places = {name or left_out(place).name: place for place, name in enumerate(names)}
            columns = [(column, places[column.name]) for column in schema.columns if column.name in places]
            columns += [(Column(name=name, dtype=Dtype.STR), places[name]) for name in extras]
            _refuse_without_text(fields, [place for _, place in columns], options)
            count = 0
            for batch, nanos in file.batches(chunk_rows):
                if batch.num_rows:
                    finer = _finer_texts(batch, nanos, [place for _, place in columns])
                    yield gathered(_chunk(batch, finer, columns, options, count), extras, new)
                    count += batch.num_rows


class _File:
    """A file whose end is read: its schema, and its rows."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._parquet = self._as_of("us")
        with _damage_told():
            self.schema: pa.Schema = self._parquet.schema_arrow
            leaves = self._parquet.schema
            self._has_int96 = any(leaves.column(n).physical_type == "INT96" for n in range(len(leaves)))

    def batches(self, most: int) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """The rows, at most so many at a time, twice: with INT96 in microseconds, and in nanoseconds."""
        if not self._has_int96:
            yield from ((batch, batch) for batch in _batches(self._parquet, most))
            return
        yield from zip(_batches(self._parquet, most), _batches(self._as_of("ns"), most), strict=True)

    def _as_of(self, unit: str) -> Any:
        import pyarrow.parquet as pq  # here alone: most commands read none

        with _damage_told():
            return pq.ParquetFile(
                self._file,
                buffer_size=BUFFER_BYTES,
                pre_buffer=False,
                coerce_int96_timestamp_unit=unit,
                page_checksum_verification=True,
            )


@contextmanager
def _opened(raw: IO[bytes]) -> Iterator[_File]:
    """The file. Raises FileRejected where it is none, or damaged, also while it is used."""
    with seekable(raw) as file:
        beginning = file.read(len(MAGIC))
        if beginning != MAGIC:
            raise FileRejected(_no_parquet(beginning))
        size_of(file)
        yield _File(file)


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turn what Arrow makes of a damaged file into FileRejected."""
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:  # a name, or Arrow's own message, may be no text
        raise _damaged(error) from None
    except OSError as error:
        if error.errno is not None:  # the disk's
            raise
        raise _damaged(error) from None


def _batches(file: Any, most: int) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(most, use_threads=False)
    while True:
        with _damage_told():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _damaged(error: Exception) -> FileRejected:
    return FileRejected(f"is not a whole Parquet file ({type(error).__name__}): it is cut off or damaged")


def _no_parquet(beginning: bytes) -> str:
    if not beginning:
        return "is empty, and so no Parquet file: one without rows still says its columns"
    if beginning == ENCRYPTED:
        return "is encrypted Parquet: write it without encryption"
    if beginning == b"PK\x03\x04":
        return "is no Parquet file: it looks like a zip archive or an Excel workbook"
    return "is no Parquet file: it does not begin as one; is it CSV or JSON? Then read: {format: …} says so"


def _refuse_without_text(schema: pa.Schema, wanted: Iterable[int], options: TypedOptions) -> None:
    """Raise FileRejected for `wanted` columns, by their places, of a type whose values have no text."""
    for position in wanted:
        field = schema.field(position)
        try:
            as_text(pa.array([], field.type), Column(name="any", dtype="str"), options)
        except UnfitTypeError as problem:
            raise FileRejected(
                f"column {shown(field.name, position)} is of type {problem}, whose values have no text; "
                "write it as a string, or leave it out"
            ) from None


def _finer_texts(batch: pa.RecordBatch, nanos: pa.RecordBatch, wanted: Iterable[int]) -> dict[int, pa.Array]:
    """Texts of the times finer than microseconds, of columns by their places. Raises FileRejected."""
    texts = {}
    for place in wanted:
        try:
            found = finer_texts(batch.column(place), nanos.column(place))
        except CutError:
            raise FileRejected(
                f"column {shown(batch.schema.names[place], place)} has nested times of type INT96 that are finer "
                "than microseconds: write them as TIMESTAMP(NANOS), or leave the column out"
            ) from None
        if found is not None:
            texts[place] = found
    return texts


def _chunk(
    batch: pa.RecordBatch,
    finer: Mapping[int, pa.Array],
    columns: Sequence[tuple[Column, int]],
    options: TypedOptions,
    count: int,
) -> Chunk:
    parts: dict[str, Part] = {}
    against: dict[int, list[Reason]] = {}
    for column, place in columns:
        values = batch.column(place)
        if place in finer:
            parts[column.name] = pc.coalesce(finer[place], as_text(values, column, options))
            continue
        if is_number(values.type) or pa.types.is_temporal(values.type):
            parts[column.name] = TypedColumn(values, partial(as_text, column=column, options=options))
            continue
        text = as_text(values, column, options)
        bad = _not_utf8(text)
        for row in bad:
            against.setdefault(row, []).append(Reason(Stage.SCHEMA, NOT_UTF8, column.name))
        parts[column.name] = _readable(text, bad) if bad else text
    read = Columns(parts)
    numbers = np.arange(count + 1, count + batch.num_rows + 1, dtype=np.int64)
    if not against:
        return Chunk(numbers, read)
    rows = sorted(against)
    malformed = tuple(
        Rejection(int(numbers[row]), tuple(against[row]), raw)
        for row, raw in zip(rows, rows_of(read, rows), strict=True)
    )
    good = np.ones(len(numbers), dtype=bool)
    good[rows] = False
    return Chunk(numbers[good], changed(read, lambda values: values.filter(pa.array(good))), malformed)


def _not_utf8(text: pa.Array) -> list[int]:
    """The rows whose text is not UTF-8, which Arrow does not ask for when it reads."""
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return [row for row, data in enumerate(text.cast(pa.binary()).to_pylist()) if not _is_utf8(data)]
    return []


def _is_utf8(data: bytes | None) -> bool:
    try:
        (data or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _readable(text: pa.Array, bad: list[int]) -> pa.Array:
    mask = np.zeros(len(text), dtype=bool)
    mask[bad] = True
    told = [data.decode(errors="replace") for data in text.cast(pa.binary()).filter(pa.array(mask)).to_pylist()]
    return pc.replace_with_mask(text, pa.array(mask), pa.array(told, pa.string()))
