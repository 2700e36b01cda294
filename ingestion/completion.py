"""The columns of a chunk that its file does not have: those it lacks, and those that its path or the YAML says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa

from config.errors import FileRejected
from config.file_names import storable
from config.schema import Column, Schema
from validation.batch import Chunk
from validation.columns import Columns, parts_of
from validation.conversions import convert


class Completion:
    """Completes the chunks of the file at `path`. Raises FileRejected where that doesn't tell a column's value."""

    def __init__(self, schema: Schema, path: Path | None) -> None:
        self._schema = schema
        self._said = values_of(schema, path) if path is not None else {}

    def complete(self, chunk: Chunk) -> Chunk:
        """The chunk with all columns of the schema, in its order."""
        lacks = {column.name for column in self._schema.in_file.columns} - chunk.columns.keys()
        if lacks:
            chunk = dataclasses.replace(chunk, lacks=(*sorted(lacks), *chunk.lacks))
        if len(chunk.columns) == len(self._schema.columns):
            return chunk
        parts, rows = parts_of(chunk.columns), len(chunk.numbers)
        columns = {
            column.name: parts[column.name]
            if column.name in parts
            else pa.repeat(pa.scalar(self._said.get(column.name), pa.string()), rows)
            for column in self._schema.columns
        }
        malformed = tuple(
            dataclasses.replace(record, raw={**record.raw, **self._said}) for record in chunk.malformed
        )
        return dataclasses.replace(chunk, columns=Columns(columns), malformed=malformed)


def values_of(schema: Schema, path: Path) -> dict[str, str | None]:
    """What the columns that have a `value` hold in the file at `path`, by name.

    Raises FileRejected where the path does not tell, or tells what the column can't hold; where the column is
    optional, it is null then.
    """
    return {column.name: _value_of(column, path) for column in schema.columns if column.is_said_by_file}


def _value_of(column: Column, path: Path) -> str | None:
    assert column.value is not None  # noqa: S101
    text = column.value.of(storable(str(path)))
    if text is None and not column.optional:
        raise FileRejected(f"column {column.name}: {_untold(column)}; optional: true lets it be null there")
    if text is not None and convert(column, pa.array([text], pa.string())).unreadable[0].as_py():
        raise FileRejected(
            f"column {column.name}: what its value ({column.value.says}) takes of the file's path is no "
            f"{column.dtype.value}; mend the expression, the column's dtype or format, or the file's place"
        )
    return text


def _untold(column: Column) -> str:
    assert column.value is not None  # noqa: S101
    if column.value.path is not None:
        return "the file's path does not match value.path"
    folder = "YYYY-MM-DD/HH" if column.value.file == "hour" else "YYYY-MM-DD"
    return f"the file lies in no folder {folder}, which would tell its {column.value.file}"
