"""The simulation gives what can be worked out by hand."""

from __future__ import annotations

import pytest

from scripts.scaling_simulation import Costs, simulate


@pytest.mark.parametrize(
    ("costs", "workers", "cores", "rate", "bottleneck"),
    [
        (Costs(0.0, 1.0, 0.0), 1, 1, 1, "workers"),
        (Costs(0.0, 1.0, 0.0), 8, 1, 8, "workers"),
        (Costs(0.0, 0.1, 1.0), 100, 4, 4, "database"),
        (Costs(0.5, 1.0, 0.1), 100, 64, 2, "coordinator"),
        (Costs(0.0, 1.0, 1.0), 1, 1, 0.5, "workers"),
    ],
)
def test_the_slowest_part_sets_the_rate(
    costs: Costs, workers: int, cores: int, rate: float, bottleneck: str
) -> None:
    result = simulate(costs, workers, cores, files=4_000)
    assert result.rate == pytest.approx(rate, rel=0.02)
    assert result.bottleneck == bottleneck
