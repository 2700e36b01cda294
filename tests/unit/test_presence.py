"""Who runs is told by locks that the kernel frees; and what the tracker wrote can be read beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from config.jobs import FileJob
from config.settings import PipelineConfig
from ingestion.file_tracker import FileTracker
from ingestion.presence import announced, running
from ingestion.tracker_view import TrackerView

HERE = Path(__file__).resolve().parents[2]


def test_every_pipeline_is_seen_while_it_runs(config: PipelineConfig) -> None:
    config.path(config.tracker.db_path).parent.mkdir(parents=True)
    assert running(config) == []
    with announced(config), announced(config):
        assert [one.pid for one in running(config)] == [os.getpid()] * 2
    assert running(config) == []
    assert list(config.path(config.tracker.db_path).parent.iterdir()) == []


def test_one_that_was_killed_is_seen_no_more_and_its_file_goes(config: PipelineConfig) -> None:
    folder = config.path(config.tracker.db_path).parent
    folder.mkdir(parents=True)
    code = (
        "import os; from config.config_loader import get_config\n"
        "from ingestion.presence import announced, running\n"
        "config = get_config()\n"
        "with announced(config):\n    assert running(config); os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, timeout=30, check=False)
    assert done.returncode == 9
    assert len(list(folder.iterdir())) == 1
    assert running(config) == []
    with announced(config):
        assert len(list(folder.iterdir())) == 1


def test_a_folder_that_can_not_be_written_costs_no_start(config: PipelineConfig) -> None:
    folder = config.path(config.tracker.db_path).parent
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    with announced(config):
        assert running(config) == []


def test_the_tracker_is_read_beside_its_service(config: PipelineConfig, tmp_path: Path) -> None:
    path = tmp_path / "tracker.db"
    assert not TrackerView(path).is_current("/x", 1, 2)
    assert not path.exists()
    tracker = FileTracker(path)
    tracker.mark_as_done(FileJob(Path("/x"), config.files[0], 1, 2, "md5"))
    tracker.close()
    view = TrackerView(path)
    assert view.is_current("/x", 1, 2)
    assert not view.is_current("/x", 1, 3)
    path.write_bytes(b"no database")
    assert not TrackerView(path).is_current("/x", 1, 2)
