"""Watches a folder by the system's events, which are hints that make it quick; rescans find what they missed."""

from __future__ import annotations

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

from ingestion.places.left_alone import is_ignored_folder, is_in_ignored_folder
from ingestion.places.place import Hints, Scanner
from utils.logger import get_logger

logger = get_logger(__name__)

FULL_RESCAN_EVERY = 12  # rescans; the others skip folders whose own time of change is the same
JOIN_SECONDS = 5.0
CREATED: list[type[FileSystemEvent]] = [DirCreatedEvent, FileCreatedEvent]
WHOLE: list[type[FileSystemEvent]] = [DirMovedEvent, FileMovedEvent, FileClosedEvent]


class FolderWatch:
    """Events and rescans of the folder `root`, or full rescans only. `scanner_of` gives what lists a folder."""

    def __init__(self, root: Path, scanner_of: Callable[[Path], Scanner], hints: Hints, *, events: bool) -> None:
        self.root = root
        self._scanner_of = scanner_of
        self._scanner = scanner_of(root)
        self._hints = hints
        self.observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None  # device and inode of the folder being watched
        self._may_observe = events
        self._turns = 0
        self._overflow = _OverflowNotice()
        logging.getLogger("watchdog").addHandler(self._overflow)

    def stop(self) -> None:
        """End the observer's threads."""
        self._end_observer()
        logging.getLogger("watchdog").removeHandler(self._overflow)

    def turn(self) -> None:
        """Make sure that the folder is watched, and compare it with what was loaded."""
        with os.scandir(self.root) as entries:  # folders below that can't be listed are told; this one is all
            next(entries, None)
        if not self._is_observed():  # what is there does not wait until all folders are watched
            self._hints.listed(self._scanner.entries(full=True))
            self._observe()
            self._turns = 0  # what has changed meanwhile is found by a full rescan
        full = self._overflow.seen.is_set() or self.observer is None or self._turns % FULL_RESCAN_EVERY == 0
        self._overflow.seen.clear()
        self._turns += 1
        self._hints.listed(self._scanner.entries(full=full))

    def _is_observed(self) -> bool:
        """Are its events heard? Not when it was removed and made again, or a thread of watchdog's ended."""
        found = self.root.stat()
        return not self._may_observe or (
            self._watched == (found.st_dev, found.st_ino) and _is_alive(self.observer)
        )

    def _observe(self) -> None:
        found = self.root.stat()
        here = (found.st_dev, found.st_ino)
        self._end_observer()
        try:
            self.observer = _observer(self.root, _Events(self.root, self._scanner_of, self._hints))
        except OSError as error:  # inotify's limits
            self._may_observe = False
            logger.warning(f"[watcher] no file events ({error.strerror}): rescanning every few seconds instead")
        else:
            self._watched = here

    def _end_observer(self) -> None:
        if self.observer is not None:
            self.observer.stop()
            self.observer.join(JOIN_SECONDS)
            if self.observer.is_alive():
                logger.warning(f"[watcher] thread {self.observer.name} did not end within {JOIN_SECONDS:.0f} s")
            self.observer = None


class _Events(FileSystemEventHandler):
    """watchdog's events below `root` → hints."""

    def __init__(self, root: Path, scanner_of: Callable[[Path], Scanner], hints: Hints) -> None:
        self._root = root
        self._scanner_of = scanner_of
        self._hints = hints

    def on_any_event(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, FileMovedEvent | DirMovedEvent)
        name = os.fsdecode(event.dest_path if moved else event.src_path)
        path = Path(name)
        if not name or is_in_ignored_folder(path, self._root) or self._is_behind_a_link(path):
            return  # no name: it was moved away
        if event.is_directory and is_ignored_folder(path.name):
            return
        if event.is_directory:  # files may have come into it before it was watched
            self._hints.listed(self._scanner_of(path).entries(full=True))
        else:
            self._hints.seen(path, closed=type(event) in WHOLE)

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
