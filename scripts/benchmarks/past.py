"""A long past: files in the folders, known to the warehouse and to the tracker as done."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

from config.file_spec import FileSpec
from config.jobs import FileJob
from config.settings import PipelineConfig
from ingestion.file_tracker import FileTracker
from ingestion.places.registry import place_of
from scripts.benchmarks.server import Database, check

LAST_HOUR = dt.datetime(2025, 12, 31, 23, tzinfo=dt.UTC)
_COPY = """
COPY pipeline_file_log (file_name, file_path, file_hash, file_size, file_type, logical_name, source_table, status,
                        spec_hash)
FROM STDIN (FORMAT csv)
"""


def make_past(database: Database, count: int) -> None:
    """`count` files of the stream, as many an hour as the configuration expects kinds, all of them done."""
    config = database.config()
    specs = [spec for spec in config.files if spec.feed == "stream"]
    hashes = {spec.name: spec.fingerprint for spec in specs}
    lines = io.StringIO()
    log = csv.writer(lines)
    tracker = FileTracker(config.path(config.tracker.db_path))
    try:
        for path, spec in _places(config, specs, count):
            job = _made(path, spec)
            tracker.mark_as_done(job)
            kind = (spec.feed.value, spec.name, spec.table)
            log.writerow((path.name, path, job.md5, job.size, *kind, "success", hashes[spec.name]))
    finally:
        tracker.close()
    lines.seek(0)
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.copy_expert(_COPY, lines)
        cursor.execute("VACUUM (ANALYZE) pipeline_file_log")
    check("files of the past", database.row("SELECT count(*) FROM pipeline_file_log"), (count,))


def _places(config: PipelineConfig, specs: list[FileSpec], count: int) -> Iterator[tuple[Path, FileSpec]]:
    stream = config.path(config.watcher.stream.dir)
    for number in range(count):
        hour = LAST_HOUR - dt.timedelta(hours=number // len(specs))
        spec = specs[number % len(specs)]
        yield stream / f"{hour:%Y-%m-%d}" / f"{hour:%H}" / spec.pattern, spec


def _made(path: Path, spec: FileSpec) -> FileJob:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = f"{path}\n".encode()
    path.write_bytes(content)
    path = path.resolve()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return FileJob.of(path, spec, place_of(path).stat(path).stamp).evolve(md5=md5)
