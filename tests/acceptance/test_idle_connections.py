"""Whatever holds connections to the web port: files load, and probes answer."""

from __future__ import annotations

import re
import resource
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance import samples
from tests.acceptance.conftest import MakeProduct
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


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """The test itself holds the clients' ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CROWD + 500:
        pytest.skip(f"this machine allows {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (CROWD + 500, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: loc"], ids=["silent", "half a header"])
def test_a_crowd_at_the_web_port_keeps_no_file_from_loading(
    make_product: MakeProduct, many_descriptors: None, said: bytes
) -> None:
    product = make_product(web={"enabled": True, "port": 0})
    with limited(product, 1024) as daemon, ExitStack() as stack:
        port = port_of(daemon)
        crowd(stack, port, said)
        for row in range(20):
            product.put(f"input/stream/{samples.DAY}/{row:02}/orders.json", [samples.order(row)])
        started = time.monotonic()
        product.wait_for_files(20)
        assert [status_of(port, probe) for probe in PROBES] == [200, 200, 200]
        assert time.monotonic() - started < 25
        assert len(open_descriptors(daemon)) < 400
        assert "Traceback" not in daemon.output()


def open_descriptors(daemon: Daemon) -> list[Path]:
    return list(Path(f"/proc/{daemon.process.pid}/fd").iterdir())
