"""Writers that stall, times that lie, corrections that look like nothing: no half value, nothing overlooked."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion.places.open_writers import has_writer
from tests.acceptance import samples
from tests.acceptance.books import assert_books_balance
from tests.acceptance.daemon import Daemon, wait_until
from tests.acceptance.faults.inputs import (
    HIDDEN,
    corrected_by_rename,
    corrected_in_place,
    folder_of,
    loaded,
    logged,
    orders,
    with_amount,
)
from tests.acceptance.faults.scenario import Bench

kernel_tells = pytest.mark.skipif(has_writer(Path(__file__)) is None, reason="no read leases here")
STALL = 2.0  # seconds, of a settle time of 0.3


@pytest.mark.parametrize("polling", [False, True], ids=["events", "polling"])
@kernel_tells
def test_a_writer_that_stalls_in_mid_value_is_waited_for_whatever_its_times_say(
    bench: Bench, polling: bool
) -> None:
    product = bench.clone(watcher={"stream": {"polling": polling}})
    half, rest = with_amount(100)
    with product.running():
        product.stream("00", "orders.json", orders(100))
        path = folder_of(product, "09") / "tickets.csv"
        with path.open("w") as writer:
            writer.write(half)
            writer.flush()
            os.utime(path, (1_700_000_000, 1_700_000_000))
            product.stream("10", "orders.json", orders(200))
            wait_until(lambda: loaded(product, orders(200)), "the neighbour loads")
            time.sleep(STALL)
            assert logged(product, path) == []
            writer.write(rest)
        product.keep(path)
        wait_until(lambda: logged(product, path), "the whole file loads")
        wait_until(
            lambda: product.value("SELECT count(*) FROM fact_ticket WHERE refund_amount = 12.5") == 1,
            "the value is whole",
        )
    assert len(logged(product, path)) == 1
    assert_books_balance(product)


def test_a_file_that_grows_by_bits_with_a_time_long_past_is_never_loaded_by_halves(bench: Bench) -> None:
    """Its writer opens and closes it each time, as some file servers do, and sets its time."""
    product = bench.clone(watcher={"settle_seconds": 1.0, "stream": {"polling": True}})
    half, rest = with_amount(100)
    with product.running():
        product.stream("00", "orders.json", orders(100))
        path = folder_of(product, "09") / "tickets.csv"
        text = half + rest
        for start in range(0, len(text), len(text) // 8):
            with path.open("a") as writer:
                writer.write(text[start : start + len(text) // 8])
            os.utime(path, (1_700_000_000, 1_700_000_000))
            time.sleep(0.3)
        product.keep(path)
        wait_until(lambda: logged(product, path), "the whole file loads")
    assert len(logged(product, path)) == 1
    assert_books_balance(product)


@kernel_tells
def test_once_leaves_a_file_to_its_writer_and_says_so(bench: Bench) -> None:
    product = bench.clone()
    path = folder_of(product, "09") / "orders.json"
    with path.open("w") as writer:
        writer.write("[")
        writer.flush()
        product.stream("10", "orders.json", orders(200))
        done = product.once(expect=0, seconds=60)
        assert f"{path.resolve()}: is being written by somebody; not loaded" in done.stdout + done.stderr
        assert loaded(product, orders(200))
        assert logged(product, path) == []
        writer.write(samples.json_text(orders(100)).lstrip("[ \n"))
    product.keep(path)
    product.once(expect=0)
    assert loaded(product, orders(100))
    assert_books_balance(product)


@pytest.mark.parametrize("how", [corrected_in_place, corrected_by_rename])
@pytest.mark.parametrize("by", ["service", "once"])
def test_a_corrected_file_of_the_same_size_and_time_is_loaded(
    bench: Bench, how: Callable[[Path, str], None], by: str
) -> None:
    product = bench.clone(watcher={"stream": {"polling": True}})
    before, after = samples.json_text(orders(100)), samples.json_text(orders(500))
    assert len(before) == len(after)
    batch = [samples.csv_text([samples.customer(n)]) for n in (900, 902)]

    def correct(path: Path, text: str) -> None:
        found = path.stat()
        how(path, text)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        product.keep(path)
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns)

    def is_corrected() -> bool:
        customers = product.value("SELECT count(*) FROM dim_customer WHERE customer_id IN (900, 902)")
        return loaded(product, orders(500)) and customers == 2

    paths = [product.stream("09", "orders.json", before), product.batch("customers.csv", batch[0])]
    if by == "once":
        product.once(expect=0)
        for path, text in zip(paths, (after, batch[1]), strict=True):
            correct(path, text)
        product.once(expect=0)
        assert is_corrected()
    else:
        with product.running():
            wait_until(lambda: loaded(product, orders(100)) and logged(product, paths[1]), "both files load")
            for path, text in zip(paths, (after, batch[1]), strict=True):
                correct(path, text)
            wait_until(is_corrected, "both corrections load")
    assert_books_balance(product)


def test_a_touch_of_all_files_loads_none_again(bench: Bench) -> None:
    product = bench.clone()
    for hour in range(4):
        product.stream(f"{hour:02d}", "orders.json", orders(100 * hour))
    product.once(expect=0)
    before = product.file_log()
    subprocess.run(["chmod", "-R", "g-w,g+r", str(product.home / "data/input")], check=True)
    done = product.once(expect=0)
    assert "0 files loaded, 0 failed, 4 already done" in done.stdout
    done = product.once(expect=0)
    assert "0 files loaded, 0 failed, 0 already done" in done.stdout, "each was looked at once"
    assert product.file_log() == before


def test_hidden_folders_and_those_of_storage_systems_are_left_alone(bench: Bench) -> None:
    product = bench.clone()

    def put_all(number: int) -> None:
        for offset, name in enumerate(HIDDEN):
            rows = orders(1000 * number + 10 * offset)
            product.stream(f"09/{name}", "orders.json", rows)
            product.put(f"input/stream/{name}/{number}/orders.json", rows)
            product.put(f"input/batch/{name}/customers.csv", [samples.customer(5000 + number)])

    put_all(1)
    with product.running() as daemon:
        moved = product.home / "moved"
        samples.write(moved / "@eaDir/x/orders.json", orders(9000))
        moved.rename(product.home / "data/input/stream/moved")
        put_all(2)
        marker = product.stream("23", "orders.json", orders(9500))
        wait_until(lambda: logged(product, marker), "a file beside them loads")
        time.sleep(1.5)  # a rescan and more
        assert unexpected(daemon) == []
    assert product.value("SELECT count(*) FROM fact_order") == 3
    assert product.value("SELECT count(*) FROM dim_customer WHERE customer_id >= 5000") == 0
    for folder in ("09/.snapshot", "09/@eaDir"):
        (folder_of(product, folder) / "orders.json").unlink()


def unexpected(daemon: Daemon) -> list[str]:
    return [line for line in daemon.output().splitlines() if "not loaded" in line]


def test_a_name_that_misses_an_expected_one_is_told_with_it(bench: Bench) -> None:
    product = bench.clone()
    with product.running():
        for hour, name in (("01", "Orders.json"), ("02", "order.json")):
            samples.write(folder_of(product, hour) / name, orders(100))
        logs = product.home / "logs"

        def told() -> bool:
            text = "".join(path.read_text() for path in logs.glob("*.log"))
            return text.count("Did you mean orders.json?") >= 2

        wait_until(told, "both names in the log")
