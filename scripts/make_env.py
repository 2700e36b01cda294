"""Makes .env from .env.example, with a random PII_HASH_KEY; an existing .env stays as it is."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path

import typer

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from config.config_loader import PROJECT_ROOT
from scripts import cli

TEMPLATE = PROJECT_ROOT / ".env.example"


def make_env(target: Path) -> bool:
    """Write `target`, readable by its owner alone, whole or not at all; False when it exists already."""
    if target.exists():
        return False
    text = TEMPLATE.read_text(encoding="utf-8")
    text, found = re.subn(r"(?m)^PII_HASH_KEY=.*$", f"PII_HASH_KEY={secrets.token_hex(32)}", text)
    if not found:
        text += f"PII_HASH_KEY={secrets.token_hex(32)}\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.env")  # a name that .gitignore covers
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        try:
            target.hardlink_to(unfinished)  # unlike a rename, this never replaces a file
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            unfinished.rename(target)
        return True
    finally:
        unfinished.unlink(missing_ok=True)


def main(root: cli.Root = None) -> None:
    """Make .env, unless it is there."""
    home = root or Path(os.environ.get("FASTFEAST_HOME") or PROJECT_ROOT)
    if make_env(home / ".env"):
        typer.echo(f"made {home / '.env'} with a random PII_HASH_KEY: keep it, the hashes depend on it")


if __name__ == "__main__":
    typer.run(main)
