"""Alerts by mail: over verified TLS or not at all, unless the configuration says otherwise."""

from __future__ import annotations

import datetime as dt
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Literal

from pydantic import Field

from config.model import Model
from utils.channels.channel import Channel, SecondsLeft
from utils.incidents import Phase
from utils.logger import get_logger
from utils.notices import Notice, one_line

logger = get_logger(__name__)

_TROUBLE = (OSError, smtplib.SMTPException, ValueError)


class SmtpSettings(Model):
    """`security`: starttls (port 587), tls (465), or none, which is only for a relay without login."""

    host: str = ""
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: str | None = None
    timeout_seconds: float = Field(10, gt=0)
    user_name: str = ""
    password: str = ""
    sender: str = ""
    receivers: tuple[str, ...] = ()


class Smtp(Channel):
    """Sends all that is due over one connection."""

    section = "smtp"
    Settings = SmtpSettings
    settings: SmtpSettings

    @classmethod
    def missing(cls, settings: SmtpSettings) -> Iterator[tuple[str, str]]:
        """As Channel has it."""
        for key in ("host", "sender", "receivers"):
            if getattr(settings, key) in {"", (), ("",)}:
                yield key, "needed while alerting.enabled is true"
        if settings.password and settings.security == "none":
            yield "security", "none would send the password in clear; use starttls or tls"

    def deliver(self, notices: Sequence[Notice], left: SecondsLeft) -> Iterator[tuple[Notice, str | None]]:
        """As Channel has it."""
        untried = list(notices)
        try:
            with connected(self.settings, min(self.settings.timeout_seconds, left())) as server:
                while untried and left() > 0:
                    notice = untried.pop(0)
                    yield notice, self._send(server, notice)
        except _TROUBLE as problem:
            for notice in untried:
                yield notice, _reason(problem)

    def _send(self, server: smtplib.SMTP, notice: Notice) -> str | None:
        try:
            refused = server.send_message(compose(self.settings, notice))
        except _TROUBLE as problem:
            return _reason(problem)
        if refused:
            logger.error(f"[alert] refused receivers: {len(refused)}", extra={"notice": notice.title})
        return None


def compose(smtp: SmtpSettings, notice: Notice) -> EmailMessage:
    """The mail. Control characters can't get into a header."""
    if notice.reports:
        return _compose_report(smtp, notice)
    mail = EmailMessage()
    mail["Subject"] = f"{'' if notice.phase in {None, Phase.OPENS} else 'Re: '}Alert: {notice.title}"
    mail["From"] = one_line(smtp.sender)
    mail["To"] = ", ".join(map(one_line, smtp.receivers))
    mail["Date"] = format_datetime(dt.datetime.now(dt.UTC))
    if notice.incident:
        _thread(mail, notice)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail.set_content(
        f"Hello,\n\n{_INTRODUCTIONS[notice.phase]}\n\n{notice.text}\n\n"
        "--\nSent by the pipeline itself; nobody reads answers.\n"
    )
    return mail


def _compose_report(smtp: SmtpSettings, notice: Notice) -> EmailMessage:
    """The mail to the sender of files, with a page for each of the first of them."""
    mail = EmailMessage()
    mail["Subject"] = notice.title
    mail["From"] = one_line(smtp.sender)
    mail["To"] = ", ".join(map(one_line, notice.reports[0].to))
    mail["Date"] = format_datetime(dt.datetime.now(dt.UTC))
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(
        f"Hello,\n\nyour files were received. {notice.text}\n\n"
        "The pages attached say which rows, and what is wrong with them. Please correct that, and send the files\n"
        "again under the same names.\n\n--\nSent by the pipeline itself; nobody reads answers.\n"
    )
    for number, one in enumerate(notice.reports, 1):
        mail.add_attachment(one.page, subtype="html", filename=f"report-{number}.html")
    return mail


_INTRODUCTIONS = {
    None: "the FastFeast pipeline raised an alert.",
    Phase.OPENS: "the FastFeast pipeline raised an alert. A second mail will tell when it is over.",
    Phase.MORE: "there is more of what the FastFeast pipeline raised an alert about.",
    Phase.OVER: "what the FastFeast pipeline raised an alert about is over.",
}


def _thread(mail: EmailMessage, notice: Notice) -> None:
    """Mails of an incident refer to the first one (RFC 5322), so that mail programs show them as one thread."""
    domain = re.sub(r"[^A-Za-z0-9.-]", "", str(mail["From"]).rpartition("@")[2]) or "localhost"
    first = f"<{notice.incident}.{Phase.OPENS}@{domain}>"
    mail["Message-ID"] = (
        make_msgid(notice.incident, domain)
        if notice.phase is Phase.MORE
        else (f"<{notice.incident}.{notice.phase}@{domain}>")
    )
    if notice.phase is not Phase.OPENS:
        mail["In-Reply-To"] = mail["References"] = first


@contextmanager
def connected(smtp: SmtpSettings, timeout: float) -> Iterator[smtplib.SMTP]:
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
