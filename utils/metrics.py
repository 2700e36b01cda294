"""What the pipeline counts about itself, for Prometheus: one registry a process, read by web/probes.py.

Names and units follow https://prometheus.io/docs/practices/naming/. Labels are bounded: types of the
configuration, stages and rules of the code, kinds of alerts that the code names. Whatever comes in as a label is
cleaned first, for one value that can't be encoded would take all of /metrics down.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from config.jobs import FileOutcome, Status
from config.model import Stage
from config.settings import PipelineConfig

T = TypeVar("T")

REGISTRY = CollectorRegistry()
STAGES = ("read", "validate", "lookup", "mask", "load", "profile", "quarantine", "commit")
CONCLUDED = (Status.SUCCESS, Status.FAILED, Status.ALREADY_DONE)
ROW_OUTCOMES = ("inserted", "updated", "already_present", "quarantined")
PRESENT = ("unchanged", "changed", "stale")  # the parts of already_present
CHUNK_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)  # seconds
MAX_LABEL = 100  # characters
MAX_ALERTS = 100  # names of alerts that are told apart; the code has about twenty
FILE_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)  # seconds

_FILES = Counter("fastfeast_files", "Files that came to an end.", ["type", "status"], registry=REGISTRY)
_ROWS = Counter("fastfeast_rows", "Records of loaded files.", ["type", "outcome"], registry=REGISTRY)
_PRESENT = Counter(
    "fastfeast_rows_present",
    "Records whose key was there: unchanged, changed and not applied, or stale (older than what is there).",
    ["type", "how"],
    registry=REGISTRY,
)
_WARNED = Counter("fastfeast_rows_warned", "Loaded records that a check warns of.", ["type"], registry=REGISTRY)
_WARNINGS = Counter(
    "fastfeast_warnings",
    "Loaded records by the check that warns of them; a record counts under each of them.",
    ["check"],
    registry=REGISTRY,
)
_GONE = Counter(
    "fastfeast_rows_gone",
    "Rows of tables that are gone by loaded files: marked or deleted.",
    ["type"],
    registry=REGISTRY,
)
_REASONS = Counter(
    "fastfeast_rejection_reasons",
    "Reasons held against refused records; a record counts under each of its reasons.",
    ["stage", "rule"],
    registry=REGISTRY,
)
_STAGE_SECONDS = Histogram(
    "fastfeast_stage_duration_seconds",
    "Time of a stage of loading, one observation a chunk; commit: one a file.",
    ["stage"],
    buckets=CHUNK_BUCKETS,
    registry=REGISTRY,
)
_FILE_SECONDS = Histogram(
    "fastfeast_file_duration_seconds",
    "Time from opening a file to its commit.",
    ["type"],
    buckets=FILE_BUCKETS,
    registry=REGISTRY,
)
_LATENCY_SECONDS = Histogram(
    "fastfeast_file_latency_seconds",
    "Time from finding a whole file to its end, waiting and outages included.",
    ["type"],
    buckets=FILE_BUCKETS,
    registry=REGISTRY,
)
_LAST_FILE = Gauge(
    "fastfeast_last_file_timestamp_seconds",
    "When the last file came to an end; before the first, when the service started.",
    registry=REGISTRY,
)
_ALERTS = Counter("fastfeast_alerts", "Alerts raised, mailed or not.", ["alert"], registry=REGISTRY)

_stage_seconds = {name: _STAGE_SECONDS.labels(name) for name in STAGES}
_turned_at = time.monotonic()
_alerts_lock = threading.Lock()  # guards _alert_names
_alert_names: set[str] = set()


def declare(config: PipelineConfig) -> None:
    """Show every series from the start, at zero: a rate misses the first event of a series that begins with it."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # series that nobody asked for, as many again
    for name in map(clean, config.by_logical_name):
        for status in CONCLUDED:
            _FILES.labels(name, status.value)
        for outcome in ROW_OUTCOMES:
            _ROWS.labels(name, outcome)
        for how in PRESENT:
            _PRESENT.labels(name, how)
        _WARNED.labels(name)
        _GONE.labels(name)
        _FILE_SECONDS.labels(name)
        _LATENCY_SECONDS.labels(name)
    for check in {name for spec in config.by_logical_name.values() for name in spec.schema.checks}:
        _WARNINGS.labels(clean(check))
    _LAST_FILE.set_to_current_time()


# ---------------------------------------------------------------- for the one that loads


def turn() -> None:
    """The main loop is alive: it took another turn, or another chunk."""
    global _turned_at  # noqa: PLW0603  (one main loop a process)
    _turned_at = time.monotonic()


def seconds_since_turn() -> float:
    """How long ago the last turn was."""
    return time.monotonic() - _turned_at


def stage(name: str) -> AbstractContextManager[object]:
    """Times what happens inside; `name` is one of STAGES."""
    return _stage_seconds[name].time()


def timed(name: str, items: Iterable[T]) -> Iterator[T]:
    """The items of `items`; making each is timed as stage `name`."""
    iterator = iter(items)
    while True:
        started = time.perf_counter()
        try:
            item = next(iterator)
        except StopIteration:
            return
        _stage_seconds[name].observe(time.perf_counter() - started)
        yield item


class CommitTimer:
    """Around a transaction: times from begin(), the transaction's last line, to the end of its COMMIT."""

    def __init__(self) -> None:
        self._started: float | None = None

    def begin(self) -> None:
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._started is not None:
            _stage_seconds["commit"].observe(time.perf_counter() - self._started)


def concluded(outcome: FileOutcome) -> None:
    """Count a file that came to an end, and its records."""
    name = clean(outcome.job.spec.name)
    _FILES.labels(name, outcome.status.value).inc()
    _LAST_FILE.set_to_current_time()
    if outcome.status is Status.ALREADY_DONE:
        return
    if outcome.status is Status.SUCCESS:
        _FILE_SECONDS.labels(name).observe(outcome.seconds)
    waited = dt.datetime.now(dt.UTC) - outcome.job.discovered_at
    _LATENCY_SECONDS.labels(name).observe(max(waited.total_seconds(), 0))
    for kind in ROW_OUTCOMES:
        _ROWS.labels(name, kind).inc(getattr(outcome, kind))
    for how in PRESENT:
        _PRESENT.labels(name, how).inc(getattr(outcome, how))
    _WARNED.labels(name).inc(outcome.warned)
    for (check, _column), rows in outcome.warnings.items():
        _WARNINGS.labels(clean(check)).inc(rows)
    _GONE.labels(name).inc(outcome.gone.rows)
    for (stage_of, rule, _column), rows in outcome.reasons.items():
        _REASONS.labels(stage_of.value, rule_label(stage_of, rule)).inc(rows)


def rule_label(stage_of: Stage, rule: str) -> str:
    """The rule's name; of what PostgreSQL refused, the SQLSTATE, since the rest names tables and columns."""
    if stage_of is not Stage.LOAD:
        return clean(rule)
    found = re.search(r"\b[0-9A-Z]{5}\b", rule)
    return found[0] if found else "other"


def alerted(kind: str) -> None:
    """Count an alert; `kind` is a literal in the code. What comes after MAX_ALERTS of them is `other`."""
    name = clean(kind)
    with _alerts_lock:
        if name not in _alert_names:
            if len(_alert_names) >= MAX_ALERTS:
                name = "other"
            _alert_names.add(name)
    _ALERTS.labels(name).inc()


def clean(label: str) -> str:
    """`label` as any encoding of UTF-8 takes it, without control characters, at most MAX_LABEL characters."""
    text = label[:MAX_LABEL].encode("utf-8", "replace").decode()
    return "".join(char if char.isprintable() else "?" for char in text)
