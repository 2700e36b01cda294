"""File specs in few words, for tests that need no YAML."""

from __future__ import annotations

from typing import Any

from config.file_spec import FileSpec
from config.model import Dtype, Feed
from config.schema import Column, Schema

ID = Column(name="id", dtype=Dtype.INT, nullable=False)


def spec_of(
    name: str, table: str, *columns: Column, feed: Feed = Feed.BATCH, extension: str = ".csv", **more: Any
) -> FileSpec:
    """The spec of files `name` with the key `id`, a whole number, and `columns` beside it."""
    schema = Schema(name=name, primary_key="id", columns=(ID, *columns))
    return FileSpec(name, feed, name + extension, table, schema, **more)
