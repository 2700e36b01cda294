"""A failed file is tried again when what it may fail by has changed in the YAML, and for no change of the code."""

from __future__ import annotations

import copy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.config_loader import get_config
from config.file_spec import FileSpec
from config.fingerprint import LISTED, listed
from config.schema import Schema
from tests.integration.small import settings_of

# No file fails by these, or they follow from what is listed.
NOT_LISTED = {
    "Column": {"personal", "was"},
    "Contract": {"expected_by", "expected_every", "days", "holidays", "timezone"},
    "RuleUse": {"says"},
    "Check": {"says", "warehouse"},
    "Schema": {"name", "beside"},
    "FileSpec": {
        "unique",
        "track",
        "indexes",
        "partition_by",
        "level",
        "kind",
        "has_placeholders",
        "after_load",
        "owner",
        "report_to",
        "is_profiled",
        "was",
    },
}
TYPES: dict[str, Any] = {
    "zones": {"key": "id", "columns": {"id": "int", "code": "str"}},
    "visits": {
        "key": ["id", "line"],
        "columns": {
            "id": "int",
            "line": "int",
            "zone": "int",
            "at": {"dtype": "datetime", "format": "%d/%m/%Y"},
            "mail": {"dtype": "str", "pii": "email"},
            "rate": {"dtype": "float", "rules": {"at_least": 0}},
            "day": {"dtype": "str", "value": {"file": "date"}},
        },
        "foreign_keys": {"zone": "zones"},
        "contract": {"min_rows": 1, "expected_by": "06:30"},
        "read": {"delimiter": ";", "decimal": ","},
    },
}


def visits(home: Path, *place: str, value: object = None) -> FileSpec:
    types = copy.deepcopy(TYPES)
    if place:
        at = types["visits"]
        for key in place[:-1]:
            at = at.setdefault(key, {})
        at[place[-1]] = value
    path = home / "config.yaml"
    path.write_text(yaml.safe_dump(settings_of(types)))
    return get_config(path).by_logical_name["visits"]


def test_every_key_of_the_configuration_is_listed_or_named_here() -> None:
    """A key of neither would leave failed files as they are when it mends them."""
    for kind, names in LISTED.items():
        assert {*names} | NOT_LISTED.get(kind.__name__, set()) == {*kind.model_fields}, kind
    known = {
        *("name", "feed", "pattern", "table", "schema", "foreign_keys", "derive", "keep", "newer_by", "contract"),
        *("read", "children", "is_snapshot", "gone", "gone_at_most_pct", "operation", "complete_when"),
    }
    assert known | NOT_LISTED["FileSpec"] == {field.name for field in fields(FileSpec)}
    assert {"primary_key", "columns", "checks", "drift", "within"} | NOT_LISTED["Schema"] == {*Schema.model_fields}


def test_a_fingerprint_stays_when_the_code_changes(tmp_path: Path) -> None:
    """Where this has to change, every failed file of every user is tried again: say so in the changelog."""
    assert visits(tmp_path).fingerprint == "d1c75bb5e91b41fa8add35b0c25d6d77"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("read", "delimiter"), "|"),
        (("read", "timezone"), "Africa/Cairo"),
        (("contract", "min_rows"), 2),
        (("new_columns",), "ignore"),
        (("foreign_keys", "zone"), {"to": "zones", "if_missing": "null"}),
        (("columns", "rate"), {"dtype": "float", "rules": {"at_least": 1}}),
        (("columns", "day"), {"dtype": "str", "value": {"file": "name"}}),
        (("keep",), "latest"),
        (("rows",), "snapshot"),
        (("table",), "dim_other"),
    ],
    ids=str,
)
def test_what_a_file_may_fail_by_changes_it(place: tuple[str, ...], value: object, tmp_path: Path) -> None:
    assert visits(tmp_path, *place, value=value).fingerprint != visits(tmp_path).fingerprint


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("indexes",), ["zone"]),
        (("contract", "expected_by"), "07:00"),
        (("read", "trim"), False),
        (("columns", "rate"), {"dtype": "float", "rules": {"at_least": 0}, "personal": True}),
    ],
    ids=str,
)
def test_what_no_file_fails_by_and_defaults_leave_it(
    place: tuple[str, ...], value: object, tmp_path: Path
) -> None:
    assert listed(visits(tmp_path, *place, value=value)) == listed(visits(tmp_path))
