"""What follows a commit is done before the next file, also when the database goes away in between."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from config.errors import WarehouseUnavailable
from config.model import PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion.file_tracker import FileTracker
from ingestion.file_watcher import scan_master
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner


def test_a_healing_that_an_outage_interrupts_is_repeated_before_the_next_file(
    warehouse: Warehouse, config: PipelineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = tmp_path / "data/master"
    master.mkdir(parents=True)
    for name in ("categories", "teams"):
        key = {"categories": "category", "teams": "team"}[name]
        (master / f"{name}.csv").write_text(f"{key}_id,{key}_name\n1,x\n")
    tracker = FileTracker(tmp_path / "tracker.db")
    inbox = Inbox(config, tracker, report=lambda _kind, _path, _message: None)
    runner = IngestionRunner(config, warehouse, tracker, inbox, threading.Event())
    healed: list[str] = []

    def after(table: str) -> int:
        healed.append(table)
        if len(healed) == 1:
            raise WarehouseUnavailable("away for a moment")
        return 0

    monkeypatch.setattr(runner.retry, "after", after)
    try:
        scan_master(config, inbox)
        runner.drain()
    finally:
        tracker.close()
    assert healed == ["dim_category", "dim_category", "dim_team"]
