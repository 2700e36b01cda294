"""Sends alerts from one background thread: one notice a kind and file type in a while, never in anybody's way."""

from __future__ import annotations

import datetime as dt
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.settings import AlertingConfig
from utils import metrics
from utils.alerts import Alert, Notice, Windows
from utils.channels.channel import Channel
from utils.channels.registry import channels_of
from utils.logger import ALERT, SCREEN, get_logger

logger = get_logger(__name__)

GATHER_SECONDS = 4.0  # the first alert of a kind waits so long for others like it
MOST_WAITING = 1000  # notices that were not sent yet
RETRY_AFTER_SECONDS = (2.0, 10.0, 60.0)  # one more try after each; then the notice is dropped
_TICK_SECONDS = 0.2

Clock = Callable[[], float]


def start(config: AlertingConfig, clock: Clock = time.monotonic) -> None:
    """Start the thread, if alerting is enabled. `clock` gives seconds; only differences count."""
    global _alerter  # noqa: PLW0603  (one alerter a process)
    stop()
    if config.enabled:
        _alerter = _Alerter(Windows(config.repeat_minutes * 60, GATHER_SECONDS), channels_of(config), clock)


def send_alert(
    error: str,
    message: str,
    *,
    file_type: str = "",
    place: str = "",
    reason: str = "",
    file_id: int | None = None,
    on_screen: bool = True,
) -> None:
    """Log the alert and, where alerting is on, tell it in the background. Never waits, never raises.

    `error` is an AlertKind. `place`, a file with its folder, goes before the message; `reason` says what is alike
    in alerts of several places. `file_type` and `file_id` as in Alert. Not `on_screen`: the
    console has a line about it already.
    """
    kind = str(error)
    text = f"{place}: {message}" if place else message
    metrics.alerted(kind)
    about = {"type": file_type, "place": place, "reason": reason, "file_id": file_id}
    extra = {ALERT: kind, "alert_of": about, **({} if on_screen else {SCREEN: ""})}
    logger.warning(f"[alert] {kind}: {text}", extra=extra)
    alerter = _alerter
    if alerter is not None:
        alerter.send(Alert(kind, text, file_type, reason, file_id))


def stop(timeout: float = 5) -> None:
    """Deliver what was gathered within `timeout` seconds and end the thread. Idempotent."""
    global _alerter
    alerter, _alerter = _alerter, None
    if alerter is not None:
        alerter.stop(timeout)


@dataclass(eq=False)
class _Sending:
    """A notice on its way through one channel."""

    channel: Channel
    notice: Notice
    due: float
    tries: int = 0


class _Alerter:
    """The thread, the windows that everybody adds to, and what only the thread touches: notices to be sent."""

    def __init__(self, windows: Windows, channels: Sequence[Channel], clock: Clock) -> None:
        self._windows = windows
        self._lock = threading.Lock()  # guards _windows
        self._channels = channels
        self._clock = clock
        self._host = socket.gethostname()
        self._waiting: list[_Sending] = []
        self._stopping = threading.Event()
        self._stop_at = float("inf")  # time.monotonic()
        self._thread = threading.Thread(target=self._run, name="alerter", daemon=True)
        self._thread.start()

    def send(self, alert: Alert) -> None:
        with self._lock:
            taken = self._windows.add(alert, self._clock(), dt.datetime.now(dt.UTC))
        if not taken:
            logger.error("[alert] too many kinds of alerts wait to be told: one stays in the log only")

    def stop(self, timeout: float) -> None:
        self._stop_at = time.monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning(f"[alert] thread {self._thread.name} did not end within {timeout:g} s")

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(_TICK_SECONDS)
            try:
                self._turn(last=stopping)
            except Exception as problem:  # noqa: BLE001  (whatever a channel does, alerts that follow want this thread)
                logger.error(f"[alert] not told ({type(problem).__name__})")
        if self._waiting:
            logger.error(f"[alert] not told before the stop: {len(self._waiting)}")

    def _turn(self, *, last: bool) -> None:
        with self._lock:
            groups = self._windows.due(self._clock(), everything=last)
        for group in groups:
            notice = group.notice(self._host)
            for channel in self._channels:
                if len(self._waiting) >= MOST_WAITING:
                    self._drop(self._waiting[0], "too many wait")
                self._waiting.append(_Sending(channel, notice, due=self._clock()))
        now = self._clock()
        for channel in self._channels:
            due = [one for one in self._waiting if one.channel is channel and (last or one.due <= now)]
            if due and self._seconds_left() > 0:
                self._deliver(channel, due)

    def _deliver(self, channel: Channel, due: list[_Sending]) -> None:
        """Send what is due; what fails waits for its next try."""
        by_notice = {id(one.notice): one for one in due}
        for notice, problem in channel.deliver([one.notice for one in due], self._seconds_left):
            one = by_notice[id(notice)]
            if problem is None:
                self._waiting.remove(one)
            else:
                self._failed(one, problem)

    def _seconds_left(self) -> float:
        return self._stop_at - time.monotonic()

    def _failed(self, one: _Sending, problem: str) -> None:
        one.tries += 1
        if one.tries > len(RETRY_AFTER_SECONDS) or self._stopping.is_set():
            self._drop(one, problem)
        else:
            one.due = self._clock() + RETRY_AFTER_SECONDS[one.tries - 1]
            logger.info(f"[alert] {one.channel.name} not sent ({problem}), trying again")

    def _drop(self, one: _Sending, problem: str) -> None:
        """Nobody was told, so the next such alert is told soon."""
        self._waiting.remove(one)
        with self._lock:
            self._windows.untold(one.notice.key)
        what = {"notice": one.notice.title}
        logger.error(f"[alert] {one.channel.name} not sent ({problem}), given up", extra=what)


_alerter: _Alerter | None = None
