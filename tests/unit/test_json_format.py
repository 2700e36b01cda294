"""JSON is read to its end or to its damage: every value as it is written, every record judged by itself."""

from __future__ import annotations

import gzip
import io
import json
import re
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import FileChanged, FileRejected
from config.model import Dtype
from config.schema import Column, Schema
from ingestion.file_reader import read_chunks
from ingestion.formats import csv_blocks, json_lines, json_window
from ingestion.formats.json_format import read_json
from ingestion.formats.plain_records import PlainRecords
from ingestion.places.registry import opened

SCHEMA = Schema(
    name="things",
    primary_key="id",
    columns=(
        Column(name="id", dtype=Dtype.INT, nullable=False),
        Column(name="s", dtype=Dtype.STR),
        Column(name="doc", dtype=Dtype.JSON),
    ),
)
Row = tuple[int, str | None, str | None, str | None]
Malformed = tuple[int, str]
WINDOWS = (1, 3, 8, 1 << 19)


class ReadForEverError(Exception):
    """Reading did not end."""


@contextmanager
def ends(seconds: int = 60) -> Iterator[None]:
    """A watchdog: what is read within ends by itself."""

    def bark(_signal: int, _frame: FrameType | None) -> None:
        raise ReadForEverError

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def window(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_window, "WINDOW_BYTES", size)
        yield


def read(data: bytes, chunk_rows: int = 100, schema: Schema = SCHEMA) -> tuple[list[Row], list[Malformed]]:
    """The rows (number and values) and the malformed records (number and rule)."""
    rows: list[Any] = []
    malformed: list[Malformed] = []
    for chunk in read_json(io.BytesIO(data), schema, chunk_rows):
        assert len(chunk.numbers) + len(chunk.malformed) <= chunk_rows
        columns = (chunk.columns[column.name].to_pylist() for column in schema.columns)
        rows += zip(chunk.numbers.tolist(), *columns, strict=True)
        malformed += [(record.number, record.reasons[0].rule) for record in chunk.malformed]
    return rows, malformed


def outcome(data: bytes, chunk_rows: int = 100) -> Any:
    """What is read, or why the file is refused."""
    try:
        return read(data, chunk_rows)
    except FileRejected as problem:
        return str(problem)


RECORDS: list[dict[str, Any]] = [
    {"id": 1, "s": "a", "doc": {"x": [1, 2.50], "ö": "}"}},
    {"id": 22, "s": 'é"\\', "doc": None},
    {"id": 333, "s": None},
    {"id": -4, "s": "€😀", "doc": [{"y": True}, {"y": "]"}]},
]
LINES = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()
ARRAYS = {
    "compact": json.dumps(RECORDS, separators=(",", ":")).encode(),
    "as json.dump writes it": json.dumps(RECORDS, ensure_ascii=False).encode(),
    "pretty": json.dumps(RECORDS, indent=2, ensure_ascii=False).encode(),
    "flat": json.dumps([{"id": n, "s": "x", "doc": 1.5} for n in range(3)]).encode(),
    "rows": b'[["id","v"],["1","a"],["2","b"]]',
    "numbers": b'[1, 2.5, -0, true, null, "x", {"id": 1}]',
}


# ---------------------------------------------------------------- it ends


@pytest.mark.parametrize("size", WINDOWS)
@pytest.mark.parametrize("data", ARRAYS.values(), ids=ARRAYS.keys())
def test_every_prefix_of_an_array_is_refused_with_its_record_and_byte(data: bytes, size: int) -> None:
    with window(size), ends():
        assert not isinstance(outcome(data), str)
        for length in range(1, len(data)):
            problem = outcome(data[:length])
            assert isinstance(problem, str), data[:length]
            assert re.search(r"record \d+, at byte \d+", problem), problem


@pytest.mark.parametrize("size", WINDOWS)
def test_of_every_prefix_of_lines_all_whole_ones_are_read(size: int) -> None:
    starts = [0, *(n + 1 for n, byte in enumerate(LINES) if byte == ord("\n"))]
    with window(size), ends():
        whole = read(LINES)[0]
        for length in range(1, len(LINES)):
            rows, malformed = read(LINES[:length])
            line = sum(start <= length for start in starts) - 1  # lines that ended before
            if length == starts[line + 1] - 1:  # whole but for its line end
                assert (rows, malformed) == (whole[: line + 1], [])
            else:
                assert rows == whole[:line]
                assert [number for number, _ in malformed] == [line + 1] * (length > starts[line])


@pytest.mark.parametrize("name", ["things.json.gz", "things.ndjson.gz"])
def test_every_prefix_of_a_packed_file_is_refused(tmp_path: Path, name: str) -> None:
    packed = gzip.compress(ARRAYS["pretty"] if name == "things.json.gz" else LINES, mtime=0)
    path = tmp_path / name
    with ends():
        for length in range(len(packed)):
            path.write_bytes(packed[:length])
            with opened(path) as file, pytest.raises(FileRejected):
                list(read_chunks(file, name, SCHEMA, 2))


ODD_BYTES = b'{}[]",:\\ \n\r\t\0\x1f/-+.0e1nx\x7f\x80\xc3\xed\xff'


def strictly(data: bytes) -> list[Any] | None:
    """The array as Python's own decoder reads it; None for what it refuses, and for anything but an array."""
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


@pytest.mark.parametrize("size", [1, 8, 1 << 19])
@pytest.mark.parametrize("data", ARRAYS.values(), ids=ARRAYS.keys())
def test_every_byte_changed_an_array_is_read_as_a_strict_reader_reads_it_or_refused(
    data: bytes, size: int
) -> None:
    with window(size), ends():
        for position in range(1, len(data)):
            for byte in ODD_BYTES if size != 1 else ODD_BYTES[:10]:
                changed = data[:position] + bytes([byte]) + data[position + 1 :]
                elements, found = strictly(changed), outcome(changed)
                if elements is None:
                    assert isinstance(found, str), changed
                elif not isinstance(found, str):
                    assert len(found[0]) + len(found[1]) == len(elements), changed
                else:  # only for the keys that all records have, or lack
                    assert "columns are not those" in found, (changed, found)


def test_every_byte_changed_a_line_costs_no_other(tmp_path: Path) -> None:
    whole = read(LINES)[0]
    line = 0
    with ends():
        for position, old in enumerate(LINES):
            for byte in ODD_BYTES:
                if old == ord("\n") or byte == ord("\n") or (position == 0 and byte == ord("[")):
                    continue
                rows, malformed = read(LINES[:position] + bytes([byte]) + LINES[position + 1 :])
                others = [row for row in whole if row[0] != line + 1]
                assert [row for row in rows if row[0] != line + 1] == others
                assert len(rows) + len(malformed) == len(whole)
            line += old == ord("\n")


@given(data=st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"id"', b":", b",", b"1", b"\n", b" ", b"null"])))
@settings(max_examples=150)
def test_any_run_of_tokens_ends(data: list[bytes]) -> None:
    with ends(20):
        found = outcome(b"".join(data))
        with window(2):
            assert outcome(b"".join(data)) == found


class CountedReads(io.BytesIO):
    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)


def test_a_record_longer_than_the_window_is_read_in_steps_that_grow() -> None:
    raw = CountedReads(b'[{"id": 1, "s": "' + b"x" * 200_000 + b'"}]')
    with window(64):
        chunks = list(read_json(raw, SCHEMA, 10))
    assert chunks[0].numbers.tolist() == [1]
    assert raw.reads < 30


def test_blanks_without_end_are_not_kept() -> None:
    raw = CountedReads(b"[" + b" " * 100_000 + b"]")
    with window(1_000):
        seen = json_window.Window(raw)
        seen.position += 1
        assert seen.next_byte() == b"]"
    assert len(seen.data) <= 1_000


def test_a_line_that_is_too_long_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MAX_RECORD_BYTES", 5_000)
    long = b'{"id": 2, "s": "' + b"x" * 20_000 + b'"}\n'
    lines = b'{"id": 1}\n' + long + b'{"id": 3}\n' + long
    for size in (100, 1 << 10):
        with window(size):
            rows, malformed = read(lines)
            assert [row[0] for row in rows] == [1, 3]
            assert malformed == [(2, "line_too_long"), (4, "line_too_long")]


def test_a_damage_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    good = b'{"id": 1, "s": "x"},\n'
    data = b"[" + good * 3 + b'{"id": 1, "s" "x"},' + good * 2_000 + b"{}]"
    for size in (16, 1 << 19):
        with window(size):
            raw = CountedReads(data)
            with pytest.raises(FileRejected, match=f"in record 4, at byte {len(good) * 3 + 16}"):
                list(read_json(raw, SCHEMA, 10))


@pytest.mark.parametrize(
    ("name", "begin", "more"),
    [
        ("things.csv", b"id,s,doc\n", b"1,x,1\n"),
        ("things.json", b"[", b'{"id": 1},'),
        ("things.ndjson", b"", b'{"id": 1}\n'),
    ],
)
def test_a_file_that_grows_for_ever_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, begin: bytes, more: bytes
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 1 << 12)
    path = tmp_path / name
    path.write_bytes(begin + more * 20_000)
    with ends(), window(1 << 12), opened(path) as file, path.open("ab", buffering=0) as writer:
        chunks = read_chunks(file, name, SCHEMA, 100)
        with pytest.raises(FileChanged):
            deque((writer.write(more * 5_000) for _ in chunks), maxlen=0)
        assert file.handle.tell() < path.stat().st_size


# ---------------------------------------------------------------- what is JSON, and what isn't


def one(value: bytes) -> bytes:
    return b'[{"id": 1, "s": ' + value + b"}]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'"x"', "x"),
        (b'""', ""),
        (b'"  x "', "  x "),
        (rb'"\" \\ \/ \b \f \n \r \t \u0041"', '" \\ / \b \f \n \r \t A'),
        (rb'"\ud83d\ude00"', "😀"),
        ('"é€😀\u2028\ufffe"'.encode(), "é€😀\u2028\ufffe"),
        (rb'"\u0000"', "\0"),
        (b'"\x7f"', "\x7f"),
        (b'"NaN"', "NaN"),
        (b"null", None),
        (b"true", "true"),
        (b"false", "false"),
        (b"0", "0"),
        (b"-0", "-0"),
        (b"-0.0", "-0.0"),
        (b"1.10", "1.10"),
        (b"1e3", "1e3"),
        (b"1E+3", "1E+3"),
        (b"0e-1", "0e-1"),
        (b"1e999", "1e999"),
        (b"-1e-999", "-1e-999"),
        (b"9" * 400, "9" * 400),
        (b"9" * 5_000, "9" * 5_000),
        (b"{}", "{}"),
        (b"[ ]", "[ ]"),
        (b'{"n": 400, "lat": 12.50}', '{"n": 400, "lat": 12.50}'),
        (b'[1, 1.10, "1", 1e3, -0]', '[1, 1.10, "1", 1e3, -0]'),
        ('{"city": "Köln",\n  "a" : [ ]}'.encode(), '{"city": "Köln",\n  "a" : [ ]}'),
        (rb'{"city": "K\u00f6ln", "a": "\ud800"}', r'{"city": "K\u00f6ln", "a": "\ud800"}'),
        (b'{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        (b"[NaN, -Infinity]", "[NaN, -Infinity]"),
        (b'{"x": NaN}', '{"x": NaN}'),
        (b"[" * 300 + b"]" * 300, "[" * 300 + "]" * 300),
    ],
)
def test_a_value_is_kept_as_it_is_written(value: bytes, text: str | None) -> None:
    expected: tuple[list[Row], list[Malformed]] = ([(1, "1", text, None)], [])
    flat = b'{"id": 0, "s": "x"}'
    nested = b'{"id": 0, "s": {"n": 1}}'
    assert read(one(value)) == expected
    if b"\n" not in value:
        assert read(one(value)[1:-1]) == expected
    for other in (flat, nested):  # the decoder learns what a column holds
        records = [other] * 5 + [one(value)[1:-1]] + [other] * 5
        for size in (64, 1 << 20):
            with window(size):
                rows, _ = read(b"[" + b",".join(records) + b"]")
                assert rows[5] == (6, "1", text, None)
                if b"\n" not in value:
                    rows, _ = read(b"\n".join(records))
                    assert rows[5] == (6, "1", text, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"null", None),
        (b'"x"', '"x"'),
        (rb'"1\u0041"', r'"1\u0041"'),
        (b"1.10", "1.10"),
        (b'{"a": "b"}', '{"a": "b"}'),
    ],
)
def test_a_json_column_has_the_source_of_strings_too(value: bytes, text: str | None) -> None:
    record = b'{"id": 1, "s": "x", "doc": ' + value + b"}"
    assert read(b"[" + record + b"]") == ([(1, "1", "x", text)], [])
    assert read(b'[{ "id" : 1, "s" : "x", "doc" : ' + value + b"}]") == ([(1, "1", "x", text)], [])


NOT_JSON = [
    *(b"01", b"+1", b".5", b"1.", b"1e", b"1e+", b"-", b"--1", b"0x1", b"1_0", b"\xd9\xa1"),
    *(b"nul", b"True", b"None", b"nan", b"undefined", b"'x'", b"x", b"+Infinity", b"-NaN"),
    *(b'"x', b'"\x01"', b'"\n"', b'"\t"', b'"\0"', rb'"\x"', rb'"\u12"', rb'"\u123g"', b'"\\"', b'"a""b"'),
    *(b"[1,]", b"[,1]", b"[1 2]", b"[1", b"1]", b"{,}", b'{"a"}', b'{"a":}', b'{"a":1,}', b"{a:1}", b"{1:1}"),
    *(b'{"a":1', b'{"a":1]', b"{'a':1}", b'{"a";1}', b'{"a"::1}', b"1 // no", b"/* no */ 1", b"# no\n1", b""),
    *(b"\x001", b"\x0b1", b"\x0c1", b"\xc2\xa01", b"\xef\xbb\xbf1", b"1,2"),
]
NOT_UTF8 = [
    b'"\xff"',
    b'"\xc3"',
    b'"\xc0\x80"',
    b'"\xed\xa0\x80"',
    b'"\xf8\x88\x80\x80\x80"',
    b'["\xe9"]',
    b"\xff",
]


@pytest.mark.parametrize("value", [*NOT_JSON, *NOT_UTF8])
def test_what_is_no_json_fails_an_array_and_costs_a_line_alone(value: bytes) -> None:
    for size in (4, 1 << 19):
        with window(size):
            assert isinstance(outcome(one(value)), str)
            line = one(value)[1:-1].replace(b"\n", b"\x01")
            rows, malformed = read(b'{"id": 7}\n' + line + b'\r\n\r\n{"id": 8}')
            assert [row[:2] for row in rows] == [(1, "7"), (3, "8")]
            assert malformed == [(2, "not_utf8" if value in NOT_UTF8 else "not_json")]


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (rb'{"id": 2, "s": "\ud800"}', "lone_surrogate"),
        (rb'{"id": 2, "s": "\ude00\ud83d"}', "lone_surrogate"),
        (b'{"id": 2, "s": "x", "s": "x"}', "key_given_twice"),
        (b'{"id": 2, "s": "x", "s" : "x"}', "key_given_twice"),
        (rb'{"id": 2, "s": 1, "\u0073": 2}', "key_given_twice"),
        (b'{"id": 2, "doc": {"a": 1}, "doc": {"b": 1}}', "key_given_twice"),
        (b'{"id": 2, "ID": 3}', "unexpected_column"),
        (rb'{"id": 2, "\ud800": 3}', "unexpected_column"),
        (b"2", "not_an_object"),
        (b'["id", 2]', "not_an_object"),
        (b'"id"', "not_an_object"),
        (b"null", "not_an_object"),
    ],
)
def test_a_record_that_is_json_and_no_row_is_refused_alone(record: bytes, rule: str) -> None:
    good = ([(1, "1", None, None), (3, "3", None, None)], [(2, rule)])
    assert read(b'[{"id": 1}, ' + record + b', {"id": 3}]') == good
    in_lines = "not_json" if rule == "not_an_object" else rule
    assert read(b'{"id": 1}\n' + record + b'\n{"id": 3}') == (good[0], [(2, in_lines)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b" \r\n\t\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("[]".encode("utf-16-le"), "UTF-16"),
        ('[{"id": 1}]'.encode("utf-16-le"), "UTF-16"),
        ('{"id": 1}'.encode("utf-32-be"), "UTF-32"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"s":' * 100_000, "nested too deeply"),
        (one(b'{"a":' * 100_000 + b"}" * 100_000), "nested too deeply"),
        (b"[1,", "cut off"),
        (b'[{"id": 1, "s": "x"},', "cut off"),
        (b'[["id","v"],["1","a"],["2"', "cut off"),
        (b'[{"id": 1},]', "a comma and no record after record 1, at byte 12"),
        (b"[,]", "not JSON"),
        (b'[{"id": 1}]]', "more after the end of the array, at byte 12"),
        (b'[{"id": 1}][{"id": 2}]', "more after the end"),
        (b'[{"id": 1}]\0', "more after the end"),
        (b'[{"id": 1}}]', "no comma after record 1, at byte 11"),
        (b"1", "neither an array of objects nor one object a line"),
        (b'"x"', "neither"),
        (b"null", "neither"),
        (b"NaN", "neither"),
        (b"id,s\n1,x\n", "neither"),
        (b"}{", "neither"),
        (b'{\n  "id": 1,\n  "s": "x"\n}', "objects that span lines"),
        (b'{"type": "x", "features": [\n{"id": 1}\n]}', "objects that span lines"),
    ],
)
def test_a_file_that_is_no_json_is_said_why(data: bytes, reason: str) -> None:
    for size in (3, 1 << 19):
        with window(size), ends(), pytest.raises(FileRejected, match=reason):
            read(data)


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf \r\n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b" \t\n\n"])
def test_a_byte_order_mark_and_blanks_around_make_no_difference(start: bytes, end: bytes) -> None:
    for size in (1, 1 << 19):
        with window(size):
            assert read(start + b'[{"id": 1}]' + end) == read(start + b'{"id": 1}' + end)
            assert read(start + b"[]" + end) == ([], [])


def test_two_objects_on_a_line_are_one_record_that_is_refused() -> None:
    line = b'{"id": 1, "s": "x", "doc": 1}'
    for twice in (line + line, line + b" " + line, line + b"," + line, line + b"\r" + line):
        rows, malformed = read(line + b"\n" + twice + b"\n\n" + line)
        assert [row[0] for row in rows] == [1, 3]
        assert malformed == [(2, "not_json")]


def test_a_line_too_deep_is_refused_alone() -> None:
    deep = b'{"id": 2, "doc": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    rows, malformed = read(b'{"id": 1}\n' + deep + b'\n{"id": 3}')
    assert [row[0] for row in rows] == [1, 3]
    assert malformed == [(2, "nested_too_deeply")]


# ---------------------------------------------------------------- keys that may be missing


def test_a_missing_nullable_key_is_null_in_each_record_by_itself() -> None:
    optional = b'{"id":1,"s":"a"}\n{"id":2,"s":"b","doc":1}\n{"id":3}\n'
    for chunk_rows in (1, 2, 3):
        rows, malformed = read(optional, chunk_rows)
        assert rows == [(1, "1", "a", None), (2, "2", "b", "1"), (3, "3", None, None)]
        assert malformed == []


@pytest.mark.parametrize("chunk_rows", [1, 2, 100])
def test_a_key_that_all_records_lack_or_have_in_excess_fails_the_file(chunk_rows: int) -> None:
    with pytest.raises(FileRejected, match="missing: id"):
        read(b'[{"s": "a"}, {"s": "b"}, {"s": "c"}, {}]', chunk_rows)
    with pytest.raises(FileRejected, match="missing: s; unexpected: t"):
        read(b'[{"id": 1, "doc": 1, "t": "a"}, {"id": 2, "t": "b"}, {"t": 1}]', chunk_rows)
    rows, malformed = read(b'[{"id": 1, "t": "a"}, {"id": 2}]', chunk_rows)
    assert ([row[0] for row in rows], malformed) == ([2], [(1, "unexpected_column")])


_VALUES = st.sampled_from(["1", "-0", "2.50", "null", "NaN", '"x"', '"\\ud800"', '{"a": 1}', "[1, 1.10]", "true"])
_OBJECTS = st.lists(
    st.tuples(st.sampled_from(["id", "s", "doc", "id", "s", "doc", "other"]), _VALUES), max_size=4
).map(lambda pairs: "{" + ", ".join(f'"{name}": {value}' for name, value in pairs) + "}")
_ELEMENTS = st.lists(
    st.one_of(_OBJECTS, _OBJECTS, _OBJECTS, st.sampled_from(["3", "[1]", '"}"', "null"])), max_size=8
)


@given(elements=_ELEMENTS, lines=st.booleans(), size=st.sampled_from(WINDOWS), chunk_rows=st.integers(1, 4))
@settings(max_examples=150)
def test_neither_chunks_nor_windows_decide_anything(
    elements: list[str], lines: bool, size: int, chunk_rows: int
) -> None:
    data = ("\n".join(elements) if lines else f"[{', '.join(elements)}]").encode()
    expected = outcome(data)
    with window(size):
        assert outcome(data, chunk_rows) == expected


def test_the_quick_decoder_learns_of_nested_values_and_of_keys_that_are_lacking() -> None:
    plain = PlainRecords(("id", "s", "doc"))
    nested = b'[{"id": 1, "s": "x", "doc": {"a": [{}]}}, {"id": 2, "s": "y", "doc": null}]'
    lacking = b'[{"id": 1, "doc": "x"}, {"id": 2, "s": {"a": "b"}}]'
    assert (plain.array(nested), plain.array(lacking)) == (None, None)
    plain.learn(["id", "s", "doc"], ["doc"])
    assert len(plain.array(nested) or ()) == 2
    assert plain.array(lacking) is None
    plain.learn(["id", "s"], ["s"])
    assert len(plain.array(lacking) or ()) == 2
    for twice in (
        b'[{"id": 1, "s": 2, "s": 3}]',
        b'[{"id": 1, "doc": {}, "doc": {}}]',
        b'[{"doc": 1, "\\u0064oc": 2}]',
    ):
        assert plain.array(b"[" + twice + b"]") is None
