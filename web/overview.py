"""What the first page shows: figures and charts of a period, reasons, panels of the YAML; each read by itself."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from config.errors import PipelineError, WarehouseUnavailable, WarehouseUnfit
from config.settings import Panel, PipelineConfig
from datawarehouse import reports
from datawarehouse.reports import Row
from utils.logger import get_logger
from web.charts import Chart, Period, Series, bars, lines
from web.reading import Reader, TooSlow
from workbench.attention import Item, Unread, attention

logger = get_logger(__name__)

TOP_REASONS = 8
_SINCE = re.compile(r"(?<!:):since\b")

FILES = (Series("loaded", "s1", "files_loaded"), Series("failed", "s4", "files_failed"))
ROWS = (
    Series("loaded", "s1", "rows_loaded"),
    Series("already there", "s2", "rows_present"),
    Series("quarantined", "s3", "rows_quarantined"),
)
REJECTS = (Series("reject rate", "s3", "reject_rate"),)
LATENCY = (Series("median", "s1", "p50_ms"), Series("99th percentile", "s3", "p99_ms"))
ORPHANS = (
    Series("open", "s3", "open"),
    Series("healed", "s1", "healed"),
    Series("given up", "s4", "given_up"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page: what was read, or why it can't be shown."""

    value: Any = None
    problem: str = ""


class Overview:
    """Reads the parts for one period, as of `now`."""

    def __init__(self, reader: Reader, config: PipelineConfig, period: Period, now: dt.datetime) -> None:
        self._reader = reader
        self._config = config
        self._period = period
        self._now = now
        self.since = period.buckets(now)[0]

    def parts(self) -> dict[str, Part]:
        """By name. Raises WarehouseUnavailable when the database is away."""
        makers: dict[str, Callable[[], Any]] = {
            "attention": self._attention,
            "flow": self._flow,
            "reasons": self._reasons,
            "orphans": self._orphans,
        }
        return {name: _part(maker) for name, maker in makers.items()}

    def _attention(self) -> list[Item]:
        """What `status` begins with, whatever the period."""
        unread = [Unread(*one) for one in self._reader.not_loaded()]
        with self._reader.transaction() as tx:
            return attention(self._config, self._now, tx, unread)

    def _flow(self) -> dict[str, Any]:
        """The figures of all the time, and the charts by bucket."""
        rows = self._reader.rows("flow", since=self.since, step=self._period.step)
        for row in rows:
            row["reject_rate"] = rate(row["rows_quarantined"], row["rows_total"])
            row["p50_ms"], row["p99_ms"] = row.pop("ms") or (None, None)
        (totals,) = [row for row in rows if row["bucket"] is None]
        (last,) = self._reader.rows("last_file")
        rows.remove(totals)
        period, now = self._period, self._now
        charts = [
            bars("files", "Files", f"files per {period.each}", FILES, rows, period, now),
            bars("rows", "Rows", f"rows per {period.each}", ROWS, rows, period, now),
            lines("rejects", "Reject rate", "% of rows", REJECTS, rows, period, now),
            lines("latency", "Time to load a file", "ms", LATENCY, rows, period, now),
        ]
        return {"totals": totals | last, "charts": charts}

    def _reasons(self) -> list[Row]:
        with self._reader.transaction() as tx:
            rows = reports.reasons(tx, since=self.since, limit=TOP_REASONS)
        most = max((row["rows"] for row in rows), default=1)
        return [{**row, "share": 100 * row["rows"] / most} for row in rows]

    def _orphans(self) -> Chart:
        rows = self._reader.rows("orphans", since=self.since, step=self._period.step)
        return bars(
            "orphans",
            "Orphans by arrival",
            f"rows per {self._period.each}",
            ORPHANS,
            rows,
            self._period,
            self._now,
        )

    def panels(self) -> list[tuple[Panel, Part]]:
        """The tables that the configuration asks for, each read by itself. Raises WarehouseUnavailable."""
        return [(panel, _part(partial(self._panel, panel))) for panel in self._config.panels]

    def _panel(self, panel: Panel) -> list[Row]:
        return self._reader.statement(_SINCE.sub("%(since)s", panel.query.replace("%", "%%")), since=self.since)


def rate(part: int, whole: int) -> float | None:
    """Per cent; None of nothing."""
    return 100 * part / whole if whole else None


def _part(maker: Callable[[], Any]) -> Part:
    try:
        return Part(maker())
    except WarehouseUnfit as problem:  # a table that is not there: the other parts may be
        return Part(problem=str(problem))
    except WarehouseUnavailable:
        raise
    except TooSlow as problem:
        return Part(problem=str(problem))
    except PipelineError as problem:  # a right or a table that is missing: the other parts may be there
        logger.warning(f"[web] a part of the overview is not shown: {problem}")
        return Part(problem=str(problem))
