"""What the YAML says of where a column comes from is checked at the start, and a mistake has its way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.errors import ConfigError
from config.model import Dtype
from config.origins import Origin, folder_of, path_in_record
from config.schema import Column
from ingestion.formats import registry
from validation import defaults, rules

DAY = {"file": "date"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "PII_HASH_KEY", "FASTFEAST_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FASTFEAST_HOME", str(tmp_path))
    return tmp_path


def problems(home: Path, column: dict[str, Any], key: dict[str, Any] | None = None, **entry: Any) -> str:
    """What a start says of the column `c` of pets.csv; '' when it is content."""
    columns = [{"name": "id", "dtype": "int", "nullable": False, **(key or {})}, {"name": "c", **column}]
    config = {
        "watcher": {"batch": {"expected_files": {"pets.csv": {"table": "dim_pet", **entry}}}, "stream": {}},
        "schemas": {"pets": {"primary_key": "id", "columns": columns}},
    }
    file = home / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    try:
        get_config(file, checks=[rules.problems, defaults.problems, registry.problems])
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ({"dtype": "int", "default": "x"}, "columns.c.default: 'x' is no int"),
        ({"dtype": "int", "default": 1.5}, "columns.c.default: 1.5 is no int"),
        ({"dtype": "int", "default": 3_000_000_000}, "default: 3000000000 does not fit integer"),
        ({"dtype": "int", "default": [1]}, "goes with dtype json"),
        ({"dtype": "str", "default": 0}, "default: 0 is no text; write it in quotes"),
        ({"dtype": "str", "sql_type": "varchar(2)", "default": "abc"}, "default: 'abc' does not fit varchar(2)"),
        ({"dtype": "str", "allowed_values": ["a"], "default": "b"}, "'b' is not one of allowed_values"),
        (
            {"dtype": "float", "sql_type": "numeric(4,1)", "default": 1.25},
            "default: 1.25 does not fit numeric(4,1)",
        ),
        ({"dtype": "bool", "default": "maybe"}, "default: 'maybe' is no bool"),
        ({"dtype": "date", "default": "01.02.2026"}, "default: '01.02.2026' is no date"),
        ({"dtype": "uuid", "default": "x"}, "default: 'x' is no uuid"),
        ({"dtype": "json", "sql_type": "integer[]", "default": ["a"]}, "does not fit integer[]"),
        ({"dtype": "str", "pii": "email", "default": "a@b.com"}, "default: goes with no pii"),
        (
            {"dtype": "str", "optional": True, "nullable": False},
            "optional: the column is not nullable; give it a d",
        ),
        (
            {"dtype": "str", "optional": True, "rules": {"required": True}},
            "optional: the column is required; give",
        ),
        ({"dtype": "str", "from": []}, ""),
        ({"dtype": "str", "from": [""]}, "columns.1.from.0: String should have at least 1 character"),
        ({"dtype": "str", "from": ["a", "a"]}, "columns.1.from: Value error, 'a' is given twice"),
        ({"dtype": "str", "from": "id"}, "columns.c.from: 'id' is where id comes from; a file's column fills one"),
        ({"dtype": "str", "form": "id"}, "columns.1.form: unknown key"),
        ({"dtype": "date", "from": "d", "value": DAY}, "columns.c.from: goes with columns that the file has"),
        (
            {"dtype": "int", "value": DAY},
            "columns.c.value.file: date goes with dtype date, datetime or str, not wi",
        ),
        ({"dtype": "date", "value": {"file": "hour"}}, "value.file: hour goes with dtype int or str"),
        ({"dtype": "int", "value": {"file": "name"}}, "value.file: name goes with dtype str"),
        ({"dtype": "int", "value": {"constant": "x"}}, "columns.c.value.constant: 'x' is no int"),
        ({"dtype": "int", "value": {"constant": None}}, "for none at all leave the column out"),
        (
            {"dtype": "str", "value": {"path": "branch"}},
            "columns.1.value.path: Value error, has 0 groups and needs",
        ),
        ({"dtype": "str", "value": {"path": "(a)(b)"}}, "has 2 groups and needs one, around what is taken"),
        ({"dtype": "str", "value": {"path": "("}}, "is no regular expression"),
        ({"dtype": "str", "value": {}}, "columns.1.value: Value error, give exactly one of file, path, constant"),
        ({"dtype": "str", "value": {"file": "name", "path": "(a)"}}, "give exactly one of file, path, constant"),
        (
            {"dtype": "str", "value": {"file": "size"}},
            "columns.1.value.file: Input should be 'name', 'path', 'date'",
        ),
        ({"dtype": "str", "pii": "text", "value": {"file": "name"}}, "columns.c.value: goes with no pii"),
        ({"dtype": "date", "format": "%d", "value": DAY}, "columns.c.format: goes with value: {path: …}"),
    ],
)
def test_a_mistake_in_a_column_is_told_by_its_path_and_way_out(
    home: Path, column: dict[str, Any], told: str
) -> None:
    found = problems(home, column)
    assert told in found, found
    assert bool(found) == bool(told)
    assert not told or "schemas.pets.columns." in found


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (
            {"optional": True, "nullable": False},
            "columns.id.optional: 'id' is of the primary key: each row brings it",
        ),
        (
            {"default": 1},
            "columns.id.default: 'id' is of the primary key: each row brings it; leave default out",
        ),
        ({"from": "c"}, "columns.c: 'c' is where id comes from; a file's column fills one column"),
    ],
)
def test_a_mistake_in_the_key_is_told(home: Path, key: dict[str, Any], told: str) -> None:
    assert told in problems(home, {"dtype": "str"}, key)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (
            {"new_columns": "keep_all"},
            "expected_files.pets.csv.new_columns: Input should be 'fail', 'ignore', 'keep' or 'add'",
        ),
        ({"missing_columns": "ignore"}, "pets.csv.missing_columns: Input should be 'fail' or 'null'"),
        ({"read": {"records": "a"}}, "pets.csv.read.records: belongs to json, not to csv"),
        ({"new_columns": "ignore", "missing_columns": "null"}, ""),
    ],
)
def test_a_mistake_in_a_policy_is_told(home: Path, entry: dict[str, Any], told: str) -> None:
    found = problems(home, {"dtype": "str"}, **entry)
    assert told in found, found
    assert bool(found) == bool(told)


@pytest.mark.parametrize(
    "column",
    [
        {"dtype": "int", "default": 0},
        {"dtype": "int", "default": "7"},
        {"dtype": "float", "sql_type": "numeric(4,1)", "default": 1.5},
        {"dtype": "float", "sql_type": "numeric(4,1)", "round": True, "default": 1.25},
        {"dtype": "bool", "default": False},
        {"dtype": "date", "format": "%d.%m.%Y", "default": "2026-01-31"},
        {"dtype": "datetime", "default": "2026-01-31 12:00"},
        {"dtype": "json", "default": {"a": [1]}},
        {"dtype": "json", "sql_type": "text[]", "default": ["a"]},
        {"dtype": "str", "default": ""},
        {"dtype": "str", "nullable": False, "optional": True, "default": "x"},
        {"dtype": "datetime", "value": DAY},
        {"dtype": "str", "value": DAY},
        {"dtype": "float", "value": {"constant": 1.5}},
        {"dtype": "date", "format": "%Y%m%d", "value": {"path": r"(\d{8})"}},
    ],
)
def test_what_a_column_can_hold_is_welcome(home: Path, column: dict[str, Any]) -> None:
    assert problems(home, column) == ""


def test_a_day_of_the_yaml_is_a_default(home: Path) -> None:
    yaml_day = yaml.safe_load("2026-01-31")
    assert problems(home, {"dtype": "date", "default": yaml_day}) == ""


@pytest.mark.parametrize(
    ("path", "day", "hour"),
    [
        ("/in/2026-02-20/09/x.csv", "2026-02-20", "9"),
        ("/in/2026-02-20/x.csv", "2026-02-20", None),
        ("/in/2026-02-20/north/09/x.csv", "2026-02-20", None),
        ("/in/2026-02-20/23/north/x.csv", "2026-02-20", "23"),
        ("/in/2026-02-20/24/x.csv", "2026-02-20", None),
        ("/in/2025-01-01/2026-02-20/00/x.csv", "2026-02-20", "0"),
        ("s3://bucket/2026-02-20/09/x.csv", "2026-02-20", "9"),
        ("/in/20260220/x.csv", None, None),
        ("/in/2026-02-30/x.csv", None, None),
        ("/in/2026-02-20.csv", None, None),
    ],
)
def test_the_day_and_the_hour_are_those_of_the_files_folders(path: str, day: str | None, hour: str | None) -> None:
    assert Origin(file="date").of(path) == day
    assert Origin(file="hour").of(path) == hour
    assert Origin(file="name").of(path) == re.split("/", path)[-1]
    assert Origin(file="path").of(path) == path
    assert (folder_of(path).day is None) == (day is None)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        (r"a\.b.c", ("a.b", "c")),
        ("St. No.", ("St. No.",)),
        (".a", (".a",)),
        ("a..b", ("a..b",)),
    ],
)
def test_a_dot_leads_into_an_object_unless_a_backslash_is_before_it(source: str, path: tuple[str, ...]) -> None:
    assert path_in_record(source) == path


def test_a_column_is_called_by_its_name_unless_the_yaml_says_otherwise() -> None:
    assert Column(name="a.b", dtype=Dtype.STR).names_in_file == ("a.b",)
    given = Column.model_validate({"name": "a", "dtype": "str", "from": "b"})
    assert given.names_in_file == ("b",)
