"""Where a file lies that was loaded or failed, and its content as it was: also when it was moved and packed."""

from __future__ import annotations

import datetime as dt
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from config.errors import FileChanged, FileRejected
from config.file_names import is_packed
from config.jobs import FileJob
from config.settings import PipelineConfig
from ingestion.places.open_file import COPY_BYTES, OpenFile
from ingestion.places.registry import named_folder, opened, path_of, place_of

PACKING = ".gz"


def packs(name: str) -> bool:
    """Is a file of this name packed when its archive is? Not one that is already."""
    return not is_packed(name)


def was_packed(name: str, archived: Path) -> bool:
    """Was the file of this name packed when it was moved?"""
    return packs(name) and archived.name.endswith(PACKING)


def name_in_archive(name: str, archived: Path) -> str:
    """What the file of this name is called where it lies, unpacked."""
    return archived.name.removesuffix(PACKING) if was_packed(name, archived) else archived.name


def packed(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts, as gzip has them; the same bytes for the same parts."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    for part in parts:
        if data := packer.compress(part):
            yield data
    yield packer.flush()


@contextmanager
def unpacked(source: AbstractContextManager[IO[bytes]]) -> Iterator[IO[bytes]]:
    """The bytes of what `packed` has written."""
    with source as stream, gzip.open(stream) as file:
        yield cast("IO[bytes]", file)


def content_of(job: FileJob) -> AbstractContextManager[OpenFile]:
    """The file's content, wherever it lies; see Place.open."""
    if job.lies_at is None:
        return opened(job.path)
    return content_at(job.path.name, job.lies_at)


def content_at(name: str, archived: Path) -> AbstractContextManager[OpenFile]:
    """The content of the file that was called `name` and lies at `archived`."""
    return _unpacked(archived) if was_packed(name, archived) else opened(archived)


@contextmanager
def _unpacked(path: Path) -> Iterator[OpenFile]:
    """A copy in a file without a name, as `copied` makes one. Raises FileChanged, FileRejected, OSError."""
    place = place_of(path)
    with tempfile.TemporaryFile(prefix="fastfeast-") as copy:
        try:
            stamp = place.stat(path).stamp
            with unpacked(place.read(path)) as stream:
                shutil.copyfileobj(stream, copy, COPY_BYTES)
        except FileNotFoundError:
            raise FileChanged(f"{path.name} went away before it was read") from None
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise FileRejected("its archive is damaged: it is not what gzip wrote") from None
        size = copy.tell()
        copy.seek(0)
        yield OpenFile(cast("IO[bytes]", copy), stamp._replace(size=size))


def where_it_lies(file: Mapping[str, Any]) -> Path:
    """The place of the file of a row of pipeline_file_log: where it was put, else where it was found."""
    found = path_of(file["file_path"])
    if not file["lies_at"]:
        return found
    archived = path_of(file["lies_at"])
    return archived if is_there(archived) else found  # where it was about to be moved from


def is_there(path: Path) -> bool:
    """Is anything there, as far as its place can tell now?"""
    try:
        place_of(path).stat(path)
    except (OSError, ValueError):
        return False
    return True


def was_deleted(file: Mapping[str, Any]) -> dt.datetime | None:
    """When the file of a row of pipeline_file_log was deleted; None when it was not, as far as that is known."""
    return file["put_away_at"] if file["lies_at"] is None else None


def archive_roots(config: PipelineConfig) -> tuple[str, ...]:
    """The folders beneath which files are put away, each as paths in it begin, with a slash."""
    fates = [fate for spec in config.files for fate in spec.after_load.fates.values()]
    folders = {named_folder(config, fate.root) for fate in fates if fate.folder}
    return tuple(sorted({f"{place_of(folder).real(folder)}/" for folder in folders}))
