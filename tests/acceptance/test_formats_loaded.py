"""Workbooks and Parquet, plain and packed: each cell is in the table, or its row is in quarantine."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance.commands import cli
from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product
from tests.workbooks import CellError, ods, packed, parquet, xls, xlsx

COLUMNS: dict[str, dict[str, Any]] = {
    "id": {"dtype": "int", "nullable": False, "sql_type": "bigint"},
    "name": {"dtype": "str", "sql_type": "text"},
    "amount": {"dtype": "float", "sql_type": "numeric(12,4)"},
    "rate": {"dtype": "float"},
    "at": {"dtype": "datetime"},
    "day": {"dtype": "date"},
    "clock": {"dtype": "time"},
    "ok": {"dtype": "bool"},
}
ROWS: list[list[Any]] = [
    [1, "Zoë ☕", 12.5, 0.1, dt.datetime(2024, 1, 2, 3, 4, 5), dt.date(2024, 2, 29), dt.time(23, 59, 58), True],
    [2, None, None, None, None, None, None, None],
    [3, "007", -0.0001, 1e-7, dt.datetime(2000, 1, 1), dt.date(2099, 12, 31), dt.time(0, 0, 1), False],
    [
        4,
        "#N/A in a text",
        99999999.9999,
        1.5e308,
        dt.datetime(2038, 1, 19, 3, 14, 8),
        None,
        None,
        True,
    ],
    [1234567890123, " blanks ", 0, 123456789.125, None, None, None, False],
]
WITH_ERROR = [6, "lost", CellError("#N/A"), 1.0, None, None, None, True]
WORKBOOKS: dict[str, Callable[[Any], bytes]] = {".xlsx": xlsx, ".xls": xls, ".ods": ods}
PACKINGS = ("", ".gz", ".zst", ".zip")


def parquet_rows() -> bytes:
    columns: dict[str, Any] = dict(zip(COLUMNS, map(list, zip(*ROWS, strict=True)), strict=True))
    columns["amount"] = pa.array(
        [None if a is None else Decimal(str(a)) for a in columns["amount"]], pa.decimal128(12, 4)
    )
    return parquet(columns)


def name_of(extension: str, packing: str) -> str:
    return f"t_{extension[1:]}{packing.replace('.', '_')}{extension}"


FILES = [(extension, packing) for extension in (*WORKBOOKS, ".parquet") for packing in PACKINGS]


@pytest.fixture(scope="module")
def loaded(make_product: MakeProduct) -> Product:
    columns = [{"name": name, **how} for name, how in COLUMNS.items()]
    names = [name_of(*file) for file in FILES]
    stems = [Path(name).stem for name in names]
    product = make_product(
        watcher={
            "batch": {"expected_files": {n: {"table": f"dim_{s}"} for n, s in zip(names, stems, strict=True)}}
        },
        reader={"trim": False, "null_values": []},
        schemas={stem: {"primary_key": "id", "columns": columns} for stem in stems},
    )
    for (extension, packing), name in zip(FILES, names, strict=True):
        data = (
            parquet_rows() if extension == ".parquet" else WORKBOOKS[extension]([list(COLUMNS), *ROWS, WITH_ERROR])
        )
        product.batch(name + packing.upper(), packed(data, packing, name))
    product.once(expect=0)
    return product


@pytest.mark.parametrize(("extension", "packing"), FILES)
def test_every_cell_is_in_the_table(loaded: Product, extension: str, packing: str) -> None:
    found = loaded.rows(
        f"SELECT {', '.join(COLUMNS)} FROM dim_{Path(name_of(extension, packing)).stem} ORDER BY id"
    )
    assert [list(row.values()) for row in found] == [
        [Decimal(str(v)) if n == "amount" and v is not None else v for n, v in zip(COLUMNS, row, strict=True)]
        for row in sorted(ROWS, key=lambda row: row[0])
    ]


@pytest.mark.parametrize("extension", WORKBOOKS)
def test_a_cell_with_an_error_costs_its_row_and_is_told(loaded: Product, extension: str) -> None:
    table = f"dim_{Path(name_of(extension, '')).stem}"
    (row,) = loaded.rows("SELECT row_number, reasons, raw_data FROM quarantine WHERE source_table = %s", table)
    assert (row["row_number"], row["raw_data"]["amount"], row["raw_data"]["name"]) == (6, "#N/A", "lost")
    assert "error_value" in str(row["reasons"])


def test_the_books_balance_and_the_hash_is_that_of_the_files_bytes(loaded: Product) -> None:
    log = loaded.file_log()
    assert {book["status"] for book in log} == {"success"}
    assert len(log) == len(FILES)
    for book in log:
        assert book["total_records"] == book["inserted_records"] + book["quarantined"]
        path = Path(book["file_path"])
        assert loaded.kept(path, book["file_hash"]).exists()


def test_what_openpyxl_and_arrow_read_is_what_was_written() -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(xlsx([list(COLUMNS), *ROWS]))).active
    assert sheet is not None
    dates = dt.date(2024, 2, 29)
    assert sheet.cell(2, 6).value == dt.datetime.combine(dates, dt.time())
    assert pq.read_table(io.BytesIO(parquet_rows())).column("day").to_pylist()[0] == dates


def test_check_and_infer_read_them(loaded: Product, tmp_path: Path) -> None:
    path = tmp_path / name_of(".xlsx", "")
    path.write_bytes(xlsx([list(COLUMNS), *ROWS, WITH_ERROR]))
    answer = cli(loaded, "check", path, expect=None)
    assert "error_value" in answer.out or "error" in answer.out
    notes = tmp_path / "visits.xlsx"
    notes.write_bytes(
        xlsx([["Visits of May"], [], ["visit_id", "seen_at"], [1, dt.datetime(2024, 5, 1, 8)], [2, None]])
    )
    found = cli(loaded, "infer", notes, "--name", "visits", "--json").json["config"]
    assert found["watcher"]["batch"]["expected_files"]["visits.xlsx"]["read"] == {"skip_lines": 2}
    assert [(c["name"], c["dtype"]) for c in found["schemas"]["visits"]["columns"]] == [
        ("visit_id", "int"),
        ("seen_at", "datetime"),
    ]
