"""Objects are found by listings, told apart by ETag and size, and loaded as files are."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.errors import FileChanged
from config.jobs import Status
from config.model import Feed
from config.settings import DatabaseConfig, PipelineConfig
from datawarehouse.db_connection import Warehouse
from ingestion import pipeline
from ingestion.file_tracker import FileTracker
from ingestion.inbox import Inbox
from ingestion.ingestion_runner import IngestionRunner
from ingestion.master_seeder import seed_master
from ingestion.places.place import UrlPath
from ingestion.places.recent_scanner import FULL_LISTING_SECONDS
from ingestion.places.registry import opened, path_of, place_of
from ingestion.places.store import StoreScanner
from ingestion.scans import scan_everything
from ingestion.service import Service
from ingestion.start_checks import check_folders
from tests.acceptance import samples
from tests.object_store import BUCKET, ObjectStore, object_store

pytest.importorskip("s3fs")
pytest.importorskip("moto")


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


def on_store(config: PipelineConfig, prefix: str) -> PipelineConfig:
    """The configuration with all input folders below `prefix` in the bucket."""
    watcher = config.watcher
    url = f"s3://{BUCKET}/{prefix}"
    changed = watcher.model_copy(
        update={
            "master": watcher.master.model_copy(update={"dir": f"{url}/master"}),
            "batch": watcher.batch.model_copy(update={"dir": f"{url}/batch"}),
            "stream": watcher.stream.model_copy(update={"dir": f"{url}/stream"}),
        }
    )
    return config.model_copy(update={"watcher": changed})


def test_a_path_is_an_address_also_on_another_machine() -> None:
    path = path_of("s3://b/2026-02-20/09/orders.json")
    assert (str(path), path.name, str(path.parent)) == (
        "s3://b/2026-02-20/09/orders.json",
        "orders.json",
        "s3://b/2026-02-20/09",
    )
    copy = pickle.loads(pickle.dumps(path))  # noqa: S301  (as dask sends it)
    assert (copy, str(copy), type(copy)) == (path, str(path), UrlPath)
    assert path.is_relative_to(path_of("s3://b"))
    assert not isinstance(path_of("/a/b"), UrlPath)


def test_master_batch_and_stream_are_loaded_each_object_once(
    server: ObjectStore, warehouse: Warehouse, config: PipelineConfig, tracker: FileTracker
) -> None:
    config = on_store(config, "all")
    check_folders(config)
    for name, rows in samples.master_rows().items():
        server.put(f"all/master/{Path(name).name}", samples.text_of(Path(name), rows))
    server.put("all/batch/2026-02-20/customers.csv", samples.csv_text([samples.customer(777)]))
    server.put("all/stream/2026-02-20/09/", b"")  # as some tools make folders
    server.put("all/stream/2026-02-20/09/orders.json", samples.json_text([samples.order(1, customer_id=777)]))
    server.put("all/stream/2026-02-20/09/late/orders.json", samples.json_text([samples.order(1, customer_id=777)]))
    server.put("all/stream/2026-02-20/10/tickets.csv.part", "half")
    reports: list[str] = []
    inbox = Inbox(config, tracker, report=lambda _kind, path, _message: reports.append(str(path)))
    runner = IngestionRunner(Service(config, warehouse, tracker, inbox))

    def turn() -> dict[Status, int]:
        runner.summary.files.clear()
        seed_master(config, inbox)
        runner.drain()
        scan_everything(config, inbox)
        runner.drain()
        return dict(runner.summary.files)

    masters = len(samples.master_rows())
    assert turn() == {Status.SUCCESS: masters + 2, Status.ALREADY_DONE: 1}
    assert turn() == {}
    server.put("all/stream/2026-02-20/09/late/orders.json", samples.json_text([samples.order(2)]))
    assert turn() == {Status.SUCCESS: 1}
    with warehouse.transaction() as tx:
        tx.execute("SELECT order_id FROM fact_order ORDER BY 1")
        assert {row[0] for row in tx} == {samples.uid("order", 1), samples.uid("order", 2)}
        tx.execute("SELECT file_path FROM pipeline_file_log ORDER BY file_id DESC LIMIT 1")
        assert tx.fetchone() == (f"s3://{BUCKET}/all/stream/2026-02-20/09/late/orders.json",)
    assert reports == []


def test_an_object_that_is_put_again_while_it_is_read_is_not_taken(server: ObjectStore) -> None:
    path = path_of(server.put("changes/orders.json", "[1]"))
    with opened(path) as file:
        assert file.handle.read() == b"[1]"
        file.verify_unchanged()
        server.put("changes/orders.json", "[2]")  # the same size
        with pytest.raises(FileChanged, match="changed"):
            file.verify_unchanged()
        server.remove("changes/orders.json")
        with pytest.raises(FileChanged, match="went away"):
            file.verify_unchanged()
    with pytest.raises(FileChanged, match="went away"), opened(path):
        pass


def test_ten_thousand_objects_are_found_once_and_old_days_are_not_listed_again(
    server: ObjectStore, config: PipelineConfig, tracker: FileTracker
) -> None:
    config = on_store(config, "many")
    for number in range(10_000):
        server.put(f"many/stream/2026-01-{number // 2000 + 1:02d}/{number % 24:02d}/{number}/orders.json", b"[]")
    inbox = Inbox(config, tracker, report=lambda _kind, _path, _message: None)
    now = 0.0
    scanner = StoreScanner(path_of(config.watcher.stream.dir), 1, lambda: now)

    def turn() -> None:
        inbox.offer_found(scanner.entries(), Feed.STREAM)

    turn()
    assert inbox.size() == 10_000
    seen = set()
    while (job := inbox.get(timeout=0)) is not None:
        seen.add(job.path)
        tracker.mark_as_done(job)
        inbox.done(job)
    assert len(seen) == 10_000
    server.requests.clear()
    server.put("many/stream/2026-01-05/09/new/orders.json", b"[]")
    server.put("many/stream/2026-01-02/09/late/orders.json", b"[]")  # found by the listing of every hour
    turn()
    assert [str(job.path) for job in iter(lambda: inbox.get(timeout=0), None)] == [
        f"s3://{BUCKET}/many/stream/2026-01-05/09/new/orders.json"
    ]
    listings = [line for line in server.requests if "list-type=2" in line]
    assert 0 < len(listings) <= 1 + 2 * 3, listings  # the days, and three pages for each of the last two
    assert not any("HEAD" in line for line in server.requests)
    now += FULL_LISTING_SECONDS + 1
    turn()
    assert [job.path.parent.name for job in iter(lambda: inbox.get(timeout=0), None)] == ["late"]


def test_a_store_that_is_away_is_an_outage_of_the_folder(config: PipelineConfig, server: ObjectStore) -> None:
    import fsspec

    nothing = path_of(f"s3://{BUCKET}/nothing")
    scanner = StoreScanner(nothing, 7)
    assert list(scanner.entries()) == []
    with pytest.raises(FileNotFoundError):
        place_of(nothing).stat(nothing / "orders.json")
    fsspec.filesystem("s3", use_listings_cache=False).clear_instance_cache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(OSError, match="object store"):
            list(StoreScanner(nothing, 7).entries())
        fsspec.filesystem("s3", use_listings_cache=False).clear_instance_cache()


def test_a_store_that_is_away_at_the_start_is_waited_for(
    config: PipelineConfig, database: DatabaseConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def scan(*_: object) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise OSError(errno.EIO, "the object store did not answer")

    alerts: list[str] = []
    monkeypatch.setattr(pipeline, "scan_everything", scan)
    monkeypatch.setattr(pipeline, "send_alert", lambda subject, _text: alerts.append(subject))
    with pipeline.Pipeline(config.model_copy(update={"database": database})) as running:
        running.run_once()
    assert (looks, alerts) == (2, ["Input folders unavailable", "Input folders available again"])


def test_a_protocol_that_is_not_there_is_named_at_the_start() -> None:
    for url, problem in (("s3://bucket", ""), ("xyz://bucket", "its protocol is not known; s3://")):
        path = path_of(url)
        assert (place_of(path).unusable(path) or "").startswith(problem)
