"""What is older than the configuration wants to keep: log files, the cache's rows, quarantine with its backup."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path

from config.settings import PipelineConfig
from datawarehouse import profiles
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.backup import QuarantineBackup
from datawarehouse.queries import query
from ingestion.archive_retention import prune_archive
from ingestion.file_tracker import FileTracker
from utils.logger import get_logger

logger = get_logger(__name__)

_LOG_FILE = re.compile(r"(?:pipeline|alerts)_(\d{4}-\d\d-\d\d)\.(?:log|jsonl)")


class Retention:
    """Prunes once a UTC day; what it removes is counted in one log line a kind."""

    def __init__(
        self, config: PipelineConfig, warehouse: Warehouse, tracker: FileTracker, backup: QuarantineBackup
    ) -> None:
        self._config = config
        self.warehouse = warehouse
        self._tracker = tracker
        self._backup = backup
        self._pruned_on: dt.date | None = None

    def prune(self, now: dt.datetime | None = None) -> None:
        """Remove what is too old at `now` (UTC). Raises OSError or PipelineError; the next turn tries again."""
        now = now or dt.datetime.now(dt.UTC)
        if self._pruned_on == now.date():
            return
        days = self._config.retention
        for name, limit, prune in (
            ("log files", days.logs_days, self._prune_logs),
            ("tracker rows of files that are gone", days.tracker_days, self._tracker.forget_vanished),
            ("quarantine rows", days.quarantine_days, self._prune_quarantine),
            ("warnings of files", days.quarantine_days, self._prune_warnings),
            ("profiles of files", days.quarantine_days, self._prune_profiles),
            ("archived files", days.archive_days, lambda before: prune_archive(self.warehouse, before)),
            ("quarantine backup files", days.quarantine_days, self._mend_backup),
        ):
            if limit is not None:
                self._prune(name, limit, prune, now)
        self._pruned_on = now.date()

    @staticmethod
    def _prune(name: str, days: int, prune: Callable[[dt.datetime], int], now: dt.datetime) -> None:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        count = prune(midnight - dt.timedelta(days=days))
        if count:
            logger.info(f"[retention] removed {count} {name} older than {days} days", extra={"count": count})

    def _prune_logs(self, before: dt.datetime) -> int:
        directory = self._config.path(self._config.logging.dir)
        old = [path for path in directory.iterdir() if _is_log_before(path, before)] if directory.exists() else []
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _prune_quarantine(self, before: dt.datetime) -> int:
        """Rows first: whatever ends this halfway, the backup is mended from the table in a later turn."""
        with self.warehouse.transaction() as tx:
            tx.execute(query("retention", "prune_quarantine"), {"before": before})
            return int((tx.fetchone() or (0,))[0])

    def _prune_warnings(self, before: dt.datetime) -> int:
        with self.warehouse.transaction() as tx:
            tx.execute(query("retention", "prune_warnings"), {"before": before})
            return int((tx.fetchone() or (0,))[0])

    def _prune_profiles(self, before: dt.datetime) -> int:
        with self.warehouse.transaction() as tx:
            return profiles.prune(tx, before)

    def _mend_backup(self, before: dt.datetime) -> int:
        self._backup.reconcile()
        return self._backup.remove_before(before.date())


def _is_log_before(path: Path, before: dt.datetime) -> bool:
    match = _LOG_FILE.fullmatch(path.name)
    return match is not None and match[1] < f"{before:%Y-%m-%d}" and path.is_file()
