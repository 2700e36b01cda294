"""Killed between the COMMIT and the archive, no file is lost, and none is loaded twice."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from tests.acceptance import samples
from tests.acceptance.daemon import Product, wait_until
from tests.acceptance.faults import kills
from tests.acceptance.faults.scenario import Bench, Tally

MOVED = {"loaded": {"move": "archive/{type}/{date}"}}
FATES: dict[str, dict[str, Any]] = {  # each of a type of its own
    "orders.json": {"after_load": MOVED},
    "tickets.csv": {"after_load": {"loaded": "delete"}},
    "ticket_events.json": {"after_load": {**MOVED, "compress": "gz"}},
}
KILLS = (
    ("orders.json", "after that is committed"),
    ("orders.json", "before a file has its name in the archive"),
    ("orders.json", "before the original is removed"),
    ("tickets.csv", "before the original is removed"),
    ("ticket_events.json", "before the archive is written"),
    ("ticket_events.json", "before a file has its name in the archive"),
    ("ticket_events.json", "before that is committed"),
)


def text(name: str, number: int) -> str:
    """Three rows of a file that each have their parents: those of the same number."""
    row = {"orders.json": samples.order, "tickets.csv": samples.ticket}.get(name, samples.event)
    rows = [row(number * 10 + n) for n in range(3)]
    return samples.text_of(Path(name), rows)


def contents(folder: Path) -> list[str]:
    """What lies below the folder, unpacked and sorted; hidden files too."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    data = [gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in found]
    return sorted(one.decode() for one in data)


def put_away(bench: Bench) -> Product:
    return bench.clone(watcher={"stream": {"expected_files": FATES}})


def test_killed_between_commit_and_archive_each_file_is_there_once(bench: Bench) -> None:
    product, tally = put_away(bench), Tally("killed before a file is put away")
    stream, archive, archived = product.home / "data/input/stream", product.home / "archive", []
    for number, (name, seam) in enumerate(KILLS):
        product.stream(f"{number:02}", name, text(name, number))
        if name != "tickets.csv":
            archived.append(text(name, number))
        assert kills.kill_at(product, seam, 1, tally), f"{name}: {seam}"
        there = {path.name: path for path in archive.rglob("*") if path.is_file() and path.suffix != ".part"}
        lying = contents(stream) + [one for path in there.values() for one in contents(path.parent)]
        assert {*archived} <= {*lying}, f"{name}: {seam}"
    product.once(expect=0)
    assert contents(stream) == []
    assert contents(archive) == sorted(archived)
    files = product.rows(
        "SELECT logical_name, lies_at, put_away_at FROM pipeline_file_log WHERE file_type = 'stream'"
    )
    assert len(files) == len(KILLS)
    for file in files:
        assert file["put_away_at"] is not None
        assert (file["lies_at"] is None) == (file["logical_name"] == "tickets")
        assert file["lies_at"] is None or Path(file["lies_at"]).exists()
    assert product.value("SELECT count(*) FROM fact_order") == 3 * 3
    assert product.run("verify").returncode == 0


def test_of_two_services_on_one_folder_each_file_is_moved_once(bench: Bench) -> None:
    product, archived = put_away(bench), [text("orders.json", number) for number in range(12)]
    daemons = [product.start().wait_for_banner() for _ in range(2)]
    try:
        for number, content in enumerate(archived):
            product.stream(f"{number:02}", "orders.json", content)
        wait_until(lambda: contents(product.home / "archive") == sorted(archived), "all are in the archive")
        assert [daemon.stop() for daemon in daemons] == [0, 0]
    finally:
        for daemon in daemons:
            daemon.kill()
    assert contents(product.home / "data/input/stream") == []
    lying = product.rows("SELECT lies_at FROM pipeline_file_log WHERE logical_name = 'orders'")
    assert len(lying) == len({row["lies_at"] for row in lying if Path(row["lies_at"]).exists()}) == 12
