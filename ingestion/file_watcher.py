"""Finds files: the batch folders of the days that are due, the stream folder by events and by rescans."""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from config.model import Feed
from config.settings import PipelineConfig
from ingestion.inbox import Inbox
from ingestion.places.folder_scan import FolderScanner, made, scan_batch, scanner_of, what_is_wrong
from ingestion.places.left_alone import is_ignored_folder, is_in_ignored_folder
from ingestion.places.store import ObjectScanner
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

TRIES_BEFORE_ALERT = 3  # a folder that can't be used so often in a row is worth a word
FULL_RESCAN_EVERY = 12  # rescans; the others skip folders whose own time of change is the same
JOIN_SECONDS = 5.0
CREATED: list[type[FileSystemEvent]] = [DirCreatedEvent, FileCreatedEvent]
WHOLE: list[type[FileSystemEvent]] = [DirMovedEvent, FileMovedEvent, FileClosedEvent]


class _Watcher:
    """A thread with a stop event. `turn` is called at once and then every `rescan_seconds`."""

    def __init__(self, config: PipelineConfig, inbox: Inbox, name: str) -> None:
        self._config = config
        self._inbox = inbox
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._failed_turns = 0  # in a row
        self._trouble: str | None = None  # of the last of them
        self._alerted: str | None = None  # the trouble that somebody was told of

    def start(self) -> None:
        """Begin; the first scan comes at once, in the watcher's thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        _join(self._thread)

    def is_alive(self) -> bool:
        """Does its thread run?"""
        return self._thread.is_alive()

    def finds_files(self) -> bool:
        """Can it look where it should? False when it could not for a few turns in a row."""
        return self.is_alive() and self._alerted is None

    def turn(self) -> None:
        """Look once. Raises OSError when the folder itself can't be used."""
        raise NotImplementedError

    def _run(self) -> None:
        while True:
            try:
                self.turn()
            except Exception as error:  # noqa: BLE001  (a fault of ours, too, may pass: files are found then)
                self._note(error)
            else:
                self._end_trouble()
            if self._stop.wait(self._config.watcher.rescan_seconds):
                return

    def _note(self, error: Exception) -> None:
        """A log line of each new trouble, an alert when it lasts."""
        of_system = isinstance(error, OSError)
        what = what_is_wrong(error) if isinstance(error, OSError) else type(error).__name__
        text = f"{self._thread.name}: {what}"
        if text != self._trouble:
            level, fault = (logging.ERROR, None) if of_system else (logging.CRITICAL, error)
            logger.log(level, f"[watcher] {text}; trying again and again", exc_info=fault)
        self._trouble = text
        self._failed_turns += 1
        if self._failed_turns < TRIES_BEFORE_ALERT or text == self._alerted:
            return
        self._alerted = text
        text += ". It is tried again and again; nothing is lost."
        if of_system:
            send_alert(AlertKind.FOLDERS_AWAY, text)
        else:
            send_alert(AlertKind.CRASH, text)

    def _end_trouble(self) -> None:
        if self._alerted:
            send_alert(AlertKind.FOLDERS_BACK, f"{self._thread.name} finds files again.")
        self._trouble = self._alerted = None
        self._failed_turns = 0


class BatchWatcher(_Watcher):
    """Scans the folders of the days that are due, again and again, so that late files are found too."""

    def __init__(
        self,
        config: PipelineConfig,
        inbox: Inbox,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        super().__init__(config, inbox, "batch-watcher")
        self._now = now

    def turn(self) -> None:
        """Offer the files of the days that are due."""
        scan_batch(self._config, self._inbox, self._now())


class StreamWatcher(_Watcher):
    """Events are hints that make it quick; the rescan finds what they missed."""

    def __init__(self, config: PipelineConfig, inbox: Inbox) -> None:
        super().__init__(config, inbox, "stream-watcher")
        self._scanner: FolderScanner | ObjectScanner | None = None
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None  # device and inode of the folder being watched
        self._may_observe = not config.watcher.stream.polling
        self._turns = 0
        self._overflow = _OverflowNotice()

    def start(self) -> None:
        logging.getLogger("watchdog").addHandler(self._overflow)
        super().start()

    def stop(self) -> None:
        super().stop()
        self._end_observer()
        logging.getLogger("watchdog").removeHandler(self._overflow)

    def turn(self) -> None:
        """Make sure that the folder is watched, and compare it with what was loaded."""
        root = made(self._config, self._config.watcher.stream.dir)
        if self._scanner is None or self._scanner.root != root:
            self._scanner = scanner_of(self._config, root, self._inbox)
        if isinstance(self._scanner, ObjectScanner):  # no events come from there
            self._inbox.offer_found(self._scanner.entries(), Feed.STREAM)
            return
        with os.scandir(root) as entries:  # the scanner reports folders that can't be listed; this one is all
            next(entries, None)
        if not self._is_observed(root):  # what is there does not wait until all folders are watched
            self._inbox.offer_found(self._scanner.entries(full=True), Feed.STREAM)
            self._observe(root)
            self._turns = 0  # what has changed meanwhile is found by a full rescan
        full = self._overflow.seen.is_set() or self._observer is None or self._turns % FULL_RESCAN_EVERY == 0
        self._overflow.seen.clear()
        self._turns += 1
        self._inbox.offer_found(self._scanner.entries(full=full), Feed.STREAM)

    def _is_observed(self, root: Path) -> bool:
        """Are its events heard? Not when it was removed and made again, or a thread of watchdog's ended."""
        found = root.stat()
        return not self._may_observe or (
            self._watched == (found.st_dev, found.st_ino) and _is_alive(self._observer)
        )

    def _observe(self, root: Path) -> None:
        found = root.stat()
        here = (found.st_dev, found.st_ino)
        self._end_observer()
        try:
            self._observer = _observer(root, _Events(root, self._inbox))
        except OSError as error:  # inotify's limits
            self._may_observe = False
            logger.warning(f"[watcher] no file events ({error.strerror}): rescanning every few seconds instead")
        else:
            self._watched = here

    def _end_observer(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            _join(self._observer)
            self._observer = None


class _Events(FileSystemEventHandler):
    """watchdog's events below `root` → the inbox."""

    def __init__(self, root: Path, inbox: Inbox) -> None:
        self._root = root
        self._inbox = inbox

    def on_any_event(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, FileMovedEvent | DirMovedEvent)
        name = os.fsdecode(event.dest_path if moved else event.src_path)
        path = Path(name)
        if not name or is_in_ignored_folder(path, self._root) or self._is_behind_a_link(path):
            return  # no name: it was moved away
        if event.is_directory and is_ignored_folder(path.name):
            return
        if event.is_directory:  # files may have come into it before it was watched
            self._inbox.offer_found(FolderScanner(path, self._inbox).entries(full=True), Feed.STREAM)
        else:
            self._inbox.offer(path, Feed.STREAM, closed=type(event) in WHOLE)

    def _is_behind_a_link(self, path: Path) -> bool:
        return any(folder.is_symlink() for folder in path.parents if folder.is_relative_to(self._root))


class _OverflowNotice(logging.Handler):
    """watchdog tells of lost events in its log only; what else it warns of is not for the console."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage():
            self.seen.set()
        else:
            logger.debug(f"[watcher] watchdog: {record.getMessage()}")


def _observer(root: Path, handler: FileSystemEventHandler) -> BaseObserver:
    """A running observer of `root`. Raises OSError when the system has no more watches to give."""
    # A folder made while its parent is being listed is watched twice over, which does no harm.
    warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
    # Full events tell a rename from outside, which brings a whole file, from a file being created.
    options: dict[str, Any] = {"generate_full_events": True} if sys.platform == "linux" else {}
    observer = Observer(**options)
    observer.name = "stream-events"
    observer.schedule(handler, str(root), recursive=True, event_filter=CREATED + WHOLE)
    try:
        observer.start()
    except OSError:
        observer.stop()
        raise
    return observer


def _is_alive(observer: BaseObserver | None) -> bool:
    """Do all of its threads run? One ends when the folder is removed, and a new folder may have the old inode."""
    if observer is None:
        return False
    reader: threading.Thread = getattr(observer, "_inotify_fd", observer)
    return all(thread.is_alive() for thread in (observer, reader, *observer.emitters))


def _join(thread: threading.Thread) -> None:
    thread.join(JOIN_SECONDS)
    if thread.is_alive():
        logger.warning(f"[watcher] thread {thread.name} did not end within {JOIN_SECONDS:.0f} s")
