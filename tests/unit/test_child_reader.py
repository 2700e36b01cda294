"""The elements of arrays come as the file has them, with their number, their place and their record's key."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.key import Key
from config.model import Dtype
from config.origins import Origin
from config.schema import Column, Schema, Within
from ingestion.formats.json_format import JsonOptions, read_json
from validation.batch import Chunk

ORDERS = Schema(
    name="orders",
    primary_key=Key(("id",)),
    columns=(Column(name="id", dtype=Dtype.INT, nullable=False), Column(name="by", dtype=Dtype.STR)),
)


def child(path: str = "items", *, drift: str = "ignore") -> Schema:
    parent = Column(name="order_id", dtype=Dtype.INT, nullable=False, value=Origin(parent="id"))
    position = Column(name="position", dtype=Dtype.INT, nullable=False, value=Origin(element="position"))
    a, b = Column(name="a", dtype=Dtype.STR), Column(name="b", dtype=Dtype.JSON)
    c = Column(name="c", dtype=Dtype.INT, sources=("deep.c",))
    return Schema(
        name="items",
        primary_key=Key(("order_id", "position")),
        columns=(parent, position, a, b, c),
        drift={"new_columns": drift},
        within=Within(of=ORDERS, path=path),
    )


def read(text: str, schema: Schema, chunk_rows: int = 1000) -> list[Chunk]:
    return list(read_json(io.BytesIO(text.encode()), schema, chunk_rows, JsonOptions()))


def rows(chunks: list[Chunk]) -> list[tuple[Any, ...]]:
    """All rows, good and malformed, by their numbers."""
    found = []
    for chunk in chunks:
        columns = [values.to_pylist() for values in chunk.columns.values()]
        found += [(int(n), *row) for n, row in zip(chunk.numbers, zip(*columns, strict=True), strict=True)]
        found += [(m.number, m.raw["order_id"], m.raw["position"], m.reasons[0].rule) for m in chunk.malformed]
    return sorted(found)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT,
    lambda values: st.lists(values, max_size=2) | st.dictionaries(TEXT, values, max_size=2),
    max_leaves=4,
)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "a": st.none() | TEXT,
        "b": NESTED,
        "deep": st.fixed_dictionaries({"c": st.integers()}),
        "x": NESTED,
    },
)
ELEMENT = st.one_of(ITEM, ITEM, ITEM, NESTED.filter(lambda value: not isinstance(value, dict)))
RECORD = st.fixed_dictionaries(
    {"id": st.integers()},
    optional={"by": TEXT, "items": st.none() | st.lists(ELEMENT, max_size=4), "other": NESTED},
)


def wanted(records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """As `rows`, with the values of the json column decoded."""
    found: list[tuple[Any, ...]] = []
    for record in records:
        for position, element in enumerate(record.get("items") or [], 1):
            place = (len(found) + 1, str(record["id"]), str(position))
            if isinstance(element, dict):
                deep = element.get("deep", {}).get("c")
                found.append((*place, element.get("a"), element.get("b"), None if deep is None else str(deep)))
            else:
                found.append((*place, "not_an_object"))
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORD, min_size=1, max_size=6), st.sampled_from([1, 2, 3, 1000]), st.booleans(), st.booleans())
def test_every_element_is_read_as_python_reads_it(
    records: list[dict[str, Any]], chunk_rows: int, lines: bool, ascii_only: bool
) -> None:
    dumped = [json.dumps(record, ensure_ascii=ascii_only) for record in records]
    text = "\n".join(dumped) if lines else "[" + ", ".join(dumped) + "]"
    chunks = read(text, child(), chunk_rows)
    found = [(*row[:4], row[4] and json.loads(row[4]), row[5]) if len(row) > 4 else row for row in rows(chunks)]
    assert found == wanted(records)
    assert all(len(chunk.numbers) + len(chunk.malformed) == chunk_rows for chunk in chunks[:-1])


@pytest.mark.parametrize(
    "text",
    [
        '[{"id": 1, "items": [{"a": "x", "b": NaN}, {"a": "y"}]}]',
        '[{"id": 1, "items": [{"a": "x", "a": "z"} , {"a": "y"}]}]',
        '[{"id": 1, "items": [NaN, {"a": "y"}]}]',
    ],
)
def test_a_bad_element_leaves_its_neighbour(text: str) -> None:
    first, second = rows(read(text, child()))
    assert second == (2, "1", "2", "y", None, None)
    assert len(first) == 4


def test_a_malformed_record_has_no_children_and_costs_no_other() -> None:
    text = '{"id": 1, "items": [{"a": "x"}]}\n{"id": 2, "items": [{"a": \n{"id": 3, "items": [{"a": "y"}]}'
    assert rows(read(text, child())) == [(1, "1", "1", "x", None, None), (2, "3", "1", "y", None, None)]


def test_numbers_of_elements_go_on_from_chunk_to_chunk_and_record_to_record() -> None:
    records = [{"id": n, "items": [{"a": str(n)}] * (n % 4)} for n in range(5_000)]
    chunks = read(json.dumps(records), child(), 700)
    numbers = [int(n) for chunk in chunks for n in chunk.numbers]
    assert numbers == list(range(1, 1 + sum(n % 4 for n in range(5_000))))
    assert {len(chunk.numbers) for chunk in chunks[:-1]} == {700}


@pytest.mark.parametrize("record", ['{"id": 1, "id": 2, "items": [A]}', '{"id": 1, "items": [], "items": [A]}'])
def test_children_of_a_record_that_gives_a_key_twice_are_none_of_another_record(record: str) -> None:
    text = f'[{record.replace("A", json.dumps({"a": "x"}))}, {{"id": 2, "items": [{{"a": "y"}}]}}]'
    first, second = rows(read(text, child()))
    assert (first[0], first[2:]) == (1, (None, "key_given_twice"))
    assert second == (2, "2", "1", "y", None, None)


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ('[{"id": 1}]', True),
        ('{"id": 1}\n{"id": 2, "item": []}', True),
        ("[]", False),
        ('{"id": \n', False),
        ('[{"id": 1}, {"id": 2, "items": []}]', False),
        ('[{"id": 1, "items": null}]', False),
        ('[{"id": 1, "items": 5}]', False),
    ],
)
@pytest.mark.parametrize("chunk_rows", [1, 1000])
def test_that_no_record_has_the_array_is_told_by_the_last_chunk(text: str, is_told: bool, chunk_rows: int) -> None:
    chunks = read(text, child(), chunk_rows)
    assert [chunk.no_array for chunk in chunks if chunk.no_array] == [True] * is_told
    assert not any(chunk.lacks for chunk in chunks)
