"""What a manifest says of a file, which the books are balanced against: `name`, `rows`, and perhaps `md5`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from config.errors import FileRejected
from config.jobs import FileJob
from ingestion.archived import is_there, name_in_archive
from ingestion.places.registry import opened

MOST_BYTES = 10 << 20


@dataclass(frozen=True, slots=True)
class Expected:
    """The records that the file has to have, and its MD5 (hex) where the manifest has one. `said_by`: its name."""

    rows: int
    md5: str
    said_by: str

    def verify(self, rows: int) -> None:
        """Raises FileRejected when the file has another number of records."""
        if rows != self.rows:
            raise FileRejected(
                f"{self.said_by} says {self.rows:,} rows, and the file has {rows:,}; nothing of it is loaded. "
                "Send what is missing, or mend the manifest and `reprocess` the file"
            )

    def verify_content(self, md5: str) -> None:
        """Raises FileRejected when the file has another content."""
        if self.md5 and self.md5.lower() != md5:
            raise FileRejected(
                f"{self.said_by} says MD5 {self.md5}, and the file has {md5}: send it again, or mend the manifest "
                "and `reprocess` the file"
            )


def expected(job: FileJob) -> Expected | None:
    """What the manifest says of the job's file; None where its type has none.

    Raises FileRejected where it can't be read or does not name the file, OSError, FileChanged.
    """
    when = job.spec.complete_when
    if when is None or when.manifest is None or job.spec.schema.within is not None:
        return None
    name = when.beside(job.path.name)
    path = job.path.with_name(name)
    if job.lies_at is not None and not is_there(path):  # it went with the file
        name = when.beside(name_in_archive(job.path.name, job.lies_at))
        path = job.lies_at.with_name(name)
    with opened(path) as file:
        if file.size > MOST_BYTES:
            raise FileRejected(f"{name} has more than {MOST_BYTES >> 20} MB; it is no manifest")
        text = b"".join(file.beginning(file.size)).decode("utf-8-sig", "replace")
    for entry in _entries(name, text):
        if entry.get("name", job.path.name if when.is_of_one else None) == job.path.name:
            rows = str(entry.get("rows", "")).strip()
            if not rows.isdecimal():
                raise FileRejected(f"{name}: rows of {job.path.name} is no number; write as in rows: 120")
            return Expected(int(rows), str(entry.get("md5") or "").strip(), name)
    raise FileRejected(f"{name} does not name {job.path.name}; add it with its rows, and `reprocess` the file")


def _entries(name: str, text: str) -> Iterator[dict[str, Any]]:
    """CSV with a header where the name says so, else JSON or YAML: an entry, or a list of them."""
    if name.lower().endswith(".csv"):
        yield from csv.DictReader(io.StringIO(text))
        return
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None
    entries = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) for entry in entries):
        raise FileRejected(
            f"{name} can't be read as a manifest; write {{name: items.csv, rows: 120}}, a list of these, or CSV "
            "with the columns name, rows and perhaps md5"
        )
    yield from entries
