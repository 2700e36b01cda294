"""Files of one name are told apart, and one of which nothing was loaded is told as such."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.jobs import FileJob, FileOutcome, Status
from config.model import Stage
from config.settings import PipelineConfig
from ingestion import file_report
from ingestion.file_report import Summary, console_line, report
from utils.alerts import AlertKind

ROWS = 50


def outcome(config: PipelineConfig, stages: dict[Stage, int], total: int = ROWS) -> FileOutcome:
    path = config.path(config.watcher.stream.dir) / "2026-02-20" / "09" / "orders.json"
    job = FileJob(path, config.by_logical_name["orders"], 1, 1, md5="x")
    reasons = {(stage, "rule", "customer_id"): count for stage, count in stages.items()}
    inserted = total - sum(stages.values())
    return FileOutcome(
        job, Status.SUCCESS, file_id=7, total=total, inserted=inserted, rejected_by_stage=stages, reasons=reasons
    )


@pytest.mark.parametrize(
    ("stages", "total", "mark", "kinds"),
    [
        ({Stage.SCHEMA: ROWS}, ROWS, "!", [AlertKind.NOTHING_LOADED]),
        ({Stage.SCHEMA: 1, Stage.ORPHAN: ROWS - 1}, ROWS, "!", [AlertKind.NOTHING_LOADED]),
        ({Stage.ORPHAN: ROWS}, ROWS, "!", []),  # children that came before their parents
        ({Stage.SCHEMA: ROWS - 1}, ROWS, "✓", []),
        ({}, 0, "✓", []),
    ],
)
def test_a_file_of_which_nothing_was_loaded_has_a_mark_and_an_alert_whatever_the_limit(
    config: PipelineConfig,
    monkeypatch: pytest.MonkeyPatch,
    stages: dict[Stage, int],
    total: int,
    mark: str,
    kinds: list[AlertKind],
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(file_report, "send_alert", lambda kind, _text, **more: told.append((kind, more["place"])))
    one, summary = outcome(config, stages, total), Summary()
    name = config.shown(one.job.path)
    report(one, name, summary, alert_above=ROWS)
    assert [kind for kind, _ in told] == kinds
    assert all(place == "2026-02-20/09/orders.json (file 7)" for _, place in told)
    line = console_line(one, name)
    assert line.startswith(f"{mark} 2026-02-20/09/orders.json ")
    assert ("nothing loaded" in line) == (mark == "!") == ("of 1 files nothing was loaded" in summary.text())
    assert ("mostly customer_id: rule" in line) == (mark == "!")


def test_a_path_is_shown_from_its_input_folder_on(config: PipelineConfig) -> None:
    watcher = config.watcher
    for folder, rest in (
        (watcher.master.dir, "orders.csv"),
        (watcher.batch.dir, "2026-02-20/orders.csv"),
        (watcher.stream.dir, "shop 7/09/orders.json"),
    ):
        assert config.shown(config.path(folder) / rest) == rest
        assert config.shown(config.path(folder).resolve() / rest) == rest
    assert config.shown(Path("/elsewhere/orders.json")) == "/elsewhere/orders.json"
    assert config.shown(config.path(watcher.stream.dir) / "a\n\x1b[2J" / "x.json").isprintable()


def test_an_object_is_shown_from_its_prefix_on(config: PipelineConfig) -> None:
    stream = config.watcher.stream.model_copy(update={"dir": "s3://bucket/stream"})
    watcher = config.watcher.model_copy(update={"stream": stream})
    changed = type(config).model_validate({**config.__dict__, "watcher": watcher})
    assert changed.shown("s3://bucket/stream/2026-02-20/09/orders.json") == "2026-02-20/09/orders.json"
