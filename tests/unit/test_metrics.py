"""The metrics count what happened, with labels that can't grow without end."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from config.config_loader import PROJECT_ROOT
from config.jobs import FileJob, FileOutcome, Status
from config.model import Stage
from config.settings import PipelineConfig
from ingestion.contract import Kind
from ingestion.contract_watch import BROKEN, KEPT_AGAIN
from utils import metrics
from utils.alerts import AlertKind
from utils.metrics import REGISTRY, CommitTimer, rule_label


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def observed(stage: str) -> float:
    return value("fastfeast_stage_duration_seconds_count", stage=stage)


@pytest.fixture
def outcome(config: PipelineConfig) -> FileOutcome:
    job = FileJob(Path("orders.json"), config.by_logical_name["orders"], 1, 1)
    reasons = {(Stage.SCHEMA, "dtype", "x"): 2, (Stage.LOAD, "PostgreSQL: 22003 numeric_value (table t)", ""): 1}
    by_stage = {Stage.SCHEMA: 1, Stage.LOAD: 1}
    return FileOutcome(
        job, Status.SUCCESS, total=9, inserted=7, rejected_by_stage=by_stage, reasons=reasons, seconds=0.3
    )


def test_a_file_is_counted_with_its_rows_and_every_reason(outcome: FileOutcome) -> None:
    names = {
        "files": ("fastfeast_files_total", {"type": "orders", "status": "success"}),
        "inserted": ("fastfeast_rows_total", {"type": "orders", "outcome": "inserted"}),
        "quarantined": ("fastfeast_rows_total", {"type": "orders", "outcome": "quarantined"}),
        "dtype": ("fastfeast_rejection_reasons_total", {"stage": "schema", "rule": "dtype"}),
        "load": ("fastfeast_rejection_reasons_total", {"stage": "load", "rule": "22003"}),
        "latency": ("fastfeast_file_latency_seconds_count", {"type": "orders"}),
    }
    before = {key: value(name, **labels) for key, (name, labels) in names.items()}
    metrics.concluded(outcome)
    added = {key: value(name, **labels) - before[key] for key, (name, labels) in names.items()}
    assert added == {"files": 1, "inserted": 7, "quarantined": 2, "dtype": 2, "load": 1, "latency": 1}


def test_what_postgresql_refused_is_labelled_by_its_sqlstate_alone() -> None:
    assert rule_label(Stage.LOAD, "PostgreSQL: 22P02 invalid_text (table fact_order, column x)") == "22P02"
    assert rule_label(Stage.LOAD, "something else") == "other"
    assert rule_label(Stage.RECORDS, "at_least") == "at_least"


def test_every_alert_is_of_a_kind_so_that_its_label_is_bounded() -> None:
    folders = ("datawarehouse", "ingestion", "utils", "validation", "web", "workbench")
    modules = [module for folder in folders for module in (PROJECT_ROOT / folder).rglob("*.py")]
    nodes = [node for module in modules for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "send_alert"]
    names = {ast.unparse(call.args[0]) for call in calls}
    of_kinds = {f"AlertKind.{kind.name}" for kind in AlertKind} | {repr(kind.value) for kind in AlertKind}
    assert len(names & of_kinds) > 5
    # the variables are kinds, too: mypy says so
    known = {"kind", "ENDS[kind]"}
    assert names - of_kinds == known, "a new alert is a new member of AlertKind, in utils/alerts.py"
    assert set(BROKEN) == set(KEPT_AGAIN) == set(Kind)


def test_no_label_takes_the_metrics_down(outcome: FileOutcome) -> None:
    metrics.alerted("lone \udcff")
    metrics.alerted('line\nand "quote"' + "x" * 1000)
    spec = replace(outcome.job.spec, name="orders\udc80")
    reasons = {(Stage.RECORDS, "rule\udcff", "x"): 1}
    metrics.concluded(replace(outcome, job=replace(outcome.job, spec=spec), reasons=reasons))
    text = generate_latest(REGISTRY).decode()
    assert all(name in text for name in ('"lone ?"', '"orders?"', '"rule?"'))
    assert max(map(len, text.splitlines())) < 250


def test_alerts_are_told_apart_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    told = generate_latest(REGISTRY).decode().count("fastfeast_alerts_total{")
    monkeypatch.setattr(metrics, "MAX_ALERTS", told + 1)
    before = value("fastfeast_alerts_total", alert="other")
    for number in range(3):
        metrics.alerted(f"bounded {number}")
    assert value("fastfeast_alerts_total", alert="bounded 0") == 1
    assert value("fastfeast_alerts_total", alert="other") == before + 2


def test_the_time_of_each_chunk_is_observed_and_the_items_come_through() -> None:
    before = observed("read")
    assert list(metrics.timed("read", iter("abc"))) == ["a", "b", "c"]
    assert observed("read") == before + 3


def test_only_a_commit_that_came_about_is_timed() -> None:
    before = observed("commit")
    with CommitTimer() as timer:
        timer.begin()
    with CommitTimer():  # nothing to commit
        pass
    with suppress(OSError), CommitTimer() as timer:
        timer.begin()
        raise OSError("the connection is lost")
    assert observed("commit") == before + 1


def test_every_series_of_the_configured_files_is_there_at_zero(config: PipelineConfig) -> None:
    metrics.declare(config)
    for name in config.by_logical_name:
        for status in ("success", "failed", "already_done"):
            labels = {"type": name, "status": status}
            assert REGISTRY.get_sample_value("fastfeast_files_total", labels) is not None
    assert all(re.fullmatch(r"fastfeast_[a-z_]+", family.name) for family in REGISTRY.collect())
