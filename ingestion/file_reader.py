"""One file → chunks of text columns, streamed, by the reader of its format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa

from config.config_loader import get_config
from config.errors import FileChanged, FileRejected
from config.file_names import logical_stem, unpacked_name
from config.read_options import ReadOptions
from config.schema import Schema
from config.settings import PipelineConfig
from ingestion.completion import Completion
from ingestion.formats.packing import unpacked
from ingestion.formats.registry import FORMATS
from ingestion.places.open_file import OpenFile
from ingestion.places.registry import opened
from validation.batch import Chunk

if TYPE_CHECKING:
    import pandas as pd

DEFAULTS = ReadOptions()


def get_file_type(file_name: str, config: PipelineConfig | None = None) -> str:
    """The logical name that the configuration gives files called `file_name`; FileRejected when there is none."""
    config = config or get_config()
    stem, _ = logical_stem(file_name)
    name = config.reader.file_type_map.get(unpacked_name(file_name), stem)
    spec = config.by_logical_name.get(name)
    if spec is None or not FORMATS.takes(spec, file_name):
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
            pa.table(dict(chunk.columns))
            for chunk in read_chunks(file, path.name, spec.schema, 50_000, spec.read, path)
        ]
    whole = pa.concat_tables([*tables, pa.table({c.name: pa.nulls(0, pa.string()) for c in spec.schema.columns})])
    kind = pd.StringDtype(na_value=np.nan)
    return pd.DataFrame({n: pd.array(whole.column(n).to_pylist(), dtype=kind) for n in whole.column_names}), name


def read_chunks(
    file: OpenFile,
    name: str,
    schema: Schema,
    chunk_rows: int,
    options: ReadOptions = DEFAULTS,
    path: Path | None = None,
) -> Iterator[Chunk]:
    """The file's records as chunks of at most `chunk_rows` rows, columns as in `schema`.

    `options` name the format, or else `name` tells it. `path` is where the file was found, for the columns whose
    values come from there; without it they are null.

    Raises FileRejected for what is wrong with the file as a whole; a record that can't be split into columns
    comes as `malformed` of its chunk. Raises FileChanged when the file grows, which it may do for ever.
    """
    found, own = FORMATS.get(options, name)
    completion = Completion(schema, path)
    with byte_stream(file, name) as raw:
        for chunk in found.chunks(raw, schema.in_file, chunk_rows, own):
            yield completion.complete(chunk)
            if file.handle.tell() > file.size:
                raise FileChanged(f"{name} grew while it was read")


@contextmanager
def byte_stream(file: OpenFile, name: str) -> Iterator[IO[bytes]]:
    """The file's bytes from the start, unpacked if `name` says that they are packed.

    Raises FileRejected when they can't be unpacked, or what is read of them within turns out not to be UTF-8.
    """
    file.handle.seek(0)
    try:
        with unpacked(file.handle, name) as raw:
            yield raw
    except UnicodeDecodeError:
        raise FileRejected("is not UTF-8 text; export it as UTF-8") from None
