"""Times of Parquet that are finer than microseconds: kept in text, refused by columns of times, never cut."""

from __future__ import annotations

import datetime as dt
import io
import struct
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.errors import FileRejected
from config.file_spec import FileSpec
from config.model import Dtype, Feed
from config.read_options import ReadOptions
from config.schema import Column, Schema
from ingestion.formats.parquet_format import ParquetFormat
from ingestion.formats.typed_text import TypedOptions
from validation.validation_runner import validate

DATES = (dt.date(1, 1, 1), dt.date(9999, 12, 30))
NANOS = 1_704_164_645_123_456_789
WHOLE, FINE = "2024-01-02 03:04:05", "2024-01-02 03:04:05.123456789"
JULIAN_1970 = 2_440_588


def judged(data: bytes, column: Column, **options: Any) -> list[Any]:
    """What is loaded of each value of `at`, or (rules, text) where it is refused."""
    read = ReadOptions(**options)
    key = Column(name="id", dtype=Dtype.INT, nullable=False)
    schema = Schema(name="things", primary_key="id", columns=(key, column))
    spec = FileSpec("things", Feed.BATCH, "things.parquet", "dim_thing", schema, (), read=read)
    own = TypedOptions(decimal=read.decimal, dates=read.dates, timezone=read.timezone)
    found: list[Any] = []
    for chunk in ParquetFormat().chunks(io.BytesIO(data), schema, 3, own):
        batch = validate(chunk, spec, DATES)
        refused = {r.number: (*(o.rule for o in r.reasons), r.raw[column.name]) for r in batch.rejections()}
        values = batch.output[column.name].to_pylist()
        found += [refused.get(n, v) for n, v in zip(chunk.numbers.tolist(), values, strict=True)]
    return found


def written(values: pa.Array, **options: Any) -> bytes:
    out = io.BytesIO()
    table = pa.table({"id": pa.array(range(len(values)), pa.int64()), "at": values})
    pq.write_table(table, out, compression="NONE", use_dictionary=False, **options)
    return out.getvalue()


def int96(*times: int | None) -> bytes:
    """Nanoseconds since 1970, as Spark, Hive and Impala wrote them; also those that 64 bits do not hold."""
    near = [None if t is None else t if abs(t) < 2**63 else n for n, t in enumerate(times)]
    data = written(pa.array(near, pa.timestamp("ns")), use_deprecated_int96_timestamps=True)
    for number, time in enumerate(times):
        if time is not None and abs(time) >= 2**63:
            day, rest = divmod(time, 86_400 * 10**9)
            assert data.count(struct.pack("<qi", number, JULIAN_1970)) == 1
            data = data.replace(
                struct.pack("<qi", number, JULIAN_1970), struct.pack("<qi", rest, JULIAN_1970 + day)
            )
    return data


def year(number: int) -> int:
    return (dt.date(number, 1, 1) - dt.date(1970, 1, 1)).days * 86_400 * 10**9


TEXT = Column(name="at", dtype=Dtype.STR)
TIME = Column(name="at", dtype=Dtype.DATETIME)


def test_a_time_of_96_bits_keeps_all_its_digits() -> None:
    data = int96(NANOS, None, NANOS - NANOS % 10**9, -1, 1_500, 1_000)
    assert judged(data, TEXT) == [
        FINE,
        None,
        WHOLE,
        "1969-12-31 23:59:59.999999999",
        "1970-01-01 00:00:00.0000015",
        "1970-01-01 00:00:00.000001",
    ]


def test_a_time_of_96_bits_finer_than_microseconds_is_refused_as_that_of_a_csv_is() -> None:
    data = int96(NANOS, None, NANOS - NANOS % 1_000, -1)
    assert judged(data, TIME) == [
        ("out_of_range", FINE),
        None,
        dt.datetime(2024, 1, 2, 3, 4, 5, 123456),
        ("out_of_range", "1969-12-31 23:59:59.999999999"),
    ]
    rounded = TIME.model_copy(update={"round": True})
    assert judged(data, rounded)[0] == dt.datetime(2024, 1, 2, 3, 4, 5, 123457)


def test_a_time_of_96_bits_in_a_year_far_off_is_that_time() -> None:
    data = int96(year(9000), year(9000) + 1, year(1500), year(1500) + 123_456_789, NANOS)
    assert judged(data, TIME) == [
        dt.datetime(9000, 1, 1),
        ("out_of_range", "9000-01-01 00:00:00.000000001"),
        dt.datetime(1500, 1, 1),
        ("out_of_range", "1500-01-01 00:00:00.123456789"),
        ("out_of_range", FINE),
    ]


def test_a_nested_time_of_96_bits_that_would_be_cut_fails_its_file_with_the_way_out() -> None:
    for kind, value in (
        (pa.struct([("a", pa.timestamp("ns"))]), {"a": NANOS}),
        (pa.list_(pa.timestamp("ns")), [0, NANOS]),
        (pa.list_(pa.struct([("a", pa.timestamp("ns"))])), [{"a": 0}, {"a": NANOS}]),
        (pa.map_(pa.string(), pa.timestamp("ns")), [("a", NANOS)]),
    ):
        data = written(pa.array([None, value], kind), use_deprecated_int96_timestamps=True)
        with pytest.raises(FileRejected, match=r"column at .*finer than microseconds.*write"):
            judged(data, TEXT)


def test_a_nested_time_of_96_bits_is_read_where_nothing_is_cut() -> None:
    values = pa.array([{"a": NANOS - NANOS % 1_000}, None], pa.struct([("a", pa.timestamp("ns"))]))
    data = written(values, use_deprecated_int96_timestamps=True)
    assert judged(data, TEXT) == ['{"a": "2024-01-02 03:04:05.123456"}', None]


@pytest.mark.parametrize("dates", [("%Y-%m-%d %H:%M:%S.%f",), ("epoch",), ("epoch_ms",), ("%d/%m/%Y", "epoch")])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_declared_dates_cut_nothing_of_a_typed_time(dates: tuple[str, ...], zone: str | None) -> None:
    fine = written(pa.array([NANOS, NANOS - NANOS % 1_000, None], pa.timestamp("ns", zone)))
    first, second, third = judged(fine, TIME, dates=dates)
    assert first == ("dtype", FINE + ("Z" if zone else ""))
    assert (second, third) == (dt.datetime(2024, 1, 2, 3, 4, 5, 123456), None)


def test_declared_times_of_the_day_cut_nothing() -> None:
    column = Column(name="at", dtype=Dtype.TIME, format=("%H:%M:%S.%f",))
    fine = written(pa.array([11_045_123_456_789, 11_045_123_456_000], pa.time64("ns")))
    assert judged(fine, column) == [("dtype", "03:04:05.123456789"), dt.time(3, 4, 5, 123456)]


@pytest.mark.parametrize("dates", [(), ("%Y-%m-%d",), ("epoch",)])
@pytest.mark.parametrize(
    "kind", [pa.date32(), pa.timestamp("s"), pa.timestamp("ms", "UTC"), pa.timestamp("us", "Africa/Cairo")]
)
def test_a_year_of_five_digits_costs_its_row_and_no_good_one(kind: pa.DataType, dates: tuple[str, ...]) -> None:
    values = pa.array([dt.date(2024, 1, 2), None], pa.date32()).cast(pa.timestamp("s")).cast(kind)
    far = pa.array([4_000_000], pa.int32()).cast(pa.date32()).cast(pa.timestamp("s")).cast(kind)
    first, second, third = judged(written(pa.concat_arrays([values, far])), TIME, dates=dates)
    assert (first, second) == (dt.datetime(2024, 1, 2), None)
    assert third[0] == "dtype"
