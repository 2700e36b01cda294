"""pipeline_file_log: who may load a file, and how its books closed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.model import FileJob, FileOutcome, FileSpec, Stage, Status
from datawarehouse.queries import query


@dataclass(frozen=True, slots=True)
class Claim:
    """`file_id` for the load at hand, or `earlier`: what became of the same content before."""

    file_id: int
    earlier: FileOutcome | None = None


def claim(tx: Cursor, job: FileJob, *, again: bool = False) -> Claim:
    """Take the file for this transaction; another process with the same content waits until it ends.

    Content that failed under another form of its spec may be tried again: the configuration was mended since.
    With `again`, all that failed or was undone may.
    """
    content = {"logical_name": job.spec.name, "md5": job.md5, "size": job.size}
    tx.execute(query("file_log", "lock"), {"content": f"{job.spec.name} {job.md5} {job.size}"})
    tx.execute(query("file_log", "claim"), content)
    file_id, earlier_id, status, fingerprint, error, path = tx.fetchone() or (0, *[None] * 5)
    if earlier_id is None:
        return Claim(file_id)
    mended = status == Status.FAILED and fingerprint != spec_hash(job.spec)
    if mended or (again and status in {Status.FAILED, Status.UNDONE}):
        tx.execute(query("file_log", "forget"), {"file_id": earlier_id})
        return Claim(file_id)
    if status != Status.FAILED:
        return Claim(file_id, FileOutcome(job, Status.ALREADY_DONE, file_id=earlier_id))
    told = path == storable(str(job.path))
    why = error if told else f"has the content of file {earlier_id}, which failed: {error}"
    return Claim(file_id, FileOutcome(job, Status.FAILED, file_id=earlier_id, error=why, told=told))


def close(tx: Cursor, outcome: FileOutcome, pii_key_id: str | None) -> None:
    """Write the file's row. The table's CHECKs refuse books that don't balance, and the load with them."""
    job = outcome.job
    stages = [stage for stage in Stage if outcome.rejected_by_stage.get(stage)]
    tx.execute(
        query("file_log", "close"),
        {
            "file_id": outcome.file_id,
            "file_name": storable(job.path.name),
            "file_path": storable(str(job.path)),
            "md5": job.md5,
            "size": job.size,
            "file_type": job.spec.feed.value,
            "logical_name": job.spec.name,
            "source_table": job.spec.table,
            "status": outcome.status.value,
            "total": outcome.total,
            "valid": outcome.valid,
            "quarantined": outcome.quarantined,
            "inserted": outcome.inserted,
            "already_present": outcome.already_present,
            "updated": outcome.updated,
            "changed": outcome.changed,
            "duplicates": outcome.duplicates,
            "orphans": outcome.orphans,
            "rejection_stage": stages[0].value if stages else None,
            "error": outcome.error,
            "duration_ms": round(outcome.seconds * 1000),
            "pii_key_id": pii_key_id if job.spec.has_pii else None,
            "spec_hash": spec_hash(job.spec),
        },
    )


def spec_hash(spec: FileSpec) -> str:
    """Changes with whatever the configuration says of this kind of file."""
    return hashlib.md5(repr(spec).encode(), usedforsecurity=False).hexdigest()


def storable(text: str) -> str:
    """A file name as text that PostgreSQL takes, whatever bytes it has."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
