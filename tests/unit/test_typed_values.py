"""A value that has a type in its file is read as its text would be: the same value, the same verdict."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.file_spec import FileSpec
from config.model import Dtype, Feed
from config.read_options import ReadOptions
from config.schema import Column, Schema
from ingestion.formats.parquet_format import ParquetFormat
from ingestion.formats.typed_text import TypedOptions
from validation.batch import Batch, Chunk
from validation.columns import TypedColumn, parts_of
from validation.conversions import read_typed
from validation.validation_runner import validate

DATES = (dt.date(1900, 1, 1), dt.date(2100, 12, 31))
KEY = Column(name="id", dtype=Dtype.INT, nullable=False)
EXACT = 2**53

WHOLE = st.one_of(
    st.integers(-(10**4), 10**4),
    st.sampled_from([0, EXACT, -EXACT, EXACT + 1, 10**8, 10**10 - 1, 10**15, 10**16, 2**62, 2**63 - 1, -(2**63)]),
)
MONEY = st.integers(-(10**12), 10**12).map(lambda cents: cents / 100)
DOUBLES = st.one_of(
    MONEY,
    WHOLE.map(float),
    st.floats(),
    st.floats(-1, 1),
    st.sampled_from([-0.0, 1e10, 9999999999.5, 12345678901.5, 99999999.995, 1e-4, 1e-5, 0.1 + 0.2, 1e22, 5e-324]),
)


def within(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.one_of(st.integers(low, high), WHOLE.filter(lambda n: low <= n <= high), st.just(high))


def decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    small = min(most, 9999)
    return st.one_of(st.integers(-most, most), st.integers(-small, small)).map(lambda n: Decimal(f"{n}e-{scale}"))


STAMPS = st.one_of(
    st.datetimes(dt.datetime(1890, 1, 1), dt.datetime(2110, 1, 1)).map(
        lambda t: (t - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1) * 1_000
    ),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, 999, 1_000, -1, -1_000]),
)


def stamps(unit: str, zone: str | None) -> tuple[pa.DataType, st.SearchStrategy[int]]:
    divisor = {"ns": 1, "us": 1_000, "ms": 10**6}[unit]
    far = {"ns": 2**63 - 1, "us": 253_402_300_800 * 10**6, "ms": 253_402_300_800 * 10**3}[unit]
    near = STAMPS.map(lambda n: n // divisor)
    return pa.timestamp(unit, zone), st.one_of(near, st.sampled_from([far, far - 1, -far]))


KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), within(8, signed=True)),
    (pa.int32(), within(32, signed=True)),
    (pa.int64(), within(64, signed=True)),
    (pa.uint32(), within(32, signed=False)),
    (pa.uint64(), within(64, signed=False)),
    (pa.float64(), DOUBLES),
    (pa.float32(), st.one_of(st.floats(width=32), st.sampled_from([0.5, 1.0, 16777216.0]))),
    (pa.decimal128(12, 2), decimals(12, 2)),
    (pa.decimal128(38, 10), decimals(38, 10)),
    (pa.decimal128(20, 0), decimals(20, 0)),
    (pa.decimal256(50, 4), decimals(50, 4)),
    stamps("us", None),
    stamps("ns", None),
    stamps("ms", "UTC"),
    stamps("us", "Africa/Cairo"),
    (pa.date32(), st.one_of(st.integers(-30_000, 60_000), st.sampled_from([2_932_896, 2_932_897, -719_163]))),
    (pa.time64("us"), st.integers(0, 86_399_999_999)),
]
COLUMNS = [
    Column(name="v", dtype=Dtype.INT),
    Column(name="v", dtype=Dtype.INT, sql_type="smallint", nullable=False, uses={"at_least": 0}),
    Column(name="v", dtype=Dtype.INT, sql_type="bigint", default=7),
    Column(name="v", dtype=Dtype.FLOAT, sql_type="numeric(10,2)", uses={"at_most": 500}),
    Column(name="v", dtype=Dtype.FLOAT, sql_type="numeric(10,2)", round=True),
    Column(name="v", dtype=Dtype.FLOAT, sql_type="numeric(20,6)"),
    Column(name="v", dtype=Dtype.FLOAT, sql_type="numeric"),
    Column(name="v", dtype=Dtype.FLOAT, sql_type="double precision"),
    Column(name="v", dtype=Dtype.DATETIME),
    Column(name="v", dtype=Dtype.DATETIME, sql_type="timestamptz", round=True),
    Column(name="v", dtype=Dtype.DATE, sql_type="date"),
    Column(name="v", dtype=Dtype.TIME, sql_type="time"),
    Column(name="v", dtype=Dtype.STR),
    Column(name="v", dtype=Dtype.BOOL),
]
OPTIONS = [
    ReadOptions(),
    ReadOptions(decimal=",", thousands="."),
    ReadOptions(thousands=",", currency=True),
    ReadOptions(null_values=("nan", "inf", "null"), trim=True),
    ReadOptions(null_values=("0", "-1", "9999-12-31")),
    ReadOptions(timezone="Africa/Cairo"),
    ReadOptions(dates=("%d/%m/%Y %H:%M:%S", "epoch")),
]


def told(batch: Batch) -> tuple[Any, ...]:
    """All that comes of a chunk: what is judged, what is loaded, what goes into quarantine."""
    values, output = (
        {name: (array.type, array.cast(pa.string()).to_pylist()) for name, array in arrays.items()}
        for arrays in (batch.values, batch.output)
    )
    return values, output, batch.rejections()


def chunk_of(kind: pa.DataType, values: list[Any], spec: FileSpec) -> Chunk:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(range(len(values)), pa.int64()), "v": pa.array(values, kind)}), out)
    own = TypedOptions(decimal=spec.read.decimal, dates=spec.read.dates, timezone=spec.read.timezone)
    out.seek(0)
    (chunk,) = ParquetFormat().chunks(out, spec.schema, 100, own)
    return chunk


def spec_of(column: Column, read: ReadOptions) -> FileSpec:
    schema = Schema(name="things", primary_key="id", columns=(KEY, column))
    return FileSpec("things", Feed.BATCH, "things.parquet", "dim_thing", schema, (), read=read)


def verify_same(kind: pa.DataType, values: list[Any], column: Column, read: ReadOptions) -> None:
    spec = spec_of(column, read)
    chunk = chunk_of(kind, values, spec)
    as_text = Chunk(chunk.numbers, dict(chunk.columns), chunk.malformed)
    assert told(validate(chunk, spec, DATES)) == told(validate(as_text, spec, DATES))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_typed_value_is_read_as_its_text(data: st.DataObject) -> None:
    kind, values = data.draw(st.sampled_from(KINDS), "kind")
    found = data.draw(st.lists(st.none() | values, min_size=1, max_size=8), "values")
    column, read = data.draw(st.sampled_from(COLUMNS), "column"), data.draw(st.sampled_from(OPTIONS), "read")
    verify_same(kind, found, column, read)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.none() | DOUBLES, min_size=1, max_size=6), st.integers(1, 20), st.integers(0, 12))
@example([0.1 + 0.2], 10, 2)
@example([99999999.995], 10, 2)
@example([1e-7, 12345678901.5], 20, 9)
def test_a_double_fits_a_numeric_where_its_text_does(values: list[Any], whole: int, scale: int) -> None:
    column = Column(name="v", dtype=Dtype.FLOAT, sql_type=f"numeric({whole + scale},{scale})")
    for read_as in (column, column.model_copy(update={"round": True})):
        verify_same(pa.float64(), values, read_as, ReadOptions())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_decimal_fits_a_numeric_where_its_text_does(data: st.DataObject) -> None:
    digits = data.draw(st.integers(1, 38))
    scale = data.draw(st.integers(0, digits))
    values = data.draw(st.lists(st.none() | decimals(digits, scale), min_size=1, max_size=6))
    of_column = data.draw(st.integers(0, 8))
    column = Column(name="v", dtype=Dtype.FLOAT, sql_type=f"numeric({of_column + 9},{of_column})")
    verify_same(pa.decimal128(digits, scale), values, column, ReadOptions())


@pytest.mark.parametrize(
    ("kind", "values", "column"),
    [
        (pa.int32(), [1, None], COLUMNS[0]),
        (pa.float64(), [1.0, None], COLUMNS[0]),
        (pa.float64(), [1.25, None, 0.1], COLUMNS[3]),
        (pa.decimal128(12, 2), [Decimal("1.25"), None], COLUMNS[3]),
        (pa.timestamp("ns"), [1_000, None], COLUMNS[8]),
        (pa.timestamp("us", "UTC"), [1_000, None], COLUMNS[8]),
        (pa.date32(), [1, None], COLUMNS[10]),
    ],
)
def test_plain_values_need_no_text(kind: pa.DataType, values: list[Any], column: Column) -> None:
    part = parts_of(chunk_of(kind, values, spec_of(column, ReadOptions())).columns)["v"]
    assert isinstance(part, TypedColumn)
    assert read_typed(column, part) is not None


def test_a_sliced_array_of_decimals_is_read_from_its_own_beginning() -> None:
    values = pa.array([Decimal(n) for n in range(10)], pa.decimal128(12, 2)).slice(4, 3)
    found = read_typed(COLUMNS[3], TypedColumn(values, lambda them: them.cast(pa.string())))
    assert found is not None
    assert found.values.to_pylist() == [4.0, 5.0, 6.0]


def test_text_is_made_once_and_of_the_rows_that_are_asked_for() -> None:
    asked: list[int] = []

    def as_text(values: pa.Array) -> pa.Array:
        asked.append(len(values))
        return values.cast(pa.string())

    spec = spec_of(Column(name="v", dtype=Dtype.INT, uses={"at_least": 0}), ReadOptions())
    typed = chunk_of(pa.int64(), [1, -1, None, 2], spec).columns
    parts = {name: TypedColumn(part.values, as_text) for name, part in parts_of(typed).items()}
    columns = type(typed)(parts)  # type: ignore[call-arg]
    batch = validate(Chunk(pa.array([1, 2, 3, 4]).to_numpy(), columns), spec, DATES)
    assert asked == []
    assert [refused.raw for refused in batch.rejections()] == [{"id": "1", "v": "-1"}]
    assert asked == [1, 1]
    assert columns["v"].to_pylist() == columns["v"].to_pylist() == ["1", "-1", None, "2"]
    assert asked == [1, 1, 4]
