"""A CSV file in any declared dialect loads cell for cell; one in another is told what it looks like."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config.config_loader import get_config
from config.errors import ConfigError, FileRejected
from config.model import Dtype
from config.schema import Column, Schema
from config.settings import PipelineConfig
from ingestion.formats import csv_blocks, encoding, registry
from ingestion.formats.csv_format import CsvFormat, read_csv
from ingestion.formats.csv_options import CsvOptions
from ingestion.formats.json_format import JsonOptions, NdjsonFormat, read_json
from tests.acceptance.oracle_csv import csv_records

NAMES = ["a", "b", "c"]
Row = list[str | None]
Bad = tuple[int, str, int, str]


def schema(*dtypes: Dtype) -> Schema:
    """Columns a, b, c, of which the first is the key."""
    columns = (Column(name=name, dtype=dtype) for name, dtype in zip(NAMES, dtypes, strict=False))
    return Schema(name="things", primary_key="a", columns=tuple(columns))


TEXTS = schema(Dtype.STR, Dtype.STR, Dtype.STR)
TYPED = schema(Dtype.INT, Dtype.STR, Dtype.STR)


def read(data: str | bytes, of: Schema = TEXTS, **options: Any) -> tuple[list[Row], list[Bad]]:
    """The rows, and of the malformed records number, rule, line and text."""
    raw = io.BytesIO(data.encode() if isinstance(data, str) else data)
    rows: list[Row] = []
    malformed: list[Bad] = []
    for chunk in read_csv(raw, of, 3, CsvOptions(**options)):
        columns = [chunk.columns[column.name].to_pylist() for column in of.columns]
        rows += [list(row) for row in zip(*columns, strict=True)]
        malformed += [(m.number, m.reasons[0].rule, m.raw["_line"], m.raw["_malformed"]) for m in chunk.malformed]
    return rows, malformed


def by_python(text: str, **signs: Any) -> list[Row]:
    """What Python's own reader makes of it; it does not tell null from an empty text."""
    return [[value or None for value in row] for row in csv.reader(io.StringIO(text, newline=""), **signs) if row]


# ---------------------------------------------------------------- one option at a time


@pytest.mark.parametrize(
    ("options", "text", "rows"),
    [
        ({"quote": "'"}, "a,b,c\n1,'x, y','it''s'\n2,\"q\",5\" \n", [["1", "x, y", "it's"], ["2", '"q"', '5" ']]),
        ({"quote": "'"}, "a,'b',c\n1,'x\ny',''\n", [["1", "x\ny", ""]]),
        ({"quote": "none"}, 'a,b,c\n1,"x",12" \n', [["1", '"x"', '12" ']]),
        ({"quote": None}, 'a,b,c\n1,"x,"y\n', [["1", '"x', '"y']]),
        ({"escape": "\\"}, 'a,b,c\n1,x\\,y,"say \\"hi\\""\n', [["1", "x,y", 'say "hi"']]),
        ({"escape": "\\"}, 'a,b,c\n1,\\\\,"\\\\"\n2,\\",\\\\\\,\n', [["1", "\\", "\\"], ["2", '"', "\\,"]]),
        ({"escape": "\\"}, "a,b,c\n1,x\\\ny,z\n", [["1", "x\ny", "z"]]),
        ({"escape": "\\"}, "a,b,c\r\n1,x\\\r\ny,z\r\n", [["1", "x\r\ny", "z"]]),
        ({"escape": "\\"}, "a,b,c\n1,C:\\new,\\N\n", [["1", "C:\\new", "\\N"]]),
        ({"escape": "\\", "quote": "none"}, 'a,b,c\n1,x\\,y,"z\n', [["1", "x,y", '"z']]),
        ({"escape": "\\"}, "a,b,c\n1,\ufdd0\ufdd1\\,,\ufdd5\n2,\ufdd2,x\\,\n", [
            ["1", "\ufdd0\ufdd1,", "\ufdd5"], ["2", "\ufdd2", "x,"],
        ]),
        ({"escape": "'", "quote": "'"}, "a,b,c\n1,'x''s',\n", [["1", "x's", None]]),
        ({"header": False}, "1,x,y\n2,z,\n", [["1", "x", "y"], ["2", "z", None]]),
        ({"header": False, "skip_lines": 1}, "some title\n1,x,y\n", [["1", "x", "y"]]),
        ({"skip_lines": 3}, 'Report "of\n\n;\na,b,c\n1,x,y\n', [["1", "x", "y"]]),
        ({"skip_lines": 2}, "sep=;\nReport\na;b;c\n1;x;y\n", [["1", "x", "y"]]),
        ({"skip_footer": 1}, "a,b,c\n1,x,y\nTotal,,1\n", [["1", "x", "y"]]),
        ({"skip_footer": 2}, "a,b,c\r\n1,x,y\r\n\r\nTotal,,1\r\nend\r\n\r\n", [["1", "x", "y"]]),
        ({"skip_footer": 1}, "a,b,c\n1,x,y\n2,z,9", [["1", "x", "y"]]),
        ({"skip_footer": 5}, "a,b,c\n1,x,y\n2,z,9\n3,,\n4,,\n5,,\n6,,\n", [["1", "x", "y"]]),
        ({"comment": "#"}, "# export of \"today\na,b,c\n#x,y,z\n1,#,y\n# it's, \"done\n", [["1", "#", "y"]]),
        ({"comment": "#"}, 'a,b,c\n1,"x\n# no comment\ny","#"\n# one, "\n"#2",x,y\n#', [
            ["1", "x\n# no comment\ny", "#"], ["#2", "x", "y"],
        ]),
        ({"comment": "--"}, "--\na,b,c\r\n-- x\r\n1,-,--\r\n", [["1", "-", "--"]]),
        ({"comment": "#", "escape": "\\"}, "a,b,c\n# C:\\\n1,x\\,,#\n# \\", [["1", "x,", "#"]]),
        ({"comment": "#", "escape": "\\"}, '# "C:\\\n# "D:\\\n\na,b,c\n# "E:\\\n1,"x\\"\n#y",#\n', [
            ["1", 'x"\n#y', "#"],
        ]),
        ({"comment": "#", "skip_lines": 1, "skip_footer": 1}, "#a\n#b\na,b,c\n1,x,y\n#c\nend", [["1", "x", "y"]]),
        ({"delimiter": "tab", "quote": "none"}, 'a\tb\tc\n1\t5"\t6"\n', [["1", '5"', '6"']]),
        ({"delimiter": ";", "quote": "|", "escape": "^"}, "a;b;c\n1;|x;y|;p^;q\n", [["1", "x;y", "p;q"]]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("block", [1, 2, 7, 1 << 22])
def test_an_option_is_read_as_it_says(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], text: str, rows: list[Row], block: int
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block)
    assert read(text, **options) == (rows, [])


@pytest.mark.parametrize("codec", [
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-8-sig", "cp1252", "latin-1", "cp1250",
    "iso8859-15", "gb18030", "shift_jis", "cp037", "utf-7", "iso2022_jp", "mac-roman", "cp437",
])  # fmt: skip
@pytest.mark.parametrize("piece", [1, 3, 1 << 18])
def test_a_text_in_any_encoding_is_read(monkeypatch: pytest.MonkeyPatch, codec: str, piece: int) -> None:
    monkeypatch.setattr(encoding, "PIECE_BYTES", piece)
    value = "日本" if codec in {"shift_jis", "iso2022_jp", "gb18030"} else "Ä " if codec != "cp1250" else "Łódź"
    text = f"a,b,c\n1,{value}{value},x\n2,,{value}\n"
    assert read(text.encode(codec), encoding=codec) == ([["1", value + value, "x"], ["2", None, value]], [])


@pytest.mark.parametrize("declared", ["utf-8", "cp1252", "utf-16-be", "cp037"])
@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_wins(declared: str, codec: str) -> None:
    text = "a,b,c\n1,é,日\n"
    assert read(text.encode(codec), encoding=declared)[0] == [["1", "é", "日"]]
    lines = '{"a": "1", "b": "é", "c": "日"}\n'.encode(codec)
    (chunk,) = read_json(io.BytesIO(lines), TEXTS, 10, JsonOptions(encoding=declared))
    assert chunk.columns["b"].to_pylist() == ["é"]


@pytest.mark.parametrize(
    ("options", "text", "malformed"),
    [
        ({"comment": "#"}, "a,b,c\n# x\n1,x\n\n# \"y\n2,x,\"y\n#z\n3,x,y\n", [
            (1, "too_few_fields", 3, "1,x"), (2, "bad_quotes", 6, '2,x,"y'),
        ]),
        ({"escape": "\\"}, "a,b,c\n1,x\\\ny,z\n2,x\\,y\n", [(2, "too_few_fields", 4, "2,x\\,y")]),
        ({"skip_lines": 2}, "x\ny\na,b,c\n1,x\n", [(1, "too_few_fields", 4, "1,x")]),
        ({"quote": "'"}, "a,b,c\n1,'x,y\n2,'x','y'\n", [(1, "bad_quotes", 2, "1,'x,y")]),
        ({"quote": "none"}, 'a,b,c\n1,"x,y",z\n2,x,y\n', [(1, "too_many_fields", 2, '1,"x,y",z')]),
        ({"header": False}, "1,x\n2,x,y\n", [(1, "too_few_fields", 1, "1,x")]),
        ({"encoding": "utf-16"}, "\ufeffa,b,c\n1,é\n", [(1, "too_few_fields", 2, "1,é")]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("block", [1, 3, 1 << 22])
def test_a_malformed_record_keeps_its_number_its_line_and_its_text(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], text: str, malformed: list[Bad], block: int
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block)
    data = text.encode(options.get("encoding", "utf-8").replace("utf-16", "utf-16-le"))
    assert read(data, TYPED, **options)[1] == malformed


# ---------------------------------------------------------------- any table, any dialect

TABLE = st.lists(st.lists(st.text(max_size=6), min_size=3, max_size=3), min_size=1, max_size=5)
ODD = st.sampled_from(['"', "'", "\\", ",", ";", "#", "\n", "\r", "\r\n", "x", " ", "ä", "\ufdd3"])
ODD_TABLE = st.lists(
    st.lists(st.lists(ODD, max_size=4).map("".join), min_size=3, max_size=3), min_size=1, max_size=5
)


@st.composite
def dialects(draw: st.DrawFn) -> dict[str, Any]:
    """Any options that may stand beside each other."""
    comment = draw(st.sampled_from([None, "#", "//"]))
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", "~"]))
    return {
        "delimiter": "tab" if delimiter == "\t" else delimiter,
        "quote": draw(st.sampled_from(['"', "'", "`"])),
        "escape": draw(st.sampled_from([None, "\\", "^"])),
        "header": draw(st.booleans()),
        "skip_lines": draw(st.integers(0, 3)),
        "skip_footer": draw(st.integers(0, 3)),
        "comment": comment,
        "encoding": draw(st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32-be", "gb18030", "cp1252"])),
    }


@settings(max_examples=150, deadline=None)
@given(st.one_of(TABLE, ODD_TABLE), dialects(), st.sampled_from(["\n", "\r\n", "\r"]), st.integers(1, 40))
def test_a_table_in_any_dialect_loads_equal(
    table: list[list[str]], options: dict[str, Any], line_end: str, block: int
) -> None:
    codec, comment = options["encoding"], options["comment"]
    text = io.StringIO(newline="")
    signs: dict[str, Any] = {
        "delimiter": "\t" if options["delimiter"] == "tab" else options["delimiter"],
        "quotechar": options["quote"],
        "lineterminator": line_end,
    }
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, **signs)
    text.write(f"title{line_end}" * options["skip_lines"])
    if options["header"]:
        writer.writerow(NAMES)
    for number, row in enumerate(table):
        if comment:
            text.write(f"{comment} {number}{options['quote']}, {signs['quotechar'] * 3}{line_end}")
        sign = options["escape"]
        values = [value.replace(sign, sign * 2) if sign else value for value in [str(number), *row[1:]]]
        writer.writerow(values)
    text.write(f"total{line_end}" * options["skip_footer"])
    try:
        data = text.getvalue().encode(codec)
    except UnicodeEncodeError:
        assume(False)
    if codec == "cp1252" and not data.isascii():
        assume(not_utf8(data))
    expected = [[str(number), *row[1:]] for number, row in enumerate(table)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        assert read(data, TEXTS, **options) == (expected, [])


def not_utf8(data: bytes) -> bool:
    """What is both is taken for UTF-8, which a load refuses where the YAML says something else."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


PIECES = [
    "1",
    "x",
    ",",
    '"',
    "\n",
    "\r\n",
    "\r",
    '""',
    '1,"',
    'x"\n',
    "1,x,x\n",
    "#",
    "\n#",
    '# "x,"\n',
    "#,,\r\n",
    " ",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30), st.integers(1, 60))
def test_any_text_with_comments_is_read_as_the_oracle_reads_it(pieces: list[str], block: int) -> None:
    text = "a,b,c\n" + "".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        rows, malformed = read(text, comment="#")
    _, *expected = csv_records(text, lambda _: lambda values: 0 if values[0] else None, comment="#")
    assert rows == [values for values in expected if values is not None]
    assert [bad[0] for bad in malformed] == [n for n, values in enumerate(expected, 1) if values is None]
    lines = re.split("\r\n|\r|\n", text)
    assert [bad[3] for bad in malformed] == [lines[bad[2] - 1] for bad in malformed]


ESCAPED = [*PIECES, "\\", "\\\\", "\\,", '\\"', "\\\n", "\\\r\n", "\\x", "\ufdd0", "\ufdd4"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(ESCAPED), max_size=30), st.integers(1, 60), st.sampled_from([None, "#"]))
def test_with_an_escape_each_malformed_record_has_its_line(
    pieces: list[str], block: int, comment: str | None
) -> None:
    text = "a,b,c\n" + "".join(pieces)
    lines = re.split("\r\n|\r|\n", text)
    whole = read(text, escape="\\", comment=comment)
    for _, _, line, found in whole[1]:
        assert found in text
        assert lines[line - 1].startswith(re.split("\r\n|\r|\n", found)[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        rows, malformed = read(text, escape="\\", comment=comment)
    assert (rows, [bad[::2] for bad in malformed]) == (whole[0], [bad[::2] for bad in whole[1]])


SWAPPED = str.maketrans({'"': "'", "'": '"'})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, "'", "',"]), max_size=30), st.integers(1, 60))
def test_another_quote_is_read_as_the_usual_one(pieces: list[str], block: int) -> None:
    text = "a,b,c\n" + "".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", block)
        usual = read(text)
        rows, malformed = read(text.translate(SWAPPED), quote="'")
    assert [[value and value.translate(SWAPPED) for value in row] for row in rows] == usual[0]
    assert [(*bad[:3], bad[3].translate(SWAPPED)) for bad in malformed] == usual[1]


@settings(max_examples=150, deadline=None)
@given(ODD_TABLE, st.sampled_from(["'", '"']), st.sampled_from(["\\", "^"]), st.sampled_from([0, 1, 2, 3]))
def test_what_pythons_writer_escaped_is_read_as_its_reader_reads_it(
    table: list[list[str]], quote: str, escape: str, quoting: Any
) -> None:
    quote = quote if quoting != csv.QUOTE_NONE else '"'
    signs: dict[str, Any] = {"quotechar": quote, "escapechar": escape, "doublequote": False, "quoting": quoting}
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n", **signs).writerows(
        [NAMES, *([str(n), *r[1:]] for n, r in enumerate(table))]
    )
    assume(escape == "\\" or "^" not in quote)
    _, *expected = by_python(text.getvalue(), **(signs | {"quoting": csv.QUOTE_ALL if quoting != 3 else quoting}))
    rows, malformed = read(text.getvalue(), quote=quote if quoting != 3 else "none", escape=escape)
    assert [[value or None for value in row] for row in rows] == expected
    assert malformed == []


# ---------------------------------------------------------------- what it looks like


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        ("a;b;c\n1;x;y\n", {}, r"""looks separated by ';'; the YAML says ',' .*: read: \{delimiter: ";"\}"""),
        ("a\tb\tc\n1\tx\ty\n", {}, r"looks separated by tab; .*: read: \{delimiter: tab\}"),
        ("1;x;y\n2;x;y\n", {"header": False}, "looks separated by ';'"),
        ("'a','b','c'\n'1','x','y'\n", {}, r"""looks quoted by '''; .*: read: \{quote: "'"\}"""),
        ('"a","b","c"\n"1","x","y"\n', {"quote": "'"}, r"looks quoted by '\"'; the YAML says '''"),
        ("Report\n\na,b,c\n1,x,y\n", {}, r"line 3 names the columns; .*: read: \{skip_lines: 2\}"),
        ("a,b,c\n1,x,y\n2,x,y\n", {"skip_lines": 1}, r"line 1 names the columns; .* 1: read: \{skip_lines: 0\}"),
        ("a,b,c\n1,x,y\n", {"header": False}, r"first line names the columns; .*: read: \{header: true\}"),
        ("1,x,y\n2,x,y\n", {}, r"the first line .*: has the file no header line\? Then read: \{header: false\}"),
        ("1,x\n2,y\n", {"header": False}, r"has 2 fields a line, and no header; schema 'things' has 3 columns"),
        ("a,b,c\n", {"skip_lines": 4}, "no line behind the 4 of skip_lines"),
        ("a\n", {"skip_lines": 1}, "is empty: not even a header line"),
        ("# x\n", {"comment": "#", "header": False}, "is empty: it has no rows"),
        ("sep='\na'b'c\n", {"quote": "'"}, "its sep= line names ''' as the delimiter"),
        (
            "a,b,c\n1,Müller,x\n".encode("cp1252"),
            {},
            r"line 2, byte 10; it looks like cp1252: read: \{encoding: cp1252\}",
        ),
        (
            "a,b,c\n1,Müller,x\n",
            {"encoding": "cp1252"},
            r"looks like utf-8; the YAML says cp1252 .*: read: \{encoding: utf-8\}",
        ),
        ("a,b,c\n1,5 €,x\n", {"encoding": "latin-1"}, "looks like utf-8; the YAML says iso8859-1"),
        ("a,b,c\n1,x,x\n", {"encoding": "utf-16-le"}, "looks like utf-8; the YAML says utf-16-le"),
        ("a,b,c\n1,x,x\n".encode("utf-16-le"), {}, r"looks like UTF-16 without .*: read: \{encoding: utf-16-le\}"),
        (
            "a,b,c\n1,x,x\n".encode("utf-16-le"),
            {"encoding": "utf-16"},
            r"no byte order mark.*: read: \{encoding: utf-16-le\}",
        ),
        (
            "a,b,c\n1,x,x\n".encode("utf-16-le"),
            {"encoding": "utf-16-be"},
            "looks like utf-16-le; the YAML says utf-16-be",
        ),
        (
            "a,b,c\n1,x,x\n".encode("utf-16-le"),
            {"encoding": "cp1252"},
            "looks like utf-16-le; the YAML says cp1252",
        ),
        ("a,b,c\n1,x,x\n".encode("utf-32-be"), {}, r"read: \{encoding: utf-32-be\}"),
        (b"a,b,c\n1,x\x81,x\n2,\x81,x\n", {"encoding": "cp1252"}, "is not cp1252 text at line 2, byte 10;"),
        (b"a,b,c\n1,\xe9,x\n", {"encoding": "ascii"}, "is not ascii text at line 2, byte 9;"),
        (b"\xff\xfea\0,\0b\0,\0c\0\n\0\0\xd8\n\0", {}, "is not utf-16-le text at line 2, byte 15;"),
        (
            "a,b,c\n1,日本,x\n".encode("shift_jis") + b"\x81",
            {"encoding": "shift_jis"},
            "is not shift_jis text at line 3, byte 16;",
        ),
    ],
)  # fmt: skip
def test_a_file_in_another_dialect_is_told_what_it_looks_like(
    data: str | bytes, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FileRejected, match=reason):
        read(data, **options)


def test_a_line_of_another_encoding_costs_no_other_in_ndjson() -> None:
    lines = b'{"a": "1", "b": "x"}\n{"a": "2", "b": "\x81"}\n{"a": "3", "b": "\xe9"}\n'
    (chunk,) = read_json(io.BytesIO(lines), TEXTS, 10, JsonOptions(encoding="cp1252"))
    assert (chunk.columns["a"].to_pylist(), chunk.columns["b"].to_pylist()) == (["1", "3"], ["x", "é"])
    assert [(bad.number, bad.reasons[0].rule) for bad in chunk.malformed] == [(2, "not_utf8")]


def test_what_is_wrong_with_an_array_is_told_in_its_encoding() -> None:
    data = b'[{"a": "1", "b": "\x81", "c": "x"}, {"a": "2", "b": "x", "c": "x"}]'
    with pytest.raises(FileRejected, match="is not cp1252 text in record 1, at byte 19 of the text as UTF-8"):
        list(read_json(io.BytesIO(data), TEXTS, 10, JsonOptions(encoding="cp1252")))


# ---------------------------------------------------------------- the YAML


def config_of(home: Path, read: Any, pattern: str = "items.csv") -> PipelineConfig:
    text = {
        "watcher": {"batch": {"expected_files": {pattern: {"table": "dim_item", "read": read}}}, "stream": {}},
        "schemas": {"items": {"primary_key": "a", "columns": [{"name": "a", "dtype": "str", "nullable": False}]}},
    }
    path = home / "config.yaml"
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    return get_config(path, checks=[registry.problems])


@pytest.mark.parametrize(
    ("read", "message"),
    [
        ({"encoding": "utf8x"}, r"items\.csv\.read\.encoding: .*no encoding is called so; did you mean utf8\?"),
        ({"encoding": "base64"}, r"read\.encoding: .*no encoding is called so"),
        ({"encoding": "idna"}, r"read\.encoding: .*no encoding is called so"),
        ({"encoding": "a\0b"}, r"read\.encoding: .*no encoding is called so"),
        ({"encoding": 1252}, r"read\.encoding: .*valid string"),
        ({"quote": ""}, r"read\.quote: .*or the word none"),
        ({"quote": "''"}, r"read\.quote: .*one ASCII character"),
        ({"quote": "«"}, r"read\.quote: .*one ASCII character"),
        ({"quote": "a"}, r"read\.quote: .*no letter"),
        ({"quote": ","}, r"read\.quote: .*is the delimiter; give each a sign of its own"),
        ({"escape": ";", "delimiter": ";"}, r"read\.escape: .*is the delimiter"),
        ({"comment": ","}, r"read\.comment: .*is the delimiter"),
        ({"comment": '"x'}, r"read\.comment: .*begins with the quote"),
        ({"comment": "\\", "escape": "\\"}, r"read\.comment: .*is the escape"),
        ({"comment": ""}, r"read\.comment: .*1 to 8 characters"),
        ({"comment": "#\n"}, r"read\.comment: .*no line end"),
        ({"skip_lines": -1}, r"read\.skip_lines: .*greater than or equal to 0"),
        ({"skip_lines": "x"}, r"read\.skip_lines: .*valid integer"),
        ({"skip_footer": 101}, r"read\.skip_footer: .*less than or equal to 100"),
        ({"header": "maybe"}, r"read\.header: .*valid boolean"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_told_with_its_path(tmp_path: Path, read: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(tmp_path, read)


@pytest.mark.parametrize("pattern", ["items.json", "items.ndjson"])
def test_json_has_an_encoding_and_no_signs(tmp_path: Path, pattern: str) -> None:
    assert config_of(tmp_path, {"encoding": "Latin1"}, pattern)
    with pytest.raises(ConfigError, match=r"read\.quote: belongs to csv, not to "):
        config_of(tmp_path, {"quote": "'"}, pattern)


# ---------------------------------------------------------------- what infer proposes


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("id,name\n1,x\n2,y\n", {}),
        ("id\n1\n2\n", {}),
        ("Betreiber;Ort;Breite\nA;K;50,937417\nB;E;51,4581\n", {"delimiter": ";"}),
        (
            "PLZ;geometry\n1;POLYGON ((13.3 52.5, 13.4 52.5))\n2;POLYGON ((13.5 52.5, 13.6 52.5))\n",
            {"delimiter": ";"},
        ),
        ("sep=;\nName;Price\nA;1,5\nB;2,5\n", {}),
        ("id\trate\n1001\t.097\n1002\t.1\n", {"delimiter": "tab"}),
        ("trip_id,arrival\n1,07:53:00\n2,24:10:00\n", {}),
        ("id,time\n1,07:53:00\n", {}),
        (
            "Beleg;Kunde;Betrag\r\nR-1;Müller;5,85\r\nR-2;Jäger;12,00\r\n".encode("latin-1"),
            {"encoding": "cp1252", "delimiter": ";"},
        ),
        ("id,name\n1,José\n2,Zoë\n".encode("latin-1"), {"encoding": "cp1252"}),
        ("id\tname\r\n1\tJosé\r\n2\tAnna\r\n".encode("utf-16"), {"delimiter": "tab"}),
        ("id,name\r\n1,José\r\n2,Anna\r\n".encode("utf-16-le"), {"encoding": "utf-16-le"}),
        ("id,name\n1,José\n"[:-4].encode() + b"\xc3", {}),
        ("'id','name'\n'1','x, y'\n'2','z'\n", {"quote": "'"}),
        ("id,name\n1,'x, y'\n2,'z'\n3,'p, q'\n", {"quote": "'"}),
        ('id,name\n1,"say \\"hi\\", he said"\n2,"x"\n3,z\n', {"escape": "\\"}),
        (
            '"Source","Indicators",\n\n"Updated","2020",\n\n"Country","Code","1960","1961",\n'
            '"A","B","1","2",\n"C","D","3","4",\n"C","D","3","4",\n',
            {"skip_lines": 4},
        ),
        ("# export of today\nid,name\n1,x\n2,y\n", {"comment": "#"}),
        ("#id,name\n1,x\n2,y\n", {}),
        ("code,1960,1961\nABW,54208,55435\nAFG,1,2\nAGO,3,4\n", {}),
        ("1,x,2.50\n2,y,3.50\n3,z,4\n", {"header": False}),
        ("x,y\nz,p\nq,r\n", {}),
    ],
)  # fmt: skip
def test_a_dialect_is_told_from_the_beginning_where_it_is_sure(data: str | bytes, found: dict[str, Any]) -> None:
    beginning = data.encode() if isinstance(data, str) else data
    assert CsvFormat().sniff(beginning, CsvOptions()) == found


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_json_is_known_in_its_encoding(codec: str) -> None:
    text = '[{"id": 1, "name": "José Müller"}, {"id": 2, "name": "Zoë"}]'
    declared = {"utf-16-be": {"encoding": "utf-16-be"}, "cp1252": {"encoding": "cp1252"}}
    assert NdjsonFormat().sniff(text.encode(codec), JsonOptions()) == declared.get(codec, {})
