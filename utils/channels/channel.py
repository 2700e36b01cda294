"""How an alert leaves the machine: a channel is a class of its own, in a module of this folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from config.model import Model
from utils.notices import Notice

SecondsLeft = Callable[[], float]


class Channel(ABC):
    """A way to tell somebody. It is used where the configuration has its `section` under `alerting`."""

    section: ClassVar[str]
    Settings: ClassVar[type[Model]]
    """The keys of its section, with their types and defaults."""

    def __init__(self, settings: Any, name: str) -> None:
        """`name` is what the log calls it."""
        self.settings = settings
        self.name = name

    @classmethod
    def of(cls, settings: Any, name: str) -> Sequence[Channel]:
        """The channels that a section asks for: one. Each is tried by itself, and again when it fails."""
        return [cls(settings, name)]

    @classmethod
    def missing(cls, settings: Any) -> Iterator[tuple[str, str]]:
        """What keeps it from working: a key of its section each, and what is wrong with it."""
        del settings
        return iter(())

    @abstractmethod
    def deliver(self, notices: Sequence[Notice], left: SecondsLeft) -> Iterator[tuple[Notice, str | None]]:
        """Send `notices`, one after the other, while there are seconds `left`. Called by one thread.

        Gives for each one that was tried None, or why it was not sent, in words that are ours. Raises nothing.
        """
