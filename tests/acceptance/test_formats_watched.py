"""The service finds workbooks, Parquet and packed files, in folders and in an object store, as it finds CSV."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import MakeProduct
from tests.acceptance.daemon import Product, wait_until
from tests.object_store import BUCKET, ObjectStore, object_store
from tests.workbooks import ods, packed, parquet, xls, xlsx

HEADER = ["id", "label"]
ENDINGS = (".xlsx", ".xls", ".ods", ".parquet", ".csv", ".ndjson")
PACKINGS = ("", ".gz", ".zst", ".zip")
FILES = [(ending, packing) for ending in ENDINGS for packing in PACKINGS]


def data_of(ending: str, number: int) -> bytes:
    """A file with one row, told apart by its number."""
    match ending:
        case ".parquet":
            return parquet({"id": [number], "label": [f"Zoë {number}"]})
        case ".csv":
            return f"id,label\n{number},Zoë {number}\n".encode()
        case ".ndjson":
            return f'{{"id": {number}, "label": "Zoë {number}"}}\n'.encode()
    return {".xlsx": xlsx, ".xls": xls, ".ods": ods}[ending]([HEADER, [number, f"Zoë {number}"]])


def settings(stream: str) -> dict[str, Any]:
    columns = [{"name": "id", "dtype": "int", "nullable": False}, {"name": "label", "dtype": "str"}]
    patterns = [f"*{ending}" for ending in ENDINGS]
    return {
        "watcher": {"stream": {"dir": stream, "expected_files": {p: {"table": "dim_thing"} for p in patterns}}},
        "reader": {"file_type_map": dict.fromkeys(patterns, "things")},
        "schemas": {"things": {"primary_key": "id", "columns": columns}},
        "views": [],
        "panels": [],
    }


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    with object_store() as running:
        yield running


def expected() -> list[dict[str, Any]]:
    return [{"id": number, "label": f"Zoë {number}"} for number in range(len(FILES))]


def loaded(product: Product) -> bool:
    return product.rows("SELECT id, label FROM dim_thing ORDER BY id") == expected()


def name_of(number: int, ending: str, packing: str) -> str:
    return f"things_{number}{ending}{packing}"


def test_the_service_finds_each_of_them_in_a_folder(make_product: MakeProduct) -> None:
    product = make_product(**settings("data/input/stream"))
    with product.running():
        product.put("input/stream/2026-02-20/09/~$things_1.xlsx", b"\5owner" + b" " * 160)  # while one has it open
        product.put("input/stream/2026-02-20/09/.~lock.things_1.ods#", b"owner")
        for number, (ending, packing) in enumerate(FILES):
            name = name_of(number, ending, packing)
            product.stream("09", name, packed(data_of(ending, number), packing, f"things{ending}"))
        wait_until(lambda: loaded(product), lambda: str(product.file_log()), seconds=60)
    assert {book["status"] for book in product.file_log()} == {"success"}
    assert len(product.file_log()) == len(FILES)


def test_the_service_finds_each_of_them_in_an_object_store(make_product: MakeProduct, store: ObjectStore) -> None:
    product = make_product(**settings(f"s3://{BUCKET}/stream"))
    product.env |= store.environment
    with product.running():
        store.put("stream/2026-02-20/09/~$things_1.xlsx", b"\5owner" + b" " * 160)
        for number, (ending, packing) in enumerate(FILES):
            data = packed(data_of(ending, number), packing, f"things{ending}")
            store.put(f"stream/2026-02-20/09/{name_of(number, ending, packing)}", data)
        wait_until(lambda: loaded(product), lambda: str(product.file_log()), seconds=60)
    assert {book["status"] for book in product.file_log()} == {"success"}
    assert len(product.file_log()) == len(FILES)
