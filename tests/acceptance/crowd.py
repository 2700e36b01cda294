"""A crowd of connections at the web port, and the daemon with few descriptors that it comes to."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.acceptance.daemon import Daemon, Product, wait_until

CROWD = 1300
PROBES = ("healthz", "readyz", "metrics")


def port_of(daemon: Daemon) -> int:
    found: list[str] = wait_until(
        lambda: re.findall(r"Dashboard: http://127\.0\.0\.1:(\d+)/", daemon.output()), "the address"
    )
    return int(found[0])


def status_of(port: int, path: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
        return int(answer.status)


@contextmanager
def limited(product: Product, descriptors: int) -> Iterator[Daemon]:
    """The daemon under `ulimit -n`."""
    start = f'ulimit -n {descriptors} && exec "$@"'
    daemon = product.start("/bin/sh", "-c", start, "sh", *product.command())
    try:
        yield daemon.wait_for_banner()
        assert daemon.stop() == 0, daemon.output()[-3000:]
    finally:
        daemon.kill()


def crowd(stack: ExitStack, port: int, said: bytes) -> None:
    for _ in range(CROWD):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        if said:
            client.sendall(said)
