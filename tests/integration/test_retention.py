"""What is too old is removed, is counted in one log line, and takes nothing else with it."""

from __future__ import annotations

import csv
import datetime as dt
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.jobs import FileJob
from config.model import Feed
from config.settings import PipelineConfig, RetentionConfig
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.backup import QuarantineBackup
from ingestion.file_load import FileLoad
from ingestion.file_tracker import FileTracker
from ingestion.retention import Retention
from validation.pii_handler import PiiHandler

NOW = dt.datetime.now(dt.UTC)
REASONS = "reason_id,reason_name,reason_category_id,severity_level,typical_refund_pct\n"


@pytest.fixture
def tracker(config: PipelineConfig) -> Iterator[FileTracker]:
    tracker = FileTracker(config.path(config.tracker.db_path))
    yield tracker
    tracker.close()


@pytest.fixture
def backup(config: PipelineConfig, warehouse: Warehouse) -> QuarantineBackup:
    return QuarantineBackup(config.path(config.quarantine.dir), warehouse)


def keeping(config: PipelineConfig, **days: int | None) -> PipelineConfig:
    none: dict[str, int | None] = {"logs_days": None, "tracker_days": None, "quarantine_days": None}
    return config.model_copy(update={"retention": RetentionConfig(**(none | days))})


def days_ago(days: int) -> dt.date:
    return (NOW - dt.timedelta(days=days)).date()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("[retention]")]


def test_old_log_files_go_and_others_stay(
    config: PipelineConfig,
    warehouse: Warehouse,
    tracker: FileTracker,
    backup: QuarantineBackup,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    folder = config.path(config.logging.dir)
    folder.mkdir(parents=True)
    kept = [f"pipeline_{days_ago(age)}.log" for age in (0, 1, 3)] + ["pipeline_2001-01-01.log.gz", "other.log"]
    for name in [*kept, f"pipeline_{days_ago(4)}.log", "pipeline_2001-01-01.log"]:
        (folder / name).write_text("{}\n")
    retention = Retention(keeping(config, logs_days=3), warehouse, tracker, backup)
    retention.prune(NOW)
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)
    assert said(caplog) == ["[retention] removed 2 log files older than 3 days"]
    retention.prune(NOW + dt.timedelta(days=1))
    assert said(caplog)[1:] == ["[retention] removed 1 log files older than 3 days"]


def test_the_tracker_forgets_only_what_is_old_and_gone(
    config: PipelineConfig,
    warehouse: Warehouse,
    tracker: FileTracker,
    backup: QuarantineBackup,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "there.csv").touch()
    spec = config.files[0]
    for name in ("there.csv", "gone.csv"):
        tracker.mark_as_done(FileJob(tmp_path / name, spec, 0, 1, md5=name))
    retention = Retention(keeping(config, tracker_days=3), warehouse, tracker, backup)
    retention.prune(NOW)
    assert tracker.is_current(str(tmp_path / "gone.csv"), 0, 1)
    retention.prune(NOW + dt.timedelta(days=5))
    assert tracker.is_current(str(tmp_path / "there.csv"), 0, 1)
    assert not tracker.is_current(str(tmp_path / "gone.csv"), 0, 1)
    tracker.close()
    connection = sqlite3.connect(config.path(config.tracker.db_path))
    assert connection.execute("SELECT path FROM processed_files").fetchall() == [
        (str(tmp_path / "there.csv").encode(),)
    ]
    connection.close()
    assert said(caplog) == ["[retention] removed 1 tracker rows of files that are gone older than 3 days"]


def quarantine(
    config: PipelineConfig, warehouse: Warehouse, backup: QuarantineBackup, rows: str, days: int
) -> None:
    """Load a file whose rows are refused, as if so many days ago."""
    path = config.home / "reasons.csv"
    path.write_text(REASONS + rows)
    outcome = FileLoad(warehouse, config, PiiHandler(None)).run(
        FileJob(path, config.by_logical_name["reasons"], 0, 0)
    )
    assert outcome.file_id is not None
    with warehouse.transaction() as tx:
        tx.execute(
            "UPDATE quarantine SET quarantined_at = quarantined_at - make_interval(days => %s) WHERE file_id = %s",
            (days, outcome.file_id),
        )
    backup.append([outcome.file_id], outcome.job.spec.feed)


def in_backup(config: PipelineConfig) -> dict[str, list[str]]:
    folder = config.path(config.quarantine.dir) / Feed.BATCH.value
    found = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as file:
            found[path.name] = [row["quarantine_id"] for row in csv.DictReader(file)]
    return found


def in_table(warehouse: Warehouse) -> list[str]:
    with warehouse.transaction() as tx:
        tx.execute("SELECT quarantine_id::text FROM quarantine ORDER BY quarantined_at, quarantine_id")
        return [row[0] for row in tx]


def test_old_quarantine_goes_with_its_backup_and_open_orphans_stay(
    config: PipelineConfig,
    warehouse: Warehouse,
    tracker: FileTracker,
    backup: QuarantineBackup,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    quarantine(config, warehouse, backup, "x,a,1,1,1\n", 40)
    quarantine(config, warehouse, backup, "x,b,1,1,1\n7,orphan,99,1,1\n8,resolved,98,1,0.5\n", 39)
    quarantine(config, warehouse, backup, "x,c,1,1,1\n", 2)
    with warehouse.transaction() as tx:
        tx.execute("UPDATE quarantine SET quarantined_at = now() WHERE raw_data->>'reason_id' = '7'")
        tx.execute("CALL promote_true_orphans('1 day')")
        tx.execute(
            "UPDATE quarantine SET quarantined_at = now() - interval '39 days' WHERE raw_data->>'reason_id' = '7'"
        )
    assert len(in_backup(config)) == 3
    Retention(keeping(config), warehouse, tracker, backup).prune(NOW)
    assert len(in_table(warehouse)) == 5, "off by default"
    Retention(keeping(config, quarantine_days=30), warehouse, tracker, backup).prune(NOW)
    left = in_backup(config)
    assert list(left) == [f"quarantined_{days_ago(age)}.csv" for age in (39, 2)]
    assert [id_ for ids in left.values() for id_ in ids] == in_table(warehouse)
    assert len(in_table(warehouse)) == 2
    with warehouse.transaction() as tx:  # what is nowhere else can't be found by `erase` and `undo`
        tx.execute("SELECT count(*) FROM true_orphan")
        assert tx.fetchone() == (0,)
    assert said(caplog) == [
        "[retention] removed 3 quarantine rows older than 30 days",
        "[retention] removed 1 quarantine backup files older than 30 days",
    ]


def test_a_backup_that_was_left_behind_by_a_crash_goes_in_a_later_turn(
    config: PipelineConfig, warehouse: Warehouse, tracker: FileTracker, backup: QuarantineBackup
) -> None:
    quarantine(config, warehouse, backup, "x,a,1,1,1\n", 40)
    with warehouse.transaction() as tx:
        tx.execute("DELETE FROM quarantine")
    Retention(keeping(config, quarantine_days=30), warehouse, tracker, backup).prune(NOW)
    assert in_backup(config) == {}
