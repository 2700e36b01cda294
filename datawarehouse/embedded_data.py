"""The data directory of the embedded PostgreSQL: made, checked and configured."""

from __future__ import annotations

import shutil
from pathlib import Path

from config.errors import ConfigError
from datawarehouse.embedded_programs import MAJOR_VERSION, Programs
from datawarehouse.embedded_settings import server_settings

SUPERUSER = "postgres"
PORT = 5432  # only the name of the socket: no TCP port is opened
CONF_NAME = "fastfeast.conf"


def ensure_data(data_dir: Path, programs: Programs) -> None:
    """Make the data directory where there is none. Raises ConfigError when it is of another version."""
    if not (data_dir / "PG_VERSION").exists():
        _initialise(data_dir, programs)
    found = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
    if found != str(MAJOR_VERSION):
        raise ConfigError(
            f"{data_dir} holds a database of PostgreSQL {found}, but the embedded server is "
            f"{MAJOR_VERSION}; dump and restore it, or name another folder in database.data_dir"
        )


def _initialise(data_dir: Path, programs: Programs) -> None:
    """Make the database cluster, beside its place: one that was cut short is never taken for a whole one."""
    fresh = data_dir.with_name(data_dir.name + ".new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir()
    fresh.chmod(0o700)
    programs.give(fresh)
    made = programs.run(
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
        raise ConfigError(f"the embedded PostgreSQL can't make its database in {fresh}:\n{made.stderr.strip()}")
    try:
        fresh.rename(data_dir)
    except OSError as error:
        raise ConfigError(
            f"{data_dir} can't hold a new database: {error.strerror}; "
            "name a folder in database.data_dir that is empty or doesn't exist, and is no mount point"
        ) from None


def configure(data_dir: Path, programs: Programs, socket_dir: Path) -> None:
    """Write the server's settings, in a file of their own that postgresql.conf includes."""
    with_lz4 = "--with-lz4" in programs.run("pg_config", "--configure").stdout
    settings = server_settings(data_dir, PORT, with_lz4=with_lz4)
    settings["unix_socket_directories"] = str(socket_dir)
    _write(data_dir / CONF_NAME, programs, "".join(f"{name} = '{value}'\n" for name, value in settings.items()))
    main = data_dir / "postgresql.conf"
    include = f"include_if_exists = '{CONF_NAME}'\n"
    text = main.read_text(encoding="utf-8")
    if include not in text:
        _write(main, programs, f"{text}\n{include}")


def _write(path: Path, programs: Programs, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o600)
    programs.give(new)
    new.replace(path)
