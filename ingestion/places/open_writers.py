"""Has somebody a file open for writing? Linux tells, by a read lease, of files on this machine's own disks."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import sys
from pathlib import Path

from config.jobs import Stamp

_INT64 = 2**63 - 1  # what SQLite can hold

# File systems that no other machine writes to; numbers of statfs(2): ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS,
# overlay, ramfs, bcachefs. On others a lease may be refused for reasons of their own, or miss a writer elsewhere.
OWN_DISKS = {
    *(0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0xF2F52010, 0x2FC12FC1, 0x794C7630, 0x858458F6, 0xCA451A4E)
}
_types: dict[int, int] = {}  # of file systems, by st_dev
# Unlike fcntl.fcntl, its calls keep the interpreter's lock: no thread of ours comes between lease and release.
_libc = ctypes.PyDLL(None, use_errno=True) if sys.platform == "linux" else None


def is_on_own_disk(path: str | Path, device: int) -> bool:
    """Is the file system, `device` of st_dev, this machine's own? Where that is not known, it is not."""
    if _libc is None:
        return False
    if device not in _types:
        found = (ctypes.c_long * 64)()  # struct statfs is smaller; its type comes first
        if _libc.statfs(os.fsencode(path), ctypes.byref(found)) != 0:
            return False
        _types[device] = found[0] & 0xFFFFFFFF
    return _types[device] in OWN_DISKS


def stamp_of(path: str | Path, found: os.stat_result) -> Stamp:
    """The stamp of the file `path`, of which lstat() or a listing gave `found`."""
    lasting = is_on_own_disk(path, found.st_dev)  # network file systems may give a file a new inode at any time
    inode = found.st_ino & _INT64 if lasting else 0
    return Stamp(found.st_size, found.st_mtime_ns, inode, found.st_ctime_ns)


def has_writer(path: Path) -> bool | None:
    """Has any process the regular file `path` open for writing? None: nobody can tell, or it is gone."""
    try:
        if not is_on_own_disk(path, path.lstat().st_dev):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _ask(descriptor)
    finally:
        os.close(descriptor)


def descriptor_has_writer(descriptor: int) -> bool | None:
    """The same of an open descriptor, which has to be read-only."""
    if not is_on_own_disk(f"/proc/self/fd/{descriptor}", os.fstat(descriptor).st_dev):
        return None
    return _ask(descriptor)


def _ask(descriptor: int) -> bool | None:
    """Ask the kernel, without disturbing any writer.

    A read lease (fcntl(2), F_SETLEASE) is refused while the file is open for writing anywhere on this machine. It
    is given back at once: a program that opens the file for writing in these microseconds waits until then, and we
    are sent a signal, which must be one that does no harm. Only a file's owner and who has CAP_LEASE may ask.
    """
    if _libc is None:
        return None
    if _libc.fcntl(descriptor, fcntl.F_SETSIG, int(signal.SIGURG)) != 0:  # ignored by default; SIGIO would end us
        return None
    if _libc.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK) == 0:
        _libc.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    return True if ctypes.get_errno() == errno.EAGAIN else None
