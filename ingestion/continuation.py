"""Finds out whether a file continues one that was loaded before it was whole, and which records had been cut."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import zip_longest

import numpy as np
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError, FileRejected
from config.file_names import storable
from config.jobs import FileJob, Stamp
from config.settings import PipelineConfig
from datawarehouse.continuation import WHO, Corrector, Cut, Record
from datawarehouse.queries import query
from datawarehouse.undo import undo
from ingestion.formats.registry import FORMATS
from ingestion.places.open_file import OpenFile
from validation.batch import Batch

BatchesOf = Callable[[OpenFile], Iterator[Batch]]


def corrector_of(tx: Cursor, config: PipelineConfig, job: FileJob, file: OpenFile) -> Corrector | None:
    """What corrects the file that was loaded from this path before; None where `job` does not continue it.

    A file that somebody still writes can't be told from a whole one where no kernel knows its writers, as on a
    network file system. When it is whole it begins with the bytes that were loaded.
    """
    former = job.former
    if former is None or former.size >= job.size or _ends_with_a_record(job, file, former.size):
        return None
    if file.md5(former.size) != former.md5:
        return None
    content = {"logical_name": job.spec.name, "md5": former.md5, "size": former.size}
    tx.execute(query("continuation", "earlier"), content | {"path": storable(str(job.path))})
    row = tx.fetchone()
    return Corrector(tx, config, job.spec, row[0], has_updates=row[1] > 0) if row else None


def replace_former(tx: Cursor, config: PipelineConfig, job: FileJob, file: OpenFile) -> str:
    """Of a type without a key: take back what was loaded from this path before, if `job` begins with it.

    Its rows would be there twice, for only the file tells them apart. Returns what there is to tell, '' for
    nothing; raises FileRejected when it can't be taken back.
    """
    former = job.former
    if former is None or former.size >= job.size or file.md5(former.size) != former.md5:
        return ""
    content = {"logical_name": job.spec.name, "md5": former.md5, "size": former.size}
    tx.execute(query("continuation", "earlier"), content | {"path": storable(str(job.path))})
    row = tx.fetchone()
    if row is None:
        return ""
    earlier = row[0]
    tx.execute(query("continuation", "may_undo"), {"table": job.spec.table})
    why = "" if tx.fetchone() == (True,) else "this database role may not delete"
    try:
        if not why:
            undo(tx, config, earlier, WHO, f"{dt.datetime.now(dt.UTC):%Y-%m-%d}")
    except ConfigError as problem:
        why = str(problem)
    if why:
        raise FileRejected(
            f"it begins with what file {earlier} brought, whose rows have no key: they would be there twice; and "
            f"these can't be taken back: {why}. `undo {earlier}`, then `reprocess` this one"
        )
    return f"it continues file {earlier}, whose rows, which have no key, were taken back and came again with it"


def cut_records(job: FileJob, file: OpenFile, batches_of: BatchesOf) -> list[Cut]:
    """The records that the earlier file did not have as they are now; mostly it is its last."""
    assert job.former is not None  # noqa: S101
    cuts: list[Cut] = []
    size = job.former.size
    found, _ = FORMATS.get(job.spec.read, job.path.name)
    with (
        suppress(FileRejected),  # then it has nothing that was loaded
        _Beginning(file, size) as before,
        _Beginning(file, min(size + 2 * found.longest_record, job.size)) as now,
    ):
        for cut, whole in zip_longest(batches_of(before), batches_of(now)):
            if cut is None:
                break
            if whole is None or not _same(cut, whole):
                others = _records(whole) if whole is not None else {}
                cuts += [
                    Cut(record, others.get(number))
                    for number, record in _records(cut).items()
                    if number not in others or others[number].text != record.text
                ]
    return sorted(cuts, key=lambda cut: cut.record.number)


def _ends_with_a_record(job: FileJob, file: OpenFile, size: int) -> bool:
    """Do the first `size` bytes end with a record? So it is with files that only grow."""
    if os.pread(file.handle.fileno(), 1, size - 1) != b"\n":  # no look at all of it
        return False
    found, options = FORMATS.get(job.spec.read, job.path.name)
    return found.ends_with_record(file.beginning(size), options)


class _Beginning(OpenFile):
    """A copy of a file's first bytes."""

    def __init__(self, file: OpenFile, size: int) -> None:
        copy = tempfile.TemporaryFile(prefix="fastfeast-")  # noqa: SIM115
        copy.writelines(file.beginning(size))
        copy.seek(0)
        super().__init__(copy, Stamp(os.fstat(copy.fileno()).st_size, 0))

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.close()


def _same(one: Batch, other: Batch) -> bool:
    a, b = one.chunk, other.chunk
    if a.malformed != b.malformed or not np.array_equal(a.numbers, b.numbers):
        return False
    return all(a.columns[name].equals(b.columns[name]) for name in a.columns)


def _records(batch: Batch) -> dict[int, Record]:
    """Every record of the batch by its number, malformed ones among them."""
    columns = {name: values.to_pylist() for name, values in batch.chunk.columns.items()}
    parts = [batch.output[name].to_pylist() for name in batch.spec.schema.primary_key]
    keys, good = list(zip(*parts, strict=True)), batch.good.tolist()
    found = {
        number: Record(number, {name: values[position] for name, values in columns.items()}, key, is_good)
        for position, (number, key, is_good) in enumerate(
            zip(batch.chunk.numbers.tolist(), keys, good, strict=True)
        )
    }
    return found | {row.number: Record(row.number, row.raw) for row in batch.chunk.malformed}
