"""What would go wrong later is refused at start: folders that can't be used, the clock, another PII key."""

from __future__ import annotations

import datetime as dt
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from config.config_loader import without_pii_key
from config.errors import ConfigError
from config.settings import PipelineConfig
from datawarehouse.queries import query
from ingestion.engines.registry import connections_elsewhere
from ingestion.places.registry import named_folder, place_of
from utils.logger import get_logger
from validation.pii_handler import PiiHandler

logger = get_logger(__name__)

CLOCK_TOLERANCE = dt.timedelta(days=1)
VIEW_CONNECTIONS = 1  # opened beside the pool, to replace the SLA view
NO_KEY = "none"  # the id of hashing without a key


def check_folders(config: PipelineConfig, *, make: bool = True) -> None:
    """Raises ConfigError that lists every folder which can't be used; makes those that are missing.

    Where it is not to `make` them, it lists those that could not be made.
    """
    problems = list(_folder_problems(config, make=make))
    if problems:
        user = f"user id {os.geteuid()}"
        raise ConfigError(
            f"folders that the pipeline can't use as {user}; give it the rights, or name others in the "
            "configuration:\n" + "\n".join(f"  - {problem}" for problem in problems)
        )


def check_clock(tx: Cursor, now: dt.datetime) -> None:
    """Raises ConfigError when `now` is more than a day before the newest file in the file log."""
    tx.execute(query("start_checks", "newest_file"))
    newest = (tx.fetchone() or (None,))[0]
    if newest is not None and now < newest - CLOCK_TOLERANCE:
        raise ConfigError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, but a file was processed at "
            f"{newest.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC: set the clock. If the clock is right now and was "
            "wrong then, run as the tables' owner: UPDATE pipeline_file_log SET processed_at = now() "
            "WHERE processed_at > now()"
        )


def check_connections(tx: Cursor, config: PipelineConfig) -> None:
    """Raises ConfigError when the pools together may ask for more connections than the server has to give.

    Behind PgBouncer that is its own business: there clients may outnumber connections.
    """
    if config.database.transaction_pooling:
        return
    execution = config.execution
    elsewhere = connections_elsewhere(execution)
    wanted = config.database.pool.max + VIEW_CONNECTIONS + elsewhere
    tx.execute(query("start_checks", "connections"))
    (limit,) = tx.fetchone() or (wanted,)
    if wanted > limit:
        parts = f"database.pool.max {config.database.pool.max}, {VIEW_CONNECTIONS} for the SLA view"
        if elsewhere:
            parts += f", {elsewhere // execution.workers} for each of {execution.workers} workers"
        raise ConfigError(
            f"the pipeline may open {wanted} connections ({parts}), but PostgreSQL gives it {limit}: raise "
            "max_connections or the role's limit, lower these keys, or put PgBouncer before it and set "
            "database.transaction_pooling"
        )


def warn_without_pii_key(config: PipelineConfig) -> None:
    """Say it aloud where personal columns would be hashed without a key."""
    if warning := without_pii_key(config):
        logger.warning(f"[start] {warning}")


def check_pii_key(tx: Cursor, config: PipelineConfig) -> None:
    """Remember the key's id in pipeline_meta. Raises ConfigError when files were hashed with another key."""
    before, key_id = require_pii_key(tx, config)
    if before == key_id:
        return
    if before is not None:
        logger.warning(f"[start] PII is hashed with key {key_id} from now on, before it was {before}")
    tx.execute(query("start_checks", "remember_pii_key"), {"key_id": key_id})


def require_pii_key(tx: Cursor, config: PipelineConfig) -> tuple[str | None, str]:
    """The ids of the key before, if any, and of this one. Raises ConfigError when files have another."""
    key_id = PiiHandler(config.pii.hash_key).key_id or NO_KEY
    tx.execute(query("start_checks", "pii_key"))
    before, has_files = tx.fetchone() or (None, False)
    if before is not None and has_files and key_id not in {before, config.pii.accept_key_id}:
        raise ConfigError(
            f"PII_HASH_KEY: the tables were filled with key {before}, this is key {key_id}: one person would "
            "get two hashes. Put the former key back; or, to hash with this one from now on, set "
            f"PII_ACCEPT_KEY_ID={key_id}, or delete the row pii_key_id from pipeline_meta"
        )
    return before, key_id


def _folder_problems(config: PipelineConfig, *, make: bool) -> Iterator[str]:
    watcher = config.watcher
    written = {
        "quarantine.dir": config.path(config.quarantine.dir),
        "logging.dir": config.path(config.logging.dir),
        "tracker.db_path": config.path(config.tracker.db_path).parent,
    }
    named = {
        "watcher.master.dir": watcher.master.dir,
        "watcher.batch.dir": watcher.batch.dir,
        "watcher.stream.dir": watcher.stream.dir,
    }
    read = {key: named_folder(config, folder) for key, folder in named.items()}
    for key, folder in {**written, **read}.items():
        if not make and not place_of(folder).is_remote and not folder.exists():
            problem = _not_to_be_made(folder)
        else:
            problem = _not_writable(folder) if key in written else place_of(folder).unusable(folder)
        if problem:
            yield f"{key}: {folder}: {problem}"


def _not_to_be_made(folder: Path) -> str | None:
    """Why a folder that is not there can't be made by this user."""
    above = next(parent for parent in folder.parents if parent.exists())
    if not above.is_dir():
        return os.strerror(errno.ENOTDIR)
    return None if os.access(above, os.W_OK | os.X_OK, effective_ids=True) else os.strerror(errno.EACCES)


def _not_writable(folder: Path) -> str | None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.scandir(folder) as entries:
            next(entries, None)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
