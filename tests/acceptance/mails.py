"""An SMTP server on loopback that keeps what it is sent: STARTTLS with its own authority, login required."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.acceptance.server import free_port

USER, PASSWORD = "pipeline@fastfeast.example", "app-password"
RECEIVER = "oncall@fastfeast.example"


@dataclass
class Mailbox:
    """`messages` are the mails received, `alerting` is the YAML section that sends them here."""

    alerting: dict[str, Any]
    messages: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        content = bytes(envelope.content)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.raw.append(content)
        self.messages.append(message)
        return "250 OK"

    def text(self) -> str:
        """All that was received, as sent and as read."""
        read = [str(message.get_content()) for message in self.messages if not message.is_multipart()]
        return "\n".join([*(raw.decode("utf-8", "replace") for raw in self.raw), *read])


def _log_in(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good)


@contextmanager
def mail_server(folder: Path) -> Iterator[Mailbox]:
    """A running server; `folder` takes its certificates."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    ca_file = folder / "mail-authority.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    port = free_port()
    smtp = {
        "host": "localhost",
        "port": port,
        "security": "starttls",
        "ca_file": str(ca_file),
        "user_name": USER,
        "password": PASSWORD,
        "sender": USER,
        "receivers": [RECEIVER],
    }
    mailbox = Mailbox({"enabled": True, "repeat_minutes": 0, "smtp": smtp})
    controller = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        authenticator=_log_in,
        auth_required=True,
    )
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
