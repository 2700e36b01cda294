"""Whoever looks is told of each file that is not loaded, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import PipelineConfig
from ingestion.not_loaded import look_through, why_not_loaded
from ingestion.places.open_writers import has_writer

kernel_tells = pytest.mark.skipif(has_writer(Path(__file__)) is None, reason="no read leases here")


def put(config: PipelineConfig, name: str, text: str = "[]") -> Path:
    path = config.path(config.watcher.stream.dir).resolve() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@kernel_tells
def test_what_waits_is_told_apart_from_what_is_not_loaded(config: PipelineConfig) -> None:
    waits, slip = put(config, "09/orders.json"), put(config, "09/Orders.json")
    put(config, "09/@eaDir/orders.json")
    (slip.parent / "tickets.csv").symlink_to(waits)
    written = put(config, "10/orders.json")
    with written.open("a"):
        found = look_through(config)
    assert [job.path for job in found.waiting] == [waits]
    assert {(left.kind, left.path.name, left.path.parent.name) for left in found.not_loaded} == {
        ("unexpected", "Orders.json", "09"),
        ("refused", "tickets.csv", "09"),
        ("open", "orders.json", "10"),
    }
    whys = {left.kind: left.why for left in found.not_loaded}
    assert "Did you mean orders.json?" in whys["unexpected"]
    assert "open for writing" in whys["open"]
    assert all(left.changed_at for left in found.not_loaded)


@kernel_tells
def test_of_any_path_it_can_be_said_why_it_is_not_loaded(config: PipelineConfig) -> None:
    path = put(config, "09/orders.json")
    assert why_not_loaded(config, path) is None
    with path.open("a"):
        assert "open for writing" in str(why_not_loaded(config, path))
    for name, why in (
        ("09/.x/orders.json", "folder .x"),
        ("09/orders.json.part", "in the making"),
        ("09/order.json", "Did you mean orders.json?"),
        ("09/customers.csv", "batch folder"),
    ):
        assert why in str(why_not_loaded(config, put(config, name)))
    assert "no input folder" in str(why_not_loaded(config, config.home / "orders.json"))
    assert "No such file" in str(why_not_loaded(config, path.parent / "gone.json"))
