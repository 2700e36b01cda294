"""Finds files: in the batch folders of the days that are due, and in the stream folder; each in a thread."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from config.model import Feed
from config.settings import PipelineConfig
from ingestion.inbox import Inbox
from ingestion.places.place import Found, Watch
from ingestion.places.registry import made, place_of
from ingestion.scans import scan_batch, what_is_wrong
from utils.alerter import send_alert
from utils.alerts import AlertKind
from utils.logger import get_logger

logger = get_logger(__name__)

TRIES_BEFORE_ALERT = 3  # a folder that can't be used so often in a row is worth a word
JOIN_SECONDS = 5.0


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
    """Keeps an eye on the stream folder, in the way that its place has."""

    def __init__(self, config: PipelineConfig, inbox: Inbox) -> None:
        super().__init__(config, inbox, "stream-watcher")
        self.watch: Watch | None = None

    def stop(self) -> None:
        super().stop()
        if self.watch is not None:
            self.watch.stop()

    def turn(self) -> None:
        """Make sure that the folder is watched, and compare it with what was loaded."""
        watcher = self._config.watcher
        root = made(self._config, watcher.stream.dir)
        if self.watch is None or self.watch.root != root:
            if self.watch is not None:
                self.watch.stop()
            recent, events = watcher.batch.catch_up_days, not watcher.stream.polling
            self.watch = place_of(root).watch(root, _ForStream(self._inbox), recent, events=events)
        self.watch.turn()


class _ForStream:
    """What a watch finds → the inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def listed(self, found: Iterable[Found]) -> None:
        self._inbox.offer_found(found, Feed.STREAM)

    def seen(self, path: Path, *, closed: bool) -> None:
        self._inbox.offer(path, Feed.STREAM, closed=closed)


def _join(thread: threading.Thread) -> None:
    thread.join(JOIN_SECONDS)
    if thread.is_alive():
        logger.warning(f"[watcher] thread {thread.name} did not end within {JOIN_SECONDS:.0f} s")
