"""The number of a row in its file, which is found by reading the file again."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import FileChanged, FileRejected
from config.file_spec import FileSpec
from config.settings import PipelineConfig
from ingestion.archived import content_at, where_it_lies
from ingestion.file_reader import read_chunks
from ingestion.places.registry import path_of
from validation.batch import Chunk
from validation.conversions import as_mask, convert
from validation.key_values import joined, joined_value
from workbench.explain_parents import named_in_file

Row = dict[str, Any]


class PlaceInFile(NamedTuple):
    """The 1-based number of a row in its file, or why it can't be told; and the parents that the file names, by
    foreign key, of those keys that are null without their parent."""

    number: int | None
    note: str | None = None
    named: tuple[tuple[str, str], ...] = ()


def place_in_file(config: PipelineConfig, spec: FileSpec, row: Row, file: Row, refused: set[int]) -> PlaceInFile:
    """Where the row is in its file.

    Of rows with one key in a file, it is the first with the row's time, where these have times. `refused` are the
    numbers of others.
    """
    path = path_of(file["file_path"])
    try:
        with content_at(path.name, where_it_lies(file)) as source:
            if source.md5() != file["file_hash"]:
                return PlaceInFile(None, "the file has other content now")
            rows = config.reader.chunk_rows
            for chunk in read_chunks(source, path.name, spec.schema, rows, spec.read, path):
                for position in np.flatnonzero(_same(spec, chunk, row)).tolist():
                    number = int(chunk.numbers[position])
                    if number not in refused:
                        return PlaceInFile(number, None, tuple(named_in_file(spec, chunk, position)))
    except (FileChanged, FileRejected, OSError):
        return PlaceInFile(None, "the file is no longer there")
    return PlaceInFile(None, "the file does not hold it as the configuration reads it now")


def _same(spec: FileSpec, chunk: Chunk, row: Row) -> np.ndarray:
    """Which records of the chunk have the row's key, and its time (boolean)."""
    columns = spec.schema.key_columns
    parts = [convert(c, chunk.columns[c.name], spec.read_as(c)).values for c in columns]
    found = as_mask(pc.equal(joined(parts), joined_value([row[column.target] for column in columns])))
    if spec.version_by is None or not found.any():
        return found
    column = spec.schema.by_name[spec.version_by]
    times = convert(column, chunk.columns[column.name], spec.read_as(column)).values
    value = row[column.target]
    if isinstance(value, dt.datetime) and value.tzinfo:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    is_its = pc.is_null(times) if value is None else pc.equal(times, pa.scalar(value, times.type))
    both: np.ndarray = found & as_mask(is_its)
    return both
