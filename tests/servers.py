"""A PostgreSQL of this machine's own packages, for tests on another version than the embedded one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datawarehouse.service_account import make_searchable, service_account

PASSWORD = "right-p4ssword"


@dataclass
class SystemServer:
    """A running server: trust on its Unix socket, a password (scram-sha-256) on loopback TCP."""

    bin_dir: Path
    folder: Path
    port: int
    identity: dict[str, Any]

    @property
    def socket_url(self) -> str:
        return f"postgresql://postgres@:{self.port}/{{dbname}}?host={self.folder}"

    def tcp_url(self, password: str = PASSWORD) -> str:
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/{{dbname}}"

    def run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.bin_dir / program, *arguments],
            check=True,
            capture_output=True,
            cwd="/",
            timeout=120,
            **self.identity,
        )

    def start(self) -> None:
        data = self.folder / "data"
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self.run("pg_ctl", "start", "-w", "-D", str(data), "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.folder / "data"))


def make_system_server() -> SystemServer:
    """Make and start a server of the version that is installed; skips the test where there is none."""
    pg_config = shutil.which("pg_config")
    if pg_config is None:
        pytest.skip("no PostgreSQL is installed on this machine")
    bin_dir = Path(subprocess.check_output([pg_config, "--bindir"], text=True).strip())
    if not (bin_dir / "initdb").exists():
        pytest.skip(f"no PostgreSQL server in {bin_dir}")
    folder = Path(tempfile.mkdtemp(prefix="ff-pg", dir="/tmp"))
    identity: dict[str, Any] = {}
    if folder.owner() == "root":
        account = service_account()
        identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        shutil.chown(folder, account.pw_uid, account.pw_gid)
        make_searchable(bin_dir / "initdb", account)
    server = SystemServer(bin_dir, folder, _free_port(), identity)
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o644)
    server.run(
        "initdb",
        "--username=postgres",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        f"--pwfile={password_file}",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        f"--pgdata={folder / 'data'}",
    )
    server.start()
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
