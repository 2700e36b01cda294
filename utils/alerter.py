"""Alerts by mail, from one background thread: the same alert at most once in a while, never in anybody's way."""

from __future__ import annotations

import datetime as dt
import queue
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage

from config.model import AlertingConfig, SmtpConfig
from utils.logger import get_logger

logger = get_logger(__name__)

QUEUE_LENGTH = 1000
TRIES = 3
RETRY_SECONDS = 2.0
MAX_SUBJECT, MAX_BODY = 150, 4000
_TICK_SECONDS = 0.2


@dataclass
class _Told:
    """When an alert was mailed, and how often it came again since."""

    at: float
    repeats: int = 0


class Alerter:
    """The thread and its queue. `clock` gives seconds; only differences count."""

    def __init__(self, config: AlertingConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._queue: queue.Queue[tuple[str, str]] = queue.Queue(QUEUE_LENGTH)
        self._told: dict[tuple[str, str], _Told] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerter", daemon=True)
        self._thread.start()

    def send(self, error: str, message: str) -> None:
        """Queue an alert; a full queue drops it with a log line."""
        try:
            self._queue.put_nowait((error, message))
        except queue.Full:
            logger.error("[alert] too many alerts are waiting: one was dropped")

    def stop(self, timeout: float) -> None:
        """Deliver what is queued within `timeout` seconds, then end."""
        self._stopping.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning("[alert] thread alerter did not end in time; undelivered alerts are in the log")

    def _run(self) -> None:
        while True:
            try:
                alert = self._queue.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                if self._stopping.is_set():
                    self._tell_repeats(everything=True)
                    return
                self._tell_repeats()
                continue
            self._handle(alert)

    def _handle(self, alert: tuple[str, str]) -> None:
        told = self._told.get(alert)
        if told is not None and self._clock() - told.at < self._config.repeat_minutes * 60:
            told.repeats += 1
            return
        repeats = told.repeats if told else 0
        self._told[alert] = _Told(self._clock())
        self._deliver(*alert, repeats)

    def _tell_repeats(self, *, everything: bool = False) -> None:
        """Where an alert's time is over: one mail with the count of its repeats, if there were any."""
        limit = self._config.repeat_minutes * 60
        over = [a for a, t in self._told.items() if everything or self._clock() - t.at >= limit]
        for alert in over:
            told = self._told.pop(alert)
            if told.repeats:
                self._deliver(*alert, told.repeats)

    def _deliver(self, error: str, message: str, repeats: int) -> None:
        mail = compose(self._config.smtp, error, message, repeats)
        for attempt in range(1, TRIES + 1):
            try:
                _send(self._config.smtp, mail)
            except (OSError, smtplib.SMTPException) as problem:
                last = attempt == TRIES or self._stopping.is_set()
                fate = "given up" if last else "trying again"
                logger.error(f"[alert] mail not sent ({type(problem).__name__}), {fate}", extra={"alert": error})
                if last:
                    return
                self._stopping.wait(RETRY_SECONDS * attempt)
            else:
                return


def compose(smtp: SmtpConfig, error: str, message: str, repeats: int) -> EmailMessage:
    """The mail. Control characters can't get into a header, nor can a text be longer than fits."""
    subject = _one_line(error)[:MAX_SUBJECT]
    again = f"\nThe same alert came {repeats} more times since it was last sent.\n" if repeats else ""
    mail = EmailMessage()
    mail["Subject"] = f"Alert: {subject}"
    mail["From"] = _one_line(smtp.sender)
    mail["To"] = ", ".join(map(_one_line, smtp.receivers))
    mail.set_content(
        "Hello,\n\nthe FastFeast pipeline raised an alert.\n\n"
        f"Error: {subject}\n\nDetails:\n{message[:MAX_BODY]}\n{again}\n"
        f"Host: {socket.gethostname()}\nTime: {dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S} UTC\n\n"
        "--\nSent by the pipeline itself; nobody reads answers.\n"
    )
    return mail


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _send(smtp: SmtpConfig, mail: EmailMessage) -> None:
    """Send over TLS whose certificate is checked; without TLS there is no login."""
    context = ssl.create_default_context(cafile=smtp.ca_file)
    if smtp.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            smtp.host, smtp.port, timeout=smtp.timeout_seconds, context=context
        )
    else:
        server = smtplib.SMTP(smtp.host, smtp.port, timeout=smtp.timeout_seconds)
    with server:
        if smtp.security == "starttls":
            server.starttls(context=context)
        if smtp.user_name and smtp.security != "none":
            server.login(smtp.user_name, smtp.password)
        server.send_message(mail)


_alerter: Alerter | None = None


def start(config: AlertingConfig, clock: Callable[[], float] = time.monotonic) -> None:
    """Start the thread, if alerting is enabled."""
    global _alerter  # noqa: PLW0603  (one alerter a process)
    stop()
    _alerter = Alerter(config, clock) if config.enabled else None


def send_alert(error: str, message: str) -> None:
    """Log the alert and, where alerting is on, mail it in the background. Never waits, never raises."""
    logger.warning(f"[alert] {error}: {message}", extra={"alert": error})
    if _alerter is not None:
        _alerter.send(error, message)


def stop(timeout: float = 5.0) -> None:
    """Deliver what is queued within `timeout` seconds and end the thread. Idempotent."""
    global _alerter
    alerter, _alerter = _alerter, None
    if alerter is not None:
        alerter.stop(timeout)
