"""Alerts to whatever apprise reaches: Slack, Teams, PagerDuty, webhooks and more, each by its URL."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from config.mistakes import meant
from config.model import Model
from utils.channels.channel import Channel, SecondsLeft
from utils.notices import Notice

if TYPE_CHECKING:
    from apprise import Apprise, NotifyBase

_LOGGER = logging.getLogger("apprise")
_LONGEST_PAUSE_SECONDS = 1.0  # between two notices to one service


class AppriseSettings(Model):
    """`timeout_seconds` is the patience with a connection, and with each wait for an answer."""

    urls: tuple[str, ...] = ()
    timeout_seconds: float = Field(10, gt=0)


class AppriseChannel(Channel):
    """One URL. The library is imported where there is one, for it takes half a second."""

    section = "apprise"
    Settings = AppriseSettings

    def __init__(self, url: str, name: str, timeout: float) -> None:
        super().__init__(url, name)
        self._timeout = timeout
        self._sender, self._service = _made(url)

    @classmethod
    def of(cls, settings: AppriseSettings, name: str) -> Sequence[AppriseChannel]:
        """As Channel has it: one a URL."""
        names = [name] if len(settings.urls) == 1 else [f"{name}.{n}" for n, _ in enumerate(settings.urls)]
        return [
            cls(url, its_name, settings.timeout_seconds)
            for url, its_name in zip(settings.urls, names, strict=True)
        ]

    @classmethod
    def missing(cls, settings: AppriseSettings) -> Iterator[tuple[str, str]]:
        """As Channel has it. No word of a URL but its scheme: the rest may be secret."""
        if settings.urls in {(), ("",)}:
            yield "urls", "needed while alerting.enabled is true"
            return
        for n, url in enumerate(settings.urls):
            if _made(url)[1] is None:
                yield f"urls.{n}", _unreadable(url)

    def deliver(self, notices: Sequence[Notice], left: SecondsLeft) -> Iterator[tuple[Notice, str | None]]:
        """As Channel has it."""
        for notice in notices:
            if left() <= 0:
                return
            yield notice, self._send(notice, min(self._timeout, left()))

    def _send(self, notice: Notice, timeout: float) -> str | None:
        if self._service is None:
            return "apprise can't use the URL"
        self._service.socket_connect_timeout = self._service.socket_read_timeout = timeout
        heard: list[str] = []
        try:
            sent = self._sender.notify(
                notice.text,
                _title(notice),
                "success" if notice.is_good else "warning",
                body_format="text",
                log_callback=lambda entry, _service: heard.append(entry.message),
                log_level=logging.WARNING,
            )
        except Exception as problem:  # noqa: BLE001  (a hundred plugins, each with errors of its own)
            return type(problem).__name__
        return None if sent else _reason(heard)


def _made(url: str) -> tuple[Apprise, NotifyBase | None]:
    """A sender for the URL, and its service; None where apprise can't read it."""
    from apprise import Apprise, AppriseAsset

    _keep_tokens_out_of_the_log()
    asset = AppriseAsset(app_id="FastFeast", async_mode=False, storage_mode="memory")
    sender = Apprise(asset=asset)
    service = Apprise.instantiate(url, asset=asset)
    if service is not None:
        service.request_rate_per_sec = min(service.request_rate_per_sec, _LONGEST_PAUSE_SECONDS)
        sender.add(service)
    return sender, service


def _keep_tokens_out_of_the_log() -> None:
    """URLs hold them, and these libraries log URLs and answers."""
    _LOGGER.propagate = False
    if not _LOGGER.handlers:
        _LOGGER.addHandler(logging.NullHandler())
    logging.getLogger("urllib3").setLevel(logging.INFO)


def _unreadable(url: str) -> str:
    from apprise.manager_plugins import NotificationManager

    services: Any = NotificationManager()  # type: ignore[no-untyped-call]
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if not scheme:
        return "no URL of apprise's; it begins as in slack://, see https://appriseit.com/services"
    if scheme not in services:
        return f"apprise has no {scheme}://{meant(scheme, services.schemas())}"
    setup = services[scheme].setup_url
    return f"apprise can't read what comes after {scheme}://, or lacks a package for it; see {setup}"


def _title(notice: Notice) -> str:
    """With the incident's key: services that go by the title (PagerDuty's action=map) resolve what they opened."""
    return f"{notice.title} [{notice.incident}]" if notice.incident else notice.title


def _reason(heard: Iterable[str]) -> str:
    """Of what apprise says of a failure only the HTTP status: the rest is not ours to log."""
    status = re.search(r"error=(\d{3})\b", "\n".join(heard))
    return f"HTTP {status[1]}" if status else "not reached, or no answer in time"
