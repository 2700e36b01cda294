"""Puts the pieces together: opens the warehouse, starts the threads, runs, and closes everything again."""

from __future__ import annotations

import datetime as dt
import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from config.errors import ConfigError, WarehouseUnavailable, WarehouseUnfit
from config.settings import PipelineConfig
from datawarehouse import adoption
from datawarehouse.db_connection import Warehouse
from datawarehouse.quarantine.backup import QuarantineBackup
from datawarehouse.schema import user_triggers
from datawarehouse.schema.late_pii import mask_late_columns
from datawarehouse.schema_init import init_schema
from datawarehouse.views import replaceable, views_of
from ingestion.continuity import continuity_loop
from ingestion.engines import registry as engines
from ingestion.file_report import Summary
from ingestion.file_tracker import FileTracker
from ingestion.file_watcher import BatchWatcher, StreamWatcher
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner
from ingestion.maintenance import maintain, maintenance_loop
from ingestion.master_seeder import seed_master
from ingestion.places.registry import place_of
from ingestion.presence import announced
from ingestion.put_away import PutAway, put_away_loop
from ingestion.retention import Retention
from ingestion.scans import scan_days, scan_everything, what_is_wrong
from ingestion.service import Service
from ingestion.start_checks import (
    check_clock,
    check_connections,
    check_folders,
    check_pii_key,
    warn_without_pii_key,
)
from utils import alerter
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger
from utils.notices import Site
from utils.routing import owners_of
from utils.sla_updater_job import sla_scheduler_loop, update_views
from validation.pii_handler import PiiHandler

logger = get_logger(__name__)

BANNER = """\
=====================================================
🚀 FastFeast Pipeline is running! Waiting for files...
Press Ctrl+C to stop the pipeline gracefully.
====================================================="""
JOIN_SECONDS = 2.0  # for all threads beside the loading together; what they do can be done anew
CUT_SECONDS = 0.5  # for a statement of one of them that takes longer
MOST_NOT_LOADED = 1000  # paths that are remembered for the dashboard
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 15.0


class Pipeline:
    """A context: entering opens the warehouse and its tables, leaving stops threads and closes all of it.

    `stop` may be set from a signal handler or another thread: what is in hand is finished, then it ends.
    A database that is away, or takes nothing, is waited for; after `patience` seconds by WarehouseUnavailable.
    """

    def __init__(
        self, config: PipelineConfig, stop: threading.Event | None = None, patience: float = math.inf
    ) -> None:
        self._config = config
        self._patience = patience
        self._stop = stop or threading.Event()
        self._exit = ExitStack()
        self._threads: list[threading.Thread] = []
        self.watchers: list[BatchWatcher | StreamWatcher] = []
        self._is_open = False
        self._not_loaded: dict[Path, tuple[str, str]] = {}  # kind and why, of what the watchers did not take
        self.warehouse = Warehouse(config.database, config.home)

    def __enter__(self) -> Self:
        config = self._config
        check_folders(config)
        warn_without_pii_key(config)
        with ExitStack() as stack:
            stack.enter_context(announced(config))
            site = Site(socket.gethostname(), config.web.reached_at, owners_of(config))
            state = config.path(config.tracker.db_path).with_name("incidents.db")
            alerter.start(config.alerting, site=site, state=state)
            stack.callback(alerter.stop)
            stack.callback(self._close_warehouse)
            if not self._open_warehouse():
                self._exit = stack.pop_all()
                return self
            self._tracker = FileTracker(config.path(config.tracker.db_path))
            stack.callback(self._tracker.close)
            self.inbox = Inbox(config, self._tracker, report=self._report)
            engine = stack.enter_context(engines.opened(config, self.warehouse, self._stop))
            service = Service(config, self.warehouse, self._tracker, self.inbox, self._stop)
            self.runner = IngestionRunner(service, self._patience, engine=engine)
            self.runner.continuity.begin()
            self._put_away = PutAway(service)
            self._retention = Retention(config, self.warehouse, self._tracker, self.runner.aftermath.backup)
            self._exit = stack.pop_all()
        self._is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                logger.warning(
                    f"[pipeline] thread {thread.name} is busy still: its statement is cut, and done anew"
                )
        self._exit.close()

    def _close_warehouse(self) -> None:
        busy = any(thread.is_alive() for thread in self._threads)
        self.warehouse.close(*([CUT_SECONDS] if busy else []))

    def run_forever(self) -> Summary:
        """Seed the master data, start watchers and timers, and process files until `stop` is set."""
        if self._stop.is_set():
            return Summary()
        self._seed_master()
        self._start_timers()
        self.watchers = [BatchWatcher(self._config, self.inbox), StreamWatcher(self._config, self.inbox)]
        for watcher in self.watchers:
            watcher.start()
        logger.info("[pipeline] running", extra={"screen": BANNER})
        try:
            self.runner.run_loop()
        finally:
            for watcher in self.watchers:
                watcher.stop()
        return self.runner.summary

    def run_once(self) -> Summary:
        """Process everything that is there: master, every dated batch folder, every stream folder."""
        if self._stop.is_set():
            return Summary()
        self._seed_master()
        self._scan(scan_everything)
        self._drain()
        maintain(self._stop, self.runner, self._config, self._retention, missing_files=True)
        if self._views:
            update_views(self.warehouse.engine(), self._views)
        return self.runner.summary

    def backfill(self, first: dt.date, last: dt.date, name: str | None = None) -> Summary:
        """Process the batch and stream folders of these days, with `name` only files of that type."""
        if name is not None and name not in self._config.by_logical_name:
            raise ConfigError(f"no file type {name!r}; there are {', '.join(self._config.by_logical_name)}")
        if first > last:
            raise ConfigError(f"the last day, {last}, is before the first, {first}")
        if not self._stop.is_set():
            self._put_away.bring_back(first, last, name)
            scan_days(self._config, self.inbox, first, last, name)
            self._drain()
        return self.runner.summary

    # ---------------------------------------------------------------- for other threads, at any time

    def is_watching(self) -> bool:
        """Do both watchers run?"""
        return bool(self.watchers) and all(watcher.is_alive() for watcher in self.watchers)

    def finds_files(self) -> bool:
        """Do both watchers run, and can they look into their folders?"""
        return bool(self.watchers) and all(watcher.finds_files() for watcher in self.watchers)

    def not_loaded(self) -> list[tuple[str, Path, str]]:
        """Kind, path and why, of what lies in the input folders and was not taken, unless it is gone or done."""
        return [(kind, path, why) for path, (kind, why) in self._not_loaded.items() if self._is_there(kind, path)]

    def _is_there(self, kind: str, path: Path) -> bool:
        place = place_of(path)
        if place.is_remote:
            return True  # a page makes no requests
        if kind == "open" and not self.inbox.holds(path):
            return False
        try:
            found = place.stat(path)
        except OSError:
            return False
        return not self._tracker.is_current(str(path), *found.stamp)

    def backlog(self) -> tuple[int, float]:
        """How many files are queued, in hand or settling; for how many seconds the oldest has waited."""
        return (self.inbox.size(), self.inbox.oldest_seconds()) if self._is_open else (0, 0.0)

    # ----------------------------------------------------------------

    def _seed_master(self) -> None:
        self._put_away.begin()
        self._scan(seed_master)
        self.runner.drain()

    def _drain(self) -> None:
        """Process what there is, and say what is left to its writers."""
        self.runner.drain()
        self._put_away.turn()
        for path, _ in self.inbox.in_the_making():
            text = "is being written by somebody; not loaded"
            logger.warning(f"[pipeline] {path}: {text}", extra={"screen": f"… {path}: {text}"})

    def _scan(self, scan: Callable[[PipelineConfig, Inbox], None]) -> None:
        """Offer what is there; a store or a network folder that is away is waited for."""
        wait = 0.0
        while not self._stop.wait(wait):
            try:
                scan(self._config, self.inbox)
            except OSError as problem:
                if not wait:
                    send_alert(AlertKind.FOLDERS_AWAY, f"{what_is_wrong(problem)}. Waiting for them.")
                wait = _next_wait(wait)
            else:
                if wait:
                    send_alert(AlertKind.FOLDERS_BACK, "The start goes on.")
                return

    def _start_timers(self) -> None:
        every = self._config.sla.refresh_minutes * 60
        if self._views:
            self._start(
                "sla-updater",
                lambda: sla_scheduler_loop(self._stop, self.warehouse.engine(), self._views, every),
            )
        again = self._config.quarantine.retry_minutes * 60
        self._start("after-load", lambda: put_away_loop(self._stop, self._put_away, again))
        self._start(
            "maintenance", lambda: maintenance_loop(self._stop, self.runner, self._config, self._retention)
        )
        self._start(
            "continuity",
            lambda: continuity_loop(self._stop, self.runner.continuity, self._config.watcher.rescan_seconds),
        )

    def _start(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _open_warehouse(self) -> bool:
        """Open the pool and bring the tables up to date, waiting for a server that is away; False when stopped."""
        wait, begun = 0.0, time.monotonic()
        while not self._stop.wait(wait):
            try:
                self.warehouse.open()
                init_schema(self.warehouse, self._config)
                self._check_database()
            except WarehouseUnfit:
                raise
            except WarehouseUnavailable as problem:
                waited = time.monotonic() - begun
                if waited + wait > self._patience:
                    raise WarehouseUnavailable(f"{problem}; given up after {waited:.0f} s") from None
                if not wait:
                    send_alert(AlertKind.DATABASE_AWAY, f"{problem}. Waiting for it.")
                wait = _next_wait(wait)
            else:
                if wait:
                    send_alert(AlertKind.DATABASE_BACK, "The start goes on.")
                return True
        return False

    def _check_database(self) -> None:
        with self.warehouse.transaction() as tx:
            check_clock(tx, dt.datetime.now(dt.UTC))
            check_pii_key(tx, self._config)
            masked = mask_late_columns(tx, self._config, PiiHandler(self._config.pii.hash_key))
            check_connections(tx, self._config)
            for table, sentence in adoption.finish(tx, self._config):
                logger.info(f"[schema] {sentence}", extra={"table": table})
            for table, sentence in user_triggers.told(tx, self._config):
                logger.info(f"[schema] {sentence}", extra={"table": table, "screen": f"! {sentence}"})
            views = views_of(self._config)
            self._views = replaceable(tx, views)
        if masked.quarantined:
            self._mask_backup()
        if others := sorted(views.keys() - self._views.keys()):
            logger.info(f"[sla] of another role, and left as they are: {', '.join(others)}")

    def _mask_backup(self) -> None:
        """Write the CSV backup anew, whose lines are masked in the table; a full disk is the timer's business."""
        with suppress(OSError):
            QuarantineBackup(self._config.path(self._config.quarantine.dir), self.warehouse).reconcile()

    def _report(self, kind: str, path: Path, message: str) -> None:
        """What the watchers refuse, once a path: a log line, and an alert unless only the name is unexpected."""
        name = self._config.shown(path)
        self._not_loaded = dict(list(self._not_loaded.items())[-MOST_NOT_LOADED:]) | {path: (kind, message)}
        logger.warning(f"[watcher] {name}: {message}", extra={"path": str(path), "kind": kind})
        if kind == "open":
            send_alert(AlertKind.FILE_OPEN, message, place=name, reason=message)
        elif kind == "incomplete":
            send_alert(AlertKind.FILE_INCOMPLETE, message, place=name, reason=message)
        elif kind != "unexpected":
            send_alert(AlertKind.FILE_REFUSED, message, place=name, reason=message)


def _next_wait(seconds: float) -> float:
    """How long to wait after having waited for `seconds` in vain."""
    return min(max(seconds * 2, FIRST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)
