"""What waits to be sent through one channel, and the thread that sends it, so that no other has to wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from utils.channels.channel import Channel
from utils.logger import get_logger
from utils.notices import Notice

logger = get_logger(__name__)

MOST_WAITING = 1000  # notices that were not sent yet
RETRY_AFTER_SECONDS = (2.0, 10.0, 60.0)  # one more try after each; then the notice is dropped
STUCK_SECONDS = 60.0  # in one call: its channel doesn't answer, and doesn't fail either
_TICK_SECONDS = 0.2

Clock = Callable[[], float]


@dataclass(eq=False)
class _Sending:
    """A notice on its way."""

    notice: Notice
    due: float
    tries: int = 0


class Outbox:
    """`dropped` is called, by the outbox's thread, with each notice that is given up.

    `trouble` is why the channel gets nothing through since a notice was given up; None while it works.
    """

    def __init__(self, channel: Channel, dropped: Callable[[Notice], None], clock: Clock) -> None:
        self._channel = channel
        self._dropped = dropped
        self._clock = clock
        self._lock = threading.Lock()  # guards _waiting
        self._waiting: list[_Sending] = []
        self._given_up: str | None = None
        self._busy_since: float | None = None  # time.monotonic()
        self._stopping = threading.Event()
        self._stop_at = float("inf")  # time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"alerts to {channel.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """What the channel is called."""
        return self._channel.name

    @property
    def trouble(self) -> str | None:
        """Why nothing gets through, as far as is known."""
        busy_since = self._busy_since
        if busy_since is not None and time.monotonic() - busy_since > STUCK_SECONDS:
            return f"no end of an answer for {STUCK_SECONDS:.0f} seconds"
        return self._given_up

    def put(self, notice: Notice) -> None:
        """Send it soon. Never waits."""
        with self._lock:
            full = len(self._waiting) >= MOST_WAITING
            oldest = self._waiting[0] if full else None
            self._waiting.append(_Sending(notice, due=self._clock()))
        if oldest is not None:
            self._drop(oldest, "too many wait")

    def stop(self, at: float) -> None:
        """Try once more what waits, until `at` of time.monotonic() at the latest; `join` waits for it."""
        self._stop_at = at
        self._stopping.set()

    def join(self) -> None:
        """Wait for the end of the thread, no longer than `stop` said."""
        self._thread.join(max(0.0, self._seconds_left()))
        if self._thread.is_alive():
            logger.warning(f"[alert] {self.name} did not end in time")

    def send_rest(self) -> None:
        """Send what was put since the thread ended, in the time that is left."""
        if self._waiting and not self._thread.is_alive():
            self._turn_safely(last=True)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(_TICK_SECONDS)
            self._turn_safely(last=stopping)
        if self._waiting:
            logger.error(f"[alert] {self.name}: not told before the stop: {len(self._waiting)}")

    def _turn_safely(self, *, last: bool) -> None:
        try:
            self._turn(last=last)
        except Exception as problem:  # noqa: BLE001  (whatever a channel does, alerts that follow want this thread)
            logger.error(f"[alert] {self.name}: not told ({type(problem).__name__})")

    def _turn(self, *, last: bool) -> None:
        """Send what is due; what fails waits for its next try."""
        now = self._clock()
        with self._lock:
            due = {id(one.notice): one for one in self._waiting if last or one.due <= now}
        if not due or self._seconds_left() <= 0:
            return
        self._busy_since = time.monotonic()
        try:
            for notice, problem in self._channel.deliver([one.notice for one in due.values()], self._seconds_left):
                self._busy_since = time.monotonic()
                one = due[id(notice)]
                if problem is not None:
                    self._failed(one, problem)
                else:
                    self._given_up = None
                    self._take(one)
        finally:
            self._busy_since = None

    def _seconds_left(self) -> float:
        return self._stop_at - time.monotonic()

    def _failed(self, one: _Sending, problem: str) -> None:
        one.tries += 1
        if one.tries > len(RETRY_AFTER_SECONDS) or self._stopping.is_set():
            self._given_up = problem
            self._drop(one, problem)
        else:
            one.due = self._clock() + RETRY_AFTER_SECONDS[one.tries - 1]
            logger.info(f"[alert] {self.name} not sent ({problem}), trying again")

    def _take(self, one: _Sending) -> bool:
        """Out of what waits; False where it was taken out before."""
        with self._lock:
            if one not in self._waiting:
                return False
            self._waiting.remove(one)
            return True

    def _drop(self, one: _Sending, problem: str) -> None:
        if self._take(one):
            self._dropped(one.notice)
            what = {"notice": one.notice.title}
            logger.error(f"[alert] {self.name} not sent ({problem}), given up", extra=what)
