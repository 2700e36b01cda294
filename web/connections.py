"""The connections to the web server: a bounded number, where those that say nothing make way for those that ask.

Whoever reaches the port can open connections without end. They must cost neither the descriptors that loading
needs nor the answers of the probes.
"""

from __future__ import annotations

import asyncio
import math
import resource
import socket
from typing import cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 100
SHARE_OF_DESCRIPTORS = 8  # the server takes no more than an eighth of what the process may open
IDLE_SECONDS = 10.0  # for the whole head of a request; and between an answer and the next request's
# Longer than the slowest page takes. A client that vanished, or reads a byte now and then, is let go after it
CONNECTION_SECONDS = 90.0
ACCEPTED_AT_ONCE = 8  # asyncio takes so many off the queue before any of them is looked at
BACKLOG = 128  # that wait in the system's queue


def most_connections() -> int:
    """How many connections may be open, by what the system lets the process open."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(min(MOST_CONNECTIONS, descriptors // SHARE_OF_DESCRIPTORS), 1)


class Connection(H11Protocol):
    """One connection. It ends when it says nothing, when it is too old, or when a newer one needs its place."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._timers = [
            self.loop.call_later(CONNECTION_SECONDS, transport.abort),
            self.loop.call_later(IDLE_SECONDS, self._end_idleness),
        ]
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self.idle_since = self.loop.time()
        super().on_response_complete()

    @property
    def is_busy(self) -> bool:
        """Has it asked for something that it has not been answered?"""
        return self.cycle is not None and not self.cycle.response_complete

    def _end_idleness(self) -> None:
        idle = -math.inf if self.is_busy else self.loop.time() - self.idle_since
        if idle >= IDLE_SECONDS:
            self.transport.abort()
        else:
            again = IDLE_SECONDS if self.is_busy else IDLE_SECONDS - idle
            self._timers[1] = self.loop.call_later(again, self._end_idleness)

    def _make_room(self) -> None:
        """End the one that was idle for longest; when all are being answered, the oldest. Never the newest."""
        others = [cast("Connection", other) for other in self.connections - {self}]
        living = [other for other in others if not other.transport.is_closing()]
        if len(living) >= most_connections():
            min(living, key=lambda other: (other.is_busy, other.idle_since)).transport.abort()


class Server(uvicorn.Server):
    """Takes few connections off the system's queue at once, whose length has nothing to do with that."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(BACKLOG)
