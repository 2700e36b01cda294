"""The operator's commands beside a running service."""

from __future__ import annotations

import os
import signal

from tests.acceptance.books import csv_differences, tracker_differences
from tests.acceptance.daemon import Product, wait_until

CATEGORIES = "category_id,category_name\n"


def run(product: Product, *arguments: object, expect: int = 0) -> str:
    done = product.run(*arguments, expect=expect)
    return done.stdout + done.stderr


def test_rows_are_mended_and_files_undone_beside_the_service(product: Product) -> None:
    with product.running() as daemon:
        path = product.batch("categories.csv", f"{CATEGORIES}1,a\nx,b\n")
        product.wait_for_files(1)
        row, file_id = product.rows("SELECT quarantine_id, file_id FROM quarantine")[0].values()
        run(product, "quarantine", "edit", row, "--set", "category_id=2", "--yes")
        run(product, "quarantine", "replay", row, "--yes")
        assert product.value("SELECT inserted_records FROM pipeline_file_log") == 2
        assert csv_differences(product) == []

        run(product, "undo", file_id, "--yes")
        os.utime(path)  # the service looks at it again, and finds that it was undone
        wait_until(lambda: "nothing to do" in log(product), "the service sees the file again")
        assert product.value("SELECT count(*) FROM dim_category") == 0
        assert csv_differences(product) == []

        run(product, "reprocess", file_id, "--yes")
        assert product.value("SELECT count(*) FROM dim_category") == 1
        assert daemon.stop(signal.SIGTERM) == 0
    assert csv_differences(product) == []
    assert tracker_differences(product) == []
    assert product.once(expect=0).stdout.startswith("0 files loaded, 0 failed")
    assert "[operator]" in log(product)


def log(product: Product) -> str:
    return "".join(path.read_text() for path in (product.home / "logs").glob("*.log"))
