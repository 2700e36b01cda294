"""How an alert leaves the machine: a channel is a class of its own, in a module of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from utils.alerts import Notice

SecondsLeft = Callable[[], float]


class Channel(Protocol):
    """A way to tell somebody."""

    name: str

    def deliver(self, notices: Sequence[Notice], left: SecondsLeft) -> Iterator[tuple[Notice, str | None]]:
        """Send `notices`, one after the other, while there are seconds `left`.

        Gives for each one that was tried None, or why it was not sent, in words that are ours. Raises nothing.
        """
        ...
