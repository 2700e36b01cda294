"""The stages in order: schema → records → orphans → duplicates."""

from __future__ import annotations

import datetime as dt

from config.model import FileSpec
from validation.batch import Batch, Chunk
from validation.orphan_validator import KnownParents, reject_orphans
from validation.records_validator import reject_duplicates, validate_records
from validation.schema_validator import validate_schema


def validate(chunk: Chunk, spec: FileSpec, dates: tuple[dt.date, dt.date]) -> Batch:
    """Judge a chunk by all that needs no warehouse: stages schema and records. Pure."""
    batch = Batch(spec, chunk)
    validate_schema(batch)
    validate_records(batch, dates)
    return batch


def settle(batch: Batch, parents: KnownParents) -> None:
    """Judge what needs the warehouse, and what needs every other verdict: orphans, then duplicates."""
    reject_orphans(batch, parents)
    reject_duplicates(batch)
