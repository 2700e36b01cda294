"""A channel is a class and a line of the registry: its settings, their checks and its ways out are its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.model import Model
from config.settings import PipelineConfig
from utils import alerter
from utils.channels import registry
from utils.channels.channel import Channel, SecondsLeft
from utils.channels.smtp import Smtp
from utils.notices import Notice

MAIL = {"host": "mail.example", "sender": "a@example.com", "receivers": ["b@example.com"]}


class NotebookSettings(Model):
    pages: tuple[str, ...] = ()
    torn: tuple[str, ...] = ()


class Notebook(Channel):
    """Writes notices into books that are kept here; each page is a channel of its own."""

    section = "notebook"
    Settings = NotebookSettings
    written: dict[str, list[str]] = {}  # noqa: RUF012  (what all of them wrote)

    def __init__(self, page: str, name: str, *, torn: bool) -> None:
        super().__init__(page, name)
        self._page = page
        self._torn = torn

    @classmethod
    def of(cls, settings: NotebookSettings, name: str) -> Sequence[Notebook]:
        return [cls(page, name, torn=page in settings.torn) for page in settings.pages]

    @classmethod
    def missing(cls, settings: NotebookSettings) -> Iterator[tuple[str, str]]:
        if not settings.pages:
            yield "pages", "needed"

    def deliver(self, notices: Sequence[Notice], left: SecondsLeft) -> Iterator[tuple[Notice, str | None]]:
        for notice in notices if left() > 0 else ():
            if not self._torn:
                self.written.setdefault(self._page, []).append(notice.title)
            yield notice, "torn" if self._torn else None


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> type[Notebook]:
    """The channel, by its line of the registry."""
    monkeypatch.setattr(registry, "CHANNELS", (*registry.CHANNELS, Notebook))
    monkeypatch.setattr(Notebook, "written", {})
    return Notebook


def load(home: Path, **alerting: Any) -> PipelineConfig:
    path = home / "site.yaml"
    path.write_text(yaml.safe_dump({"alerting": alerting}))
    return get_config(path, checks=[registry.problems])


def told(home: Path, **alerting: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(home, **alerting)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines()[1:]]


def test_a_new_channel_is_a_class_and_a_line(tmp_path: Path, notebook: type[Notebook]) -> None:
    config = load(
        tmp_path, enabled=True, repeat_minutes=0, notebook={"pages": ["ops", "night"], "torn": ["night"]}
    )
    alerter.start(config.alerting)
    alerter.send_alert("File failed", "x")
    alerter.stop()
    assert notebook.written == {"ops": ["File failed", "Alerts not delivered"]}  # the other page can't be written


def test_its_settings_are_checked_by_itself(tmp_path: Path, notebook: type[Notebook]) -> None:
    assert told(tmp_path, enabled=True, notebook={}) == ["alerting.notebook.pages: needed"]
    assert told(tmp_path, notebook={"page": "ops"}) == [
        "alerting.notebook.page: unknown key; check its spelling and its place"
    ]
    (problem,) = told(tmp_path, notebook={"pages": 3})
    assert problem.startswith("alerting.notebook.pages: Input should be a valid tuple")


@pytest.mark.parametrize(
    ("alerting", "names"),
    [
        ({"smtp": MAIL}, ["smtp"]),
        ({"notebook": {"pages": ["a"]}}, ["notebook"]),
        ({"notebook": {"pages": ["a", "b"]}, "smtp": MAIL}, ["notebook", "notebook", "smtp"]),
        (
            {"notebook": {"pages": ["a"]}, "channels": {"night": {"notebook": {"torn": ["a"]}}}},
            ["night", "notebook"],
        ),
    ],
)
def test_the_channels_are_those_whose_sections_are_given(
    tmp_path: Path, notebook: type[Notebook], alerting: dict[str, Any], names: list[str]
) -> None:
    config = load(tmp_path, enabled=True, **alerting)
    channels = registry.channels_of(config.alerting)
    assert sorted(one.name for of_a_name in channels.values() for one in of_a_name) == names


def test_alerting_without_any_channel_asks_for_mail(tmp_path: Path) -> None:
    assert told(tmp_path, enabled=True) == [
        f"alerting.smtp.{key}: needed while alerting.enabled is true" for key in ("host", "sender", "receivers")
    ]
    assert load(tmp_path).alerting.enabled is False


@pytest.mark.parametrize(
    ("alerting", "problem"),
    [
        (
            {"enabled": True, "smtp": {**MAIL, "receivers": [""]}},
            "alerting.smtp.receivers: needed while alerting.enabled is true",
        ),
        (
            {"enabled": True, "smtp": {**MAIL, "password": "hush", "security": "none"}},
            "alerting.smtp.security: none would send the password in clear; use starttls or tls",
        ),
        ({"smtp": {"port": "x"}}, "alerting.smtp.port: Input should be a valid integer, "
         "unable to parse string as an integer (given: 'x')"),
        ({"smtp": {"password": ["hush"]}}, "alerting.smtp.password: Input should be a valid string"),
        ({"smtp": {"prot": 25}}, "alerting.smtp.prot: unknown key; check its spelling and its place"),
        ({"smtp": None}, "alerting.smtp: Input should be a valid dictionary or instance of SmtpSettings "
         "(given: None)"),
        ({"enable": True}, "alerting.enable: unknown key; did you mean enabled?"),
        ({"slack": {}}, "alerting.slack: unknown key; check its spelling and its place"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_its_place_whether_alerting_is_on_or_off(
    tmp_path: Path, alerting: dict[str, Any], problem: str
) -> None:
    assert told(tmp_path, **alerting) == [problem]


def test_settings_that_nobody_checked_are_refused_at_their_use(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({"alerting": {"enabled": True, "smtp": {"prot": 25}}}))
    with pytest.raises(ConfigError, match=r"alerting\.smtp\.prot: unknown key"):
        alerter.start(get_config(path).alerting)


def test_no_two_channels_have_one_section() -> None:
    sections = [channel.section for channel in registry.CHANNELS]
    assert sorted(sections) == sorted(set(sections))
    assert Smtp.section in sections
