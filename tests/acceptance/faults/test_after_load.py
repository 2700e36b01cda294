"""Killed between the COMMIT and the archive, no file is lost, and none is loaded twice."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import samples
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults import crash_driver, kills
from tests.acceptance.faults.scenario import Bench, Tally

FATES: dict[str, dict[str, Any]] = {
    "move": {"loaded": {"move": "archive/{type}/{date}"}},
    "delete": {"loaded": "delete"},
    "compress": {"loaded": {"move": "archive/{type}/{date}"}, "compress": "gz"},
}
NOT_REACHED = {  # by what each does
    "move": {"before the archive is written"},
    "delete": {"before the archive is written", "before a file has its name in the archive"},
    "compress": set(),
}


def orders(number: int) -> list[dict[str, Any]]:
    return [samples.order(number * 10 + n) for n in range(3)]


def contents(folder: Path) -> list[str]:
    """What lies below the folder, unpacked and sorted; hidden files too."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    data = [gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in found]
    return sorted(one.decode() for one in data)


@pytest.mark.parametrize("fate", FATES)
def test_killed_between_commit_and_archive_each_file_is_there_once(bench: Bench, fate: str) -> None:
    product = bench.clone(reader={"after_load": FATES[fate]})
    product.once(expect=0)
    stream, tally, missed = product.home / "data/input/stream", Tally(f"killed before {fate}"), set()
    archived = contents(product.home / "archive")
    for number, seam in enumerate(crash_driver.SEAMS_OF_FATES):
        product.stream(f"{number:02}", "orders.json", orders(number))
        archived.append(samples.json_text(orders(number)))
        if not kills.kill_at(product, seam, 1, tally):
            missed.add(seam)
        there = contents(stream) + contents(product.home / "archive")
        assert archived[-1] in there or fate == "delete", seam
        product.once(expect=0)
        assert contents(stream) == [], seam
        assert contents(product.home / "archive") == ([] if fate == "delete" else sorted(archived)), seam
    assert missed == NOT_REACHED[fate]
    assert_found(product, fate)


def assert_found(product: Product, fate: str) -> None:
    """Each file was loaded once, and the file log knows where it lies."""
    files = product.rows(
        "SELECT file_path, lies_at, put_away_at FROM pipeline_file_log WHERE logical_name = 'orders'"
    )
    assert len(files) == len(crash_driver.SEAMS_OF_FATES)
    for file in files:
        assert file["put_away_at"] is not None
        assert (file["lies_at"] is None) == (fate == "delete")
        assert file["lies_at"] is None or Path(file["lies_at"]).exists()
    assert product.value("SELECT count(*) FROM fact_order") == 3 * len(files)
    assert product.run("verify").returncode == 0


def test_of_two_services_on_one_folder_each_file_is_moved_once(bench: Bench) -> None:
    product = bench.clone(reader={"after_load": FATES["move"]})
    product.once(expect=0)
    archived = contents(product.home / "archive")
    daemons = [product.start().wait_for_banner() for _ in range(2)]
    try:
        for number in range(12):
            product.stream(f"{number:02}", "orders.json", orders(number))
            archived.append(samples.json_text(orders(number)))
        wait_until(lambda: contents(product.home / "archive") == sorted(archived), "all are in the archive")
        assert [daemon.stop() for daemon in daemons] == [0, 0]
    finally:
        for daemon in daemons:
            daemon.kill()
    assert contents(product.home / "data/input/stream") == []
    assert product.value("SELECT count(*) FROM pipeline_file_log WHERE logical_name = 'orders'") == 12
    lying = product.rows("SELECT lies_at FROM pipeline_file_log WHERE logical_name = 'orders'")
    assert len({row["lies_at"] for row in lying if Path(row["lies_at"]).exists()}) == 12
