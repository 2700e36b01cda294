"""SQL by name: every file of datawarehouse/sql holds blocks that begin with `-- name: <name>`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

SQL_DIR = Path(__file__).parent / "sql"


@cache
def _blocks(file: str) -> dict[str, str]:
    return blocks(SQL_DIR / f"{file}.sql")


def blocks(path: Path) -> dict[str, str]:
    """The blocks of an SQL file by name, in order. Raises OSError, and ValueError where it is not UTF-8."""
    parts = re.split(r"^-- name: (\w+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))


def query(file: str, name: str) -> str:
    """The block `name` of `sql/<file>.sql`; KeyError when there is none."""
    return _blocks(file)[name]


def script(file: str) -> str:
    """The whole of `sql/<file>.sql`."""
    return (SQL_DIR / f"{file}.sql").read_text(encoding="utf-8")
