"""pipeline_file_log: who may load a file, and how its books closed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.errors import LockNotAvailable
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import execute_values

from config.errors import FileChanged, WarehouseUnfit
from config.file_names import storable
from config.jobs import FileJob, FileOutcome, Status
from config.model import Stage
from datawarehouse.file_order import FileTime, told_apart_by
from datawarehouse.queries import query

KEYED_TABLES = 3  # that a load writes to: the file's own, the file log, quarantine


@dataclass(frozen=True, slots=True)
class Claim:
    """`file_id` for the load at hand, or `earlier`: what became of the same content before."""

    file_id: int
    earlier: FileOutcome | None = None


def claim(tx: Cursor, job: FileJob, *, again: bool = False) -> Claim:
    """Take the file for this transaction; another process with the same content waits until it ends.

    Raises FileChanged when it waits in vain: look at the file again later. Raises WarehouseUnfit while tables or
    their keys are not there, as in the middle of a restore.
    Content that failed under another form of its spec may be tried again: the configuration was mended since.
    With `again`, all that failed or was undone may.
    """
    content = {
        "logical_name": job.spec.name,
        "md5": job.md5,
        "size": job.size,
        "as_of": told_apart_by(job),
    }
    try:
        tx.execute(query("file_log", "lock"), {"content": _content(job), "table": _quoted(tx, job)})
    except LockNotAvailable:
        raise FileChanged(f"{job.path.name} is in the hands of another process") from None
    _require_keys(job, (tx.fetchone() or (0,))[0])
    tx.execute(query("file_log", "claim"), content)
    file_id, earlier_id, status, fingerprint, error, path = tx.fetchone() or (0, *[None] * 5)
    if earlier_id is None:
        return Claim(file_id)
    mended = status == Status.FAILED and fingerprint != job.spec.fingerprint
    if mended or (again and status in {Status.FAILED, Status.UNDONE}):
        tx.execute(query("file_log", "forget"), {"file_id": earlier_id})
        return Claim(file_id)
    if status != Status.FAILED:
        return Claim(file_id, FileOutcome(job, Status.ALREADY_DONE, file_id=earlier_id))
    told = path == storable(str(job.path))
    why = error if told else f"has the content of file {earlier_id}, which failed: {error}"
    return Claim(file_id, FileOutcome(job, Status.FAILED, file_id=earlier_id, error=why, told=told))


def claim_new(tx: Cursor, jobs: Sequence[FileJob]) -> tuple[list[int | None], list[int]]:
    """Take those of `jobs` that nobody has in hand and whose content the file log does not have.

    Returns a file id for each of `jobs`, in their order, None for the others; and the positions of those that are
    in the hands of another process. Waits for nobody; no two of `jobs` have one content. Raises WarehouseUnfit as
    claim() does.
    """
    contents = [_content(job) for job in jobs]
    tx.execute(query("file_log", "try_lock"), {"contents": contents, "table": _quoted(tx, jobs[0])})
    free = set()
    for text, keyed in tx.fetchall():
        _require_keys(jobs[0], keyed)
        free.add(text)
    taken = [position for position, job in enumerate(jobs) if _content(job) in free]
    wanted = {
        "positions": taken,
        "logical_names": [jobs[position].spec.name for position in taken],
        "hashes": [jobs[position].md5 for position in taken],
        "sizes": [jobs[position].size for position in taken],
        "times": [told_apart_by(jobs[position]) for position in taken],
    }
    tx.execute(
        query("file_log", "claim_new"), wanted
    )  # a statement of its own: it sees what others have committed
    file_ids = dict(tx.fetchall())
    everyone = range(len(jobs))
    return [file_ids.get(position) for position in everyone], sorted({*everyone} - {*taken})


def close(tx: Cursor, outcomes: Sequence[FileOutcome], pii_key_id: str | None) -> None:
    """Write the files' rows. The table's CHECKs refuse books that don't balance, and the load with them."""
    execute_values(
        tx, query("file_log", "close"), [_row(o, pii_key_id) for o in outcomes], page_size=len(outcomes)
    )


def _quoted(tx: Cursor, job: FileJob) -> str:
    """The name of the job's table, as PostgreSQL's regclass reads it."""
    return str(sql.Identifier(job.spec.table).as_string(tx))


def _require_keys(job: FileJob, keyed: int) -> None:
    if keyed < KEYED_TABLES:
        raise WarehouseUnfit(
            f"{job.spec.table}, pipeline_file_log or quarantine has no primary or unique key now, as in a restore"
        )


def _content(job: FileJob) -> str:
    return f"{job.spec.name} {job.md5} {job.size}"


def _row(outcome: FileOutcome, pii_key_id: str | None) -> tuple[Any, ...]:
    """In the order of the statement `close`."""
    job = outcome.job
    time = FileTime.of(job)
    stages = [stage for stage in Stage if outcome.rejected_by_stage.get(stage)]
    return (
        outcome.file_id,
        storable(job.path.name),
        storable(str(job.path)),
        job.md5,
        job.size,
        job.spec.feed.value,
        job.spec.name,
        job.spec.table,
        outcome.status.value,
        outcome.total,
        outcome.valid,
        outcome.quarantined,
        outcome.inserted,
        outcome.already_present,
        outcome.updated,
        outcome.changed,
        outcome.stale,
        outcome.deletes,
        outcome.gone.rows,
        outcome.gone.removed,
        outcome.duplicates,
        outcome.orphans,
        stages[0].value if stages else None,
        outcome.error,
        round(outcome.seconds * 1000),
        pii_key_id if job.spec.has_pii else None,
        job.spec.fingerprint,
        outcome.quarantined == 0,
        time.as_of,
        time.modified_at,
        storable(str(job.lies_at)) if job.lies_at else None,
        dt.datetime.now(dt.UTC) if job.lies_at else None,
    )
