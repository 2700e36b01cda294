"""Alerts reach the mailbox over verified TLS or not at all, repeats are counted, nobody waits for mail."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from config.settings import AlertingConfig
from utils import alerter, alerts, outbox
from utils.alerter import send_alert
from utils.alerts import AlertKind

USER, PASSWORD = "pipeline@fastfeast.example", "app-p4ssword"
RECEIVER = "oncall@fastfeast.example"


class Mailbox:
    """What a server was given: mails, and logins that were tried. The first `refusals` mails are refused."""

    def __init__(self, refusals: int = 0) -> None:
        self.mails: list[EmailMessage] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.refusals = refusals
        self.tries = 0
        self.port = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        self.tries += 1
        if self.tries <= self.refusals:
            return "451 later"
        mail = message_from_bytes(envelope.original_content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def log_in(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()))

    def texts(self) -> list[str]:
        return [str(mail.get_content()) for mail in self.mails]

    def wait_for(self, count: int, text: str) -> None:
        """Until `count` mails hold `text`."""
        wait_until(lambda: sum(text in body for body in self.texts()) == count)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for localhost."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def serving(mailbox: Mailbox, **options: Any) -> Iterator[Mailbox]:
    """An SMTP server on loopback that fills `mailbox`."""
    mailbox.port = free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


def with_starttls(mailbox: Mailbox, tls: ssl.SSLContext) -> Any:
    return serving(
        mailbox, tls_context=tls, require_starttls=True, authenticator=mailbox.log_in, auth_required=True
    )


def settings(port: int, *, enabled: bool = True, repeat_minutes: float = 10, **smtp: Any) -> AlertingConfig:
    defaults = {
        "host": "localhost",
        "port": port,
        "timeout_seconds": 2,
        "user_name": USER,
        "password": PASSWORD,
        "sender": USER,
        "receivers": (RECEIVER,),
    }
    config = {"enabled": enabled, "repeat_minutes": repeat_minutes, "smtp": defaults | smtp}
    return AlertingConfig.model_validate(config)


def plain(mailbox: Mailbox, **more: Any) -> AlertingConfig:
    return settings(mailbox.port, security="none", user_name="", password="", **more)


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    alerter.stop()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in message for message in caplog.messages)


# ---------------------------------------------------------------- delivery


def test_starttls_with_a_trusted_certificate_logs_in_and_delivers(tls: ssl.SSLContext, ca_file: str) -> None:
    with with_starttls(Mailbox(), tls) as mailbox:
        alerter.start(settings(mailbox.port, ca_file=ca_file))
        send_alert("Schema validation failure", "orders.json: order_id is missing\nsecond line")
        alerter.stop()
    assert mailbox.logins == [(USER.encode(), PASSWORD.encode())]
    (mail,) = mailbox.mails
    assert (mail["From"], mail["To"]) == (USER, RECEIVER)
    assert mail["Subject"] == "Alert: Schema validation failure"
    (text,) = mailbox.texts()
    for part in (
        "FastFeast",
        "Error: Schema validation failure",
        "orders.json: order_id is missing\nsecond line",
        " UTC",
        f"Host: {socket.gethostname()}",
    ):
        assert part in text.replace("\r\n", "\n")


def test_tls_from_the_first_byte_logs_in_and_delivers(tls: ssl.SSLContext, ca_file: str) -> None:
    mailbox = Mailbox()
    # aiosmtpd counts only STARTTLS as TLS
    with serving(mailbox, ssl_context=tls, authenticator=mailbox.log_in, auth_require_tls=False):
        alerter.start(settings(mailbox.port, security="tls", ca_file=ca_file))
        send_alert("Load error", "orders.json")
        alerter.stop()
    assert mailbox.logins == [(USER.encode(), PASSWORD.encode())]
    assert len(mailbox.mails) == 1


def test_an_alert_from_any_thread_is_mailed_once(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Mailbox()) as mailbox:
        alerter.start(plain(mailbox, repeat_minutes=0))
        threads = [threading.Thread(target=send_alert, args=("Failed", f"file {n}")) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alerter.stop()
    assert len(mailbox.mails) == 20
    assert len(set(mailbox.texts())) == 20
    assert sum("[alert] Failed: file" in message for message in caplog.messages) == 20


def test_a_relay_without_tls_is_never_given_a_login() -> None:
    mailbox = Mailbox()
    with serving(mailbox, authenticator=mailbox.log_in, auth_require_tls=False):
        alerter.start(settings(mailbox.port, security="none"))
        send_alert("Failed", "x")
        alerter.stop()
    assert (mailbox.logins, len(mailbox.mails)) == ([], 1)


def test_alerting_that_is_off_sends_nothing_but_still_logs(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Mailbox()) as mailbox:
        send_alert("Failed", "not started yet")
        alerter.start(settings(mailbox.port, enabled=False, security="none"))
        send_alert("Failed", "switched off")
        alerter.stop()
    assert mailbox.mails == []
    assert "alerter" not in {thread.name for thread in threading.enumerate()}
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == ["[alert] Failed: not started yet", "[alert] Failed: switched off"]


# ---------------------------------------------------------------- nothing in clear, nothing to a stranger


def test_a_certificate_that_is_not_trusted_gets_no_login_and_no_mail(
    tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    with with_starttls(Mailbox(), tls) as mailbox:
        alerter.start(settings(mailbox.port))
        send_alert("Failed", "x")
        alerter.stop()
    assert (mailbox.logins, mailbox.mails) == ([], [])
    assert logged(caplog, "certificate")
    assert PASSWORD not in caplog.text


def test_a_certificate_for_another_name_gets_no_login_and_no_mail(tls: ssl.SSLContext, ca_file: str) -> None:
    with with_starttls(Mailbox(), tls) as mailbox:
        alerter.start(settings(mailbox.port, ca_file=ca_file, host="127.0.0.1"))
        send_alert("Failed", "x")
        alerter.stop()
    assert (mailbox.logins, mailbox.mails) == ([], [])


def test_a_server_without_starttls_gets_no_login_and_no_mail(caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox()
    with serving(mailbox, authenticator=mailbox.log_in, auth_require_tls=False):
        alerter.start(settings(mailbox.port))
        send_alert("Failed", "x")
        alerter.stop()
    assert (mailbox.logins, mailbox.mails) == ([], [])
    assert logged(caplog, "SMTPNotSupportedError")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028", "\0"])
def test_text_can_not_become_a_header(end: str) -> None:
    hostile = f"Failed{end}Bcc: thief@example.com{end}{end}body \udcff"
    with serving(Mailbox()) as mailbox:
        alerter.start(plain(mailbox))
        send_alert(hostile, hostile)
        alerter.stop()
    (mail,) = mailbox.mails
    assert sorted(mail.keys()) == sorted(["Subject", "From", "To", "Date", "Auto-Submitted", *_MIME_HEADERS])
    assert mail["Subject"] == "Alert: Failed Bcc: thief@example.com body"


_MIME_HEADERS = ("Content-Type", "Content-Transfer-Encoding", "MIME-Version")


def test_endless_text_is_cut() -> None:
    with serving(Mailbox()) as mailbox:
        alerter.start(plain(mailbox))
        send_alert("e" * 100_000, "m" * 10_000_000)
        alerter.stop()
    assert len(mailbox.mails[0]["Subject"]) < 200
    assert len(mailbox.texts()[0]) < 6000


# ---------------------------------------------------------------- one mail a kind


def test_a_storm_is_a_handful_of_mails_and_every_alert_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """300 files with an extra column, 100 with many bad rows."""
    with serving(Mailbox()) as mailbox:
        alerter.start(plain(mailbox))
        for n in range(300):
            reason, place = "has a column too many", f"2026-02-20/{n % 24:02}/orders.json (file {n})"
            send_alert(AlertKind.FILE_FAILED, reason, file_type="orders", place=place, reason=reason, file_id=n)
        for n in range(100):
            place = f"2026-02-20/{n % 24:02}/tickets.csv (file {n})"
            send_alert(AlertKind.MANY_REFUSED, "60 of 70 rows", file_type="tickets", place=place, file_id=n)
        alerter.stop()
    assert len(caplog.messages) == 400
    subjects = {mail["Subject"] for mail in mailbox.mails}
    assert subjects == {
        "Alert: File failed: orders",
        "Alert: High quarantine volume: tickets",
    }
    text = "\n".join(mailbox.texts())
    assert "2026-02-20/01/orders.json (file 1): has a column too many" in text
    assert "How often: 300 times" in text
    assert "python main.py files --type orders --status failed" in text
    assert len(text) < 5000


def test_400_files_with_one_fault_are_one_mail_that_opens_and_one_that_closes() -> None:
    """However long they take to come; another fault among them is told in the same thread."""
    clock = Clock()
    with serving(Mailbox()) as mailbox:
        alerter.start(plain(mailbox), clock)
        for n in range(400):
            reason = "an extra column" if n != 300 else "not UTF-8"
            send_alert(AlertKind.FILE_FAILED, reason, file_type="orders", place=f"{n}.json", reason=reason)
            if n % 100 == 10:
                clock.now += 700
                wait_until(lambda: mailbox.mails)
        send_alert(AlertKind.FILES_MENDED, "All are loaded.", file_type="orders")
        alerter.stop()
    opening, *more, closing = mailbox.mails
    assert [str(mail["Subject"]) for mail in mailbox.mails] == [
        "Alert: File failed: orders", "Re: Alert: File failed: orders", "Re: Alert: File failed: orders",
    ]  # fmt: skip
    assert {mail["References"] for mail in (*more, closing)} == {opening["Message-ID"]}
    assert "Another fault: not UTF-8" in mailbox.texts()[1]
    assert "In all: 400 times" in mailbox.texts()[2]


def test_the_first_alert_is_mailed_within_seconds_and_what_follows_once_a_window() -> None:
    clock = Clock()
    with serving(Mailbox()) as mailbox:
        alerter.start(plain(mailbox), clock)
        for _ in range(4):
            send_alert("Failed", "orders.json")
        clock.now += alerter.GATHER_SECONDS
        wait_until(lambda: len(mailbox.mails) == 1)
        assert "How often: 4 times" in mailbox.texts()[0]

        clock.now += 9 * 60
        send_alert("Failed", "orders.json")
        send_alert("Marker", "its mail shows that the one before was held back")
        clock.now += alerter.GATHER_SECONDS
        wait_until(lambda: len(mailbox.mails) == 2)
        assert "Error: Marker" in mailbox.texts()[1]

        clock.now += 61
        wait_until(lambda: len(mailbox.mails) == 3)
        assert "orders.json" in mailbox.texts()[2]
        assert "How often" not in mailbox.texts()[2]
        alerter.stop()
    assert len(mailbox.mails) == 3


def test_what_was_held_back_is_told_at_the_stop() -> None:
    clock = Clock()
    with serving(Mailbox()) as mailbox:
        alerter.start(plain(mailbox), clock)
        send_alert("Failed", "orders.json")
        clock.now += alerter.GATHER_SECONDS
        wait_until(lambda: len(mailbox.mails) == 1)
        for _ in range(3):
            send_alert("Failed", "orders.json")
        alerter.stop()
    assert len(mailbox.mails) == 2
    assert "How often: 3 times" in mailbox.texts()[1]


def test_no_window_means_every_alert_is_mailed() -> None:
    with serving(Mailbox()) as mailbox:
        alerter.start(plain(mailbox, repeat_minutes=0))
        for _ in range(3):
            send_alert("Failed", "orders.json")
        alerter.stop()
    assert len(mailbox.mails) == 3


# ---------------------------------------------------------------- trouble


def test_a_failed_mail_is_tried_again_and_newer_alerts_need_not_wait_for_it() -> None:
    clock = Clock()
    with serving(Mailbox(refusals=1)) as mailbox:
        alerter.start(plain(mailbox, repeat_minutes=0), clock)
        send_alert("Failed", "first")
        wait_until(lambda: mailbox.tries == 1)
        send_alert("Failed", "second")
        wait_until(lambda: len(mailbox.mails) == 1)
        clock.now += outbox.RETRY_AFTER_SECONDS[0] + 1
        wait_until(lambda: len(mailbox.mails) == 2)
        alerter.stop()
    first, second = mailbox.texts()
    assert "second" in first
    assert "first" in second


def test_a_mail_that_keeps_failing_is_dropped_and_the_next_such_alert_is_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    with serving(Mailbox(refusals=len(outbox.RETRY_AFTER_SECONDS) + 1)) as mailbox:
        alerter.start(plain(mailbox), clock)
        send_alert("Failed", "orders.json")
        clock.now += alerter.GATHER_SECONDS
        for number, seconds in enumerate(outbox.RETRY_AFTER_SECONDS, 1):
            wait_until(partial(_tried_again, caplog, number))
            clock.now += seconds
        wait_until(lambda: logged(caplog, "[alert] smtp not sent (SMTPDataError 451), given up"))
        send_alert("Failed", "orders.json")
        clock.now += alerter.GATHER_SECONDS
        mailbox.wait_for(1, "orders.json")
        alerter.stop()


def _tried_again(caplog: pytest.LogCaptureFixture, times: int) -> bool:
    return sum("trying again" in message for message in caplog.messages) == times


def test_a_refused_port_costs_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    alerter.start(settings(free_port()))
    send_alert("Failed", "x")
    alerter.stop()
    assert logged(caplog, "[alert] smtp not sent (ConnectionRefusedError), given up")


def test_settings_that_can_not_work_cost_log_lines_and_not_the_thread(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alerter.start(settings(free_port(), repeat_minutes=0, ca_file=str(tmp_path / "none.pem")))
    send_alert("Failed", "first")
    send_alert("Failed", "second")
    alerter.stop()
    assert sum("(FileNotFoundError), given up" in message for message in caplog.messages) == 2


def test_a_silent_server_holds_up_neither_the_caller_nor_the_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "MOST_WINDOWS", 10)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = settings(listener.getsockname()[1], repeat_minutes=0, host="127.0.0.1", timeout_seconds=60)
        alerter.start(silent)
        send_alert("Failed", "first")
        client, _ = listener.accept()
        with client:  # the thread waits for a greeting, longer than this test lasts
            for number in range(15):
                send_alert("Failed", str(number))
            alerter.stop(timeout=0.2)
            assert logged(caplog, "smtp did not end in time")
            assert logged(caplog, "too many kinds of alerts wait")
            assert not logged(caplog, "smtp not sent")
    wait_until(lambda: logged(caplog, "not told before the stop"))
