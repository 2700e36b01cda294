"""The stages in order: schema → records → orphans → duplicates."""

from __future__ import annotations

from config.file_spec import FileSpec
from config.model import Feed
from validation.batch import Batch, Chunk
from validation.batch_records_validator import validate_batch_records
from validation.duplicates import reject_duplicates
from validation.operations import judge_operations
from validation.orphan_validator import KnownParents, reject_orphans
from validation.record_checks import Dates
from validation.schema_validator import validate_schema
from validation.stream_records_validator import validate_stream_records

RECORDS = {Feed.BATCH: validate_batch_records, Feed.STREAM: validate_stream_records}


def validate(chunk: Chunk, spec: FileSpec, dates: Dates) -> Batch:
    """Judge a chunk by all that needs no warehouse: stages schema and records. Pure."""
    batch = Batch(spec, chunk)
    validate_schema(batch)
    RECORDS[spec.feed](batch, dates)
    judge_operations(batch)
    return batch


def settle(batch: Batch, parents: KnownParents) -> None:
    """Judge what needs the warehouse, and what needs every other verdict: orphans, then duplicates."""
    reject_orphans(batch, parents)
    reject_duplicates(batch)
