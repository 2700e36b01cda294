"""A new kind of storage is a class and a line in the registry: everything else works on it as on any other."""

from __future__ import annotations

import datetime as dt
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.jobs import Stamp
from config.model import Feed
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse import reports
from ingestion.file_watcher import StreamWatcher
from ingestion.not_loaded import look_through, why_not_loaded
from ingestion.pipeline import Pipeline
from ingestion.places.place import Found, Kind, Place
from ingestion.places.registry import PLACES, path_of
from ingestion.reprocess import job_of, reprocess
from ingestion.start_checks import check_folders
from tests.acceptance import samples
from tests.conftest import opened
from validation.pii_handler import PiiHandler
from workbench.check import Checker
from workbench.explain import look
from workbench.infer import propose

DAY = dt.date(2026, 2, 20)


class Shelf(Place):
    """Files in a dictionary: all that it takes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def list(self, folder: Path) -> list[Found]:
        inside = {str(folder / path_of(path).relative_to(folder).parts[0]) for path in self._below(folder)}
        return [self.stat(path_of(path)) for path in sorted(inside)]

    def stat(self, path: Path) -> Found:
        if (data := self.files.get(str(path))) is not None:
            return Found(str(path), Kind.FILE, Stamp(len(data), zlib.crc32(data)))
        if any(self._below(path)):
            return Found(str(path), Kind.FOLDER)
        raise FileNotFoundError(path)

    def read(self, path: Path) -> io.BytesIO:
        return io.BytesIO(self.files[str(path)])

    def move(self, path: Path, target: Path, stamp: Stamp) -> None:  # noqa: ARG002
        self.files[str(target)] = self.files.pop(str(path))

    def _below(self, folder: Path) -> Iterator[str]:
        return (path for path in self.files if path.startswith(f"{folder}/"))


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf()
    monkeypatch.setitem(PLACES, "shelf", shelf)  # the line in the registry
    for path, rows in samples.master_rows().items():
        shelf.files[f"shelf://home/master/{Path(path).name}"] = samples.text_of(Path(path), rows).encode()
    return shelf


@pytest.fixture
def on_shelf(config: PipelineConfig, database: DatabaseConfig) -> PipelineConfig:
    watcher = config.watcher
    folders = {
        name: getattr(watcher, name).model_copy(update={"dir": f"shelf://home/{name}"})
        for name in ("master", "batch", "stream")
    }
    changed = watcher.model_copy(update={**folders, "settle_seconds": 0.1})
    return config.model_copy(update={"watcher": changed, "database": database})


def orders(*numbers: int) -> bytes:
    return samples.json_text([samples.order(number) for number in numbers]).encode()


def loaded(config: PipelineConfig) -> set[str]:
    with opened(config.database, config.home) as warehouse, warehouse.transaction() as tx:
        tx.execute("SELECT order_id FROM fact_order")
        return {row[0] for row in tx}


def uids(*numbers: int) -> set[str]:
    return {samples.uid("order", number) for number in numbers}


def test_a_file_in_a_new_kind_of_place_is_loaded_end_to_end_and_found_again_by_every_command(
    shelf: Shelf, on_shelf: PipelineConfig
) -> None:
    config = on_shelf
    check_folders(config)
    first = f"shelf://home/stream/{DAY}/09/orders.json"
    shelf.files[first] = orders(1, 2)
    shelf.files[f"shelf://home/batch/{DAY}/customers.csv"] = samples.csv_text([samples.customer(900)]).encode()
    shelf.files[f"shelf://home/stream/{DAY}/09/ordesr.json"] = b"[]"
    with Pipeline(config) as pipeline:
        pipeline.run_once()
    assert loaded(config) == uids(1, 2)
    found = look_through(config)
    assert list(found.waiting) == []
    assert [(left.kind, left.path.name, left.changed_at) for left in found.not_loaded] == [
        ("unexpected", "ordesr.json", None)
    ]

    shelf.files[f"shelf://home/stream/{DAY}/10/orders.json"] = orders(3)
    shelf.files["shelf://home/stream/2026-02-21/10/orders.json"] = orders(4)
    assert len(look_through(config).waiting) == 2
    assert why_not_loaded(config, path_of(f"shelf://home/stream/{DAY}/10/orders.json")) is None
    with Pipeline(config) as pipeline:
        pipeline.backfill(DAY, DAY, "orders")
    assert loaded(config) == uids(1, 2, 3)

    spec = config.by_logical_name["orders"]
    with opened(config.database, config.home) as warehouse, warehouse.transaction() as tx:
        explained = look(tx, config, spec, [samples.uid("order", 2)])
        assert (explained["origin"]["file_path"], explained["origin"]["row_number"]) == (first, 2)
        file = reports.file(tx, explained["origin"]["file_id"])
        assert file is not None
        pii = PiiHandler(config.pii.hash_key)
        result = reprocess(tx, config, pii, job_of(config, file), file, "test")
        assert (result.restored, result.quarantined, sum(result.broken.values())) == (0, 0, 0)
    assert Checker(config, None, 3).check(path_of(first), spec).passed


def test_a_file_that_comes_while_the_service_watches_a_new_kind_of_place_is_seen(
    shelf: Shelf, on_shelf: PipelineConfig
) -> None:
    with Pipeline(on_shelf) as pipeline:
        watcher = StreamWatcher(on_shelf, pipeline.inbox)
        watcher.turn()
        shelf.files[f"shelf://home/stream/{DAY}/09/orders.json"] = orders(1)
        watcher.turn()
        assert [job.path.name for job in pipeline.inbox.waiting()] == ["orders.json"]


def test_what_a_place_can_not_tell_is_settled_by_two_looks(shelf: Shelf, on_shelf: PipelineConfig) -> None:
    path = f"shelf://home/stream/{DAY}/09/orders.json"
    with Pipeline(on_shelf) as pipeline:
        watcher = StreamWatcher(on_shelf, pipeline.inbox)
        shelf.files[path] = b"[1"
        watcher.turn()
        assert pipeline.inbox.get(timeout=0) is None
        shelf.files[path] = orders(1)
        job = pipeline.inbox.get(timeout=10)
        assert job is not None
        assert job.size == len(shelf.files[path])


def test_a_sample_may_lie_in_any_place(shelf: Shelf, on_shelf: PipelineConfig) -> None:
    shelf.files["shelf://home/samples/things.csv"] = b"thing_id,size\n1,2.50\n2,3.00\n"
    proposal = propose(on_shelf, path_of("shelf://home/samples/things.csv"), "things", feed=Feed.BATCH)
    assert proposal.rows == 2
