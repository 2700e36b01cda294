"""PostgreSQL from a wheel, run as a private server for machines without one."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from datawarehouse.embedded_data import PORT, SUPERUSER, configure, ensure_data
from datawarehouse.embedded_programs import Programs
from datawarehouse.postmaster import Postmaster, end_orphans, ends, postmaster_of, processes_of
from datawarehouse.service_account import name_of
from utils.logger import get_logger

logger = get_logger(__name__)

SOCKET_PATH_BYTES = 100  # the kernels' limits are 104 and 108
START_SECONDS = 600  # crash recovery of a large write-ahead log takes minutes
STOP_SECONDS = 30
LOG_BYTES = 10_000_000


class EmbeddedServer:
    """A PostgreSQL server that belongs to a data directory and to the processes that use it.

    Any number of processes may start it on one `data_dir`: the first starts it, the others join, the last one
    to stop stops it. One that was left behind by a killed process is taken over. Reached by a Unix socket only.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self._programs = Programs(self.data_dir)
        self._use_lock: int | None = None  # held shared for as long as this process uses the server

    @property
    def bin_dir(self) -> Path:
        """Where psql, pg_dump and the server's other programs are."""
        return self._programs.folder

    def start(self) -> dict[str, Any]:
        """Start or join the server, and return the connection parameters host (socket folder), port and user.

        Waits while the server recovers from a crash. To call it again is harmless, and brings a server back
        that has died. Raises ConfigError when it can't run here, with the end of the server's log.
        """
        try:
            self._programs.prepare()
            with self._exclusive():
                joined = self._use_lock is not None
                if self._use_lock is None:
                    self._use_lock = self._lock(".lock", fcntl.LOCK_SH)
                try:
                    postmaster = self._ensure_running()
                except BaseException:
                    if not joined:
                        self._release()
                    raise
        except OSError as error:
            raise ConfigError(
                f"the embedded PostgreSQL can't use {error.filename or self.data_dir}: {error.strerror}; "
                "name a folder on a local disk of this user in database.data_dir"
            ) from None
        return {"host": str(postmaster.socket_dir), "port": PORT, "user": SUPERUSER}

    def stop(self) -> None:
        """Leave the server; stop it, and wait until it is gone, if no other process uses it. Idempotent."""
        if self._use_lock is None:
            return
        try:
            with self._exclusive():
                fcntl.flock(self._use_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._shut_down()
        except BlockingIOError:
            logger.info("the embedded PostgreSQL stays up: another process uses it")
        except OSError as error:  # e.g. its folder was removed
            logger.warning("the embedded PostgreSQL can't be stopped", extra={"reason": error.strerror})
        finally:
            self._release()

    # ------------------------------------------------------------ locks

    def _lock(self, suffix: str, mode: int) -> int:
        """A lock on a file beside the data directory; the kernel frees it when its process ends."""
        path = self.data_dir.with_name(self.data_dir.name + suffix)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._programs.give(descriptor)  # so that the owner of the data can use it without root, too
            fcntl.flock(descriptor, mode)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        descriptor = self._lock(".start.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(descriptor)

    def _release(self) -> None:
        if self._use_lock is not None:
            os.close(self._use_lock)
            self._use_lock = None

    def _socket_dir(self) -> Path:
        """The data directory, or a short name under the temporary folder where that path is no good."""
        fits = len(os.fsencode(self.data_dir / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES
        if fits and not set(str(self.data_dir)) & set(",\"'\\\n"):  # libpq splits a host at commas
            return self.data_dir
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"fastfeast-{digest}"
        try:
            short.mkdir(mode=0o700)
            short.chmod(0o700)  # whatever the umask
            self._programs.give(short)
        except FileExistsError:
            found = short.lstat()
            owner = self._programs.owner
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
                raise ConfigError(
                    f"{short}, meant for the server's socket, is not a private folder of "
                    f"{name_of(owner)}; remove it, or name a shorter database.data_dir"
                ) from None
        return short

    # ------------------------------------------------------------ the server

    def _ensure_running(self) -> Postmaster:
        postmaster = self._settled()
        if postmaster is not None:
            return postmaster
        end_orphans(self.data_dir)
        ensure_data(self.data_dir, self._programs)
        socket_dir = self._socket_dir()
        # Nobody's, as _settled() has found. PostgreSQL would see that for itself, unless the pid lives.
        for stale in (self.data_dir / "postmaster.pid", socket_dir / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)
        configure(self.data_dir, self._programs, socket_dir)
        log = self.data_dir / "log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(self.data_dir / "log.old")
        started = self._programs.run(
            "pg_ctl", "start", "-w", f"-t{START_SECONDS}", f"-D{self.data_dir}", f"-l{log}"
        )
        postmaster = self._settled()
        if started.returncode != 0 or postmaster is None:
            raise ConfigError(
                f"the embedded PostgreSQL did not start in {self.data_dir}; its log ends with:\n"
                f"{_tail(log) or started.stderr.strip()}\n"
                "mend what it names (often a full disk or too little memory) and start again"
            )
        return postmaster

    def _shut_down(self) -> None:
        """Signals, not pg_ctl: they reach a server whose programs or folders can't be read any more.

        https://www.postgresql.org/docs/current/server-shutdown.html
        """
        with suppress(ConfigError, OSError):
            self._settled(STOP_SECONDS)  # PostgreSQL 18 may hang when it is told to stop while it recovers
        postmaster = postmaster_of(self.data_dir, PORT)
        process = processes_of(self.data_dir).get(postmaster.pid) if postmaster is not None else None
        if process is not None:
            for mode, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, STOP_SECONDS // 2)):
                process.send_signal(mode)
                if ends(process, seconds):
                    break
                logger.warning("the embedded PostgreSQL did not stop", extra={"signal": mode.name})
        end_orphans(self.data_dir)

    # ------------------------------------------------------------ who is there

    def _settled(self, seconds: float = START_SECONDS) -> Postmaster | None:
        """The server, once it takes connections, or None: waits while it starts, recovers or stops."""
        deadline = time.monotonic() + seconds
        while (found := postmaster_of(self.data_dir, PORT)) is not None:
            ready = self._programs.run("pg_isready", "--quiet", f"--host={found.socket_dir}", f"--port={PORT}")
            if ready.returncode == 0:
                return found
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"the embedded PostgreSQL (process {found.pid}) takes no connections after {seconds} s; "
                    f"see {self.data_dir / 'log'}"
                )
            time.sleep(0.05)
        return None


def _tail(log: Path, lines: int = 10) -> str:
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace")[-4000:].splitlines()[-lines:])
    except OSError:
        return ""
