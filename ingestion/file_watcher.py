"""Finds files: the batch folders of the days that are due, the stream folder by events and by rescans."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

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

from config.file_specs import logical_stem, spec_for
from config.model import Feed, PipelineConfig
from ingestion.inbox import Inbox
from utils.logger import get_logger

logger = get_logger(__name__)

__all__ = ["BatchWatcher", "Inbox", "StreamWatcher", "scan_everything", "scan_master"]

FULL_RESCAN_EVERY = 12  # rescans; the others skip folders whose own time of change is the same
JOIN_SECONDS = 5.0
GRANULARITY_NS = 2_000_000_000  # two changes so close together may bear one time
EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
]


class _Watcher:
    """A thread with a stop event. `_turn` is called every `rescan_seconds`."""

    def __init__(self, config: PipelineConfig, inbox: Inbox, name: str) -> None:
        self._config = config
        self._inbox = inbox
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first scan comes at once, in the watcher's thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        self._thread.join(JOIN_SECONDS)
        if self._thread.is_alive():
            logger.warning(f"[watcher] thread {self._thread.name} did not end in time")

    def _run(self) -> None:
        while True:
            try:
                self._turn()
            except OSError as error:
                logger.error(f"[watcher] {self._thread.name}: {error.strerror}; trying again")
            if self._stop.wait(self._config.watcher.rescan_seconds):
                return

    def _turn(self) -> None:
        raise NotImplementedError


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

    def _turn(self) -> None:
        batch = self._config.watcher.batch
        root = self._config.path(batch.dir)
        root.mkdir(parents=True, exist_ok=True)
        for day, folder in dated_folders(root):
            if self.is_due(day):
                offer_batch_folder(self._config, self._inbox, folder)

    def is_due(self, day: dt.date) -> bool:
        """Today from `trigger_hour` UTC on, and the `catch_up_days` before."""
        now, batch = self._now(), self._config.watcher.batch
        if day == now.date():
            return now.hour >= batch.trigger_hour
        return dt.timedelta(0) < now.date() - day <= dt.timedelta(days=batch.catch_up_days)


class StreamWatcher(_Watcher):
    """Events are hints that make it quick; the rescan finds what they missed."""

    def __init__(self, config: PipelineConfig, inbox: Inbox) -> None:
        super().__init__(config, inbox, "stream-watcher")
        self._root = config.path(config.watcher.stream.dir)
        self._scanner = FolderScanner(self._root)
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None  # device and inode of the folder being watched
        self._may_observe = not config.watcher.stream.polling
        self._turns = 0

    def stop(self) -> None:
        super().stop()
        self._end_observer()

    def _turn(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        self._observe()
        full = self._config.watcher.stream.polling or self._turns % FULL_RESCAN_EVERY == 0
        self._turns += 1
        offer_stream_files(self._config, self._inbox, self._scanner.files(full=full))

    def _observe(self) -> None:
        """Watch the folder, anew when it was removed and made again."""
        found = self._root.stat()
        here = (found.st_dev, found.st_ino)
        if not self._may_observe or (self._watched == here and self._observer and self._observer.is_alive()):
            return
        self._end_observer()
        observer = Observer()
        observer.schedule(_Events(self), str(self._root), recursive=True, event_filter=EVENTS)
        try:
            observer.start()
        except OSError as error:  # inotify's limits
            self._may_observe = False
            logger.warning(f"[watcher] no file events ({error.strerror}): rescanning every few seconds instead")
        else:
            self._observer, self._watched = observer, here

    def _end_observer(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(JOIN_SECONDS)
            self._observer = None

    def arrived(self, path: Path, *, closed: bool) -> None:
        """An event names a file."""
        if not any(part.is_symlink() for part in path.parents if part.is_relative_to(self._root)):
            self._inbox.offer(path, Feed.STREAM, closed=closed)

    def folder_arrived(self, path: Path) -> None:
        """An event names a folder: files may have come into it before it was watched."""
        if not path.is_symlink():
            offer_stream_files(self._config, self._inbox, FolderScanner(path).files(full=True))


class _Events(FileSystemEventHandler):
    """watchdog's events → the stream watcher."""

    def __init__(self, watcher: StreamWatcher) -> None:
        self._watcher = watcher

    def on_any_event(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, FileMovedEvent | DirMovedEvent)
        path = Path(os.fsdecode(event.dest_path if moved else event.src_path))
        try:
            if event.is_directory:
                self._watcher.folder_arrived(path)
            else:
                self._watcher.arrived(path, closed=moved or isinstance(event, FileClosedEvent))
        except OSError as error:
            logger.warning(f"[watcher] {path.name}: {error.strerror}; the rescan looks again")


class FolderScanner:
    """Lists the files below `root`, without following links. Skips folders that did not change, unless `full`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, tuple[int, list[str]]] = {}  # path → time of change when listed, subfolders

    def files(self, *, full: bool) -> Iterator[Path]:
        """The files of all folders that may have new ones."""
        pending = [str(self._root)]
        seen: set[str] = set()
        while pending:
            folder = pending.pop()
            seen.add(folder)
            try:
                changed_ns = Path(folder).lstat().st_mtime_ns
                known = self._folders.get(folder)
                if not full and known and known[0] == changed_ns < time.time_ns() - GRANULARITY_NS:
                    pending += known[1]
                    continue
                subfolders: list[str] = []
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            subfolders.append(entry.path)
                        else:
                            yield Path(entry.path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            self._folders[folder] = (changed_ns, subfolders)
            pending += subfolders
        for gone in self._folders.keys() - seen:
            del self._folders[gone]


def dated_folders(root: Path) -> list[tuple[dt.date, Path]]:
    """The folders of `root` that are named YYYY-MM-DD, in order."""
    found = []
    for path in root.iterdir():
        with suppress(ValueError):
            day = dt.date.fromisoformat(path.name)
            if path.name == day.isoformat() and path.is_dir() and not path.is_symlink():
                found.append((day, path))
    return sorted(found)


def offer_batch_folder(config: PipelineConfig, inbox: Inbox, folder: Path) -> None:
    """Offer a day's files, parents before children."""
    _offer_in_load_order(config, inbox, FolderScanner(folder).files(full=True), Feed.BATCH)


def offer_stream_files(config: PipelineConfig, inbox: Inbox, paths: Iterator[Path]) -> None:
    """Offer stream files, folder by folder, parents before children."""
    _offer_in_load_order(config, inbox, paths, Feed.STREAM)


def _offer_in_load_order(config: PipelineConfig, inbox: Inbox, paths: Iterator[Path], feed: Feed) -> None:
    def order(path: Path) -> tuple[str, int, str]:
        spec = spec_for(config.files, feed, path.name)
        return str(path.parent), spec.level if spec else -1, path.name

    for path in sorted(paths, key=order):
        inbox.offer(path, feed)


def scan_master(config: PipelineConfig, inbox: Inbox) -> None:
    """Offer the master files: any readable format whose name before the extension is that of a batch file."""
    folder = config.path(config.watcher.master.dir)
    by_name = {spec.name: spec for spec in config.files if spec.feed is Feed.BATCH}
    if not folder.is_dir():
        return
    found = []
    for path in folder.iterdir():
        stem, extension = logical_stem(path.name)
        spec = by_name.get(stem) if extension else None
        if spec is not None:
            found.append((spec.level, path.name, path, spec))
        elif path.name != "metadata.json":
            inbox.offer(path, Feed.BATCH)
    for _, _, path, spec in sorted(found, key=lambda item: item[:2]):
        inbox.offer(path, Feed.BATCH, spec=spec)


def scan_everything(config: PipelineConfig, inbox: Inbox) -> None:
    """Offer every dated batch folder, then every stream folder, whatever the clock says."""
    batch, stream = config.path(config.watcher.batch.dir), config.path(config.watcher.stream.dir)
    for root in (batch, stream):
        root.mkdir(parents=True, exist_ok=True)
    for _, folder in dated_folders(batch):
        offer_batch_folder(config, inbox, folder)
    offer_stream_files(config, inbox, FolderScanner(stream).files(full=True))
