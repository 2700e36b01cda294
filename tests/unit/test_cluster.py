"""The coordinator waits for its workers without looking stuck."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from config.jobs import FileJob, FileOutcome, Status
from config.settings import PipelineConfig
from ingestion.engines.dask import DaskEngine
from ingestion.engines.dask_worker import Answer
from utils import metrics


class SlowFuture:
    """A task whose answer comes with the fourth look."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.looks = 0

    def result(self, timeout: float) -> Answer:  # noqa: ARG002
        self.looks += 1
        if self.looks < 4:
            raise TimeoutError
        return self._answer


class FakeClient:
    status = "running"

    def __init__(self, future: SlowFuture) -> None:
        self._future = future

    def submit(self, *_arguments: Any, **_options: Any) -> SlowFuture:
        return self._future


def test_a_file_that_takes_a_worker_long_does_not_make_the_service_look_stuck(
    config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    turns: list[None] = []
    monkeypatch.setattr(metrics, "turn", lambda: turns.append(None))
    future = SlowFuture(Answer(3))
    cluster = DaskEngine(config, threading.Event(), FakeClient(future))
    job = FileJob(config.home / "customers.csv", config.by_logical_name["customers"], 1, 1)
    assert cluster.heal([FileOutcome(job, Status.SUCCESS, file_id=1, inserted=1)]) == 3
    assert (future.looks, len(turns)) == (4, 4)
