"""A column is at the end of its path, digit for digit, and the records are where the YAML says."""

from __future__ import annotations

import io
import itertools
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import FileRejected
from config.model import Dtype
from config.schema import Column, Drift, Schema
from ingestion.formats import json_window
from ingestion.formats.json_format import DocumentOptions, read_json
from ingestion.formats.plain_records import PlainRecords

PATHS = {
    "id": ("id",),
    "city": ("buyer", "address", "city"),
    "lat": ("buyer", "address", "lat"),
    "address": ("buyer", "address"),
    "dotted": ("buyer", "a.b"),
    "total": ("total",),
}
SCHEMA = Schema(
    name="things",
    primary_key="id",
    columns=(
        Column(name="id", dtype=Dtype.INT, nullable=False),
        Column(name="city", dtype=Dtype.STR, sources=("buyer.address.city",)),
        Column(name="lat", dtype=Dtype.FLOAT, sources=("buyer.address.lat",)),
        Column(name="address", dtype=Dtype.JSON, sources=("buyer.address",)),
        Column(name="dotted", dtype=Dtype.STR, sources=("buyer.a\\.b",)),
        Column(name="total", dtype=Dtype.STR),
    ),
    drift=Drift(new_columns="ignore"),
)
WINDOWS = (1, 7, 1 << 19)
Row = dict[str, str | None]


def read(
    text: str | bytes, schema: Schema = SCHEMA, window: int = 1 << 19, records: str | None = None, rows: int = 3
) -> tuple[dict[int, Row], dict[int, list[tuple[str, str]]], list[dict[str, Any]]]:
    """Rows by number, the reasons of malformed ones, and what is kept of these."""
    data = text.encode() if isinstance(text, str) else text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_window, "WINDOW_BYTES", window)
        found: dict[int, Row] = {}
        malformed: dict[int, list[tuple[str, str]]] = {}
        kept = []
        for chunk in read_json(io.BytesIO(data), schema, rows, DocumentOptions(records=records)):
            columns = {name: values.to_pylist() for name, values in chunk.columns.items()}
            for place, number in enumerate(chunk.numbers.tolist()):
                found[number] = {name: values[place] for name, values in columns.items()}
            for one in chunk.malformed:
                malformed[one.number] = [(reason.rule, reason.column) for reason in one.reasons]
                kept.append(one.raw)
    return found, malformed, kept


class Number(str):
    """The digits of a number, as they are written."""

    __slots__ = ()


def independently(text: str) -> dict[int, Row] | None:
    """The same by the json module alone; None where a step of a path is no object."""
    rows = {}
    for number, record in enumerate(json.loads(text, parse_int=Number, parse_float=Number), 1):
        row: Row = {}
        for name, path in PATHS.items():
            value = record
            for step in path:
                if value is not None and not isinstance(value, dict):
                    return None
                value = None if value is None else value.get(step)
            if name == "address":
                row[name] = None if value is None else written(value)
            else:
                row[name] = value if value is None or isinstance(value, str) else written(value)
        rows[number] = row
    return rows


def written(value: Any) -> str:
    """JSON in the form in which the test writes it."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


NUMBERS = st.sampled_from(
    ["1", "-0", "1.10", "12345678901234567890.123456789", "1e3", "-0.0", "0.30000000000000004"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS.map(Number), st.lists(NUMBERS.map(Number), max_size=2))
ADDRESSES = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from(["city", "lat", "zip", 'q"', "x y"]), VALUES, max_size=4),
)
BUYERS = st.one_of(
    st.none(), st.fixed_dictionaries({}, optional={"address": ADDRESSES, "a.b": TEXTS, "more": ADDRESSES})
)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(0, 99).map(str).map(Number)},
        optional={"buyer": BUYERS, "total": VALUES, "other": ADDRESSES},
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(records=RECORDS, window=st.sampled_from(WINDOWS), wrapped=st.booleans())
def test_each_value_is_what_an_independent_reader_finds_at_the_path(
    records: list[dict[str, Any]], window: int, wrapped: bool
) -> None:
    # Were there objects or arrays at a typed column's path in every record, the file would be refused.
    plain = {"address": {"city": "c", "lat": Number("1")}}
    records = [*records, {"id": Number("1"), "buyer": plain, "total": Number("1")}]
    text = written(records)
    where = None
    if wrapped:
        before, behind = '{"n": 1, "data": {"x": ["]", {}], "items": ', ', "y": "}"}, "z": null}'
        text, where = before + text + behind, "data.items"
    rows, malformed, _ = read(text, window=window, records=where)
    assert malformed == {}
    assert rows == independently(written(records))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("record", "reasons", "kept"),
    [
        ('{"id": 2, "buyer": "Bob"}', [("no_object_at_path", "")], {"buyer": '"Bob"'}),
        ('{"id": 2, "buyer": [{"address": 1}]}', [("no_object_at_path", "")], {"buyer": '[{"address": 1}]'}),
        ('{"id": 2, "buyer": {"address": 7}}', [("no_object_at_path", "")], {"address": "7"}),
        ('{"id": 2, "buyer": {"address": {"lat": NaN}}}', [("not_json", "lat")], {"lat": "NaN"}),
        ('{"id": 2, "buyer": {"a.b": 1, "a.b": 2}}', [("key_given_twice", "")], {}),
        ('{"id": 2, "buyer": {"address": {"city": "\\ud800"}}}', [("lone_surrogate", "")], {}),
    ],
)
def test_a_path_that_leads_through_no_object_costs_its_row_alone(
    record: str, reasons: list[tuple[str, str]], kept: dict[str, str], window: int
) -> None:
    good = '{"id": %d, "buyer": {"address": {"city": "c", "lat": 1.50}, "a.b": "d"}, "total": 1}'
    rows, malformed, raw = read(f"[{good % 1}, {record}, {good % 3}]", window=window)
    assert malformed == {2: reasons}
    row = {"city": "c", "lat": "1.50", "address": '{"city": "c", "lat": 1.50}', "dotted": "d", "total": "1"}
    assert rows == {1: {"id": "1", **row}, 3: {"id": "3", **row}}
    assert kept.items() <= raw[0].items()


def test_a_path_that_no_record_has_is_told_where_a_value_must_be() -> None:
    columns = (SCHEMA.columns[0], Column(name="city", dtype=Dtype.STR, nullable=False, sources=("buyer.town",)))
    schema = Schema(name="things", primary_key="id", columns=columns)
    with pytest.raises(FileRejected, match=r"missing: city \(from buyer.town\) \(the YAML can say: "):
        read('[{"id": 1, "buyer": {"city": "x"}}, {"id": 2, "buyer": null}]', schema)


def test_a_path_that_leads_to_objects_is_told_with_the_way_out() -> None:
    columns = (SCHEMA.columns[0], Column(name="lat", dtype=Dtype.FLOAT, sources=("buyer.address",)))
    schema = Schema(name="things", primary_key="id", columns=columns)
    records = ['{"id": 1, "buyer": {"address": {"lat": 1}}}', '{"id": 2, "buyer": {"address": null}}']
    with pytest.raises(
        FileRejected, match=r"from \(buyer.address\) leads to an object .* as in buyer.address.KEY, or"
    ):
        read("[" + ",".join(records) + "]", schema)
    fine = '{"id": 3, "buyer": {"address": 1.50}}'
    for order in itertools.permutations([*records, fine]):
        rows, _, _ = read("[" + ",".join(order) + "]", schema, rows=1)
        assert {row["id"]: row["lat"] for row in rows.values()} == {"1": '{"lat": 1}', "2": None, "3": "1.50"}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"data": {"rows": []}}',
            "data has no key items, so that records (data.items) leads nowhere; it has rows",
        ),
        ('{"info": 1.5e3, "rows": "\\""}', "the document has no key data, so that records"),
        ("{}", "it has nothing"),
        ('{"data": [1]}', "data is an array, not an object, at byte 10 (records); records ends at an array"),
        ('{"data": {"items": {"a": 1}}}', "data.items is an object, not an array of records"),
        ('{"data": {"items": null}}', "a document without records has [] there"),
        ('{"data": {"items": "x"}}', "data.items is a text"),
        ('{"data": 5}', "data is a number, not an object"),
        ("[{}]", "begins with an array, to which no path leads; leave records (data.items) out"),
        ("", "is empty"),
        ('{"data": {"items": [{"id": 1}], "items": []}}', "data.items is given twice"),
        ('{"data": {"items": [{"id": 1}]}, "data": 1}', "data is given twice"),
        ('{"data": {"items": [{"id": 1}]}}\n{"data": {"items": []}}', "records goes with one document in a file"),
        ('{"data": {"items": [{"id": 1}]', "is cut off"),
        ('{"x": [1, {"y": "]}], "data": {"items": []}}', "is cut off, or is not JSON: a text that does not end"),
        ('{"x": [}, "data": {"items": []}}', "a bracket that closes another one"),
        ('{"x": nul, "data": {"items": []}}', "no value after a key"),
        ('{"x" 1}', "no colon after a key"),
        ("{x: 1}", "no key in double quotes"),
        ('{"x": 1 "data": {}}', "no comma after a value"),
    ],
)
def test_records_that_are_not_where_the_yaml_says_are_told_with_the_place(
    text: str, told: str, window: int
) -> None:
    with pytest.raises(FileRejected) as caught:
        read(text, window=window, records="data.items")
    assert told in str(caught.value)


def test_a_document_that_is_cut_anywhere_is_refused() -> None:
    text = '{"a": [1, "\\"]"], "data": {"b": {"c": -1.5}, "items": [{"id": 1}, {"id": 2}], "d": null}, "e": [{}]}'
    assert set(read(text, records="data.items")[0]) == {1, 2}
    for end in range(len(text)):
        with pytest.raises(FileRejected):
            read(text[:end], records="data.items")


def test_what_lies_beside_the_records_takes_no_memory() -> None:
    beside = '"%s"' % ("x" * (8 << 20))
    text = f'{{"before": [{beside}], "items": [{{"id": 1}}], "after": {beside}}}'.encode()
    file = io.BytesIO(text)
    tracemalloc.start()
    try:
        (chunk,) = read_json(file, SCHEMA, 10, DocumentOptions(records="items"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(chunk.numbers) == 1
    assert peak < 6 << 20


def test_keys_that_are_left_out_do_not_leave_the_quick_decoder() -> None:
    plain = PlainRecords(("id",), leaves_out=True)
    assert plain.array(b'[{"id": 1, "a": 2}]') is None
    plain.learn(("id", "a"), ())
    records = plain.array(b'[{"id": 1, "a": 2}, {"a": 1}, {"id": 3}]')
    assert records is not None
    assert len(records) == 3
    assert plain.array(b'[{"id": 1, "a": 2, "a": 3}]') is None
