"""Mail trouble is mail's trouble: loading goes on, and nothing is sent in clear or to a stranger."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.daemon import wait_until
from tests.acceptance.faults.scenario import Bench
from tests.acceptance.mails import PASSWORD, mail_server


class Stranger:
    """A TCP server that says `greeting`, answers every line with `answer`, and keeps what it hears."""

    def __init__(self, greeting: bytes, answer: bytes) -> None:
        self.greeting, self.answer = greeting, answer
        self.heard = b""
        self.visits = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True, name="stranger")

    @contextmanager
    def listening(self) -> Iterator[Stranger]:
        self._thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.visits += 1
            with client:
                client.settimeout(15)
                try:
                    client.sendall(self.greeting)
                    while data := client.recv(4096):
                        self.heard += data
                        client.sendall(self.answer)
                except OSError:
                    continue


def alerting(port: int, **smtp: Any) -> dict[str, Any]:
    settings = {
        "host": "localhost",
        "port": port,
        "timeout_seconds": 2,
        "user_name": "pipeline",
        "password": PASSWORD,
        "sender": "pipeline@fastfeast.example",
        "receivers": ["oncall@fastfeast.example"],
    }
    return {"enabled": True, "repeat_minutes": 0, "smtp": {**settings, **smtp}}


STRANGERS = {
    "silent": (b"", b""),
    "refusing": (b"554 no service here\r\n", b"554 no\r\n"),
    "without STARTTLS": (b"220 plain.example ESMTP\r\n", b"250 ok\r\n"),
    "talking nonsense": (b"\x00\xff" * 100 + b"\r\n", b"what?\r\n"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_mail_server_that_is_no_good_costs_no_file_and_hears_no_secret(bench: Bench, kind: str) -> None:
    with Stranger(*STRANGERS[kind]).listening() as stranger:
        product = bench.clone(alerting=alerting(stranger.port))
        with product.running():
            product.stream("09", "orders.json", "not JSON at all")
            wait_until(lambda: stranger.visits, "an alert is tried")
            product.stream("10", "orders.json", [samples.order(1)])
            query = "SELECT count(*) FROM fact_order"
            wait_until(lambda: product.value(query) == 1, "the file after it loads", seconds=5)
        assert PASSWORD.encode() not in stranger.heard
        assert b"orders.json" not in stranger.heard
        assert b"AUTH" not in stranger.heard


def test_a_certificate_of_a_stranger_gets_no_login_and_no_mail(bench: Bench, tmp_path: Path) -> None:
    with mail_server(tmp_path) as mailbox:
        smtp = {key: value for key, value in mailbox.alerting["smtp"].items() if key != "ca_file"}
        product = bench.clone(alerting={**mailbox.alerting, "smtp": smtp})
        product.stream("09", "orders.json", "not JSON at all")
        product.once(expect=1)
        assert mailbox.messages == []
        logs = "".join(path.read_text() for path in (product.home / "logs").glob("*.log"))
        assert PASSWORD not in logs
        assert "certificate" in logs.lower()


def test_a_hostile_file_name_stays_in_its_line(bench: Bench, tmp_path: Path) -> None:
    """A line break in a folder's name must not become a header of a mail or a line of the log."""
    with mail_server(tmp_path) as mailbox:
        product = bench.clone(alerting=mailbox.alerting)
        product.put("input/stream/x\nBcc: thief@example.com\n/orders.json", "not JSON at all")
        product.once(expect=1)
        (message, *_) = mailbox.messages
        assert message["Bcc"] is None
        assert message["To"] == "oncall@fastfeast.example"
