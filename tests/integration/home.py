"""A home with a YAML of its own, whose stream files the service loads as a whole: here or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from config.config_loader import get_config
from config.settings import DatabaseConfig
from ingestion.pipeline import Pipeline
from tests.acceptance import samples
from tests.conftest import SETTINGS_FROM_OUTSIDE


class Home:
    """The folder `home` and a test's database."""

    def __init__(self, home: Path, database: DatabaseConfig, patch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._database = database
        self._yaml = home / "config.yaml"
        for name in SETTINGS_FROM_OUTSIDE:
            patch.delenv(name, raising=False)
        patch.setenv("FASTFEAST_HOME", str(home))
        patch.setenv("DATABASE_URL", str(database.url))
        patch.setenv("FASTFEAST_CONFIG", str(self._yaml))

    def configure(self, expected: Mapping[str, Any], schemas: Mapping[str, Any], **sections: Any) -> None:
        """Write the YAML: `expected` files of the stream, `schemas`, and other sections."""
        text = {
            "watcher": {
                "settle_seconds": 0.05,
                "batch": {"dir": "data/batch", "expected_files": {}},
                "stream": {"dir": "data/stream", "expected_files": dict(expected)},
            },
            "schemas": dict(schemas),
            "web": {"enabled": False},
            **sections,
        }
        self._yaml.write_text(yaml.safe_dump(text))

    def put(self, name: str, content: str | bytes, hour: int = 9) -> None:
        """A file of the stream that was closed long ago."""
        path = self.home / "data/stream" / samples.DAY / f"{hour:02}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (1e9, 1e9))

    def turn(self) -> None:
        """Load all that is there."""
        with Pipeline(get_config()) as pipeline:
            pipeline.run_once()

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A cursor beside the service."""
        with closing(psycopg2.connect(self._database.url)) as connection, connection.cursor() as cursor:
            yield cursor
            connection.commit()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connected() as cursor:
            cursor.execute(statement)
            return list(cursor)
