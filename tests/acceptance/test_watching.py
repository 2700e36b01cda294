"""Every file is seen, whole, and once: whenever it comes, however it is written, whatever it is called."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import samples
from tests.acceptance.books import assert_books_balance, snapshot
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product, wait_until

MASTER_FILES = len(samples.master_rows())


@pytest.fixture(scope="module")
def daemon_product(make_product: MakeProduct) -> Iterator[Product]:
    """A running daemon whose master is loaded and that found one stream file at its start."""
    product = make_product()
    samples.write_master(product.home)
    product.stream("08", "orders.json", orders(0))
    with product.running():
        yield product


def orders(first: int) -> list[samples.Fields]:
    return [samples.order(n) for n in range(first, first + 5)]


def log_of(product: Product, path: Path) -> list[dict[str, object]]:
    return [row for row in product.file_log() if (product.home / row["file_path"]).resolve() == path.resolve()]


def wait_for(product: Product, path: Path, *, rows: int = 1, seconds: float = 20) -> dict[str, object]:
    """The newest file-log row of `path`, once it has `rows` of them."""
    found = wait_until(
        lambda: log if len(log := log_of(product, path)) >= rows else None,
        f"{path.name} in the file log {rows} times",
        seconds=seconds,
    )
    assert len(found) == rows
    newest: dict[str, object] = found[-1]
    return newest


def test_a_file_that_was_there_before_the_start_is_loaded(daemon_product: Product) -> None:
    path = daemon_product.home / f"data/input/stream/{samples.DAY}/08/orders.json"
    assert wait_for(daemon_product, path)["inserted_records"] == 5


def test_a_file_renamed_into_place_is_loaded(daemon_product: Product) -> None:
    assert (
        wait_for(daemon_product, daemon_product.stream("09", "orders.json", orders(100)))["inserted_records"] == 5
    )


def test_a_file_moved_in_from_elsewhere_is_loaded(daemon_product: Product) -> None:
    outside = samples.write(daemon_product.home / "elsewhere" / "orders.json", orders(200))
    daemon_product.keep(outside)
    path = daemon_product.home / f"data/input/stream/{samples.DAY}/10/orders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    os.rename(outside, path)
    assert wait_for(daemon_product, path)["inserted_records"] == 5


def test_a_folder_moved_in_as_a_whole_is_seen(daemon_product: Product) -> None:
    outside = daemon_product.home / "elsewhere" / "2026-02-21"
    for hour in ("00", "01/deeper"):
        daemon_product.keep(samples.write(outside / hour / "orders.json", orders(300 + 10 * len(hour))))
    inside = daemon_product.home / "data/input/stream/2026-02-21"
    os.rename(outside, inside)
    assert wait_for(daemon_product, inside / "00/orders.json")["inserted_records"] == 5
    assert wait_for(daemon_product, inside / "01/deeper/orders.json")["inserted_records"] == 5


def test_a_hard_link_is_seen(daemon_product: Product) -> None:
    outside = samples.write(daemon_product.home / "elsewhere" / "orders.json", orders(400))
    daemon_product.keep(outside)
    path = daemon_product.home / f"data/input/stream/{samples.DAY}/11/orders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(outside, path)
    assert wait_for(daemon_product, path)["inserted_records"] == 5


def test_a_slowly_written_file_is_loaded_once_and_whole(daemon_product: Product) -> None:
    rows = [samples.order(n) for n in range(500, 540)]
    text = samples.json_text(rows).encode()
    path = daemon_product.home / f"data/input/stream/{samples.DAY}/12/orders.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, len(text), len(text) // 12):
            file.write(text[start : start + len(text) // 12])
            file.flush()
            time.sleep(0.15)  # less than settle_seconds, twelve times over
    daemon_product.keep(path)
    assert wait_for(daemon_product, path)["inserted_records"] == len(rows)


def test_a_failed_file_overwritten_with_good_content_loads(daemon_product: Product) -> None:
    path = daemon_product.stream("13", "orders.json", samples.json_text(orders(600))[:-20])
    assert wait_for(daemon_product, path)["status"] == "failed"
    daemon_product.stream("13", "orders.json", orders(600))
    log = wait_for(daemon_product, path, rows=2)
    assert (log["status"], log["inserted_records"]) == ("success", 5)


def test_a_loaded_file_overwritten_with_more_rows_adds_only_those(daemon_product: Product) -> None:
    path = daemon_product.stream("14", "orders.json", orders(700))
    wait_for(daemon_product, path)
    daemon_product.stream("14", "orders.json", [*orders(700), *orders(705)])
    log = wait_for(daemon_product, path, rows=2)
    assert (log["inserted_records"], log["already_present"]) == (5, 5)


def test_a_replay_under_another_name_is_no_news(daemon_product: Product) -> None:
    path = daemon_product.stream("15", "orders.json", orders(800))
    wait_for(daemon_product, path)
    again = path.parent / "again" / "orders.json"  # of the same hour: at another, it would be newer
    again.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, again)
    marker = daemon_product.stream("17", "orders.json", orders(900))
    wait_for(daemon_product, marker)
    time.sleep(1.5)  # more than a rescan
    assert log_of(daemon_product, again) == []
    assert daemon_product.value("SELECT count(*) FROM pipeline_file_log WHERE status = 'success'") >= MASTER_FILES


def test_files_in_the_making_are_left_alone(daemon_product: Product) -> None:
    folder = daemon_product.home / f"data/input/stream/{samples.DAY}/18"
    folder.mkdir(parents=True)
    text = samples.json_text(orders(1000))
    for name in (".orders.json", "orders.json.tmp", "orders.json.part"):
        (folder / name).write_text(text)
    marker = daemon_product.stream("19", "orders.json", orders(1100))
    wait_for(daemon_product, marker)
    time.sleep(1.5)
    assert not [row for row in daemon_product.file_log() if "/18/" in row["file_path"]]
    os.rename(folder / "orders.json.part", folder / "orders.json")
    daemon_product.keep(folder / "orders.json")
    assert wait_for(daemon_product, folder / "orders.json")["inserted_records"] == 5


def test_a_batch_file_that_comes_late_in_its_day_is_loaded(daemon_product: Product) -> None:
    path = daemon_product.batch("customers.csv", [samples.customer(n) for n in range(2000, 2010)])
    assert wait_for(daemon_product, path)["inserted_records"] == 10


def test_many_files_at_once_are_all_loaded(daemon_product: Product) -> None:
    paths: list[Path] = []

    def write(part: int) -> None:
        numbers = range(part, 40, 4)
        paths.extend(daemon_product.stream(f"20/{n:02d}", "orders.json", orders(3000 + 10 * n)) for n in numbers)

    writers = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for path in paths:
        assert wait_for(daemon_product, path, seconds=40)["inserted_records"] == 5


def test_afterwards_the_books_balance_and_a_second_run_changes_nothing(daemon_product: Product) -> None:
    assert_books_balance(daemon_product)
    before = snapshot(daemon_product)
    daemon_product.once()
    assert snapshot(daemon_product) == before
