"""Tells alerts in the background: one notice a kind and file type in a while, to those whom routes name."""

from __future__ import annotations

import datetime as dt
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from config.settings import AlertingConfig
from utils import metrics
from utils.alerts import BEGINS, ENDS, Alert, AlertKind, Group, Report, Windows
from utils.channels.registry import channels_of
from utils.channels.smtp import Smtp
from utils.incidents import Incident, Incidents, Phase
from utils.logger import ALERT, SCREEN, get_logger
from utils.notices import REPORT, Notice, Site, notice_of, report_of
from utils.outbox import Clock, Outbox
from utils.routing import names_of

logger = get_logger(__name__)

GATHER_SECONDS = 4.0  # the first alert of a kind waits so long for others like it
_TICK_SECONDS = 0.2
_OF_CHANNELS = (AlertKind.CHANNEL_AWAY, AlertKind.CHANNEL_BACK)


def start(
    config: AlertingConfig, clock: Clock = time.monotonic, *, site: Site | None = None, state: Path | None = None
) -> None:
    """Start the threads, if alerting is enabled. `clock` gives seconds; only differences count.

    `state` is the file that remembers open incidents; without it they are forgotten at the stop.
    """
    global _alerter  # noqa: PLW0603  (one alerter a process)
    stop()
    if config.enabled:
        incidents = Incidents(state, dt.datetime.now(dt.UTC))
        _alerter = _Alerter(config, site or Site(socket.gethostname()), incidents, clock)


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


def send_report(report: Report, file_type: str) -> None:
    """Mail what is wrong in a file to its sender, where alerting is on: one mail for many. Never waits."""
    alerter = _alerter
    if alerter is not None:
        logger.info(f"[report] {report.name}: its sender is told", extra={"receivers": len(report.to)})
        alerter.send(Alert(REPORT, report.name, file_type, report=report))


def open_incidents() -> list[Incident]:
    """The trouble that was told and lasts, as far as is known; none where alerting is off."""
    alerter = _alerter
    return alerter.incidents.open() if alerter is not None else []


def stop(timeout: float = 5) -> None:
    """Deliver what was gathered within `timeout` seconds and end the threads. Idempotent."""
    global _alerter  # noqa: PLW0603  (as in start)
    if _alerter is not None:
        try:
            _alerter.stop(timeout)
        finally:
            _alerter = None


class _Alerter:
    """The windows that everybody adds to, and the thread that gives notices to the channels' outboxes."""

    def __init__(self, config: AlertingConfig, site: Site, incidents: Incidents, clock: Clock) -> None:
        self._config = config
        self._site = site
        self.incidents = incidents
        self._windows = Windows(config.repeat_minutes * 60, GATHER_SECONDS)
        self._lock = threading.Lock()  # guards _windows
        self._clock = clock
        self._boxes = {
            name: [Outbox(channel, self._dropped, clock) for channel in channels]
            for name, channels in channels_of(config).items()
        }
        self._away: set[Outbox] = set()  # channels that the others were told of
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerter", daemon=True)
        self._thread.start()

    def send(self, alert: Alert) -> None:
        with self._lock:
            taken = self._windows.add(alert, self._clock(), dt.datetime.now(dt.UTC))
        if not taken:
            logger.error("[alert] too many kinds of alerts wait to be told: one stays in the log only")

    def stop(self, timeout: float) -> None:
        at = time.monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout)
        boxes = [box for boxes in self._boxes.values() for box in boxes]
        for box in boxes:
            box.stop(at)
        for box in boxes:
            box.join()
        self._watch_channels()  # what failed just now is told on the others
        self._turn(last=True)
        for box in boxes:
            box.send_rest()
        self.incidents.shut()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(_TICK_SECONDS)
            try:
                self._watch_channels()
                self._turn(last=stopping)
            except Exception as problem:  # noqa: BLE001  (alerts that follow want this thread)
                logger.error(f"[alert] not told ({type(problem).__name__})")

    def _turn(self, *, last: bool) -> None:
        with self._lock:
            groups = self._windows.due(self._clock(), everything=last)
        for group in groups:
            if notice := self._notice(group):
                for box in self._boxes_for(notice):
                    box.put(notice)

    def _notice(self, group: Group) -> Notice | None:
        """What is to be told of `group`; None where it is no news. Opens and closes incidents."""
        if group.kind == REPORT:
            return report_of(group)
        if group.kind in BEGINS:
            incident = self.incidents.close(BEGINS[group.kind], group.file_type)
            return notice_of(group, self._site, incident, Phase.OVER if incident else None)
        if group.kind not in ENDS:
            return notice_of(group, self._site)
        incident, phase = self.incidents.add(group)
        if phase is None and self._config.repeat_minutes:
            return None
        return notice_of(group, self._site, incident, phase or Phase.MORE)

    def _boxes_for(self, notice: Notice) -> Iterator[Outbox]:
        """As routes say; but trouble of a channel is told on all others, and reports are mails."""
        if notice.reports:
            yield from self._boxes.get(Smtp.section, ())
            return
        if notice.kind in _OF_CHANNELS:
            yield from (box for boxes in self._boxes.values() for box in boxes if not box.trouble)
            return
        owner = self._site.owners.get(notice.file_type, "")
        for name in names_of(self._config, self._boxes, notice.kind, notice.file_type, owner):
            yield from self._boxes[name]

    def _dropped(self, notice: Notice) -> None:
        """A channel gave it up. Where nobody was told, the next such alert is told soon."""
        if all(box.trouble for box in self._boxes_for(notice)):
            with self._lock:
                self._windows.untold(notice.key)
            self.incidents.untold(notice.kind, notice.file_type)

    def _watch_channels(self) -> None:
        """Tell once that a channel gets nothing through, and once that it does again."""
        for box in (box for boxes in self._boxes.values() for box in boxes):
            trouble = box.trouble
            if trouble and box not in self._away:
                self._away.add(box)
                text = (
                    f"{trouble}. Alerts for {box.name} are in the log only; it is tried again with each new one. "
                    "Look at the service, and at its section under alerting."
                )
                send_alert(AlertKind.CHANNEL_AWAY, text, place=box.name, reason=trouble)
            elif not trouble and box in self._away:
                self._away.remove(box)
                send_alert(AlertKind.CHANNEL_BACK, f"{box.name} takes alerts again.")


_alerter: _Alerter | None = None
