"""Parquet → chunks of text columns, batch by batch, so that memory doesn't grow with the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import FileRejected
from config.model import Dtype, Stage
from config.schema import Column, Schema
from ingestion.formats.format import Format
from ingestion.formats.parquet_text import UnfitTypeError, as_text, is_number
from ingestion.formats.spool import seekable, size_of
from ingestion.formats.typed_text import TypedOptions
from validation.batch import Chunk, Reason, Rejection
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
        with _opened(raw) as file, _damage_told():
            return list(file.schema_arrow.names)

    def chunks(self, raw: IO[bytes], schema: Schema, chunk_rows: int, options: TypedOptions) -> Iterator[Chunk]:
        """Numbers and times by their text, nested values as JSON."""
        with _opened(raw) as file:
            with _damage_told():
                fields = file.schema_arrow
            names = match_columns(schema, fields.names)
            extras, new = extra_columns(schema, fields.names, names), new_names(fields.names, names)
            places = {name or left_out(place).name: place for place, name in enumerate(names)}
            columns = [(column, places[column.name]) for column in schema.columns if column.name in places]
            columns += [(Column(name=name, dtype=Dtype.STR), places[name]) for name in extras]
            _refuse_without_text(fields, [place for _, place in columns], options)
            count = 0
            for batch in _batches(file, chunk_rows):
                if batch.num_rows:
                    yield gathered(_chunk(batch, columns, options, count), extras, new)
                    count += batch.num_rows


@contextmanager
def _opened(raw: IO[bytes]) -> Iterator[Any]:
    """The file, its end read. Raises FileRejected where it is none, or damaged, also while it is used."""
    import pyarrow.parquet as pq  # here alone: most commands read none

    with seekable(raw) as file:
        beginning = file.read(len(MAGIC))
        if beginning != MAGIC:
            raise FileRejected(_no_parquet(beginning))
        size_of(file)
        with _damage_told():
            parquet = pq.ParquetFile(
                file,
                buffer_size=BUFFER_BYTES,
                pre_buffer=False,
                coerce_int96_timestamp_unit="us",  # as nanoseconds, years far off would come out as others
                page_checksum_verification=True,
            )
        with parquet:
            yield parquet


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


def _chunk(
    batch: pa.RecordBatch, columns: Sequence[tuple[Column, int]], options: TypedOptions, count: int
) -> Chunk:
    texts: dict[str, pa.Array] = {}
    against: dict[int, list[Reason]] = {}
    for column, place in columns:
        values = batch.column(place)
        text = as_text(values, column, options)
        bad = [] if is_number(values.type) or pa.types.is_temporal(values.type) else _not_utf8(text)
        for row in bad:
            against.setdefault(row, []).append(Reason(Stage.SCHEMA, NOT_UTF8, column.name))
        texts[column.name] = _readable(text, bad) if bad else text
    numbers = np.arange(count + 1, count + batch.num_rows + 1, dtype=np.int64)
    if not against:
        return Chunk(numbers, texts)
    rows = sorted(against)
    raws = pa.table(texts).take(pa.array(rows, pa.int64())).to_pylist()
    malformed = tuple(
        Rejection(int(numbers[row]), tuple(against[row]), raw) for row, raw in zip(rows, raws, strict=True)
    )
    good = np.ones(len(numbers), dtype=bool)
    good[rows] = False
    return Chunk(numbers[good], {n: text.filter(pa.array(good)) for n, text in texts.items()}, malformed)


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
