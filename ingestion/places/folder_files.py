"""Files in folders of this machine, written, named and removed so that no kill and no other process loses one."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from config.errors import FileChanged
from config.jobs import Stamp
from ingestion.places.open_writers import stamp_of

# File systems on which no file has two names.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
LONGEST_NAME = 240  # bytes, beside what a hidden name adds
LEAVING = ".leaving.part"  # the end of a name that a file has while it is removed


def give_second_name(path: Path, target: Path) -> None:
    """Let `target` be the file `path`, too; without links, by renaming it. Raises FileExistsError, OSError."""
    try:
        os.link(path, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        path.rename(target)


def is_still(path: Path, stamp: Stamp) -> bool:
    """Is it the file of `stamp`, unchanged? Other names change a file's ctime."""
    found = stamp_of(path, path.lstat())
    return found[:3] == stamp[:3]


def give_back(path: Path, former: Path) -> None:
    """Rename a file to its `former` name, unless its sender has put another one there, which he means instead."""
    with suppress(FileExistsError):
        give_second_name(path, former)
    path.unlink(missing_ok=True)


def remove(path: Path, stamp: Stamp) -> None:
    """Remove the file of `stamp`, if it is there. Raises FileChanged when it is another one, OSError.

    It is renamed first and looked at then: between a look and the removal its sender may send another.
    """
    aside = path.with_name(f".{path.name}{LEAVING}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return  # by `give_second_name`, or another process
    if not is_still(aside, stamp):
        give_back(aside, path)
        raise FileChanged(f"{path.name} changed before it was removed")
    aside.unlink(missing_ok=True)


def give_back_all(folder: Path) -> None:
    """Rename what kills left in the middle of `remove`, at any depth: it is removed once more then."""
    for root, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(LEAVING):
                with suppress(OSError):
                    give_back(Path(root, name), Path(root, name[1:].removesuffix(LEAVING)))


def write(target: Path, parts: Iterable[bytes], mtime_ns: int) -> None:
    """Write `parts` into a new file with this time of change. Raises FileExistsError, OSError.

    What a kill leaves is a hidden file, which the next try takes over; a lock keeps two from writing it at once.
    """
    name = target.name.encode()[:LONGEST_NAME].decode(errors="ignore")
    draft = target.with_name(f".{name}.part")
    descriptor = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            file.truncate(0)
            for part in parts:
                file.write(part)
            file.flush()
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
            os.fsync(descriptor)
            give_second_name(draft, target)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Let the names in the folder outlive a power cut, where its file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
