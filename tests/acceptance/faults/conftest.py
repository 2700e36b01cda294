"""Fixtures of the fault suite: a server that may be maltreated, and products with a loaded master on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.faults.scenario import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("faults"))
    yield bench
    bench.close()
