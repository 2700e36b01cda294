"""The channels that there are: which of them a configuration asks for, and what is wrong with their sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from config.errors import ConfigError
from config.mistakes import described, unknown_key
from config.settings import AlertingConfig, PipelineConfig
from utils.channels.channel import Channel
from utils.channels.smtp import Smtp

CHANNELS: tuple[type[Channel], ...] = (Smtp,)


def channels_of(config: AlertingConfig) -> list[Channel]:
    """The channels whose sections `alerting` has; with none of them, mail.

    Raises ConfigError where `problems` would say why.
    """
    found: list[Channel] = []
    for kind, given in _asked_for(config):
        try:
            found += kind.of(kind.Settings.model_validate(given))
        except ValidationError as error:
            raise ConfigError("; ".join(_told(kind, error))) from None
    return found


def problems(config: PipelineConfig) -> Iterator[str]:
    """What is wrong with the sections of channels, each with its key's path."""
    alerting = config.alerting
    known = [*AlertingConfig.model_fields, *(kind.section for kind in CHANNELS)]
    for key in alerting.sections:
        if key not in known:
            yield f"alerting.{key}: {unknown_key(key, known)}"
    for kind, given in _asked_for(alerting):
        try:
            settings = kind.Settings.model_validate(given)
        except ValidationError as error:
            yield from _told(kind, error)
            continue
        if alerting.enabled:
            yield from (f"{_place(kind)}.{key}: {problem}" for key, problem in kind.missing(settings))


def _place(kind: type[Channel]) -> str:
    return f"alerting.{kind.section}"


def _told(kind: type[Channel], error: ValidationError) -> Iterator[str]:
    return (": ".join(described(problem, _place(kind))) for problem in error.errors())


def _asked_for(config: AlertingConfig) -> list[tuple[type[Channel], Any]]:
    """The channels in question, each with its section as it was given."""
    given = [(kind, config.sections[kind.section]) for kind in CHANNELS if kind.section in config.sections]
    return given or [(Smtp, {})]
