"""Migrations of the pipeline's own tables: each a numbered file in `migrations/`, run once and recorded.

A start runs them before it compares the tables with own_tables.py, in one transaction with all that it changes: an
upgrade is done or has not begun. They hold what a comparison can't find out: what is to be dropped, renamed, or
filled.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.errors import ConfigError
from config.version import VERSION
from datawarehouse.queries import query
from utils.logger import get_logger

logger = get_logger(__name__)

FOLDER = Path(__file__).parent / "migrations"
OWN_TABLE = "pipeline_file_log"  # every database of the pipeline has it


class Migration(NamedTuple):
    """A file of `migrations/`: 0001_rows_that_change.sql. It does no harm where its work is done."""

    number: int
    name: str
    statements: str


@cache
def known() -> tuple[Migration, ...]:
    """The migrations of this version of the code, in their order."""
    files = sorted(FOLDER.glob("[0-9]*_*.sql"))
    parts = [(*path.stem.split("_", 1), path.read_text(encoding="utf-8")) for path in files]
    return tuple(Migration(int(number), name, statements) for number, name, statements in parts)


def too_new(tx: Cursor) -> str | None:
    """Why this code must not touch the database: a newer version has changed the pipeline's own tables."""
    last = known()[-1].number
    newer = {number: version for number, version in _recorded(tx).items() if number > last}
    if not newer:
        return None
    highest = max(newer)
    return (
        f"the database is of a newer version: {newer[highest]} has brought it to migration {highest}, and this is "
        f"{VERSION}, which ends at {last}; run the newer version, or name another database"
    )


def require_known(tx: Cursor) -> None:
    """Raises ConfigError where a newer version has changed the pipeline's own tables."""
    if reason := too_new(tx):
        raise ConfigError(reason)


def require_current(tx: Cursor) -> None:
    """Raises ConfigError where another version, newer or older, has made the pipeline's own tables."""
    require_known(tx)
    if pending(tx):
        raise ConfigError(
            "the database is of an earlier version: `python main.py once`, or a start of the service, upgrades it"
        )


def pending(tx: Cursor) -> tuple[Migration, ...]:
    """The migrations that the database has not had; of one without the pipeline's tables, none: it needs none."""
    tx.execute(query("migrate", "has_table"), {"table": OWN_TABLE})
    if tx.fetchone() != (True,):
        return ()
    done = _recorded(tx)
    return tuple(migration for migration in known() if migration.number not in done)


def run(tx: Cursor, migrations: tuple[Migration, ...]) -> None:
    """Run them; record() tells of them later in the same transaction."""
    for migration in migrations:
        tx.execute(migration.statements)
        logger.info(f"[schema] migration {migration.number}, {migration.name.replace('_', ' ')}: done")


def record(tx: Cursor) -> None:
    """Write down that the tables are as this version has them, and which version it is."""
    done = _recorded(tx)
    for migration in known():
        if migration.number not in done:
            value = json.dumps({"name": migration.name, "by": VERSION})
            tx.execute(query("migrate", "record"), {"number": migration.number, "value": value})
    tx.execute(query("migrate", "record_version"), {"version": VERSION})


def _recorded(tx: Cursor) -> dict[int, str]:
    """Which migrations the database has had, by number, and the version that ran each."""
    tx.execute(query("migrate", "has_table"), {"table": "pipeline_meta"})
    if tx.fetchone() != (True,):
        return {}
    tx.execute(query("migrate", "recorded"))
    return dict(tx.fetchall())
