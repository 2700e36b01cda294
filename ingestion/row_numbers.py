"""The numbers of rows in their file, which are found by reading it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from config.errors import FileChanged, FileRejected
from config.file_spec import FileSpec
from config.schema import Drift, Schema
from config.settings import PipelineConfig
from ingestion.archived import content_at, where_it_lies
from ingestion.file_reader import read_chunks
from ingestion.places.registry import path_of
from validation.conversions import convert

Identity = tuple[str, ...]


def identities(spec: FileSpec, columns: Mapping[str, pa.Array]) -> list[Identity]:
    """What tells rows of one file apart: the key, and the value of `newer_by`. `columns` are texts of files."""
    parts = []
    for name in _telling(spec):
        column, texts = spec.schema.by_name[name], columns[name]
        values = convert(column, texts, spec.read_as(column)).values.to_pylist()
        pairs = zip(values, texts.to_pylist(), strict=True)
        parts.append([(text or "").strip() if value is None else str(value) for value, text in pairs])
    return list(zip(*parts, strict=True))


def identities_of(spec: FileSpec, rows: Sequence[Mapping[str, Any]]) -> list[Identity]:
    """The same of rows as quarantine has them."""
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in _telling(spec)}
    return identities(spec, columns)


def _telling(spec: FileSpec) -> list[str]:
    """The columns that tell rows of one file apart."""
    return [*(column.name for column in spec.schema.key_columns), *([spec.version_by] if spec.version_by else [])]


def _tolerant(schema: Schema) -> Schema:
    """The schema as it reads files of before, which have other columns: which row it is, the key tells."""
    new = schema.drift.new_columns if schema.drift.takes_new else "ignore"
    return schema.changed(drift=Drift(new_columns=new, missing_columns="null"))


def numbers_in_file(
    config: PipelineConfig,
    spec: FileSpec,
    file: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    taken: Collection[int],
) -> list[int | None]:
    """The 1-based number of each of the `rows`, texts by column, in `file`, a row of pipeline_file_log.

    None where it can't be told: the file is gone, or the row is written in another way there. `taken` are the
    numbers of other rows.
    """
    wanted: defaultdict[Identity, list[int]] = defaultdict(list)
    for place, identity in enumerate(identities_of(spec, rows)):
        wanted[identity].insert(0, place)
    numbers: list[int | None] = [None] * len(rows)
    path = path_of(file["file_path"])
    try:
        with content_at(path.name, where_it_lies(file)) as source:
            if source.md5() != file["file_hash"]:
                return numbers
            most, schema = config.reader.chunk_rows, _tolerant(spec.schema)
            for chunk in read_chunks(source, path.name, schema, most, spec.read, path):
                found = zip(identities(spec, chunk.columns), chunk.numbers.tolist(), strict=True)
                for identity, number in found:
                    if identity in wanted and wanted[identity] and number not in taken:
                        numbers[wanted[identity].pop()] = number
    except (FileChanged, FileRejected, OSError):
        pass  # those that were found are right
    return numbers
