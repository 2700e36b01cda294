"""Parquet value by value, and packed files whole or refused."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import uuid
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import FileRejected
from config.file_names import spec_for
from config.model import Dtype, Feed
from config.read_options import ReadOptions
from config.schema import Column, Schema
from ingestion.file_reader import get_file_type, read_chunks
from ingestion.formats import packing
from ingestion.formats.parquet_format import ParquetFormat
from ingestion.formats.typed_text import TypedOptions
from ingestion.places.registry import opened
from tests.unit.test_formats import config_of
from tests.workbooks import packed, parquet, zipped

MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 600000)


def read(data: bytes, dtype: str = "str", chunk_rows: int = 2, **options: Any) -> tuple[list[Any], list[Any]]:
    schema = Schema(name="t", primary_key="v", columns=(Column(name="v", dtype=Dtype(dtype)),))
    chunks = list(ParquetFormat().chunks(io.BytesIO(data), schema, chunk_rows, TypedOptions(**options)))
    malformed = [(m.number, m.reasons[0].rule) for chunk in chunks for m in chunk.malformed]
    return [value for chunk in chunks for value in chunk.columns["v"].to_pylist()], malformed


def text_of(values: Any, dtype: str = "str", **options: Any) -> list[Any]:
    return read(parquet({"v": values}), dtype, **options)[0]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (pa.array([1, None, -(2**63)]), ["1", None, "-9223372036854775808"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([42.0, 0.1, 1e10, 1e-7, -0.0, 1e300]), ["42", "0.1", "10000000000", "1e-7", "0", "1e+300"]),
        (pa.array([0.1, 1e10], pa.float32()), ["0.1", "10000000000"]),
        (pa.array([float("nan"), 1.5]), ["nan", "1.5"]),
        (pa.array([Decimal("1.10"), Decimal("0.00000001")], pa.decimal128(20, 8)), ["1.10000000", "0.00000001"]),
        (pa.array([Decimal("12345678901234567890123.45")], pa.decimal256(40, 2)), ["12345678901234567890123.45"]),
        (pa.array([True, None]), ["true", None]),
        (pa.array(["", "x", None]), ["", "x", None]),
        (pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array([dt.date(2024, 2, 29)]), ["2024-02-29"]),
        (pa.array([MOMENT, MOMENT.replace(microsecond=0)]), ["2024-01-02 03:04:05.6", "2024-01-02 03:04:05"]),
        (pa.array([1], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001"]),
        (pa.array([MOMENT], pa.timestamp("ms", "Asia/Tokyo")), ["2024-01-02 03:04:05.6Z"]),
        (pa.array([dt.time(3, 4, 5)]), ["03:04:05"]),
        (pa.array([None, None], pa.null()), [None, None]),
        (pa.array([uuid.UUID(int=5).bytes], pa.uuid()), [str(uuid.UUID(int=5))]),
        (pa.array([[1, None], [], None]), ["[1, null]", "[]", None]),
        (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), ["[1, 2]"]),
        (pa.array([{"a": Decimal("1.10"), "b": ['x"é']}, None]), ['{"a": 1.10, "b": ["x\\"é"]}', None]),
        (pa.array([[("k", 1.5)], None, []], pa.map_(pa.string(), pa.float64())), ['{"k": 1.5}', None, "{}"]),
    ],
)
def test_a_value_is_its_text(values: pa.Array, texts: list[Any]) -> None:
    assert text_of(values) == texts


def test_a_typed_value_is_written_as_texts_of_its_column_are() -> None:
    assert text_of([1.5], "float", decimal=",") == ["1,5"]
    assert text_of([MOMENT.replace(microsecond=0)], "datetime", dates=("%d/%m/%Y %H:%M:%S",)) == [
        "02/01/2024 03:04:05"
    ]
    assert text_of([MOMENT], "datetime", dates=("epoch_ms",)) == ["1704164645600"]
    assert text_of([MOMENT], "datetime", dates=("%d/%m/%Y",)) == [
        "2024-01-02 03:04:05.6"
    ]  # to be refused, not cut


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1, max_size=20))
def test_any_double_is_read_back_as_itself(values: list[float | None]) -> None:
    assert [None if text is None else float(text) for text in text_of(pa.array(values, pa.float64()))] == values


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.datetimes(dt.datetime(1600, 1, 1), dt.datetime(9000, 1, 1)) | st.none(), min_size=1, max_size=9)
)
def test_any_time_is_read_back_as_itself(values: list[dt.datetime | None]) -> None:
    texts = text_of(pa.array(values, pa.timestamp("us")))
    assert [
        None if text is None else dt.datetime.fromisoformat(text.ljust(26, "0") if "." in text else text)
        for text in texts
    ] == values


@pytest.mark.parametrize("kind", [pa.binary(), pa.duration("s"), pa.list_(pa.binary())])
def test_a_column_whose_values_have_no_text_is_refused_with_its_place(kind: pa.DataType) -> None:
    with pytest.raises(
        FileRejected, match=r"column v is of type .*, whose values have no text; write it as a string"
    ):
        text_of(pa.array([], kind))


def test_a_text_that_is_not_utf8_costs_its_row() -> None:
    bad = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers())
    assert read(parquet({"v": bad})) == (["a", "c"], [(2, "not_utf8")])


WHOLE = parquet({"v": list(range(1000))})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "is no Parquet file"),
        (zipped({"a": b""}), "looks like a zip archive or an Excel workbook"),
        (b"PARE" + WHOLE, "encrypted"),
        (WHOLE[:-20], "not a whole Parquet file"),
        (WHOLE[:100], "not a whole Parquet file"),
        (parquet({"w": [1]}), "missing: v; unexpected: w"),
    ],
)
def test_a_file_that_is_none_is_told(data: bytes, told: str) -> None:
    with pytest.raises(FileRejected, match=told):
        read(data)


def test_row_groups_come_in_chunks_and_order() -> None:
    data = parquet({"v": list(range(25))}, row_group_size=7)
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups == 4
    assert read(data, chunk_rows=10)[0] == [str(n) for n in range(25)]


# ---------------------------------------------------------------- packings

ROWS = b"item_id,label\n1,a\n2,b\n"


def load(home: Path, name: str, data: bytes, pattern: str = "items.csv", **read_options: Any) -> list[str]:
    config = config_of(home, read_options or None, pattern=pattern)
    path = home / name
    path.write_bytes(data)
    spec = spec_for(config.files, Feed.BATCH, name)
    assert spec is not None
    with opened(path) as file:
        chunks = list(read_chunks(file, name, spec.schema, 10, spec.read))
        assert file.md5() == hashlib.md5(data, usedforsecurity=False).hexdigest()
        file.verify_unchanged()
    return [value for chunk in chunks for value in chunk.columns["label"].to_pylist()]


@pytest.mark.parametrize("ending", [".gz", ".zst", ".zip"])
def test_a_packed_file_is_read(tmp_path: Path, ending: str) -> None:
    assert load(tmp_path, f"items.csv{ending.upper()}", packed(ROWS, ending)) == ["a", "b"]
    assert load(tmp_path, f"items{ending}", packed(ROWS, ending), f"items{ending}", format="csv") == ["a", "b"]


def test_what_desktops_add_to_an_archive_is_no_file(tmp_path: Path) -> None:
    data = zipped({"__MACOSX/._items.csv": b"x", "folder/": b"", "folder/items.csv": ROWS, ".DS_Store": b"x"})
    assert load(tmp_path, "items.csv.zip", data) == ["a", "b"]


def encrypted() -> bytes:
    data = bytearray(zipped({"items.csv": ROWS}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def method(number: int) -> bytes:
    data = bytearray(zipped({"items.csv": ROWS}))
    data[8] = number
    data[data.index(b"PK\x01\x02") + 10] = number
    return bytes(data)


MANY = b"item_id,label\n" + b"".join(b"%d,%d\n" % (n, n * 7919 % 10007) for n in range(50_000))


@pytest.mark.parametrize(
    ("ending", "data", "told"),
    [
        (".zip", zipped({"a.csv": ROWS, "b.csv": ROWS}), "holds 2 files: pack one file in each"),
        (".zip", zipped({}), "holds no file"),
        (".zip", zipped({"folder/": b""}), "holds no file"),
        (".zip", encrypted(), "is encrypted: pack the file without a password"),
        (".zip", method(99), "by a method that is not known"),
        (".zip", b"item_id,label\n", "not a whole zip file"),
        (".zip", zipped({"a.csv": MANY})[:-30], "not a whole zip file"),
        (".zip", zipped({"a.csv": MANY})[:5000].replace(b"x", b"y"), "not a whole zip file"),
        (".zst", packed(MANY, ".zst")[:-10], "not a whole zstd file"),
        (".zst", packed(MANY, ".zst")[: 1 << 12], "not a whole zstd file"),
        (".zst", ROWS, "not a whole zstd file"),
        (".zst", b"", "not a whole zstd file"),
        (".gz", packed(MANY, ".gz")[:-10], "not a whole gzip file"),
    ],
)
def test_a_packed_file_that_is_not_whole_is_told(tmp_path: Path, ending: str, data: bytes, told: str) -> None:
    with pytest.raises(FileRejected, match=told):
        load(tmp_path, f"items.csv{ending}", data)


def test_a_damaged_member_is_found_by_its_checksum(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.csv", ROWS)
    with pytest.raises(FileRejected, match="not a whole zip file"):
        load(tmp_path, "items.csv.zip", out.getvalue().replace(b"2,b", b"2,c"))


@pytest.mark.parametrize("ending", [".gz", ".zst", ".zip"])
def test_a_bomb_is_refused_before_it_fills_anything(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "ALWAYS_BYTES", 1 << 20)
    with pytest.raises(FileRejected, match="more than 500 times its size"):
        load(tmp_path, f"items.csv{ending}", packed(b"item_id,label\n" + b"1,aaaaaaa\n" * (1 << 20), ending))


def test_types_and_names_of_packed_files(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    assert get_file_type("items.CSV.Zst", config) == get_file_type("items.csv.ZIP", config) == "items"
    assert ReadOptions().format is None
    assert gzip.decompress(packed(ROWS, ".gz")) == ROWS
