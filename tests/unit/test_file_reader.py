"""A file becomes chunks of text columns; what can't be split is refused alone, what can't be read is said why."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import FileChanged, FileRejected
from config.model import Dtype
from config.schema import Column, Schema
from config.settings import PipelineConfig
from ingestion.file_reader import get_file_type, read_chunks, read_file
from ingestion.formats import csv_blocks, json_window
from ingestion.formats.plain_records import PlainRecords
from ingestion.places.registry import opened

SCHEMA = Schema(
    name="things",
    primary_key="a",
    columns=tuple(Column(name=name, dtype=Dtype.STR, nullable=name != "a") for name in "ab"),
)
HEADER = b"a,b\n"

Row = tuple[int, str | None, str | None]


def read(folder: Path, data: bytes, name: str = "things.csv", chunk_rows: int = 2) -> tuple[list[Row], list[Any]]:
    """The rows (number, a, b) and the malformed records (number, rule, raw)."""
    path = folder / name
    path.write_bytes(data)
    rows: list[Row] = []
    malformed: list[Any] = []
    with opened(path) as file:
        for chunk in read_chunks(file, name, SCHEMA, chunk_rows):
            assert len(chunk.numbers) <= chunk_rows
            texts = (chunk.columns[name].to_pylist() for name in "ab")
            rows += zip(chunk.numbers.tolist(), *texts, strict=True)
            malformed += [(m.number, m.reasons[0].rule, m.raw) for m in chunk.malformed]
    return rows, malformed


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (HEADER, []),
        (b"a,b", []),
        (HEADER + b"1,x\n2,y\n3,z", [(1, "1", "x"), (2, "2", "y"), (3, "3", "z")]),
        (b"\xef\xbb\xbf" + HEADER + b"1,x\n", [(1, "1", "x")]),
        (b"a,b\r\n1,x\r\n2,y\r\n", [(1, "1", "x"), (2, "2", "y")]),
        (b"a,b\r1,x\r2,y\r", [(1, "1", "x"), (2, "2", "y")]),
        (b"b,a\nx,1\n", [(1, "1", "x")]),
        (HEADER + b'1,"x, ""y""\nz"\n2,\n', [(1, "1", 'x, "y"\nz'), (2, "2", None)]),
        (HEADER + b'1,""\n', [(1, "1", "")]),
        (HEADER + b'1,5" pipe\n2,y\n', [(1, "1", '5" pipe'), (2, "2", "y")]),
        (HEADER + b"1,x\n\n\n2,y\n", [(1, "1", "x"), (2, "2", "y")]),
        (HEADER + b"1,NaN\n", [(1, "1", "NaN")]),
    ],
)
def test_csv_is_read_as_text(tmp_path: Path, data: bytes, rows: list[Row]) -> None:
    assert read(tmp_path, data) == (rows, [])


def test_a_ragged_line_is_refused_with_its_text_and_number(tmp_path: Path) -> None:
    rows, malformed = read(tmp_path, HEADER + b'1,x\n2\n3,y\n4,a,b,c\n5,"p\nq"\n6,z\n7\n')
    assert rows == [(1, "1", "x"), (3, "3", "y"), (5, "5", "p\nq"), (6, "6", "z")]
    assert malformed == [
        (2, "too_few_fields", {"_malformed": "2", "_line": 3}),
        (4, "too_many_fields", {"_malformed": "4,a,b,c", "_line": 5}),
        (7, "too_few_fields", {"_malformed": "7", "_line": 9}),
    ]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("things.csv", b"", "is empty"),
        ("things.csv", b"a,b,c\n", "unexpected: c"),
        ("things.csv", b"a\n", "missing: b"),
        ("things.csv", b"a,b,b\n1,2,3\n", "given twice: b"),
        ("things.csv", HEADER + b"1,\xe9t\xe9\n", "not UTF-8"),
        ("things.csv", "a,b\n1,x\n".encode("utf-16-le"), "UTF-16"),
        ("things.csv", HEADER + b"1," + b"x" * (10 << 20) + b"\n", "longer than 4 MB"),
        ("things.csv.gz", b"not gzip", "gzip"),
        ("things.csv.gz", gzip.compress(HEADER + b"1,x\n" * 50_000, mtime=0)[:-200], "gzip"),
        ("things.json", b"", "is empty"),
        ("things.json", b"  \n", "is empty"),
        ("things.json", b'[{"a": "1", "b"', "cut off"),
        ("things.json", b'[{"a": "1", "b": "x"}', "not closed"),
        ("things.json", b'[{"a": "1", "b": "x"} {"a": "2"}]', "no comma"),
        ("things.json", b'[{"a": "1", "b": "x"},]', "comma"),
        ("things.json", b'[{"a": "1", "b": "x"}] x', "more after"),
        ("things.json", b'"x"', "not JSON"),
        ("things.json", b"[" * 100_000, "nested too deeply"),
        ("things.json", b'[{"a": ' + b"[" * 100_000, "nested too deeply"),
        ("things.json", b'[{"a": "1", "c": "x"}]', "unexpected: c"),
        ("things.json", b'[{"b": "1"}]', "missing: a"),
        ("things.json", b'[{"a": "\xff", "b": "x"}]', "not UTF-8"),
    ],
)
def test_a_file_that_can_not_be_read_is_said_why(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(FileRejected, match=reason):
        read(tmp_path, data, name)


JSON_ROWS = b"""[
    {"a": 1, "b": null},
    {"a": 464.0, "b": null},
    {"b": true, "a": 12345678901234567890123},
    {"a": "x", "b": {"k": [1.50]}}
]"""
AS_TEXT: list[Row] = [
    (1, "1", None),
    (2, "464.0", None),
    (3, "12345678901234567890123", "true"),
    (4, "x", '{"k": [1.50]}'),
]


def test_json_numbers_keep_every_digit(tmp_path: Path) -> None:
    assert read(tmp_path, JSON_ROWS, "things.json") == (AS_TEXT, [])
    assert read(tmp_path, gzip.compress(JSON_ROWS, mtime=0), "things.json.gz") == (AS_TEXT, [])
    assert read(tmp_path, b" [ ]\n", "things.json") == ([], [])


def test_a_key_may_be_left_out_where_other_records_have_it(tmp_path: Path) -> None:
    rows, _ = read(tmp_path, b'[{"a": "1"}, {"a": "2", "b": "x"}]', "things.json")
    assert rows == [(1, "1", None), (2, "2", "x")]


def test_a_broken_json_line_or_record_is_refused_alone(tmp_path: Path) -> None:
    lines = (
        b'{"a": "1", "b": "x"}\n\n{"a": "2"\n[3]\n{"a": "4", "b": "y", "c": 1}\n'
        b'{"a": "5", "a": "6"}\n{"a": "\\ud800"}\n{"a": "7"}'
    )
    rows, malformed = read(tmp_path, lines, "things.json")
    assert rows == [(1, "1", "x"), (7, "7", None)]
    assert [(number, rule) for number, rule, _ in malformed] == [
        (2, "not_json"),
        (3, "not_json"),
        (4, "unexpected_column"),
        (5, "key_given_twice"),
        (6, "lone_surrogate"),
    ]
    assert malformed[0][2] == {"_malformed": '{"a": "2"', "_line": 3}


@given(
    rows=st.lists(st.tuples(st.text(max_size=5), st.text(alphabet='{}[],": \\nx', max_size=6)), max_size=12),
    window=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
)
def test_where_a_window_ends_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], window: int, indent: int | None
) -> None:
    rows = [(a.encode("utf-8", "replace").decode(), b) for a, b in rows]
    data = json.dumps([{"a": a, "b": b} for a, b in rows], indent=indent).encode()
    before, json_window.WINDOW_BYTES = json_window.WINDOW_BYTES, window
    try:
        read_rows, malformed = read(tmp_path_factory.mktemp("w"), data, "things.json")
    finally:
        json_window.WINDOW_BYTES = before
    assert [row[1:] for row in read_rows] == rows
    assert malformed == []


def test_an_element_that_is_no_object_is_refused_alone(tmp_path: Path) -> None:
    rows, malformed = read(tmp_path, b'[1, {"a": "2", "b": "x"}, ["y"]]', "things.json")
    assert rows == [(2, "2", "x")]
    assert [(number, rule) for number, rule, _ in malformed] == [(1, "not_an_object"), (3, "not_an_object")]


def test_what_is_hashed_is_what_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(HEADER + b"1,x\n")
    with opened(path) as file:
        assert file.md5() == hashlib.md5(HEADER + b"1,x\n", usedforsecurity=False).hexdigest()
        assert [chunk.columns["b"].to_pylist() for chunk in read_chunks(file, path.name, SCHEMA, 9)] == [["x"]]
        file.verify_unchanged()
        with path.open("ab") as writer:
            writer.write(b"2,y\n")
        with pytest.raises(FileChanged):
            file.verify_unchanged()


def test_a_file_put_in_place_of_another_counts_as_changed(tmp_path: Path) -> None:
    path, other = tmp_path / "things.csv", tmp_path / "other"
    path.write_bytes(HEADER)
    with opened(path) as file:
        other.write_bytes(HEADER)
        other.rename(path)
        with pytest.raises(FileChanged):
            file.verify_unchanged()
    path.unlink()
    with pytest.raises(FileChanged), opened(path):
        pass


def test_read_file_gives_text_and_the_logical_name(tmp_path: Path, config: PipelineConfig) -> None:
    path = tmp_path / "channels.csv"
    path.write_text("channel_id,channel_name\n1,app\n2,\n")
    frame, name = read_file(path, config)
    assert name == "channels"
    assert frame["channel_id"].tolist() == ["1", "2"]
    assert frame["channel_name"].tolist()[0] == "app"
    assert frame["channel_name"].isna().tolist() == [False, True]
    assert set(map(str, frame.dtypes)) == {"str"}
    with pytest.raises(FileRejected, match="no expected file"):
        get_file_type("nothing.csv", config)


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_infinity=False),
    st.sampled_from([": NaN", "NaN", '": NaN, "', "[", 'x":', "\\", "é", "\ud800", "12:30"]),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
)
_PLAIN = st.fixed_dictionaries({"a": _VALUES, "b": _VALUES})
_ODD = st.one_of(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), _VALUES, min_size=1), st.integers(), st.just({"a": {"b": 1}})
)


@given(
    records=st.lists(st.one_of(_PLAIN, _PLAIN, _PLAIN, _ODD), max_size=6),
    spacing=st.sampled_from([(", ", ": "), (",", ":"), (" , ", " : "), (",\n", ": ")]),
    escaped=st.booleans(),
    twice=st.booleans(),
    lines=st.booleans(),
)
def test_the_quick_decoder_of_json_says_what_the_general_one_says(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[Any],
    spacing: tuple[str, str],
    escaped: bool,
    twice: bool,
    lines: bool,
) -> None:
    texts = [json.dumps(record, ensure_ascii=escaped, separators=spacing) for record in records]
    if twice:
        texts.append('{"a": "1", "a": "2", "b": "3"}')
    text = "\n".join(texts) + "\n" if lines else f"[{spacing[0].join(texts)}]"
    data = text.encode("utf-8", "replace")
    name = "things.ndjson" if lines else "things.json"

    def outcome() -> Any:
        try:
            return read(folder, data, name)
        except FileRejected as problem:
            return str(problem)

    folder = tmp_path_factory.mktemp("json")
    quick = outcome()
    with pytest.MonkeyPatch.context() as patch:
        for decoder in ("array", "lines"):
            patch.setattr(PlainRecords, decoder, lambda *_: None)
        assert quick == outcome()


def test_the_quick_decoder_takes_what_exports_look_like() -> None:
    plain = PlainRecords("ab", words={"nan"})
    array = plain.array(b'[{"a": 12345678901234567890123, "b": NaN}, {"a": 0.10, "b": null}]')
    assert array is not None
    assert list(map(msgspec.structs.astuple, array)) == [(12345678901234567890123, None), ("0.10", None)]
    assert plain.lines(b'{"a":"x","b":true}\n{"a":"y","b":1}\n') is not None


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1, "b": -0}]',
        '[{"a": 1, "b": 2, "c": 3}]',
        '[{"a": 1, "a": 1, "b": 2}]',
        '[{"a": 1, "b": [2]}]',
        '[{"a": 1, "b": {"c": 1}}]',
        '[{"a" : 1, "b" : 2}]',
        *(f'[{{"a"{gap}: 1, "a": 2, "b": 3}}]' for gap in (" ", "  ", "\t", "\n", "\r")),
        "[1]",
        "[" * 100_000,
    ],
)
def test_the_quick_decoder_leaves_the_unusual_to_the_general_one(text: str) -> None:
    assert PlainRecords("ab").array(text.encode()) is None


def test_a_long_csv_is_not_read_far_ahead_of_its_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 1 << 14)
    path = tmp_path / "things.csv"
    path.write_bytes(HEADER + b"1,some text to fill the line\n" * 50_000)  # about 90 blocks
    with opened(path) as file:
        chunks = read_chunks(file, path.name, SCHEMA, 500)
        next(chunks)
        blocks = file.handle.tell() / (1 << 14)
        assert sum(len(chunk.numbers) for chunk in chunks) == 49_500
    assert blocks <= 2


@pytest.mark.parametrize("line", [b"1,2,3\n", b"1\n"])
def test_a_long_csv_of_malformed_lines_is_read_in_chunks(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(HEADER + line * 40_000)
    with opened(path) as file:
        told = [len(chunk.malformed) for chunk in read_chunks(file, path.name, SCHEMA, 5_000)]
    assert told == [5_000] * 8


def test_malformed_lines_are_forgotten_once_they_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 1 << 16)
    path = tmp_path / "things.csv"
    path.write_bytes(HEADER + (b"1,x\n" + b"too,many," + b"y" * 500 + b"\n") * 20_000)
    tracemalloc.start()
    try:
        with opened(path) as file:
            told = sum(len(chunk.malformed) for chunk in read_chunks(file, path.name, SCHEMA, 100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told == 20_000
    assert peak < 4_000_000  # of 10 MB of text
