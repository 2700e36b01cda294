"""What is told of a file's way and its end: in the log, on the console, by alerts, and in the sums of this run."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from config.errors import in_our_words
from config.jobs import FileJob, FileOutcome, Status
from config.model import Stage
from config.settings import PipelineConfig
from utils import metrics
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

NAME_WIDTH = 32  # of a file with its folder, on the console
PROGRESS_SECONDS = 5.0  # between two progress lines of a long file


class Progress:
    """Tells how far one file is, now and then. `now` gives seconds."""

    def __init__(self, config: PipelineConfig, now: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._now = now
        self._told_at = now()

    def tell(self, job: FileJob, rows: int) -> None:
        """So many rows of the file are done."""
        metrics.turn()
        if self._now() - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at = self._now()
        name = self._config.shown(job.path, job.spec.name)
        logger.info(
            f"[runner] {job.path.name}: {rows} rows so far",
            extra={**job.log_context(), "screen": f"… {name:<{NAME_WIDTH}} {rows:>9,} rows so far"},
        )


@dataclass
class Summary:
    """What this run did. Several threads may add to it."""

    files: Counter[Status] = field(default_factory=Counter)
    rows: int = 0
    loaded: int = 0
    quarantined: int = 0
    healed: int = 0
    refused_whole: int = 0  # files with rows, of which nothing was loaded
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, outcome: FileOutcome) -> None:
        """Count a file and its rows."""
        with self._lock:
            if outcome.job.spec.schema.within is None:  # else it came with its parents' file
                self.files[outcome.status] += 1
            if outcome.status is Status.SUCCESS:
                self.rows += outcome.total
                self.loaded += outcome.inserted + outcome.updated
                self.quarantined += outcome.quarantined
                self.refused_whole += outcome.is_refused_whole

    def add_healed(self, count: int) -> None:
        """Count orphans that were loaded after all."""
        with self._lock:
            self.healed += count

    def text(self) -> str:
        """One line for the console."""
        done, failed = self.files[Status.SUCCESS], self.files[Status.FAILED]
        unchanged = self.files[Status.ALREADY_DONE]
        nothing = f"; of {self.refused_whole} files nothing was loaded" if self.refused_whole else ""
        return (
            f"{done} files loaded, {failed} failed, {unchanged} already done: {self.rows:,} rows, "
            f"{self.loaded:,} loaded, {self.quarantined:,} quarantined, {self.healed:,} orphans healed{nothing}"
        )


def report(outcome: FileOutcome, name: str, summary: Summary, alert_above: int) -> None:
    """Tell of a file's end: log line, console line, alerts (more than `alert_above` rows refused) and sums.

    `name` tells the file apart from others: it has its folder.
    """
    job = outcome.job
    metrics.concluded(outcome)
    summary.add(outcome)
    extra = {**job.log_context(), "file_id": outcome.file_id, "status": outcome.status.value}
    if outcome.status is Status.ALREADY_DONE:
        logger.info(
            f"[runner] {job.path.name} has the content of file {outcome.file_id}: nothing to do", extra=extra
        )
    elif outcome.status is Status.FAILED:
        error = outcome.error or ""
        screen = f"✗ {name:<{NAME_WIDTH}} failed: {error}"
        logger.error(f"[runner] {job.path.name} failed: {error}", extra={**extra, "screen": screen})
        if not outcome.told:
            _alert(AlertKind.FILE_FAILED, outcome, name, error, reason=error)
    else:
        logger.info(
            f"[runner] loaded {job.path.name}",
            extra={**extra, **_figures(outcome), "screen": console_line(outcome, name)},
        )
        _alert_on_rows(outcome, name, alert_above)
        if outcome.without_parent:
            _alert(
                AlertKind.WITHOUT_PARENT, outcome, name, f"{_without_parent(outcome)}; they refer to nothing now"
            )
        if told := _spared(outcome):
            _alert(AlertKind.ROWS_GONE, outcome, name, told)
        if outcome.continues:
            logger.warning(f"[runner] {job.path.name} (file {outcome.file_id}): {outcome.continues}", extra=extra)
            _alert(AlertKind.FILE_CONTINUED, outcome, name, outcome.continues)


def _alert_on_rows(outcome: FileOutcome, name: str, alert_above: int) -> None:
    refused = f"{outcome.quarantined} of {outcome.total} rows refused, mostly {outcome.top_reason}"
    text = f"{refused} ({_stages(outcome)})"
    if outcome.is_refused_whole and outcome.orphans < outcome.total:  # orphans alone may wait for their parents
        _alert(AlertKind.NOTHING_LOADED, outcome, name, text, reason=outcome.top_reason)
    elif outcome.quarantined > alert_above:
        _alert(AlertKind.MANY_REFUSED, outcome, name, text, reason=outcome.top_reason)
    if count := outcome.rejected_by_stage.get(Stage.LOAD):
        _alert(AlertKind.LOAD_ERROR, outcome, name, f"PostgreSQL refused {count} rows")


def _alert(kind: AlertKind, outcome: FileOutcome, name: str, text: str, reason: str = "") -> None:
    file_id = outcome.file_id
    place = f"{name} (file {file_id})" if file_id is not None else name
    said = kind in {AlertKind.FILE_FAILED, AlertKind.NOTHING_LOADED}  # by the file's line
    name = outcome.job.spec.name
    send_alert(kind, text, file_type=name, place=place, reason=reason, file_id=file_id, on_screen=not said)


def _figures(outcome: FileOutcome) -> dict[str, object]:
    missing = {"placeholders": outcome.placeholders, "without_parent": outcome.without_parent}
    return {
        "table": outcome.job.spec.table,
        "total": outcome.total,
        "inserted": outcome.inserted,
        "already_present": outcome.already_present,
        "updated": outcome.updated,
        "changed": outcome.changed,
        "stale": outcome.stale,
        "deletes": outcome.deletes,
        "gone": outcome.gone.rows,
        "quarantined": {stage.value: count for stage, count in outcome.rejected_by_stage.items()},
        **{name: counts for name, counts in missing.items() if counts},
        "ms": round(outcome.seconds * 1000),
    }


def console_line(outcome: FileOutcome, name: str) -> str:
    """A loaded file on the console; `!` when nothing of it was loaded."""
    total, refused = f"{outcome.total:>9,} rows", outcome.quarantined
    end = f"{outcome.seconds * 1000:,.0f} ms"
    if outcome.is_refused_whole:
        waits = outcome.orphans == outcome.total
        what = "nothing loaded yet, all wait for parents" if waits else f"nothing loaded, {refused:,} refused"
        return f"! {name:<{NAME_WIDTH}} {total}: {what}, mostly {outcome.top_reason} ({_stages(outcome)}), {end}"
    parts = [f"✓ {name:<{NAME_WIDTH}} {total} {outcome.inserted:>9,} loaded"]
    if outcome.updated:
        parts.append(f"{outcome.updated:,} updated")
    if outcome.already_present:
        parts.append(f"{outcome.already_present:,} already there{_of_present(outcome)}")
    if outcome.without_parent:
        parts.append(_without_parent(outcome))
    if outcome.deletes:
        parts.append(f"{outcome.deletes:,} deletes")
    if outcome.gone.rows:
        parts.append(f"{outcome.gone.rows:,} gone{_of_gone(outcome)}")
    parts += [f"{count:,} placeholders of {parent}" for parent, count in outcome.placeholders.items()]
    if refused:
        parts.append(f"{refused:,} quarantined ({_stages(outcome)})")
    return f"{', '.join(parts)}, {end}"


def _without_parent(outcome: FileOutcome) -> str:
    return ", ".join(
        f"{count:,} without their parent by {label}" for label, count in outcome.without_parent.items()
    )


def _of_gone(outcome: FileOutcome) -> str:
    kept = outcome.gone.kept
    return f" ({kept:,} of them marked, since other rows refer to them)" if kept else ""


def _spared(outcome: FileOutcome) -> str:
    """Why a snapshot has taken nothing away; '' where it is none, or has."""
    count = outcome.gone.unreadable
    if not count:
        return ""
    return (
        f"nothing of the table is gone by this snapshot: {count:,} of its records have no key that can be read, "
        "and may be any row; the next one that is whole takes away what it lacks"
    )


def _of_present(outcome: FileOutcome) -> str:
    """What rows that are already there have against being loaded, other than that they are the same."""
    parts = [f"{outcome.changed:,} changed, not applied"] if outcome.changed else []
    parts += [f"{outcome.stale:,} older"] if outcome.stale else []
    return f" ({'; '.join(parts)})" if parts else ""


def _stages(outcome: FileOutcome) -> str:
    counts = outcome.rejected_by_stage
    return ", ".join(f"{stage.value} {counts[stage]:,}" for stage in Stage if counts.get(stage))


def tell_of_crash(job: FileJob, place: str, error: Exception) -> str:
    """Log line and alert about a fault of ours; returns what it is."""
    what = in_our_words(error)
    logger.critical(f"[runner] {place}: {what}", exc_info=error, extra=job.log_context())
    send_alert(AlertKind.CRASH, what, file_type=job.spec.name, place=place, reason=what)
    return what
