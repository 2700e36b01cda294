"""An SFTP server on loopback for tests: OpenSSH's, or asyncssh's, which is there wherever the tests are."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
USER = getpass.getuser()

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""

_PYTHON = """\
import asyncio, asyncssh, sys
async def serve():
    await asyncssh.listen("127.0.0.1", int(sys.argv[1]), server_host_keys=[sys.argv[2] + "/host_key"],
                          authorized_client_keys=sys.argv[2] + "/authorized_keys", sftp_factory=True)
    await asyncio.Event().wait()
asyncio.run(serve())
"""


@dataclass
class Server:
    """A running server; `home` is that of a user whom it lets in, and who knows it."""

    kind: str
    port: int
    home: Path

    def let_in(self, host: str, port: int | None = None, *, known: bool = True) -> None:
        """Write what the user's `.ssh` says of `host`; `port`, where a proxy stands before the server."""
        ssh, port = self.home / ".ssh", port or self.port
        key = (self.home.parent / "host_key.pub").read_text()
        (ssh / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}" if known else "")
        (ssh / "config").write_text(f"Host {host}\n  HostName 127.0.0.1\n  Port {port}\n  User {USER}\n")


@contextmanager
def sftp_server(folder: Path, kind: str) -> Iterator[Server]:
    """A server whose keys are in `folder`. `kind`: `sshd` or `asyncssh`."""
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    key, host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    for path, secret in ((home / ".ssh" / "id_ed25519", key), (folder / "host_key", host_key)):
        path.touch(0o600)
        secret.write_private_key(path)
    host_key.write_public_key(folder / "host_key.pub")
    key.write_public_key(folder / "authorized_keys")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    if kind == "sshd":
        assert SSHD
        (folder / "sshd_config").write_text(_CONFIG.format(port=port, folder=folder))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # without it sshd does not start as root
        command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
    else:
        command = [sys.executable, "-c", _PYTHON, str(port), str(folder)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            _wait_for(port, folder / "log")
            yield Server(kind, port, home)
        finally:
            process.terminate()


def _wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())
