"""Puts what version 0.1.0 has left into a database and a home."""

from __future__ import annotations

import gzip
import tarfile
from contextlib import closing
from pathlib import Path

import psycopg2

FOLDER = Path(__file__).parent / "0.1.0"
KEY = "a key of nobody's, for tests"
FAILED = "data/input/stream/2026-11-24/11/tickets.csv"  # has another header
# Clocks differ: what the dump holds happened an hour before it is put back.
_AN_HOUR_AGO = """
UPDATE pipeline_file_log SET processed_at = now() - interval '1 hour';
UPDATE quarantine SET quarantined_at = now() - interval '1 hour',
                      resolved_at = CASE WHEN resolved_at IS NOT NULL THEN now() - interval '1 hour' END;
"""


def put_database(url: str) -> None:
    """Restore the dump into a database that has no tables."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(gzip.decompress((FOLDER / "database.sql.gz").read_bytes()).decode())
        cursor.execute("SELECT set_config('search_path', 'public', false)")  # the dump has emptied it
        cursor.execute(_AN_HOUR_AGO)
        connection.commit()


def put_files(home: Path) -> None:
    """Its input folders, `late/`, and its YAML as config.yaml."""
    with tarfile.open(FOLDER / "files.tar.gz") as archive:
        archive.extractall(home, filter="data")
    (home / "config.yaml").write_bytes((FOLDER / "pipeline_config.yaml").read_bytes())
