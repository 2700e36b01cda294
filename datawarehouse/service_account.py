"""PostgreSQL refuses to run as root: whom it runs as then, and the rights that this account needs."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

from config.errors import ConfigError
from utils.logger import get_logger

logger = get_logger(__name__)

SERVICE_ACCOUNTS = ("postgres", "pgserver")  # whom root runs the server as; the last one is created


def service_account() -> pwd.struct_passwd:
    """The unprivileged account that runs PostgreSQL for root; created if the machine has none."""
    for name in SERVICE_ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    name = SERVICE_ACCOUNTS[-1]
    logger.warning("creating an account to run PostgreSQL, which refuses to run as root", extra={"account": name})
    try:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name],
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(name)
    except (OSError, subprocess.CalledProcessError, KeyError):
        raise ConfigError(
            f"PostgreSQL refuses to run as root, and the account {name} can't be created; "
            f"create it, or start as an ordinary user"
        ) from None


def account_of(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:  # usual in containers: an owner without a name
        return pwd.struct_passwd((str(uid), "x", uid, uid, "", "/", ""))


def name_of(uid: int) -> str:
    return account_of(uid).pw_name


def _permits(found: os.stat_result, account: pwd.struct_passwd, bits: int) -> bool:
    """Has `account` the rights `bits` (4 read, 2 write, 1 execute or search) on what `found` describes?"""
    if found.st_uid == account.pw_uid:
        return (found.st_mode >> 6) & bits == bits
    if found.st_gid == account.pw_gid:
        return (found.st_mode >> 3) & bits == bits
    return found.st_mode & bits == bits


def make_searchable(path: Path, account: pwd.struct_passwd) -> None:
    """Let `account` pass through the folders above `path`: search permission only, and only where it lacks."""
    for folder in reversed(path.parents):
        found = folder.stat()
        if not _permits(found, account, 1):
            folder.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
            logger.info(
                "a folder above PostgreSQL's files can now be passed through by other users (chmod o+x)",
                extra={"folder": str(folder), "account": account.pw_name},
            )


def make_readable(install_dir: Path, account: pwd.struct_passwd) -> None:
    """Let `account` read PostgreSQL's own programs and libraries, which a strict umask has hidden from it."""
    program = (install_dir / "bin" / "postgres").stat()
    if _permits(program, account, 5) and _permits((install_dir / "bin").stat(), account, 5):
        return
    libraries = install_dir.parent.with_name(f"{install_dir.parent.name}.libs")
    for root in (install_dir, libraries):
        for path in (root, *root.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            if path.is_symlink():
                continue
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
    logger.info("PostgreSQL's programs can now be read by other users", extra={"folder": str(install_dir)})
