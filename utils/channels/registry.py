"""The channels that there are: which of them a configuration asks for, and what is wrong with their sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from config.errors import ConfigError
from config.mistakes import described, meant, unknown_key
from config.settings import AlertingConfig, PipelineConfig
from utils.channels.apprise import AppriseChannel
from utils.channels.channel import Channel
from utils.channels.smtp import Smtp

CHANNELS: tuple[type[Channel], ...] = (Smtp, AppriseChannel)


class _Section(NamedTuple):
    """A channel that is asked for: its name, its class, its place in the YAML, its keys as they were given."""

    name: str
    kind: type[Channel]
    place: str
    given: Any


def channels_of(config: AlertingConfig) -> dict[str, list[Channel]]:
    """The channels by the name that routes have for them; without any section, mail.

    Raises ConfigError where `problems` would say why.
    """
    if problem := next(_misnamed(config), None):
        raise ConfigError(problem)
    found: dict[str, list[Channel]] = {}
    for section in _asked_for(config):
        try:
            settings = section.kind.Settings.model_validate(section.given)
        except ValidationError as error:
            raise ConfigError("; ".join(_told(section, error))) from None
        found[section.name] = list(section.kind.of(settings, section.name))
    return found


def problems(config: PipelineConfig) -> Iterator[str]:
    """What is wrong with the sections of channels, each with its key's path."""
    alerting = config.alerting
    known = [*AlertingConfig.model_fields, *_kinds()]
    for key in alerting.sections:
        if key not in known:
            yield f"alerting.{key}: {unknown_key(key, known)}"
    yield from _misnamed(alerting)
    for section in _asked_for(alerting):
        try:
            settings = section.kind.Settings.model_validate(section.given)
        except ValidationError as error:
            yield from _told(section, error)
            continue
        if alerting.enabled:
            yield from (f"{section.place}.{key}: {problem}" for key, problem in section.kind.missing(settings))


def names_in(config: AlertingConfig) -> list[str]:
    """What the channels are called."""
    return [section.name for section in _asked_for(config)]


def _kinds() -> dict[str, type[Channel]]:
    return {kind.section: kind for kind in CHANNELS}


def _misnamed(config: AlertingConfig) -> Iterator[str]:
    """Named channels that are not one section of a kind that there is, or have the name of another channel."""
    kinds = _kinds()
    for name, sections in config.channels.items():
        place = f"alerting.channels.{name}"
        if name in kinds:
            yield f"{place}: {name} is what alerting.{name} is called; choose another name"
        if len(sections) != 1:
            yield f"{place}: give one section, of {' or '.join(kinds)}"
        for key in sections.keys() - kinds.keys():
            yield f"{place}.{key}: no kind of channel{meant(key, kinds)}"


def _told(section: _Section, error: ValidationError) -> Iterator[str]:
    return (": ".join(described(problem, section.place)) for problem in error.errors())


def _asked_for(config: AlertingConfig) -> list[_Section]:
    """The channels in question. What a named one leaves out is as in the section of its kind."""
    kinds = _kinds()
    shared = {key: config.sections[key] for key in kinds if key in config.sections}
    found = [_Section(key, kinds[key], f"alerting.{key}", given) for key, given in shared.items()]
    for name, sections in config.channels.items():
        for key, given in sections.items():
            if key in kinds:
                base = shared.get(key)
                both = {**base, **given} if isinstance(base, dict) and isinstance(given, dict) else given
                found.append(_Section(name, kinds[key], f"alerting.channels.{name}.{key}", both))
    return found or [_Section(Smtp.section, Smtp, f"alerting.{Smtp.section}", {})]
