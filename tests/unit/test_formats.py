"""A format is one file and one line; its options are its own, and checked when the configuration is loaded."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError, FileRejected
from config.file_names import PACKINGS
from config.model import Feed, Model
from config.read_options import ReadOptions
from config.schema import Schema
from config.settings import PipelineConfig
from ingestion.file_reader import get_file_type, read_chunks, read_file
from ingestion.formats import registry
from ingestion.formats.format import Format
from ingestion.formats.packing import UNPACKED_BY
from ingestion.formats.registry import FORMATS, Registry
from ingestion.places.registry import opened
from validation.batch import Chunk
from workbench.infer import propose

ROWS = 'item_id,label\n1,"a, b"\n2,\n'


class PairOptions(Model):
    sign: str = "="
    capitals: bool = False


# ruff: noqa: ARG002  (what a format is given, and the toy does not need)
class PairFormat(Format):
    """A toy: a line `key=value` a record, of two columns."""

    name = "pairs"
    extensions = (".pairs",)
    Options: ClassVar = PairOptions
    longest_record = 1000

    def sniff(self, beginning: bytes, options: PairOptions) -> dict[str, Any] | None:
        return {"sign": ":"} if b":" in beginning and options.sign.encode() not in beginning else {}

    def columns(self, raw: IO[bytes], rows: int, options: PairOptions) -> list[str]:
        return ["item_id", "label"]

    def chunks(self, raw: IO[bytes], schema: Schema, chunk_rows: int, options: PairOptions) -> Iterator[Chunk]:
        pairs = [line.split(options.sign) for line in raw.read().decode().splitlines()]
        for start in range(0, len(pairs), chunk_rows):
            part = pairs[start : start + chunk_rows]
            columns = dict(zip(("item_id", "label"), zip(*part, strict=True), strict=True))
            if options.capitals:
                columns["label"] = tuple(label.upper() for label in columns["label"])
            arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
            yield Chunk(np.arange(start + 1, start + len(part) + 1), arrays)


@pytest.fixture
def pairs() -> Iterator[PairFormat]:
    """The line that a format takes."""
    one = PairFormat()
    FORMATS.add(one)
    yield one
    FORMATS.remove(one)


def config_of(home: Path, read: Any = None, reader: Any = None, pattern: str = "items.csv") -> PipelineConfig:
    columns = [{"name": "item_id", "dtype": "int", "nullable": False}, {"name": "label", "dtype": "str"}]
    entry = {"table": "dim_item"} | ({} if read is None else {"read": read})
    text = {
        "watcher": {"batch": {"expected_files": {pattern: entry}}, "stream": {}},
        "schemas": {"items": {"primary_key": "item_id", "columns": columns}},
        "reader": reader or {},
    }
    path = home / "config.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    return get_config(path, checks=[registry.problems])


def labels(path: Path, data: bytes | str, config: PipelineConfig) -> list[Any]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return [value if isinstance(value, str) else None for value in read_file(path, config)[0]["label"].tolist()]


# ---------------------------------------------------------------- a new format


def test_a_new_format_is_a_class_and_a_line(tmp_path: Path, pairs: PairFormat) -> None:
    config = config_of(tmp_path, pattern="items.pairs")
    assert get_file_type("items.PAIRS", config) == "items"
    assert labels(tmp_path / "items.pairs", "1=a\n2=b\n", config) == ["a", "b"]
    assert labels(tmp_path / "items.pairs.gz", gzip.compress(b"1=a\n2=b\n"), config) == ["a", "b"]


def test_its_options_come_from_the_yaml(tmp_path: Path, pairs: PairFormat) -> None:
    config = config_of(tmp_path, {"sign": ":"}, {"capitals": True}, "items.pairs")
    assert labels(tmp_path / "items.pairs", "1:a\n2:b\n", config) == ["A", "B"]
    with pytest.raises(ConfigError, match=r"items\.pairs\.read\.capitals: .*valid boolean"):
        config_of(tmp_path, {"capitals": "maybe"}, pattern="items.pairs")
    with pytest.raises(ConfigError, match=r"read\.capitals: belongs to pairs, not to csv"):
        config_of(tmp_path, {"capitals": True})


def test_infer_asks_the_format(tmp_path: Path, pairs: PairFormat) -> None:
    path = tmp_path / "things.pairs"
    path.write_text("".join(f"{n}:x{n}\n" for n in range(9)))
    found = propose(config_of(tmp_path), path, "things", feed=Feed.BATCH)
    assert (found.pattern, found.file_entry["read"]) == ("things.pairs", {"sign": ":"})
    assert [column["name"] for column in found.schema["columns"]] == ["item_id", "label"]


def test_a_name_or_an_extension_belongs_to_one_format() -> None:
    class Another(PairFormat):
        name = "another"
        extensions = (".json",)

    with pytest.raises(ValueError, match="another"):
        Registry([*FORMATS, Another()])
    with pytest.raises(ValueError, match="pairs"):
        Registry([PairFormat(), PairFormat()])


# ---------------------------------------------------------------- which format reads a file


@pytest.mark.parametrize("name", ["items.csv", "items.CSV", "items.Txt", "items.csv.gz", "items.CSV.GZ"])
def test_the_extension_tells_the_format_in_any_case(tmp_path: Path, name: str) -> None:
    data = gzip.compress(ROWS.encode()) if name.lower().endswith(".gz") else ROWS
    assert labels(tmp_path / name, data, config_of(tmp_path)) == ["a, b", None]


@pytest.mark.parametrize("name", ["items.json", "items.JSON", "items.ndjson", "items.jsonl"])
def test_json_by_its_extensions(tmp_path: Path, name: str) -> None:
    assert labels(tmp_path / name, '{"item_id": 1, "label": "a"}\n', config_of(tmp_path)) == ["a"]


def test_a_tsv_has_tabs_unless_the_yaml_says_something_else(tmp_path: Path) -> None:
    tabs = ROWS.replace(",", "\t", 1).replace('1,"', '1\t"').replace("2,", "2\t")
    assert labels(tmp_path / "items.tsv", tabs, config_of(tmp_path, pattern="items.tsv")) == ["a, b", None]
    config = config_of(tmp_path, {"delimiter": ","}, pattern="items.tsv")
    assert labels(tmp_path / "items.tsv", ROWS, config) == ["a, b", None]


@pytest.mark.parametrize("pattern", ["items.dat", "items.001", "items"])
def test_a_named_format_reads_any_name(tmp_path: Path, pattern: str) -> None:
    config = config_of(tmp_path, {"format": "csv"}, pattern=pattern)
    assert labels(tmp_path / pattern, ROWS, config) == ["a, b", None]
    with pytest.raises(ConfigError, match=r"no format reads .*; for others say which it is: read: \{format"):
        config_of(tmp_path, pattern=pattern)


def test_a_named_format_wins_over_the_extension(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    assert labels(path, ROWS, config_of(tmp_path, {"format": "csv"}, pattern="items.json")) == ["a, b", None]


def test_a_file_of_another_kind_than_its_pattern_is_none_of_its_type(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"format": "csv"}, pattern="items.dat")
    for name in ("items.bak", "items.json", "items.xlsx"):
        with pytest.raises(FileRejected, match="no expected file"):
            get_file_type(name, config)
    assert get_file_type("items.DAT.gz", config) == get_file_type("items.csv", config) == "items"


def test_every_packing_that_a_name_may_have_can_be_unpacked() -> None:
    assert set(PACKINGS) == set(UNPACKED_BY)


# ---------------------------------------------------------------- options at load


@pytest.mark.parametrize(
    ("read", "pattern", "message"),
    [
        ({"delimitr": ";"}, "items.csv", r"items\.csv\.read\.delimitr: unknown key; did you mean delimiter\?"),
        ({"trimm": True}, "items.json", r"read\.trimm: unknown key; did you mean trim\?"),
        ({"zzz": 1}, "items.csv", r"read\.zzz: unknown key; check its spelling"),
        ({"delimiter": ";"}, "items.json", r"read\.delimiter: belongs to csv, not to json"),
        ({"delimiter": ";"}, "items.ndjson", r"read\.delimiter: belongs to csv, not to ndjson"),
        ({"delimiter": ";"}, "items.csv", None),
        ({"delimiter": 3}, "items.csv", r"read\.delimiter: Input should be a valid string \(given: 3\)"),
        (
            {"format": "cvs"},
            "items.csv",
            r"read\.format: no format is called 'cvs'; did you mean csv\?; there are",
        ),
        ({"format": "json", "delimiter": ";"}, "items.csv", r"read\.delimiter: belongs to csv, not to json"),
        ({"format": "csv", "delimiter": ";"}, "items.json", None),
    ],
)
def test_a_key_of_read_belongs_to_its_format(tmp_path: Path, read: Any, pattern: str, message: str | None) -> None:
    if message is None:
        assert config_of(tmp_path, read, pattern=pattern)
        return
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, read, pattern=pattern)


def test_a_default_is_for_the_formats_that_know_it(tmp_path: Path) -> None:
    config = config_of(tmp_path, reader={"delimiter": ";"}, pattern="items.json")
    assert labels(tmp_path / "items.json", '[{"item_id": 1, "label": "a"}]', config) == ["a"]
    assert labels(tmp_path / "items.csv", ROWS.replace(",", ";"), config) == ["a; b", None]


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ({"delimitr": ";"}, r"reader\.delimitr: unknown key; did you mean delimiter\?"),
        ({"chunk_row": 5}, r"reader\.chunk_row: unknown key; did you mean chunk_rows\?"),
        ({"delimiter": ""}, r"1 problem\n  - reader\.delimiter: .*one ASCII character"),
        ({"format": "nope"}, r"reader\.format: no format is called 'nope'"),
    ],
)
def test_a_wrong_default_is_named_once(tmp_path: Path, reader: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, reader=reader)


def test_options_that_were_not_checked_are_refused_when_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(ROWS)
    schema = config_of(tmp_path).by_logical_name["items"].schema
    with opened(path) as file, pytest.raises(ConfigError, match=r"items\.csv: read\.delimiter: "):
        next(read_chunks(file, path.name, schema, 10, ReadOptions.model_validate({"delimiter": "::"})))


# ---------------------------------------------------------------- what a file looks like


@pytest.mark.parametrize(
    ("beginning", "names"),
    [
        (b'[{"a": 1}]', ["csv", "json", "ndjson"]),
        (b"\xef\xbb\xbf {", ["csv", "json", "ndjson"]),
        (b"a,b\n1,2\n", ["csv"]),
        (b"PK\x03\x04 whatever", []),
    ],
)
def test_a_beginning_tells_what_a_file_may_be(beginning: bytes, names: list[str]) -> None:
    assert [one.name for one in FORMATS if one.sniff(beginning, one.Options()) is not None] == names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a,b\n1,2\n", {}),
        ("a;b\n1;2\n3;4\n", {"delimiter": ";"}),
        ("a\tb\n1\t2\n3\t4\n", {"delimiter": "tab"}),
        ("a\n1\n", {}),
    ],
)
def test_csv_is_sniffed_for_its_delimiter(text: str, found: dict[str, Any]) -> None:
    csv = next(one for one in FORMATS if one.name == "csv")
    assert csv.sniff(text.encode(), csv.Options()) == found


@pytest.mark.parametrize(
    ("read", "text", "whole"),
    [
        ({}, b'a\n"x\ny"\n', True),
        ({}, b'a\n"x\n', False),
        ({}, b"a\nx", False),
        ({"quote": "'"}, b"a\n'x\n", False),
        ({"quote": "'"}, b'a\n"x\n', True),
        ({"quote": "none"}, b'a\n"x\n', True),
        ({"escape": "\\"}, b"a\nx\n", False),  # it is looked at more closely
        ({"encoding": "utf-16"}, b"\xfe\xff\0a\0\n", False),
        ({"format": "ndjson"}, b'{"a": "\\""}\n', True),
        ({"format": "ndjson"}, b'{"a": 1}', False),
    ],
)
def test_a_format_tells_whether_a_beginning_ends_with_a_record(
    read: dict[str, Any], text: bytes, whole: bool
) -> None:
    found, options = FORMATS.get(ReadOptions(**read), "things.csv")
    assert found.ends_with_record([text[:3], text[3:]], options) is whole
