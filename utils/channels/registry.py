"""The channels that there are: which of them a configuration asks for."""

from __future__ import annotations

from config.settings import AlertingConfig
from utils.channels.channel import Channel
from utils.channels.smtp import Smtp


def channels_of(config: AlertingConfig) -> list[Channel]:
    """A channel for each section of `alerting` that is filled in; mail is, wherever alerting is on."""
    return [Smtp(config.smtp)]
