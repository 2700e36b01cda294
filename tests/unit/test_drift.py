"""What becomes of a file with other columns than its schema: by the policies alone, the same in each format."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

import pytest

from config.errors import FileRejected
from config.model import Dtype
from config.schema import Column, Drift, Schema
from ingestion.formats.csv_format import read_csv
from ingestion.formats.csv_options import CsvOptions
from ingestion.formats.json_format import read_json
from validation.drift import match_columns

KEY = Column(name="id", dtype=Dtype.INT, nullable=False)
A = Column(name="a", dtype=Dtype.STR)
OPTIONAL = Column(name="o", dtype=Dtype.STR, optional=True)
NEEDED = Column(name="n", dtype=Dtype.STR, nullable=False)
REQUIRED = Column(name="r", dtype=Dtype.STR, uses={"required": True})
DEFAULT = Column(name="d", dtype=Dtype.INT, nullable=False, default=7)
RENAMED = Column(name="new", dtype=Dtype.STR, sources=("Old Name", "old"))


def schema(*columns: Column, **drift: Any) -> Schema:
    return Schema(name="things", primary_key="id", columns=(KEY, *columns), drift=Drift(**drift))


@pytest.mark.parametrize(
    ("columns", "drift", "header", "wanted"),
    [
        ((A,), {}, "id,a", ["id", "a"]),
        ((A,), {}, "a,id", ["a", "id"]),
        ((A,), {}, "id", "missing: a"),
        ((A,), {"missing_columns": "null"}, "id", ["id"]),
        ((A,), {"missing_columns": "null"}, "a", "missing: id"),
        ((OPTIONAL,), {}, "id", ["id"]),
        ((DEFAULT,), {}, "id", "missing: d"),
        ((DEFAULT,), {"missing_columns": "null"}, "id", ["id"]),
        ((NEEDED,), {"missing_columns": "null"}, "id", "missing: n"),
        ((REQUIRED,), {"missing_columns": "null"}, "id", "missing: r"),
        ((A,), {}, "id,a,b", "unexpected: b"),
        ((A,), {"new_columns": "ignore"}, "x,id,b,a,b", [None, "id", None, "a", None]),
        ((A,), {"new_columns": "ignore"}, "id,a,a", "given twice: a"),
        ((A,), {"new_columns": "ignore"}, "id,b", "missing: a"),
        ((A,), {"new_columns": "ignore", "missing_columns": "null"}, "id,b", ["id", None]),
        ((RENAMED,), {}, "id,old", ["id", "new"]),
        ((RENAMED,), {}, "Old Name,id", ["new", "id"]),
        ((RENAMED,), {}, "id,new", "missing: new (from Old Name or old); unexpected: new"),
        ((RENAMED,), {}, "id,old,Old Name", "given twice: new (as old and Old Name)"),
        ((RENAMED,), {"new_columns": "ignore"}, "id,old,new", ["id", "new", None]),
    ],
)
def test_a_file_has_the_columns_that_its_policies_let_it_have(
    columns: tuple[Column, ...], drift: dict[str, str], header: str, wanted: list[str | None] | str
) -> None:
    if isinstance(wanted, list):
        assert match_columns(schema(*columns, **drift), header.split(",")) == wanted
        return
    with pytest.raises(FileRejected) as caught:
        match_columns(schema(*columns, **drift), header.split(","))
    assert f"; {wanted} (the YAML can say: " in str(caught.value)


def test_the_way_out_is_that_of_the_difference() -> None:
    with pytest.raises(
        FileRejected, match=r"unexpected: b \(the YAML can say: new_columns: keep, to have such columns in _extra"
    ):
        match_columns(schema(A), ["id", "a", "b"])
    with pytest.raises(
        FileRejected, match=r"missing: a \(the YAML can say: optional: true, where a file may lack"
    ):
        match_columns(schema(A), ["id"])


ROWS = [{"id": n, "a": f"v{n}", "x": f"x{n}", "y": n} for n in range(1, 8)]


@pytest.mark.parametrize("chunk_rows", [2, 100])
@pytest.mark.parametrize("names", list(itertools.permutations(["id", "a", "x"])))
def test_csv_columns_that_are_left_out_cost_no_value_of_the_others(
    names: tuple[str, ...], chunk_rows: int
) -> None:
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in ROWS)]
    lines.insert(3, "1,2")  # malformed: too few
    text = "\n".join(lines).encode()
    found: dict[str, str] = {}
    malformed = []
    for chunk in read_csv(io.BytesIO(text), schema(A, new_columns="ignore"), chunk_rows, CsvOptions()):
        assert list(chunk.columns) == ["id", "a"]
        found |= dict(zip(chunk.columns["id"].to_pylist(), chunk.columns["a"].to_pylist(), strict=True))
        malformed += [one.number for one in chunk.malformed]
    assert found == {str(row["id"]): row["a"] for row in ROWS}
    assert malformed == [3]


@pytest.mark.parametrize("as_lines", [False, True])
@pytest.mark.parametrize("chunk_rows", [2, 100])
def test_json_keys_that_are_left_out_cost_no_value_of_the_others(chunk_rows: int, as_lines: bool) -> None:
    rows: list[dict[str, Any]] = [dict(row) for row in ROWS]
    rows[2] |= {"more": {"deep": [1, {"id": 9}]}, "z": None}
    del rows[3]["x"]
    texts = [json.dumps(row) for row in rows]
    text = "\n".join(texts) if as_lines else "[" + ",".join(texts) + "]"
    found: dict[str, str] = {}
    for chunk in read_json(io.BytesIO(text.encode()), schema(A, new_columns="ignore"), chunk_rows):
        assert chunk.malformed == ()
        found |= dict(zip(chunk.columns["id"].to_pylist(), chunk.columns["a"].to_pylist(), strict=True))
    assert found == {str(row["id"]): row["a"] for row in rows}
    with pytest.raises(FileRejected, match="unexpected: y"):
        list(read_json(io.BytesIO(text.encode()), schema(A), chunk_rows))


def test_a_json_key_that_is_given_twice_is_refused_even_where_it_is_left_out() -> None:
    text = b'[{"id": 1, "x": 1, "x": 2}, {"id": 2, "x": 1}]'
    (chunk,) = read_json(io.BytesIO(text), schema(new_columns="ignore"), 10)
    assert chunk.columns["id"].to_pylist() == ["2"]
    assert [(one.number, one.reasons[0].rule) for one in chunk.malformed] == [(1, "key_given_twice")]
