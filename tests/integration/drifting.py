"""A whole pipeline over files whose columns change, run turn by turn in a home of its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import main
from config.config_loader import get_config
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion import drift_report, file_report
from ingestion.pipeline import Pipeline

COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "dtype": "int", "nullable": False},
    {"name": "name", "dtype": "str"},
    {"name": "sent_on", "dtype": "date"},
]
_hours = itertools.count()


class Drifting:
    """Types of files, each entry an expected file over COLUMNS; what is told is in `alerts`."""

    def __init__(
        self,
        database: DatabaseConfig,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        expected: Mapping[str, Mapping[str, Any]],
        **sections: Any,
    ) -> None:
        self.home = home
        self.yaml = home / "config.yaml"
        self.alerts: list[tuple[str, str]] = []
        self._database = database
        names = {pattern.split(".")[0] for pattern in expected}
        types = {
            "watcher": {
                "settle_seconds": 0.05,
                "batch": {"dir": "data/batch", "expected_files": {}},
                "stream": {
                    "dir": "data/stream",
                    "expected_files": {
                        p: {"table": f"dim_{p.split('.')[0]}", **how} for p, how in expected.items()
                    },
                },
            },
            "schemas": {name: {"primary_key": "id", "columns": COLUMNS} for name in sorted(names)},
            "web": {"enabled": False},
        }
        self.yaml.write_text(yaml.safe_dump({**types, **sections}, sort_keys=False))
        (home / ".env").touch()
        monkeypatch.setenv("FASTFEAST_HOME", str(home))
        monkeypatch.setenv("DATABASE_URL", str(database.url))
        monkeypatch.setenv("FASTFEAST_CONFIG", str(self.yaml))
        for module in (drift_report, file_report):
            monkeypatch.setattr(module, "send_alert", lambda title, text, **_: self.alerts.append((title, text)))

    @property
    def config(self) -> PipelineConfig:
        return get_config()

    def put(self, name: str, content: str | bytes) -> Path:
        """A file in an hour's folder of its own."""
        hour = next(_hours)
        folder = self.home / f"data/stream/2026-02-{hour // 24 % 28 + 1:02}/{hour % 24:02}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def turn(self) -> None:
        """Load what is there, in a process's life of its own."""
        with Pipeline(self.config) as pipeline:
            pipeline.run_once()

    def run(self, *arguments: str) -> tuple[int, str]:
        """A command's exit code and what it says."""
        result = CliRunner().invoke(main.app, list(arguments))
        return result.exit_code, result.output

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        warehouse = Warehouse(self._database, self.home)
        warehouse.open()
        try:
            with warehouse.transaction() as tx:
                tx.execute(statement)
                return tx.fetchall() if tx.description else []
        finally:
            warehouse.close()
