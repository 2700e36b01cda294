"""A loopback TCP proxy before PostgreSQL that cuts, freezes, and swallows the answer to a COMMIT."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType

COMMIT = b"COMMIT"
CANCELLED = b"SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5)"  # instead of it


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes bytes on to `target`, until told otherwise.

    `swallow_commits(n)`: the next n COMMITs reach the server, but their answers never come back: the
    connection is closed instead. `cancel_commits(n)`: the next n COMMITs are cancelled before they begin, as a
    statement timeout may do; their transactions stay open, and failed. `frozen`: nothing is passed on while it
    is set.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.frozen = threading.Event()
        self.swallowed = self.cancelled = 0
        self._left: int | None = None  # bytes of answers until a connection is cut
        self._to_swallow = 0
        self._to_cancel = 0
        self._lock = threading.Lock()  # guards the counts and the list of pairs
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._stopping.set()
        self.frozen.clear()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def swallow_commits(self, count: int) -> None:
        with self._lock:
            self._to_swallow += count

    def cancel_commits(self, count: int) -> None:
        with self._lock:
            self._to_cancel += count

    def cut(self) -> int:
        """Close every connection; returns how many there were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _close(*pair)
        return len(pairs)

    def cut_after(self, size: int) -> None:
        """Close the connection that brings the answers' next `size` bytes to their end; from then on none."""
        with self._lock:
            self._left = size

    def _is_cut(self, size: int) -> bool:
        with self._lock:
            if self._left is None:
                return False
            self._left = self._left - size if self._left > size else None
            return self._left is None

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            try:
                upstream = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, upstream))
            thread = threading.Thread(target=self._pump, args=(client, upstream), name="proxy pump", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pump(self, client: socket.socket, upstream: socket.socket) -> None:
        try:
            while not self._stopping.is_set():
                ready, _, _ = select.select([client, upstream], [], [], 0.1)
                if self.frozen.is_set():
                    self._stopping.wait(0.05)
                    continue
                if client in ready:
                    data = client.recv(65536)
                    upstream.sendall(self._cancelled(data))
                    if not data or self._swallow(data, upstream):
                        return
                if upstream in ready:
                    data = upstream.recv(65536)
                    client.sendall(data)
                    if not data or self._is_cut(len(data)):
                        return
        except (OSError, ValueError):  # cut, from either side or by us
            return
        finally:
            _close(client, upstream)

    def _cancelled(self, data: bytes) -> bytes:
        """The bytes, or, if this is a COMMIT to be cancelled, a statement that is cancelled in its place."""
        if not data.endswith(COMMIT + b"\0"):
            return data
        with self._lock:
            if self._to_cancel == 0:
                return data
            self._to_cancel -= 1
            self.cancelled += 1
        return b"Q" + (len(CANCELLED) + 5).to_bytes(4, "big") + CANCELLED + b"\0"

    def _swallow(self, data: bytes, upstream: socket.socket) -> bool:
        """Is this a COMMIT whose answer shall be lost? Then wait for the answer, so that it has happened."""
        if COMMIT not in data:
            return False
        with self._lock:
            if self._to_swallow == 0:
                return False
            self._to_swallow -= 1
            self.swallowed += 1
        upstream.settimeout(10)
        upstream.recv(65536)
        return True


def _close(*sockets: socket.socket) -> None:
    for item in sockets:
        with contextlib.suppress(OSError):
            item.shutdown(socket.SHUT_RDWR)
        item.close()
