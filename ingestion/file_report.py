"""What is told of a file's end: in the log, on the console, by alerts, and in the sums of this run."""

from __future__ import annotations

import threading
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import PipelineError
from config.model import FileJob, FileOutcome, Stage, Status
from utils import metrics
from utils.alerter import send_alert
from utils.logger import get_logger

logger = get_logger(__name__)


@dataclass
class Summary:
    """What this run did. Several threads may add to it."""

    files: Counter[Status] = field(default_factory=Counter)
    rows: int = 0
    loaded: int = 0
    quarantined: int = 0
    healed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, outcome: FileOutcome) -> None:
        """Count a file and its rows."""
        with self._lock:
            self.files[outcome.status] += 1
            if outcome.status is Status.SUCCESS:
                self.rows += outcome.total
                self.loaded += outcome.inserted + outcome.updated
                self.quarantined += outcome.quarantined

    def add_healed(self, count: int) -> None:
        """Count orphans that were loaded after all."""
        with self._lock:
            self.healed += count

    def text(self) -> str:
        """One line for the console."""
        done, failed = self.files[Status.SUCCESS], self.files[Status.FAILED]
        unchanged = self.files[Status.ALREADY_DONE]
        return (
            f"{done} files loaded, {failed} failed, {unchanged} already done: {self.rows:,} rows, "
            f"{self.loaded:,} loaded, {self.quarantined:,} quarantined, {self.healed:,} orphans healed"
        )


def report(outcome: FileOutcome, summary: Summary, alert_above: int) -> None:
    """Tell of a file's end: log line, console line, alerts (more than `alert_above` rows refused) and sums."""
    job = outcome.job
    metrics.concluded(outcome)
    summary.add(outcome)
    extra = {**job.log_context(), "file_id": outcome.file_id, "status": outcome.status.value}
    if outcome.status is Status.ALREADY_DONE:
        logger.info(
            f"[runner] {job.path.name} has the content of file {outcome.file_id}: nothing to do", extra=extra
        )
    elif outcome.status is Status.FAILED:
        screen = f"✗ {job.path.name:<24} failed: {outcome.error}"
        logger.error(f"[runner] {job.path.name} failed: {outcome.error}", extra={**extra, "screen": screen})
        if not outcome.told:
            send_alert("File failed", f"{job.path}: {outcome.error}")
    else:
        logger.info(
            f"[runner] loaded {job.path.name}",
            extra={**extra, **_figures(outcome), "screen": console_line(outcome)},
        )
        _alert_on_rows(outcome, alert_above)
        if outcome.continues:
            logger.warning(f"[runner] {job.path.name} (file {outcome.file_id}): {outcome.continues}", extra=extra)
            send_alert("File continued", f"{job.path} (file {outcome.file_id}): {outcome.continues}")


def _alert_on_rows(outcome: FileOutcome, alert_above: int) -> None:
    name = outcome.job.path.name
    if outcome.quarantined > alert_above:
        stages = ", ".join(f"{stage.value} {count}" for stage, count in outcome.rejected_by_stage.items())
        message = f"{name} (file {outcome.file_id}): {outcome.quarantined} of {outcome.total} rows ({stages})"
        send_alert("High quarantine volume", message)
    if refused := outcome.rejected_by_stage.get(Stage.LOAD):
        send_alert("Load error", f"{name} (file {outcome.file_id}): PostgreSQL refused {refused} rows")


def _figures(outcome: FileOutcome) -> dict[str, object]:
    return {
        "table": outcome.job.spec.table,
        "total": outcome.total,
        "inserted": outcome.inserted,
        "already_present": outcome.already_present,
        "updated": outcome.updated,
        "quarantined": {stage.value: count for stage, count in outcome.rejected_by_stage.items()},
        "ms": round(outcome.seconds * 1000),
    }


def console_line(outcome: FileOutcome) -> str:
    """A loaded file on the console."""
    parts = [f"✓ {outcome.job.path.name:<24} {outcome.total:>9,} rows {outcome.inserted:>9,} loaded"]
    if outcome.updated:
        parts.append(f"{outcome.updated:,} updated")
    if outcome.already_present:
        parts.append(f"{outcome.already_present:,} already there")
    if outcome.quarantined:
        stages = ", ".join(
            f"{s.value} {outcome.rejected_by_stage[s]:,}" for s in Stage if s in outcome.rejected_by_stage
        )
        parts.append(f"{outcome.quarantined:,} quarantined ({stages})")
    return f"{', '.join(parts)}, {outcome.seconds * 1000:,.0f} ms"


def tell_of_crash(job: FileJob, place: str, error: Exception) -> str:
    """Log line and alert about a fault of ours; returns what it is."""
    what = in_our_words(error)
    logger.critical(f"[runner] {place}: {what}", exc_info=error, extra=job.log_context())
    send_alert("Pipeline exception", f"{place}: {what}")
    return what


def in_our_words(error: Exception) -> str:
    """An error without what others say in it: that may quote the data."""
    if isinstance(error, PipelineError):
        return str(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
