"""The documented table of formats and options is true, cell by cell: each option does its work, or is refused.

A cell of the table has a dash where the format has no such option: then the configuration is refused. Else it says
what its cases here say, and each of them is read right with the option, and otherwise without it.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError, FileRejected
from ingestion.file_reader import read_chunks
from ingestion.formats import registry
from ingestion.formats.registry import FORMATS
from ingestion.places.registry import opened
from tests.acceptance.test_docs import CONFIGURATION, table_rows
from tests.workbooks import packed, parquet, xlsx
from validation import defaults, rules
from validation.validation_runner import validate

NAMES = tuple(one.name for one in FORMATS)
HEADER = f"| key | {' | '.join(NAMES)} |"
EXTENSIONS = {one.name: one.extensions[0] for one in FORMATS}
NONE = "\u2013"  # what a cell says where the format has no such option
FOLDER = "2024-05-06/07"
SUMMER, SUMMER_UTC = "2024-07-01 12:00:00", dt.datetime(2024, 7, 1, 10)
Table = list[list[Any]]


@dataclass(frozen=True)
class Case:
    """A file, the YAML that reads it, and the values of column v that have to come of it.

    `given` are keys of the expected file, `column` those of column v. `otherwise` is what comes without them:
    other values, or None where the file or the row is refused.
    """

    data: bytes
    values: list[Any]
    given: dict[str, Any] = field(default_factory=dict)
    column: dict[str, Any] = field(default_factory=dict)
    otherwise: list[Any] | None = None
    says: str = "yes"
    ending: str = ""


# ---------------------------------------------------------------- files


def written(name: str, rows: Table, header: Sequence[str] = ("id", "v")) -> bytes:
    """A file of this format; what is no text stays what it is where the format has types."""
    match name:
        case "csv":
            text = io.StringIO()
            csv.writer(text).writerows([header, *rows])
            return text.getvalue().encode()
        case "json" | "ndjson":
            records = [json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) for row in rows]
            return (f"[{', '.join(records)}]" if name == "json" else "\n".join(records)).encode()
        case "excel":
            return xlsx([header, *rows])
        case "parquet":
            return parquet({column: [row[n] for row in rows] for n, column in enumerate(header)})
    raise NotImplementedError(f"say here how a file of format {name} is written")


def texts(given: dict[str, Any], text: str, value: Any, **more: Any) -> dict[str, list[Case]]:
    """The same text in every format."""
    return {name: [Case(written(name, [[1, text]]), [value], given, **more)] for name in NAMES}


def read_of(**options: Any) -> dict[str, Any]:
    return {"read": options}


def of_texts(found: dict[str, list[Case]], typed: Mapping[str, Case]) -> dict[str, list[Case]]:
    """Where a format has types, the option is of texts alone: another case for a value with a type."""
    told: dict[str, list[Case]] = {}
    for name, cases in found.items():
        told[name] = [_saying(one, "of texts") for one in (*cases, typed[name])] if name in typed else cases
    return told


def _saying(case: Case, says: str) -> Case:
    return Case(case.data, case.values, case.given, case.column, case.otherwise, says, case.ending)


def typed(values: Mapping[str, Any], value: Any, given: dict[str, Any], **column: Any) -> dict[str, Case]:
    """A value with a type, which comes out the same with the option and without."""
    return {
        name: Case(written(name, [[1, one]]), [value], given, column, otherwise=[value])
        for name, one in values.items()
    }


def cases_of_dialects() -> Iterator[tuple[str, dict[str, list[Case]]]]:
    yield (
        "encoding",
        {
            name: [
                Case(
                    written(name, [[1, "Größe"]]).decode().encode("cp1252"), ["Größe"], read_of(encoding="cp1252")
                )
            ]
            for name in ("csv", "json", "ndjson")
        },
    )
    yield (
        "delimiter",
        {
            "csv": [
                Case(b"id;v\n1;a,b\n", ["a,b"], read_of(delimiter=";")),
                Case(b"id\tv\n1\ta b\n", ["a b"], read_of(delimiter="tab")),
            ]
        },
    )
    yield (
        "quote",
        {
            "csv": [
                Case(b"id,v\n1,'a,b'\n", ["a,b"], read_of(quote="'")),
                Case(b'id,v\n1,"a"\n', ['"a"'], read_of(quote="none"), otherwise=["a"]),
            ]
        },
    )
    yield "escape", {"csv": [Case(b"id,v\n1,a\\,b\n", ["a,b"], read_of(escape="\\"))]}
    yield "comment", {"csv": [Case(b"# made today\nid,v\n# a note\n1,x\n", ["x"], read_of(comment="#"))]}
    yield (
        "header",
        {
            "csv": [Case(b"1,x\n2,y\n", ["x", "y"], read_of(header=False))],
            "excel": [Case(xlsx([[1, "x"], [2, "y"]]), ["x", "y"], read_of(header=False))],
        },
    )
    yield (
        "skip_lines",
        {
            "csv": [Case(b"Report of today\n\nid,v\n1,x\n", ["x"], read_of(skip_lines=2))],
            "excel": [Case(xlsx([["Report"], [], ["id", "v"], [1, "x"]]), ["x"], read_of(skip_lines=2))],
        },
    )
    yield (
        "skip_footer",
        {
            "csv": [Case(b"id,v\n1,x\n2,total\n", ["x"], read_of(skip_footer=1), otherwise=["x", "total"])],
            "excel": [
                Case(
                    xlsx([["id", "v"], [1, "x"], [2, "total"]]),
                    ["x"],
                    read_of(skip_footer=1),
                    otherwise=["x", "total"],
                )
            ],
        },
    )
    more = xlsx([["nothing"]], title="Notes", more={"Data": [["id", "v"], [1, "x"]]})
    yield "sheet", {"excel": [Case(more, ["x"], read_of(sheet=which)) for which in ("Data", 2)]}
    yield (
        "records",
        {"json": [Case(b'{"a": {"b": [{"id": 1, "v": "x"}]}, "n": 1}', ["x"], read_of(records="a.b"))]},
    )
    yield (
        "format",
        {name: [Case(written(name, [[1, "x"]]), ["x"], read_of(format=name), ending=".dat")] for name in NAMES},
    )


def cases_of_values() -> Iterator[tuple[str, dict[str, list[Case]]]]:
    yield "null_values", texts(read_of(null_values=["n/a"]), " N/A", None, otherwise=[" N/A"])
    yield "trim", texts(read_of(trim=True), " x ", "x", otherwise=[" x "])
    number = {"dtype": "float", "sql_type": "numeric(9,2)"}
    comma, groups = read_of(decimal=","), read_of(thousands="'")
    have_types = {"excel": 1234.5, "parquet": 1234.5}
    half = Decimal("1234.5")
    yield (
        "decimal",
        of_texts(texts(comma, "12,5", Decimal("12.5"), column=number), typed(have_types, half, comma, **number)),
    )
    yield (
        "thousands",
        of_texts(texts(groups, "1'234.5", half, column=number), typed(have_types, half, groups, **number)),
    )
    money = read_of(currency=True)
    yield (
        "currency",
        of_texts(texts(money, "€ 1234.50", half, column=number), typed(have_types, half, money, **number)),
    )
    day, german = dt.date(2024, 12, 31), read_of(dates="%d.%m.%Y")
    dates = typed({"excel": day, "parquet": day}, day, german, dtype="date")
    yield "dates", of_texts(texts(german, "31.12.2024", day, column={"dtype": "date"}), dates)
    berlin, at = read_of(timezone="Europe/Berlin"), {"dtype": "datetime"}
    told = dt.datetime.fromisoformat(SUMMER)
    zones = texts(berlin, SUMMER, SUMMER_UTC, column=at, otherwise=[told])
    zones["excel"].append(Case(written("excel", [[1, told]]), [SUMMER_UTC], berlin, at, otherwise=[told]))
    zoned = pa.array([told], pa.timestamp("us", "UTC"))
    zones["parquet"] = [
        Case(parquet({"id": [1], "v": [told]}), [SUMMER_UTC], berlin, at, [told], "where no zone is"),
        Case(parquet({"id": [1], "v": zoned}), [told], berlin, at, [told], "where no zone is"),
    ]
    yield "timezone", zones


def cases_of_columns() -> Iterator[tuple[str, dict[str, list[Case]]]]:
    other = ("id", "The value")
    aliases = {"from": ["Value", "The value"]}
    by_name = {n: [Case(written(n, [[1, "x"]], other), ["x"], column=aliases, says="a name")] for n in NAMES}
    for name in ("json", "ndjson"):
        nested = written(name, [[1, {"b": {"c": "x"}}]], ("id", "a"))
        path = Case(nested, ["x"], column={"from": "a.b.c"})
        by_name[name] = [_saying(one, "a name or a path") for one in (*by_name[name], path)]
    yield "columns[].from", by_name
    day = {"dtype": "date"}
    yield "columns[].format", texts({}, "31.12.2024", dt.date(2024, 12, 31), column={**day, "format": "%d.%m.%Y"})
    lacking = {name: written(name, [[1]], ("id",)) for name in NAMES}
    null = {name: [None] for name in ("json", "ndjson")}  # there a lacking key is null, whatever is declared
    yield (
        "columns[].optional",
        {n: [Case(lacking[n], [None], column={"optional": True}, otherwise=null.get(n))] for n in NAMES},
    )
    given = {"default": "none yet", "optional": True}
    empty = {name: written(name, [[1, None]]) for name in NAMES}
    yield (
        "columns[].default",
        {
            n: [
                Case(lacking[n], ["none yet"], column=given, otherwise=null.get(n)),
                Case(empty[n], ["none yet"], column={"default": "none yet"}, otherwise=[None]),
            ]
            for n in NAMES
        },
    )
    yield (
        "columns[].value",
        {
            n: [
                Case(
                    lacking[n],
                    [dt.date(2024, 5, 6)],
                    column={"dtype": "date", "value": {"file": "date"}},
                    otherwise=null.get(n),
                ),
                Case(lacking[n], ["07"], column={"value": {"path": "/([0-9]+)/[^/]*$"}}, otherwise=null.get(n)),
                Case(lacking[n], ["shop"], column={"value": {"constant": "shop"}}, otherwise=null.get(n)),
            ]
            for n in NAMES
        },
    )
    wide = {name: written(name, [[1, "x", "more"]], ("id", "v", "note")) for name in NAMES}
    yield "new_columns", {n: [Case(wide[n], ["x"], {"new_columns": "ignore"})] for n in NAMES}
    yield (
        "missing_columns",
        {
            n: [
                Case(lacking[n], [None], {"missing_columns": how}, otherwise=null.get(n)) for how in (None, "null")
            ]
            for n in NAMES
        },
    )


def cases_of_packings() -> Iterator[tuple[str, dict[str, list[Case]]]]:
    for packing in (".gz", ".zst", ".zip"):
        yield (
            packing,
            {
                n: [Case(packed(written(n, [[1, "x"]]), packing), ["x"], ending=EXTENSIONS[n] + packing)]
                for n in NAMES
            },
        )


CASES = {
    **dict(cases_of_dialects()),
    **dict(cases_of_values()),
    **dict(cases_of_columns()),
    **dict(cases_of_packings()),
}
DOCUMENTED = {
    (key, name): cell
    for _, (key, *cells) in table_rows(CONFIGURATION, HEADER)
    for name, cell in zip(NAMES, cells, strict=True)
}
FLAT = [
    pytest.param(key, name, case, id=f"{key}-{name}-{n}")
    for key, formats in CASES.items()
    for name, cases in formats.items()
    for n, case in enumerate(cases)
]


# ---------------------------------------------------------------- reading


def configured(home: Path, pattern: str, given: Mapping[str, Any], column: Mapping[str, Any]) -> Any:
    """The configuration of one file type with the columns id and v, checked as at a start."""
    told = {
        "watcher": {"batch": {"expected_files": {pattern: {"table": "dim_thing", **given}}}, "stream": {}},
        "schemas": {
            "things": {
                "primary_key": "id",
                "columns": [
                    {"name": "id", "dtype": "int", "nullable": False},
                    {"name": "v", "dtype": "str", **column},
                ],
            }
        },
    }
    path = home / "config.yaml"
    path.write_text(yaml.safe_dump(told, allow_unicode=True))
    return get_config(path, checks=[rules.problems, defaults.problems, registry.problems])


def values_of(
    home: Path, name: str, case: Case, given: Mapping[str, Any], column: Mapping[str, Any]
) -> list[Any] | None:
    """Column v as it is loaded; None where the file or one of its rows is refused."""
    ending = case.ending or EXTENSIONS[name]
    path = home / FOLDER / f"things{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(case.data)
    config = configured(
        home, f"things{EXTENSIONS[name] if case.ending.startswith(EXTENSIONS[name]) else ending}", given, column
    )
    (spec,) = config.files
    found: list[Any] = []
    try:
        with opened(path) as file:
            for chunk in read_chunks(file, path.name, spec.schema, 1000, spec.read, path):
                batch = validate(chunk, spec, config.validation.dates)
                if batch.rejections():
                    return None
                values = batch.rows().column("v").to_pylist()
                found += [Decimal(v) for v in values] if column.get("dtype") == "float" else values
    except FileRejected:
        return None
    return found


@pytest.mark.parametrize(("key", "name", "case"), FLAT)
def test_an_option_reads_what_nothing_else_would(key: str, name: str, case: Case, tmp_path: Path) -> None:
    assert values_of(tmp_path, name, case, case.given, case.column) == case.values
    if key in {".gz", ".zst", ".zip"}:
        return  # told by the name, and by nothing in the YAML
    without = {k: v for k, v in case.column.items() if k in {"dtype", "sql_type"}}
    if key == "format":
        with pytest.raises(ConfigError, match=r"no format reads \.dat"):
            values_of(tmp_path, name, case, {}, without)
    else:
        assert values_of(tmp_path, name, case, {}, without) == case.otherwise


@pytest.mark.parametrize(("key", "name"), [cell for cell, said in DOCUMENTED.items() if said == NONE])
def test_an_option_that_a_format_lacks_is_refused_with_whose_it_is(key: str, name: str, tmp_path: Path) -> None:
    owner, cases = next(iter(CASES[key].items()))
    with pytest.raises(ConfigError, match=rf"read\.{key}: belongs to .*{owner}.*, not to {name}"):
        configured(tmp_path, f"things{EXTENSIONS[name]}", cases[0].given, {})


def test_every_cell_of_the_table_has_its_cases_and_says_what_they_say() -> None:
    told = {
        (key, name): " / ".join(sorted({case.says for case in cases.get(name, [])})) or NONE
        for key, cases in CASES.items()
        for name in NAMES
    }
    assert told == DOCUMENTED


def test_every_key_of_every_format_is_in_the_table() -> None:
    own = {key for one in FORMATS for key in one.Options.model_fields}
    assert own <= {key for key, _ in DOCUMENTED}
