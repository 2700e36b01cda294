"""Which PostgreSQL processes of a data directory are alive, whoever started them."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from utils.logger import get_logger

logger = get_logger(__name__)


class Postmaster(NamedTuple):
    """What postmaster.pid says of a live server."""

    pid: int
    socket_dir: Path


def postmaster_of(data_dir: Path, port: int) -> Postmaster | None:
    """The live server of this data directory by its postmaster.pid, whose process may be long gone.

    Format: https://github.com/postgres/postgres/blob/master/src/include/utils/pidfile.h
    """
    try:
        lines = (data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        found = Postmaster(
            pid=abs(int(lines[0])),
            socket_dir=Path(lines[4]) if len(lines) > 4 else data_dir,
        )
    except (FileNotFoundError, IndexError, ValueError):
        return None
    # The pid may be another program's by now, or of a server in another container on the same folder.
    alive = _listens(found.socket_dir / f".s.PGSQL.{port}") or found.pid in processes_of(data_dir)
    return found if alive else None


def processes_of(data_dir: Path) -> dict[int, psutil.Process]:
    """The server's processes: PostgreSQL works in its data directory."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and Path(process.cwd()) == data_dir:
                found[process.pid] = process
        except psutil.Error:  # gone, a zombie, or another user's
            continue
    return found


def end_orphans(data_dir: Path) -> None:
    """End what a dead server has left: a backend in the middle of a statement doesn't notice by itself."""
    deadline = time.monotonic() + 5
    while (left := processes_of(data_dir)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left.values():
        logger.warning("ending a PostgreSQL process without a server", extra={"pid": process.pid})
        with suppress(psutil.NoSuchProcess):
            process.kill()
        ends(process, 5)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except TimeoutError:
            return True  # its queue is full
        except OSError:
            return False
    return True


def ends(process: psutil.Process, seconds: float) -> bool:
    """Wait for a process that need not be our child. One that is only waiting to be reaped has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
