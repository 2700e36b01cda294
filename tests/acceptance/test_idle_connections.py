"""Whatever holds connections to the web port: files load, and probes answer."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance import samples
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.crowd import CROWD, PROBES, crowd, limited, port_of, status_of
from tests.acceptance.daemon import Daemon


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """The test itself holds the clients' ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CROWD + 500:
        pytest.skip(f"this machine allows {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (CROWD + 500, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
