"""Alerts by mail, from one background thread: the same alert at most once in a while, never in anybody's way."""

from __future__ import annotations

import datetime as dt
import queue
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime

from config.settings import AlertingConfig, SmtpConfig
from utils import metrics
from utils.logger import get_logger

logger = get_logger(__name__)

QUEUE_LENGTH = 1000
RETRY_AFTER_SECONDS = (2.0, 10.0, 60.0)  # one more try after each; then the mail is dropped
MAX_SUBJECT, MAX_DETAILS = 150, 4000  # characters
_TICK_SECONDS = 0.2

Clock = Callable[[], float]


def start(config: AlertingConfig, clock: Clock = time.monotonic) -> None:
    """Start the thread, if alerting is enabled. `clock` gives seconds; only differences count."""
    global _alerter  # noqa: PLW0603  (one alerter a process)
    stop()
    _alerter = _Alerter(config, clock) if config.enabled else None


def send_alert(error: str, message: str) -> None:
    """Log the alert and, where alerting is on, mail it in the background. Never waits, never raises."""
    metrics.alerted(error)
    logger.warning(f"[alert] {error}: {message}", extra={"alert": error})
    alerter = _alerter
    if alerter is not None:
        alerter.send(_Alert(error, message[:MAX_DETAILS]))


def stop(timeout: float = 5) -> None:
    """Deliver what is queued within `timeout` seconds and end the thread. Idempotent."""
    global _alerter
    alerter, _alerter = _alerter, None
    if alerter is not None:
        alerter.stop(timeout)


@dataclass(frozen=True, slots=True)
class _Alert:
    error: str
    message: str


@dataclass
class _Window:
    """An alert was mailed at `opened_at`; until repeat_minutes later its repeats are only counted."""

    opened_at: float
    repeats: int = 0


@dataclass(eq=False)
class _Mail:
    alert: _Alert
    content: EmailMessage
    due: float
    tries: int = 0


class _Alerter:
    """The thread, its queue, and what only the thread touches: open windows and mails to be sent."""

    def __init__(self, config: AlertingConfig, clock: Clock) -> None:
        self._smtp = config.smtp
        self._window_seconds = config.repeat_minutes * 60
        self._clock = clock
        self._queue: queue.Queue[_Alert] = queue.Queue(QUEUE_LENGTH)
        self._windows: dict[_Alert, _Window] = {}  # oldest first
        self._mails: list[_Mail] = []
        self._stopping = threading.Event()
        self._stop_at = float("inf")  # time.monotonic()
        self._thread = threading.Thread(target=self._run, name="alerter", daemon=True)
        self._thread.start()

    def send(self, alert: _Alert) -> None:
        try:
            self._queue.put_nowait(alert)
        except queue.Full:
            logger.error("[alert] too many alerts wait to be mailed: one stays in the log only")

    def stop(self, timeout: float) -> None:
        self._stop_at = time.monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            logger.warning(f"[alert] thread {self._thread.name} did not end within {timeout:g} s")

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.is_set()
            try:
                self._turn(self._next_alerts(wait=not stopping), last=stopping)
            except Exception as problem:  # noqa: BLE001  (whatever mail does, alerts that follow want this thread)
                logger.error(f"[alert] not mailed ({type(problem).__name__})")
        if self._mails:
            logger.error(f"[alert] mails not sent before the stop: {len(self._mails)}")

    def _next_alerts(self, *, wait: bool) -> list[_Alert]:
        alerts = []
        with suppress(queue.Empty):
            alerts.append(self._queue.get(wait, _TICK_SECONDS))
            while len(alerts) < QUEUE_LENGTH:
                alerts.append(self._queue.get_nowait())
        return alerts

    def _turn(self, alerts: list[_Alert], *, last: bool) -> None:
        for alert in alerts:
            self._take(alert)
        self._close_windows(everything=last)
        self._deliver(everything=last)

    # ------------------------------------------------------------ which alerts become a mail

    def _take(self, alert: _Alert) -> None:
        window = self._windows.get(alert)
        if window is not None and self._clock() - window.opened_at < self._window_seconds:
            window.repeats += 1
        else:
            self._mail(alert, window.repeats if window else 0)

    def _close_windows(self, *, everything: bool) -> None:
        """Mail the count of what was held back in the windows that are over, which opens them again."""
        over = []
        for alert, window in self._windows.items():
            if not everything and self._clock() - window.opened_at < self._window_seconds:
                break
            over.append(alert)
        for alert in over:
            repeats = self._windows.pop(alert).repeats
            if repeats:
                self._mail(alert, repeats)

    def _mail(self, alert: _Alert, repeats: int) -> None:
        mail = _Mail(alert, compose(self._smtp, alert.error, alert.message, repeats), due=self._clock())
        self._windows.pop(alert, None)
        self._windows[alert] = _Window(opened_at=mail.due)
        if len(self._mails) >= QUEUE_LENGTH:
            self._drop(self._mails[0], "too many wait")
        self._mails.append(mail)

    # ------------------------------------------------------------ sending

    def _deliver(self, *, everything: bool) -> None:
        """Send the mails that are due, over one connection; one that fails waits for its next try."""
        now = self._clock()
        due = [mail for mail in self._mails if everything or mail.due <= now]
        left = self._stop_at - time.monotonic()
        if not due or left <= 0:
            return
        unsent = list(due)
        try:
            with connected(self._smtp, min(self._smtp.timeout_seconds, left)) as server:
                for mail in due:
                    if time.monotonic() >= self._stop_at:
                        return
                    unsent.remove(mail)
                    self._send(server, mail)
        except (OSError, smtplib.SMTPException, ValueError) as problem:
            for mail in unsent:
                self._failed(mail, problem)

    def _send(self, server: smtplib.SMTP, mail: _Mail) -> None:
        try:
            refused = server.send_message(mail.content)
        except (OSError, smtplib.SMTPException, ValueError) as problem:
            self._failed(mail, problem)
            return
        self._mails.remove(mail)
        if refused:
            logger.error(f"[alert] refused receivers: {len(refused)}", extra={"alert": mail.alert.error})

    def _failed(self, mail: _Mail, problem: Exception) -> None:
        mail.tries += 1
        if mail.tries > len(RETRY_AFTER_SECONDS) or self._stopping.is_set():
            self._drop(mail, _reason(problem))
        else:
            mail.due = self._clock() + RETRY_AFTER_SECONDS[mail.tries - 1]
            logger.info(f"[alert] mail not sent ({_reason(problem)}), trying again")

    def _drop(self, mail: _Mail, reason: str) -> None:
        """Nobody was told, so the next such alert is mailed at once."""
        self._mails.remove(mail)
        self._windows.pop(mail.alert, None)
        logger.error(f"[alert] mail not sent ({reason}), given up", extra={"alert": mail.alert.error})


def compose(smtp: SmtpConfig, error: str, message: str, repeats: int) -> EmailMessage:
    """The mail. Control characters can't get into a header, nor can a text be longer than fits."""
    now, host = dt.datetime.now(dt.UTC), socket.gethostname()
    subject = _one_line(error)[:MAX_SUBJECT]
    details = "\n".join(_printable(line) for line in message[:MAX_DETAILS].splitlines())
    again = f"\nRepeats held back since the last mail about this: {repeats}\n" if repeats else ""
    mail = EmailMessage()
    mail["Subject"] = f"Alert: {subject}"
    mail["From"] = _one_line(smtp.sender)
    mail["To"] = ", ".join(map(_one_line, smtp.receivers))
    mail["Date"] = format_datetime(now)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail.set_content(
        "Hello,\n\nthe FastFeast pipeline raised an alert.\n\n"
        f"Error: {subject}\n\nDetails:\n{details}\n{again}\n"
        f"Time: {now:%Y-%m-%d %H:%M:%S} UTC\nHost: {_one_line(host)}\n\n"
        "--\nSent by the pipeline itself; nobody reads answers.\n"
    )
    return mail


def _one_line(text: str) -> str:
    return " ".join(_printable(text).split())


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


@contextmanager
def connected(smtp: SmtpConfig, timeout: float) -> Iterator[smtplib.SMTP]:
    """A session, logged in if that is asked for. Without TLS and a trusted certificate there is no login."""
    context = ssl.create_default_context(cafile=smtp.ca_file)
    host = socket.gethostname()
    me = host if "." in host else "[127.0.0.1]"  # smtplib would ask the DNS, without a timeout
    if smtp.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            smtp.host, smtp.port, local_hostname=me, timeout=timeout, context=context
        )
    else:
        server = smtplib.SMTP(smtp.host, smtp.port, local_hostname=me, timeout=timeout)
    with closing(server):
        if smtp.security == "starttls":
            server.starttls(context=context)
        if smtp.user_name and smtp.security != "none":
            server.login(smtp.user_name, smtp.password)
        yield server
        with suppress(OSError, smtplib.SMTPException):
            server.quit()


def _reason(problem: Exception) -> str:
    """The error's class and SMTP code: a server's text is not ours to log."""
    name = type(problem).__name__
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"{name}: the mail server's certificate is not trusted"
    if isinstance(problem, smtplib.SMTPResponseException):
        return f"{name} {problem.smtp_code}"
    return name


_alerter: _Alerter | None = None
