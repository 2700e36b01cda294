"""The examples are loaded by their READMEs' commands, and each cell is what a plain reader finds in the files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import ROOT, Product
from tests.acceptance.example_files import FILE_OF, TABLES

Refused = dict[tuple[str, int], str]  # (file, row) → reason
WITHOUT_KEY = {"fact_refund", "fact_booking"}
EXAMPLES = ("shop", "transit", "bank")
DAYS = {
    "shop": ("2026-03-01", "2026-03-02"),
    "transit": ("2026-03-01", "2026-03-02"),
    "bank": ("2026-04-01", "2026-05-01"),
}

REFUSED: dict[str, Refused] = {
    "shop": {
        ("orders.json", 4): "total: at_least",
        ("orders.json", 5): "no_object_at_path",
        ("order_lines.csv", 1): "quantity: dtype",
        ("order_lines.csv", 2): "sku: parent_missing",
        **{("order_lines.csv", row): "order_name: parent_missing" for row in range(7, 13)},  # of orders 4 and 5
        ("order_lines.csv", 147): "order_name, line_no: duplicate",
        ("refunds.csv", 1): "order_name, line_no: parent_missing",
        ("refunds.csv", 23): "order_name, line_no: parent_missing",
    },
    "transit": {
        ("calendar.txt", 3): "start_date: dtype",
        ("calendar_dates.txt", 4): "service_id, date: duplicate",
        ("stop_times.txt", 437): "arrival_time: matches",
        ("stop_times.txt", 438): "stop_id: parent_missing",
    },
    "bank": {
        ("stadtbank_47110_2026-04.csv", 2): "booked_on: dtype",
        ("stadtbank_47110_2026-04.csv", 51): "too_few_fields",
        ("albion_47111_2026-04.csv", 2): "booked_on: dtype",
        ("helvetia_47112_2026-04.csv", 2): "booked_on: dtype",
    },
}


# ---------------------------------------------------------------- the examples


def commands_of(example: str) -> str:
    (script,) = re.findall(r"```bash\n(.*?)```", (ROOT / f"examples/{example}/README.md").read_text(), re.DOTALL)
    return str(script)


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request: pytest.FixtureRequest, make_product: MakeProduct) -> tuple[str, Product]:
    """An example whose README's commands ran as they are printed, in another folder and on the tests' server."""
    name, site = request.param, make_product()
    script = commands_of(name)
    assert f"FASTFEAST_HOME=/tmp/fastfeast-{name} " in script
    environment = {**site.environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-eu", "-c", script.replace(f"/tmp/fastfeast-{name}", str(site.home))],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Everything adds up" in done.stdout
    return name, site


def found_in(site: Product, example: str, table: str) -> Iterable[tuple[Any, ...]]:
    """The rows that a plain reader finds in the files of both days, without those that are refused."""
    refused = REFUSED[example]
    for n, folder in enumerate(DAYS[example]):
        for path in sorted((site.home / "data/input/batch" / folder).glob(FILE_OF[table])):
            for number, row in enumerate(TABLES[example][table][1](path), 1):
                if n == 0 or (path.name, number) not in refused:
                    yield row


def test_every_row_is_in_its_table_with_the_values_of_its_file(example: tuple[str, Product]) -> None:
    name, site = example
    for table, (columns, _) in TABLES[name].items():
        expected = Counter(map(_comparable, found_in(site, name, table)))
        if table not in WITHOUT_KEY:  # elsewhere what comes again is there already
            expected = Counter(set(expected))
        got = Counter(_comparable(tuple(row.values())) for row in site.rows(f"SELECT {columns} FROM {table}"))
        assert got == expected, table
        assert got.total() > 0


def _comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(json.dumps(v, sort_keys=True) if isinstance(v, list) else v for v in row)


def test_wrong_rows_are_in_quarantine_each_with_its_reason(example: tuple[str, Product]) -> None:
    name, site = example
    rows = site.rows("SELECT source_file, row_number, rejection_reason FROM quarantine WHERE resolution IS NULL")
    assert {(r["source_file"], r["row_number"]): r["rejection_reason"] for r in rows} == REFUSED[name]
    assert len(rows) == len(REFUSED[name])


def test_the_books_of_every_file_balance(example: tuple[str, Product]) -> None:
    _, site = example
    for book in site.file_log():
        assert book["status"] == "success"
        assert book["total_records"] == book["valid_records"] + book["quarantined"]
        assert book["valid_records"] == book["inserted_records"] + book["already_present"]


def test_a_generator_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    def bytes_of(home: Path) -> dict[str, bytes]:
        for name in EXAMPLES:
            for which in ("1", "2"):
                subprocess.run(
                    [sys.executable, ROOT / f"examples/{name}/generate.py", "--day", which],
                    env={"FASTFEAST_HOME": str(home / name), "PATH": os.environ["PATH"]},
                    check=True,
                    capture_output=True,
                )
        return {
            str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()
        }

    first = bytes_of(tmp_path / "a")
    assert first == bytes_of(tmp_path / "b")
    assert len(first) == 5 * 2 + 7 * 2 + 3 * 2


def test_the_bank_of_one_sign_and_those_of_two_columns_have_one_amount(example: tuple[str, Product]) -> None:
    name, site = example
    if name != "bank":
        return
    by_bank = site.rows(
        "SELECT bank, count(*) AS n, bool_and(amount IS NOT NULL) AS told FROM v_booking GROUP BY 1 ORDER BY 1"
    )
    assert [(r["bank"], r["n"], r["told"]) for r in by_bank] == [
        ("albion", 99, True),
        ("helvetia", 99, True),
        ("stadtbank", 99, True),
    ]
