"""Bytes that come in pieces, as a stream that reads in full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

PIECE_BYTES = 1 << 18


class Stream(Protocol):
    """What a format reads from."""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes; fewer are the last ones."""


class Filled:
    """What `pieces` holds, as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes; fewer are the last ones."""
        parts, length = [self._held], len(self._held)
        while length < size and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            length += len(piece)
        data = b"".join(parts)
        self._held = data[size:]
        return data[:size]


class Again:
    """A stream whose beginning, `head`, was read already."""

    def __init__(self, head: bytes, raw: Stream) -> None:
        self._head, self._raw = head, raw

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes; fewer are the last ones."""
        if not self._head:
            return self._raw.read(size)
        head, self._head = self._head[:size], self._head[size:]
        return head + self._raw.read(size - len(head)) if len(head) < size else head


def pieces_of(raw: Stream, size: int = PIECE_BYTES) -> Iterator[bytes]:
    """All of a stream, a piece at a time."""
    while piece := raw.read(size):
        yield piece
